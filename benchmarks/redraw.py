"""What one redraw of a figure with twelve curves in 2 x 2 panels costs by the length of the run: update and draw, CPU
of the thread."""

from __future__ import annotations

import copy
import time
from array import array
from collections.abc import Callable

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.measure import interleaved, table
from benchmarks.workload import NAMES
from m.metrics.history import History
from sinks.plotting.config import MetricConfig, PlotConfig, TrainingVisualizerConfig
from sinks.plotting.figure import TrainingFigure
from sinks.plotting.layouts import ConfiguredLayout
from sinks.plotting.plan import Plan, Show
from sinks.plotting.shown import BLIT_ROOM

LENGTHS = (10**3, 10**4, 10**5, 10**6, 10**7)
NAIVE_UP_TO = 10**6
ROUNDS = 3
REFERENCE = "ours, 10^4 points a curve"
CONFIG = TrainingVisualizerConfig(
    plots=[PlotConfig(f"Panel {index + 1}", "value") for index in range(4)],
    metrics=[MetricConfig(name, index // 3) for index, name in enumerate(NAMES)],
)


def run() -> None:
    """Print the table."""
    plan = ConfiguredLayout(CONFIG).plan(NAMES)
    cases = []
    for length in LENGTHS:
        points = f"10^{len(str(length)) - 1} points a curve"
        histories = _histories(length)
        cases += [(f"ours, {points}", _ours(histories)), (f"ours with blit, {points}", _ours(histories, blit=True))]
        if length <= NAIVE_UP_TO:
            cases.append((f"plain matplotlib, {points}", _naive(length, plan)))
    for _, case in cases:
        case()  # fonts and caches
    table("one redraw of twelve noisy curves", "ms of CPU", interleaved(cases, ROUNDS), REFERENCE)


def _noise(length: int, seed: int) -> np.ndarray:
    """A loss that falls and never stops to jitter: the worst case for a line."""
    rng = np.random.default_rng(seed)
    return np.exp(-4.0 * np.linspace(0.0, 1.0, length)) + 0.2 * rng.random(length) + 0.1


def _histories(length: int) -> dict[str, History]:
    kinds = []
    for seed in range(3):
        history = History()
        history.extend(array("d", range(length)), array("d", _noise(length, seed).tobytes()))
        kinds.append(history)
    return {name: copy.deepcopy(kinds[index % 3]) for index, name in enumerate(NAMES)}


def _ours(histories: dict[str, History], *, blit: bool = False) -> Callable[[], float]:
    """With ``blit`` as in a live display: the axes have room, and what is not a curve is kept."""
    layout = ConfiguredLayout(CONFIG)
    figure = TrainingFigure(CONFIG.figure_size, live=blit)
    room = BLIT_ROOM if blit else 0.0

    def redraw() -> float:
        for history in histories.values():
            history.append(len(history), 0.3)
        began = time.thread_time()
        figure.show(Show(layout.plan(tuple(histories)), room=room), histories)
        whole = figure.draw()
        spent_ms = (time.thread_time() - began) * 1000
        if blit and whole:  # the axes have just moved, as they do once in an eighth of the run
            return redraw()
        return spent_ms

    return redraw


def _naive(length: int, plan: Plan) -> Callable[[], float]:
    """Every point of every curve, as many panels in a figure as large, limits from the data."""
    figure = Figure(figsize=plan.size, dpi=100)
    FigureCanvasAgg(figure)
    panels = figure.subplots(plan.rows, plan.cols, squeeze=False).flat[: len(plan.panels)]
    x = np.arange(float(length))
    columns = [_noise(length, seed) for seed in range(3)]
    lines = []
    for index, name in enumerate(NAMES):
        panel = panels[index % len(panels)]
        lines.append((panel, panel.plot([], [], label=name)[0]))
    for panel in panels:
        panel.legend(loc="upper right")
        panel.grid(True)

    def redraw() -> float:
        began = time.thread_time()
        for index, (panel, line) in enumerate(lines):
            line.set_data(x, columns[index % 3])
            panel.relim()
            panel.autoscale_view()
        figure.canvas.draw()
        return (time.thread_time() - began) * 1000

    return redraw
