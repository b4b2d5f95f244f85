"""Foreign numbers become plain Python numbers, once; nothing that is handed in can raise."""

from __future__ import annotations

import enum
import gc
import logging
import sys
import types
import weakref
from collections import namedtuple
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from m.metrics import values
from m.metrics.snapshot import TrainingSnapshot, snapshot_of
from m.metrics.values import DeferredNumber, to_metric, to_number, unconvertible_count

pytestmark = pytest.mark.usefixtures("no_name_was_warned_about")


@pytest.mark.fault("F2", "F9", "F10")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, 0.5),
        (3, 3),
        (True, True),
        (np.float64(0.5), 0.5),
        (np.float32(0.5), 0.5),
        (np.float16(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array(0.5), 0.5),
        (np.array([0.5]), 0.5),
        (np.array([[3]]), 3),
        (Decimal("0.5"), 0.5),
        (Fraction(1, 4), 0.25),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (2**63, 2.0**63),
    ],
)
def test_numbers_of_any_kind_become_plain_ones(value: Any, expected: Any) -> None:
    got = to_number(value, "x")
    assert got == expected
    assert type(got) is type(expected)


def test_an_int_subclass_becomes_an_int() -> None:
    class Level(enum.IntEnum):
        HIGH = 3

    assert type(to_number(Level.HIGH, "x")) is int


@pytest.mark.fault("F3")
@pytest.mark.parametrize(
    "value",
    ["0.5", b"1", 1j, np.complex64(1j), Decimal("sNaN"), 10**400, np.zeros(2), np.zeros(0), np.str_("a"), [], object()],
)
def test_what_is_not_one_number_is_none_and_counted(value: Any) -> None:
    before = unconvertible_count()
    assert to_number(value, "x") is None
    assert unconvertible_count() == before + 1


@pytest.mark.fault("F12")
def test_none_is_not_measured_and_not_a_failure() -> None:
    before = unconvertible_count()
    assert to_number(None, "x") is None
    assert to_metric(None, "x") is None
    assert unconvertible_count() == before


@pytest.mark.fault("F1")
def test_not_a_number_and_infinity_are_numbers() -> None:
    assert to_number(float("inf"), "x") == float("inf")
    nan = to_number(np.float32("nan"), "x")
    assert nan != nan


class Hostile:
    """Raises whatever it is asked."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"do not ask me for {name}")


class BadShape:
    size = 2
    dtype = "float32"

    @property
    def shape(self) -> Any:
        raise RuntimeError("no shape")

    def item(self) -> float:
        return 1.0


@pytest.mark.fault("A18")
@pytest.mark.parametrize("kind", [Hostile, BadShape])
def test_a_hostile_object_is_left_out(kind: type) -> None:
    value = kind()
    assert to_number(value, "x") is None
    assert to_metric(value, "x") is None


def test_a_logging_handler_that_raises_is_not_felt() -> None:
    """Conversion happens in the training loop, and a filter of the user's runs inside ``logger.warning``."""

    class Broken(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("broken filter")

    broken = Broken()
    values.logger.addFilter(broken)
    try:
        assert to_number("text", "x") is None
    finally:
        values.logger.removeFilter(broken)


@pytest.mark.fault("H2")
def test_each_name_is_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    to_number(np.zeros(3), "logits")
    to_number(np.zeros(3), "logits")
    to_number("text", "loss")
    TrainingSnapshot(0, 1.0, expert_utilization=np.zeros((2, 3, 4)))
    assert [record.getMessage() for record in caplog.records] == [
        "metric 'logits' is a ndarray of shape (3,), not one number, and is left out",
        "metric 'loss' is a str, not one number, and is left out",
        "metric 'expert_utilization' is a ndarray of shape (2, 3, 4), not loads by expert, or by layer and by expert, "
        "and is left out",
    ]


@pytest.mark.fault("F17")
def test_ten_thousand_names_do_not_fill_the_memory_or_the_log(caplog: pytest.LogCaptureFixture) -> None:
    for index in range(10_000):
        to_number("text", f"metric {index}")
    assert len(caplog.records) == 200


@pytest.mark.fault("F11")
def test_custom_metrics_keep_text_as_plain_text() -> None:
    class Phase(str, enum.Enum):  # noqa: UP042  # its str() is "Phase.WARM_UP"
        WARM_UP = "warm-up"

    for text in ("warm-up", np.str_("warm-up"), Phase.WARM_UP):
        assert to_metric(text, "phase") == "warm-up"
        assert type(to_metric(text, "phase")) is str


def test_containers_are_copied_with_plain_contents() -> None:
    """Else every snapshot that waits somewhere keeps what the next step changes, or a tensor with its graph."""
    reused, inner = [0.5], {"a": Fraction(1, 4)}
    pair = namedtuple("pair", "left right")(np.float32(0.5), "text")
    kept = snapshot_of({"list": reused, "dict": {"inner": inner, "none": None}, "pair": pair, "set": {1, 2}}, 0)
    reused[0], inner["a"] = 9.0, Fraction(9)
    metrics = kept.custom_metrics
    assert metrics["list"] == [0.5]
    assert metrics["dict"] == {"inner": {"a": 0.25}, "none": None}
    assert (metrics["pair"].left, type(metrics["pair"].left), metrics["pair"].right) == (0.5, float, "text")
    assert metrics["set"] == {1, 2}


def test_what_cannot_be_kept_leaves_none_in_its_container_and_is_counted() -> None:
    before = unconvertible_count()
    endless: list[Any] = [1]
    endless.append(endless)
    metrics = snapshot_of({"list": [1.0, np.zeros(3)], "endless": endless, "complex": 1 + 2j}, 0).custom_metrics
    assert metrics["list"] == [1.0, None]
    assert "complex" not in metrics
    assert repr(metrics["endless"]).count("[") == 10
    assert unconvertible_count() == before + 3


def test_custom_metrics_keep_the_users_objects_but_no_arrays() -> None:
    own = object()
    assert to_metric(own, "own") is own
    assert to_metric([1, 2], "list") == [1, 2]
    assert to_metric(np.zeros(3), "logits") is None
    frame = types.SimpleNamespace(__array__=lambda: np.zeros(3))
    assert to_metric(frame, "frame") is None


# -- tensors of libraries that are not installed here ------------------------------------------------------------------


class Device:
    def __init__(self, kind: str) -> None:
        self.type = kind


class Tensor:
    """Behaves like a PyTorch tensor of one element."""

    def __init__(self, number: Any, kind: str = "cpu", log: list[str] | None = None) -> None:
        self.number, self.device, self.log = number, Device(kind), [] if log is None else log
        self.shape = ()

    def numel(self) -> int:
        return 1

    def detach(self) -> Tensor:
        self.log.append("detach")
        return Tensor(self.number, self.device.type, self.log)

    def clone(self) -> Tensor:
        self.log.append("clone")
        return Tensor(self.number, self.device.type, self.log)

    def to(self, device: str, non_blocking: bool) -> Tensor:
        self.log.append(f"to {device} non_blocking={non_blocking}")
        return Tensor(self.number, device, self.log)

    def item(self) -> Any:
        self.log.append(f"item on {self.device.type}")
        if isinstance(self.number, Exception):
            raise self.number
        return self.number


class Event:
    def __init__(self, log: list[str]) -> None:
        self.log, self.happened = log, False

    def record(self, stream: object) -> None:
        self.log.append("record")

    def query(self) -> bool:
        return self.happened

    def synchronize(self) -> None:
        self.log.append("synchronize")


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """A module named torch that knows CUDA events; gives the events that were made."""
    made: list[Event] = []

    def make() -> Event:
        made.append(Event([]))
        return made[-1]

    cuda = types.SimpleNamespace(Event=make, current_stream=lambda device: "stream")
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=cuda))
    return made


@pytest.mark.fault("F5")
def test_a_tensor_on_the_cpu_is_read_at_once() -> None:
    tensor = Tensor(0.5)
    assert to_number(tensor, "loss") == 0.5
    assert tensor.log == ["item on cpu"]


@pytest.mark.fault("F5")
def test_a_tensor_of_many_elements_or_without_data_is_left_out() -> None:
    many = Tensor(0.5)
    many.numel = lambda: 4  # type: ignore[method-assign]
    assert to_number(many, "loss") is None
    assert to_number(Tensor(NotImplementedError("meta tensors have no data"), "meta"), "loss") is None


@pytest.mark.fault("F6")
def test_a_cuda_tensor_is_copied_without_waiting_and_without_its_graph(torch: list[Event]) -> None:
    tensor = Tensor(0.5, "cuda")
    number = to_number(tensor, "loss")
    assert type(number) is DeferredNumber
    assert tensor.log == ["detach", "to cpu non_blocking=True"]
    assert torch[0].log == ["record"]
    assert not number.is_ready()
    torch[0].happened = True
    assert number.is_ready()
    assert number.resolve() == 0.5
    assert torch[0].log == ["record", "synchronize"]
    assert tensor.log[-1] == "item on cpu"
    assert float(number) == 0.5


@pytest.mark.fault("F6")
def test_the_tensor_itself_is_not_kept(torch: list[Event]) -> None:
    """Keeping the loss tensor keeps its autograd graph: half a gigabyte in thirty steps of a toy model."""
    tensor = Tensor(0.5, "cuda")
    kept = to_number(tensor, "loss")
    gone = weakref.ref(tensor)
    del tensor
    gc.collect()
    assert gone() is None
    assert kept is not None


def test_a_tensor_on_another_device_is_cloned_before_the_next_step_overwrites_it() -> None:
    tensor = Tensor(0.5, "mps")
    number = to_number(tensor, "loss")
    tensor.number = 9.9
    assert type(number) is DeferredNumber
    assert number.is_ready()
    assert number.resolve() == 0.5


@pytest.mark.fault("F8")
def test_a_device_that_fails_later_gives_none() -> None:
    number = to_number(Tensor(RuntimeError("CUDA error: device-side assert triggered"), "mps"), "loss")
    assert type(number) is DeferredNumber
    before = unconvertible_count()
    assert number.resolve() is None
    assert str(float(number)) == "nan"
    assert unconvertible_count() == before + 2


class JaxArray:
    """Behaves like a JAX array of one element: a future, even on the CPU."""

    size = 1
    shape = ()
    device = "cpu:0"

    def __init__(self, number: float) -> None:
        self.number, self.ready, self.started = number, False, False

    def copy_to_host_async(self) -> None:
        self.started = True

    def is_ready(self) -> bool:
        return self.ready

    def item(self) -> float:
        return self.number


@pytest.mark.fault("F7")
def test_a_jax_array_is_not_waited_for() -> None:
    array = JaxArray(0.5)
    number = to_number(array, "loss")
    assert type(number) is DeferredNumber
    assert array.started
    assert not number.is_ready()
    array.ready = True
    assert number.is_ready()
    assert number.resolve() == 0.5


@pytest.mark.fault("F7")
def test_a_number_under_tracing_is_left_out() -> None:
    """Inside ``jax.jit`` a value is a tracer: it has a size and ``item``, and every question for its value raises."""

    class Tracer:
        size = 1
        shape = ()

        def item(self) -> float:
            raise TypeError("Abstract tracer value encountered where concrete value is expected")

    assert to_number(Tracer(), "loss") is None
