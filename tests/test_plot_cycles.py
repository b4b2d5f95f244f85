"""Visualizers that come and go, as in a sweep over hyperparameters, leave nothing behind."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from matplotlib.figure import Figure

from m.hub.hub import MetricsHub
from m.metrics.snapshot import TrainingSnapshot
from sinks.jsonl import JsonlSink
from sinks.plotting.feed import Feed
from sinks.plotting.sink import PlotSink

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ends processes by signals")


def small(display: Any) -> PlotSink:
    metrics = {"train_loss": (0, None), "learning_rate": (1, None)}
    return PlotSink.custom(metrics, ["Loss", "Rate"], (1, 2), 1, figure_size=(4, 2), display=display, summary=False)


def a_figure(folder: Path) -> None:
    plots = small("off")
    with MetricsHub([plots, JsonlSink(folder / "run.jsonl")]) as hub:
        hub.emit(TrainingSnapshot(1, 0.5, learning_rate=1e-3))
        plots.save_plot(folder / "run.png")


def a_function(folder: Path) -> None:
    with MetricsHub([small(Figure.get_size_inches)]) as hub:
        for step in range(3):
            hub.emit(TrainingSnapshot(step, 0.5, learning_rate=1e-3))


def a_process(folder: Path) -> None:
    """Closed while its process starts, before there is a window: that needs no screen."""
    plots = small("window")
    with MetricsHub([plots]) as hub:
        hub.emit(TrainingSnapshot(1, 0.5))
        place = plots._appearance
        assert isinstance(place, Feed)
        for _ in range(10_000):
            if place._process is not None:
                break
            time.sleep(0.001)
        assert place._process is not None


class Left:
    """What a process holds at one moment."""

    def __init__(self) -> None:
        gc.collect()
        me = psutil.Process()
        self.figures = sum(issubclass(type(each), Figure) for each in gc.get_objects())
        self.threads = threading.active_count()
        self.descriptors = me.num_fds()
        self.children = len(me.children())
        self.memory_mb = me.memory_info().rss / 1e6


@pytest.mark.fault("E6")
@pytest.mark.parametrize("cycles", [20, pytest.param(1000, marks=pytest.mark.storm)])
@pytest.mark.parametrize("cycle", [a_figure, a_function, a_process])
def test_nothing_is_left_of_visualizers_that_were_closed(
    cycle: Callable[[Path], None], cycles: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    for _ in range(40):  # figures are freed by the garbage collector, so several are there at a time
        cycle(tmp_path)
    before = Left()
    for _ in range(cycles):
        cycle(tmp_path)
    after = Left()
    for name in ("figures", "threads", "descriptors", "children"):
        assert getattr(after, name) <= getattr(before, name), name
    # a figure is 5 MB, a process's pipes and thread some 100 kB
    assert after.memory_mb - before.memory_mb < max(8.0, 0.01 * cycles)
