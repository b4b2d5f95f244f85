"""Values as real PyTorch makes them, on the CPU, become plain numbers or are left out and counted."""

from __future__ import annotations

import gc
import math
import weakref
from pathlib import Path
from typing import Any

import pytest

from m import MetricsHub
from m.journal.decoding import decode
from m.metrics.snapshot import TrainingSnapshot, snapshot_of
from m.metrics.values import DeferredNumber, to_metric, to_number, unconvertible_count
from sinks import JsonlSink, PlotSink, TerminalSink


@pytest.fixture(scope="module")
def torch() -> Any:
    """PyTorch, loaded when the first test runs and not while tests are collected."""
    return pytest.importorskip("torch")


pytestmark = pytest.mark.usefixtures("no_name_was_warned_about")


def one_number_of_each_kind(torch: Any) -> dict[str, tuple[Any, Any]]:
    weight = torch.nn.Parameter(torch.tensor(2.0))
    with torch.inference_mode():
        inferred = torch.tensor(0.5)
    return {
        "plain": (torch.tensor(0.5), 0.5),
        "one element": (torch.tensor([[0.5]]), 0.5),
        "requires grad": (torch.tensor(0.5, requires_grad=True), 0.5),
        "inside a graph": ((weight * 3).square(), 36.0),
        "parameter": (weight, 2.0),
        "inference": (inferred, 0.5),
        "bfloat16": (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
        "float16": (torch.tensor(0.5, dtype=torch.float16), 0.5),
        "float64": (torch.tensor(0.1, dtype=torch.float64), 0.1),
        "int64": (torch.tensor(2**62), 2**62),
        "uint8": (torch.tensor(3, dtype=torch.uint8), 3),
        "bool": (torch.tensor(True), True),
        "sparse": (torch.tensor([0.5]).to_sparse(), 0.5),
        "negated view": (torch.tensor(1 + 2j).conj().imag, -2.0),
        "expanded": (torch.tensor(0.5).expand(1, 1), 0.5),
        "nan": (torch.tensor(math.nan), math.nan),
        "inf": (torch.tensor(-math.inf), -math.inf),
    }


@pytest.mark.fault("F5")
def test_one_number_of_any_kind_is_read_at_once(torch: Any) -> None:
    for kind, (value, expected) in one_number_of_each_kind(torch).items():
        for got in (to_number(value, kind), to_metric(value, kind)):
            assert type(got) is type(expected), kind
            assert got == expected or (got != got and expected != expected), kind


@pytest.mark.fault("F5")
@pytest.mark.filterwarnings("ignore:.*quantize.*", "ignore:.*Quantiz.*")
def test_a_quantised_number_is_read(torch: Any) -> None:
    assert to_number(torch.quantize_per_tensor(torch.tensor([0.5]), 0.1, 0, torch.qint8), "x") == 0.5


@pytest.mark.fault("F5")
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors", "ignore:Sparse CSR")
def test_what_is_not_one_number_is_left_out_and_counted(torch: Any) -> None:
    nothing = {
        "meta": torch.empty((), device="meta"),
        "many": torch.zeros(3),
        "none": torch.zeros(0),
        "large": torch.zeros(1000, 1000),
        "complex": torch.tensor(1j),
        "nested": torch.nested.nested_tensor([torch.zeros(1)]),
        "compressed": torch.tensor([[1.0]]).to_sparse_csr(),
    }
    for kind, value in nothing.items():
        before = unconvertible_count()
        assert to_number(value, kind) is None, kind
        assert to_metric(value, kind) is None, kind
        assert unconvertible_count() == before + 2, kind


@pytest.mark.fault("F5")
def test_a_number_inside_a_transformed_function_is_left_out_or_right(torch: Any) -> None:
    """Under ``vmap`` a tensor stands for many; under ``func.grad`` it has its number."""
    seen: list[Any] = []

    def loss(x: Any) -> Any:
        seen.append(to_number(x.sum(), "loss"))
        return (x * 2).sum()

    torch.func.vmap(loss)(torch.ones(2, 3))
    torch.func.grad(loss)(torch.ones(3))
    assert seen == [None, 3.0]


@pytest.mark.fault("F5")
def test_what_a_type_of_tensor_raises_is_named_and_controls_nothing(
    torch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Awkward(torch.Tensor):  # type: ignore[misc]
        @classmethod
        def __torch_function__(cls, *arguments: Any, **options: Any) -> Any:
            raise RuntimeError("\x1b[2J no")

    assert to_number(torch.tensor(0.5).as_subclass(Awkward), "loss\x1b[2J") is None
    assert "is a Awkward, not one number, and is left out (RuntimeError: ␛[2J no)" in caplog.text
    assert "\x1b" not in caplog.text


@pytest.mark.fault("F4")
def test_a_tensor_changed_in_place_afterwards_changes_nothing(torch: Any) -> None:
    weights = torch.tensor([0.5, 0.25])
    snapshot = TrainingSnapshot(1, weights[0], custom_metrics={"view": weights[1:]}, expert_utilization={0: weights[0]})
    weights.fill_(9.9)
    assert (snapshot.train_loss, snapshot.custom_metrics) == (0.5, {"view": 0.25})
    assert snapshot.expert_utilization == {0: 0.5}


@pytest.mark.fault("F6")
def test_neither_a_tensor_nor_its_graph_is_kept(torch: Any, tmp_path: Path) -> None:
    """Keeping the loss instead of its number kept 568 MB in thirty steps of a toy model."""
    model = torch.nn.Linear(8, 1)
    kept = []
    with MetricsHub([JsonlSink(tmp_path / "run.jsonl"), PlotSink(summary=False)]) as hub:
        for step in range(5):
            output = model(torch.ones(4, 8))  # which the graph of the loss keeps
            loss = output.square().mean()
            kept += [weakref.ref(loss), weakref.ref(output)]
            hub.emit(TrainingSnapshot(step, loss, custom_metrics={"same": loss, "logits": torch.zeros(64)}))
        del loss, output
        gc.collect()
        assert [each() for each in kept] == [None] * 10


@pytest.mark.fault("F5", "F6")
def test_a_training_step_reaches_every_sink_as_plain_numbers(torch: Any, tmp_path: Path) -> None:
    import io

    from rich.console import Console

    plots, screen = PlotSink(summary=False), io.StringIO()
    terminal = TerminalSink(console=Console(file=screen, width=100, force_terminal=False))
    loads = torch.tensor([0.75, 0.25], dtype=torch.bfloat16)
    with MetricsHub([terminal, plots, JsonlSink(tmp_path / "run.jsonl")], strict=True) as hub:
        hub.emit(
            TrainingSnapshot(
                torch.tensor(0),
                torch.tensor(0.5, requires_grad=True),
                learning_rate=torch.tensor(3e-4, dtype=torch.float64),
                gradient_norm=torch.nn.utils.get_total_norm([torch.ones(4)])
                if hasattr(torch.nn.utils, "get_total_norm")
                else torch.tensor(2.0),
                expert_utilization=dict(enumerate(loads)),
                custom_metrics={"accuracy": torch.tensor([1]).float().mean(), "logits": torch.zeros(8)},
            )
        )
    assert "0.5000" in screen.getvalue()
    assert plots.get_metrics_summary()["train_loss"]["current"] == 0.5
    record: Any = decode((tmp_path / "run.jsonl").read_bytes().splitlines()[1])
    assert record.snapshot == TrainingSnapshot(
        0,
        0.5,
        learning_rate=3e-4,
        gradient_norm=2.0,
        expert_utilization={0: 0.75, 1: 0.25},
        custom_metrics={"accuracy": 1},
    )


@pytest.mark.fault("F13")
def test_a_step_may_be_a_tensor(torch: Any) -> None:
    assert type(TrainingSnapshot(torch.tensor(7), 0.5).step) is int
    assert TrainingSnapshot(torch.tensor([7.0]), 0.5).step == 7
    for odd in (torch.tensor(7.5), torch.zeros(2), torch.tensor(math.nan), torch.empty((), device="meta")):
        with pytest.raises(TypeError, match="step must be a whole number"):
            TrainingSnapshot(odd, 0.5)


@pytest.mark.fault("F6")
def test_a_cuda_tensor_is_not_waited_for(torch: Any) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    torch.cuda.set_sync_debug_mode("error")  # raises where something waits for the device
    try:
        loss = torch.ones((), device="cuda", requires_grad=True) * 0.5
        number = to_number(loss, "loss")
        assert type(number) is DeferredNumber
        loss.data.fill_(9.9)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert number.resolve() == 0.5


def test_no_graph_is_kept_in_a_container(torch: Any) -> None:
    weights = torch.ones(3, requires_grad=True)
    loss = (weights * 2).sum()
    graph = weakref.ref(loss)
    kept = snapshot_of({"list": [loss], "dict": {"task": (loss, "name")}}, 0)
    del loss
    assert graph() is None
    assert kept.custom_metrics == {"list": [6.0], "dict": {"task": (6.0, "name")}}
