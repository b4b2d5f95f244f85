"""What a large Mixture of Experts costs, 48 layers of 1,024 experts in every snapshot: the emit, a frame, a figure."""

from __future__ import annotations

import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.measure import Figure, interleaved, per_call_us, table
from benchmarks.terminal import on_terminal
from benchmarks.workload import moe_snapshot
from m.hub.hub import MetricsHub
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot
from sinks.jsonl import JsonlSink
from sinks.plotting.mirror import Mirror
from sinks.plotting.news import News
from sinks.plotting.protocol import Frames
from sinks.plotting.sink import PlotSink
from sinks.terminal.config import VisualizationConfig
from sinks.terminal.dashboard import Dashboard
from sinks.terminal.look import DEFAULT
from sinks.terminal.painter import Painter
from sinks.terminal.sink import TerminalSink
from sinks.terminal.state import State

LAYERS, EXPERTS = 48, 1024
_COUNTS = [np.random.default_rng(seed).poisson(4096.0, (LAYERS, EXPERTS)).astype(float) for seed in range(4)]
_MAPPINGS = [{layer: dict(enumerate(row.tolist())) for layer, row in enumerate(counts)} for counts in _COUNTS]
_SMALL = "8 experts in one mapping"
_STEPS = 300

Utilization = Callable[[int], Any]


def run() -> None:
    """Print the tables."""
    given: list[tuple[str, Utilization]] = [
        (_SMALL, lambda step: moe_snapshot(step).expert_utilization),
        ("48 x 1,024 in an array", lambda step: _COUNTS[step & 3]),
        ("48 x 1,024 in mappings", lambda step: _MAPPINGS[step & 3]),
    ]
    emits = [(name, lambda each=each: _emit(each)) for name, each in given]
    table("construction + emit, terminal + plots + journal", "us, median of calls", interleaved(emits, 3), _SMALL)
    steps = {name: _in_steps(each) for name, each in given}
    for column, what in enumerate(("median", "99th percentile", "largest", "median of the emit alone")):
        figures = [Figure(name, (found[column],)) for name, found in steps.items()]
        table(f"the same inside 20 ms steps, {_STEPS} of them: {what}", "us", figures, _SMALL)
    frames = [(name, lambda each=each: _frame(each)) for name, each in given]
    table("one frame at which every number changed, 200x50", "ms of CPU", interleaved(frames, 3), _SMALL)
    figures = [(name, lambda each=each: _figure(each)) for name, each in given]
    table("one update of the figure", "ms of CPU", interleaved(figures, 3), _SMALL)
    feeds = [(name, lambda each=each: _feed(each)) for name, each in given]
    table(
        "telling the process that draws 100 new points of each, and its reading them",
        "ms of CPU",
        interleaved(feeds, 3),
    )


def _snapshot(step: int, utilization: Any) -> TrainingSnapshot:
    return TrainingSnapshot(
        step, 1.0 / (1 + step), learning_rate=3e-4, batch_size=32, sequence_length=4096, expert_utilization=utilization
    )


@contextmanager
def _shown() -> Iterator[MetricsHub]:
    with tempfile.TemporaryDirectory() as folder, on_terminal():
        sinks = [TerminalSink(), PlotSink(display="off", summary=False), JsonlSink(Path(folder) / "run.jsonl")]
        with MetricsHub(sinks) as hub:
            hub.start(10_000, "benchmark")
            yield hub


def _emit(given: Utilization) -> float:
    with _shown() as hub:
        return per_call_us(lambda step: hub.emit(_snapshot(step, given(step))), 1000)


def _in_steps(given: Utilization) -> tuple[float, float, float, float]:
    """Median, 99th percentile and largest of making a snapshot and emitting it, and the median of the latter alone. The
    first steps, in which fonts and NumPy load, do not count."""
    spent, emitting = [], []
    with _shown() as hub:
        for step in range(_STEPS + 50):
            until = time.perf_counter() + 0.020
            while time.perf_counter() < until:
                sum(range(500))
            before = time.thread_time_ns()
            snapshot = _snapshot(step, given(step))
            made = time.thread_time_ns()
            hub.emit(snapshot)
            emitted = time.thread_time_ns()
            spent.append((emitted - before) / 1000)
            emitting.append((emitted - made) / 1000)
    spent = sorted(spent[50:])
    return statistics.median(spent), spent[int(0.99 * len(spent))], spent[-1], statistics.median(emitting[50:])


def _frame(given: Utilization) -> float:
    console = Console(file=io.StringIO(), width=200, height=50, force_terminal=True, color_system="256")
    state = State(interval=1, run=Run("benchmark", 100))
    dashboard = Dashboard(VisualizationConfig(), state, DEFAULT)
    painter = Painter(console)
    spent = []
    for step in range(20):
        state.take(_snapshot(step, given(step)))
        before = time.thread_time()
        painter.paint(dashboard.rows(199, 49, console), 200).encode()
        spent.append(time.thread_time() - before)
    return 1000 * statistics.median(spent[1:])


class _Clock:
    """Two seconds pass with each step, so that every other step's loads are read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _filled(given: Utilization, steps: int) -> PlotSink:
    clock = _Clock()
    sink = PlotSink(display="off", summary=False, clock=clock)
    for step in range(steps):
        clock.now += 2.0
        sink.record(_snapshot(step, given(step)))
    return sink


def _figure(given: Utilization) -> float:
    sink = _filled(given, 300)
    sink.force_update()
    spent = []
    for step in range(300, 305):
        sink.record(_snapshot(step, given(step)))
        before = time.thread_time()
        sink.force_update()
        spent.append(time.thread_time() - before)
    return 1000 * statistics.median(spent)


def _feed(given: Utilization) -> float:
    sink = _filled(given, 100)
    news, mirror, frames = News(), Mirror(), Frames()
    before = time.thread_time()
    for told in news.frames(sink._shown()):
        for kind, body in frames.add(told):
            mirror.take(kind, body)
    return 1000 * (time.thread_time() - before)
