"""What ``hub.emit`` costs the training thread: tight loops and 10 ms steps, beside what people use today."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import Any

import blinker

from benchmarks.measure import interleaved, missing, per_call_us, table
from benchmarks.terminal import on_terminal
from benchmarks.workload import VALUES, as_dict, snapshot
from m.hub.hub import MetricsHub
from m.metrics.snapshot import TrainingSnapshot
from sinks.jsonl import JsonlSink
from sinks.plotting.sink import PlotSink
from sinks.terminal.sink import TerminalSink

CALLS = 20_000
ROUNDS = 5


def run() -> None:
    """Print the tables."""
    table("construction alone", "us, median of calls", interleaved(_constructions(), ROUNDS), "snapshot, 12 metrics")
    table(
        "construction + emit, tight loop",
        "us, median of calls",
        interleaved([(name, _tight(make)) for name, make in _emitters()], ROUNDS),
        "hub: terminal + plots",
    )
    table(
        "construction + emit inside 10 ms steps (cold caches)",
        "us, median of calls",
        interleaved([(name, _in_steps(make)) for name, make in _emitters()], 3),
        "hub: terminal + plots",
    )


# -- construction -------------------------------------------------------------------------------------------------


Generated = dataclasses.make_dataclass(
    "Generated",
    [(each.name, each.type, field(default=None)) for each in dataclasses.fields(TrainingSnapshot)],
    frozen=True,
    slots=True,
)


def _generated(step: int) -> Any:
    a, b, c, d, e, f, g, h, i, j, k, l = VALUES[step & 1023]  # noqa: E741
    return Generated(
        step=step,
        train_loss=a,
        val_loss=b,
        learning_rate=c,
        aux_loss=d,
        gpu_memory_mb=e,
        gradient_norm=f,
        custom_metrics={
            "position_error": g,
            "velocity_error": h,
            "accuracy": i,
            "routing_entropy": j,
            "load_balance": k,
            "grad_scale": l,
        },
    )


def _constructions() -> list[tuple[str, Callable[[], float]]]:
    return [
        ("snapshot, 12 metrics", lambda: per_call_us(snapshot, CALLS)),
        (
            "generated frozen dataclass, same fields, converts and copies nothing",
            lambda: per_call_us(_generated, CALLS),
        ),
        ("dict of 12 metrics", lambda: per_call_us(as_dict, CALLS)),
    ]


# -- emit ---------------------------------------------------------------------------------------------------------

Emit = Callable[[int], object]


@contextmanager
def _no_sink() -> Iterator[Emit]:
    with MetricsHub() as hub:
        yield lambda step: hub.emit(snapshot(step))


@contextmanager
def _two_functions() -> Iterator[Emit]:
    newest: list[Any] = [None]

    def one(given: TrainingSnapshot) -> None:
        newest[0] = given

    def two(given: TrainingSnapshot) -> None:
        newest[0] = given

    with MetricsHub([one, two]) as hub:
        yield lambda step: hub.emit(snapshot(step))


@contextmanager
def _terminal() -> Iterator[Emit]:
    with MetricsHub([TerminalSink()]) as hub:
        hub.start(CALLS, "benchmark")
        yield lambda step: hub.emit(snapshot(step))


@contextmanager
def _plots() -> Iterator[Emit]:
    with MetricsHub([PlotSink()]) as hub:
        hub.start(CALLS, "benchmark")
        yield lambda step: hub.emit(snapshot(step))


@contextmanager
def _displays() -> Iterator[Emit]:
    with MetricsHub([TerminalSink(), PlotSink()]) as hub:
        hub.start(CALLS, "benchmark")
        yield lambda step: hub.emit(snapshot(step))


@contextmanager
def _displays_and_journal() -> Iterator[Emit]:
    with tempfile.TemporaryDirectory() as folder:
        journal = JsonlSink(Path(folder) / "run.jsonl")
        with MetricsHub([TerminalSink(), PlotSink(), journal]) as hub:
            hub.start(CALLS, "benchmark")
            yield lambda step: hub.emit(snapshot(step))


@contextmanager
def _bare_blinker() -> Iterator[Emit]:
    """A frozen dataclass and ``Signal.send`` to two storing receivers: what the price would be with nothing around."""
    signal = blinker.Signal()
    newest: list[Any] = [None]

    def one(sender: object, snapshot: object) -> None:
        newest[0] = snapshot

    def two(sender: object, snapshot: object) -> None:
        newest[0] = snapshot

    signal.connect(one)
    signal.connect(two)
    yield lambda step: signal.send(None, snapshot=_generated(step))


@contextmanager
def _tqdm(refresh: bool) -> Iterator[Emit]:
    from tqdm import tqdm

    with tqdm(total=CALLS) as bar:

        def emit(step: int) -> None:
            bar.set_postfix(as_dict(step), refresh=refresh)
            bar.update()

        yield emit


@contextmanager
def _tensorboard() -> Iterator[Emit]:
    from torch.utils.tensorboard import SummaryWriter

    with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:

        def emit(step: int) -> None:
            for name, value in as_dict(step).items():
                writer.add_scalar(name, value, step)

        yield emit


def _emitters() -> list[tuple[str, Callable[[], Any]]]:
    emitters: list[tuple[str, Callable[[], Any]]] = [
        ("hub: no sink", _no_sink),
        ("hub: two functions", _two_functions),
        ("hub: terminal", _terminal),
        ("hub: plots", _plots),
        ("hub: terminal + plots", _displays),
        ("hub: terminal + plots + journal", _displays_and_journal),
        ("frozen dataclass + bare blinker send, 2 receivers", _bare_blinker),
    ]
    try:
        import tqdm  # noqa: F401
    except ImportError as error:
        missing("tqdm", error)
    else:
        emitters.append(("tqdm set_postfix(refresh=False) + update", lambda: _tqdm(False)))
        emitters.append(("tqdm set_postfix + update", lambda: _tqdm(True)))
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        missing("tensorboard", error)
    else:
        emitters.append(("TensorBoard add_scalar x12", _tensorboard))
    return emitters


def _tight(make: Callable[[], Any]) -> Callable[[], float]:
    def case() -> float:
        with on_terminal(), make() as emit:
            return per_call_us(emit, CALLS // 4 if "tensorboard" in repr(make) else CALLS)

    return case


def _in_steps(make: Callable[[], Any]) -> Callable[[], float]:
    import numpy as np

    matrix = np.random.default_rng(0).random((420, 420))

    def case() -> float:
        spent = []
        with on_terminal(), make() as emit:
            for step in range(100):
                until = time.perf_counter() + 0.010
                while time.perf_counter() < until:
                    matrix @ matrix
                before = time.perf_counter_ns()
                emit(step)
                spent.append(time.perf_counter_ns() - before)
        spent.sort()
        return spent[len(spent) // 2] / 1000

    return case
