"""What a plot costs the training thread per step, and the machine besides, while another process draws it."""

from __future__ import annotations

import logging
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import Figure, cpu_s_of, interleaved, table
from benchmarks.workload import moe_snapshot, snapshot
from m.metrics.snapshot import TrainingSnapshot
from sinks.plotting.drawing_process import DrawingProcess
from sinks.plotting.feed import Feed
from sinks.plotting.sink import PlotSink

CALLS = 8_000
PAUSE_S = 0.0003
ROUNDS = 3
SETTLE_S = 3.0
STEPS_S = 60.0

_SNAPSHOTS = [snapshot(step) for step in range(CALLS)]


def run() -> None:
    """Print the tables."""
    logging.getLogger("sinks.plotting").setLevel(logging.ERROR)  # that the process was killed is no news here
    if sys.platform == "win32":
        print("\n(without plot updates: they stop and kill a process by signals)")
        return
    cases = {
        "off": None,
        "image, the process draws all the time": "drawing",
        "image, the process is stopped": "stopped",
        "image, the process was killed": "killed",
    }
    found = {name: [_cost(state) for _ in range(ROUNDS)] for name, state in cases.items()}
    columns = ("median", "99.9th percentile", "99.9th percentile of its CPU time")
    for column, title in enumerate(columns):
        figures = [Figure(name, tuple(round[column] for round in rounds)) for name, rounds in found.items()]
        table(f"PlotSink.record of twelve metrics, {CALLS} calls: {title}", "us", figures, "off")
    shares: list[tuple[str, Callable[[], float]]] = [
        ("other threads of the training process", lambda: _shares()[0]),
        ("the process that draws, once it has begun", lambda: _shares()[1]),
    ]
    table("live image at its defaults, 10 ms steps", "% of one core", interleaved(shares, 1))


@contextmanager
def _shown(state: str | None) -> Iterator[PlotSink]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.png"
        if state is None:
            sink = PlotSink.moe(8, display="off", summary=False)
        else:
            every_s = 0.0 if state == "drawing" else 2.0
            sink = PlotSink.moe(8, display="image", image_path=path, image_every_s=every_s, summary=False)
        sink.record(_SNAPSHOTS[0])
        while state is not None and not path.exists():
            time.sleep(0.05)
        try:
            yield sink
        finally:
            sink.close()


def _process(sink: PlotSink) -> DrawingProcess:
    place = sink._appearance
    assert isinstance(place, Feed)
    assert place._process is not None
    return place._process


def _cost(state: str | None) -> tuple[float, float, float]:
    """Median and 99.9th percentile of a record by the clock, and the latter by the CPU time of the thread."""
    from sinks.plotting import feed

    before = feed.SHARE_OF_A_CORE, feed.SHARE_WHEN_CROWDED
    if state == "drawing":
        feed.SHARE_OF_A_CORE = feed.SHARE_WHEN_CROWDED = 1.0  # type: ignore[misc]
    try:
        with _shown(state) as sink:
            if state in ("stopped", "killed"):
                os.kill(_process(sink).pid, signal.SIGSTOP if state == "stopped" else signal.SIGKILL)
            wall = _timed(sink.record, time.perf_counter_ns)
            cpu = _timed(sink.record, time.thread_time_ns)
            return statistics.median(wall) / 1000, _tail(wall) / 1000, _tail(cpu) / 1000
    finally:
        feed.SHARE_OF_A_CORE, feed.SHARE_WHEN_CROWDED = before  # type: ignore[misc]


def _timed(record: Callable[[TrainingSnapshot], None], clock: Callable[[], int]) -> list[int]:
    spent = []
    for given in _SNAPSHOTS:
        until = time.perf_counter() + PAUSE_S
        while time.perf_counter() < until:
            sum(range(200))
        before = clock()
        record(given)
        spent.append(clock() - before)
    return spent


def _tail(spent: list[int]) -> float:
    return statistics.quantiles(spent, n=1000)[-1]


_measured: list[tuple[float, float]] = []


def _shares() -> tuple[float, float]:
    """CPU of the other threads, and of the process that draws, from its second image on; measured once."""
    if not _measured:
        with _shown("defaults") as sink:
            process = _process(sink)
            _train(sink, SETTLE_S)  # fonts are loaded, and it knows what an image costs
            wall, ours, thread = time.perf_counter(), time.process_time(), time.thread_time()
            theirs = cpu_s_of(process.pid)
            _train(sink, STEPS_S)
            others = (time.process_time() - ours) - (time.thread_time() - thread)
            elapsed = time.perf_counter() - wall
            _measured.append((100 * others / elapsed, 100 * (cpu_s_of(process.pid) - theirs) / elapsed))
    return _measured[0]


def _train(sink: PlotSink, seconds: float) -> None:
    begin, step = time.perf_counter(), 1
    while time.perf_counter() - begin < seconds:
        until = time.perf_counter() + 0.010
        while time.perf_counter() < until:
            sum(range(500))
        sink.record(moe_snapshot(step))
        step += 1
