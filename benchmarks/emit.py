"""What ``hub.emit`` costs the training thread: tight loops and 10 ms steps, beside what people use today."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field
from typing import Any

import blinker

from benchmarks import displays
from benchmarks.measure import interleaved, missing, per_call_us, table
from benchmarks.terminal import on_terminal
from benchmarks.workload import VALUES, as_dict, snapshot
from m.hub.hub import MetricsHub
from m.metrics.snapshot import TrainingSnapshot

CALLS = 20_000
ROUNDS = 5
SINKS = (1, 2, 5, 10, 20, 50)
_BLINKER = "bare blinker send"


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
    for count in SINKS:
        table(
            f"emit alone, number of sinks that keep the newest: {count}",
            "us, median of calls",
            interleaved(_fan_outs(count), ROUNDS),
            _BLINKER,
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


@contextmanager
def _two_functions() -> Iterator[displays.Show]:
    with displays.hub(_function(), _function()) as show:
        yield show


@contextmanager
def _bare_blinker() -> Iterator[displays.Show]:
    """A frozen dataclass and ``Signal.send`` to two storing receivers: what the price would be with nothing around."""
    signal = _signal(2)
    yield lambda step: signal.send(None, snapshot=_generated(step))


def _emitters() -> list[tuple[str, Callable[[], Any]]]:
    emitters: list[tuple[str, Callable[[], Any]]] = [
        ("hub: no sink", displays.hub),
        ("hub: two functions", _two_functions),
        ("hub: terminal", displays.terminal),
        ("hub: plots", displays.plots),
        ("hub: terminal + plots", displays.terminal_and_plots),
        ("hub: terminal + plots + journal", displays.terminal_plots_and_journal),
        ("frozen dataclass + bare blinker send, 2 receivers", _bare_blinker),
    ]
    try:
        import orjson  # noqa: F401
    except ImportError as error:
        missing("orjson", error)
    else:
        plain = ("the same without orjson", lambda: displays.without_orjson(displays.terminal_plots_and_journal))
        emitters.insert(-1, plain)
    try:
        import tqdm  # noqa: F401
    except ImportError as error:
        missing("tqdm", error)
    else:
        emitters.append(("tqdm set_postfix(refresh=False) + update", lambda: displays.tqdm(False)))
        emitters.append(("tqdm set_postfix + update", displays.tqdm))
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        missing("tensorboard", error)
    else:
        emitters.append(("TensorBoard add_scalar x12", displays.tensorboard))
    return emitters


def _tight(make: Callable[[], Any]) -> Callable[[], float]:
    def case() -> float:
        with on_terminal(), make() as emit:
            return per_call_us(emit, CALLS // 4 if make is displays.tensorboard else CALLS)

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


# -- one to fifty sinks -------------------------------------------------------------------------------------------


class _Keeper:
    """A sink that is an object."""

    def __init__(self) -> None:
        self.newest: TrainingSnapshot | None = None

    def record(self, given: TrainingSnapshot) -> None:
        self.newest = given


def _function() -> Callable[[TrainingSnapshot], None]:
    newest: list[Any] = [None]

    def keep(given: TrainingSnapshot) -> None:
        newest[0] = given

    return keep


def _receiver() -> Callable[..., None]:
    newest: list[Any] = [None]

    def keep(sender: object, snapshot: object) -> None:
        newest[0] = snapshot

    return keep


def _signal(count: int) -> blinker.Signal:
    signal = blinker.Signal()
    for _ in range(count):
        signal.connect(_receiver(), weak=False)
    return signal


def _fan_outs(count: int) -> list[tuple[str, Callable[[], float]]]:
    given = [snapshot(step) for step in range(CALLS)]

    def through_hub(make: Callable[[], Any], rules: tuple[()] | None = ()) -> float:
        with MetricsHub([make() for _ in range(count)], rules=rules) as hub:
            hub.start(CALLS, "benchmark")
            return per_call_us(lambda step: hub.emit(given[step]), CALLS)

    def bare() -> float:
        signal = _signal(count)
        return per_call_us(lambda step: signal.send(None, snapshot=given[step]), CALLS)

    return [
        ("hub: functions", lambda: through_hub(_function)),
        ("hub: objects with record", lambda: through_hub(_Keeper)),
        ("hub: objects with record, and the default rules", lambda: through_hub(_Keeper, None)),
        (_BLINKER, bare),
    ]
