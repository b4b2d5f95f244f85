"""A picture drawn onto what was kept of the last one is, pixel for pixel, the picture drawn anew."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from m.metrics.history import History
from sinks.plotting.background import can_be_kept
from sinks.plotting.figure import TrainingFigure
from sinks.plotting.moe import MoeLayout, moe_config
from sinks.plotting.plan import Panel, Plan, RightAxis, Series, Show
from sinks.plotting.saving import png_of_canvas, rendered
from sinks.plotting.styles import SCREEN

SIZE = (6.0, 4.5)
MOE = ("train_loss", "val_loss", "position_error", "accuracy", "expert_entropy", "expert_cv", "samples_per_sec")


class Run:
    """A run of a Mixture of Experts that goes wrong in every way a figure can show."""

    def __init__(self, experts: int) -> None:
        self.layout = MoeLayout(moe_config(1), experts or None)
        self.names = [*MOE, *(f"expert_{expert}_utilization" for expert in range(experts))]
        self.histories: dict[str, History] = {}
        self.rng = np.random.default_rng(experts)
        self.step = 0

    def go_on(self, steps: int) -> None:
        for _ in range(steps):
            self.step += 1
            for name in self.names:
                if name == "val_loss" and (self.step % 50 or self.step < 200):  # it joins later
                    continue
                value = math.exp(-self.step / 300) + 0.1 * self.rng.random()
                value = math.nan if name == "train_loss" and self.step in (150, 151) else value
                value = 40.0 if name == "position_error" and self.step == 420 else value
                self.histories.setdefault(name, History()).append(self.step, value)

    def shown(self) -> dict[str, Any]:
        return {"alerts": ((420, "spike"),) if self.step > 420 else (), "title": "a" if self.step < 500 else "b"}


def pixels(figure: Figure) -> np.ndarray:
    canvas: Any = figure.canvas
    return np.array(canvas.buffer_rgba())


class Twins:
    """A live figure, and one that is not and shows the same, drawn anew as a file each time."""

    def __init__(self) -> None:
        self.live = TrainingFigure(SIZE, live=True, dpi=SCREEN.png_dpi)
        self._other = TrainingFigure(SIZE)

    def show(self, told: Show, histories: dict[str, History]) -> None:
        self.live.show(told, histories)
        self._other.show(told, histories)

    def check(self) -> None:
        stream = io.BytesIO(rendered(self._other.figure, ".png"))
        anew = np.asarray(matplotlib.image.imread(stream) * 255.0).round().astype(np.uint8)
        np.testing.assert_array_equal(pixels(self.live.figure), anew)


@pytest.mark.parametrize("experts", [4, 20])
@pytest.mark.parametrize("room", [0.0, 0.25])
def test_every_picture_of_a_run_is_that_of_a_file(experts: int, room: float) -> None:
    run = Run(experts)
    twins = Twins()
    whole = 0
    for more in (1, 99, 80, 200, *(12 for _ in range(6))):  # its second half changes little
        run.go_on(more)
        twins.show(Show(run.layout.plan(tuple(run.histories)), room=room, **run.shown()), run.histories)
        whole += twins.live.draw()
        twins.check()
        assert not twins.live.draw()
    assert whole <= 6 if room else whole == 10


def test_in_a_long_run_the_axes_hardly_ever_move() -> None:
    plan = Plan(1, 1, SIZE, (Panel("Loss", "loss", (Series("a", "a", "#0072B2"),), yscale="log"),))
    history = History()
    figures = {room: TrainingFigure(SIZE, live=True) for room in (0.0, 0.03, 0.25)}
    whole = dict.fromkeys(figures, 0)
    rng = np.random.default_rng(0)
    for index in range(300):
        for value in 1.0 / (1.0 + 0.01 * len(history)) + 0.1 * rng.random(50):
            history.append(len(history), value)
        history.fold()
        for room, figure in figures.items():
            if index >= 200:
                figure.show(Show(plan, room=room), {"a": history})
                whole[room] += figure.draw()
    assert whole[0.25] < 10 < whole[0.03] < 50 < whole[0.0] == 100


def test_words_legends_and_sizes_that_change_are_drawn() -> None:
    history = History()
    for step in range(10):
        history.append(step, float(step))
    histories = {"a": history, "b": history}
    twins = Twins()
    series = (Series("a", "a", "#0072B2"), Series("b", "b", "#D55E00", right=True))
    first = Panel("Loss", "loss", series[:1])
    changes = [
        Plan(1, 1, SIZE, (first,)),
        Plan(1, 1, SIZE, (Panel("Other", "loss", series[:1]),)),
        Plan(1, 1, SIZE, (Panel("Other", "loss", (Series("a", "renamed", "#0072B2"),)),)),
        Plan(1, 1, SIZE, (Panel("Other", "loss", (Series("a", "renamed", "#D55E00"),)),)),
        Plan(1, 1, SIZE, (Panel("Other", "loss", series, right=RightAxis("b")),)),
        Plan(1, 1, SIZE, (Panel("Other", "loss", series, right=RightAxis("c", "#D55E00")),)),
        Plan(1, 1, SIZE, (Panel("Other", "loss", series[:1], yscale="symlog", grid=False),)),
        Plan(1, 1, (7.0, 5.0), (first,)),
        Plan(1, 2, (7.0, 5.0), (first, first)),
        Plan(1, 1, (7.0, 5.0), (first,)),
    ]
    seen = set()
    for plan in changes:
        twins.show(Show(plan, room=0.25), histories)
        twins.live.draw()
        twins.check()
        seen.add(pixels(twins.live.figure).tobytes())
    assert len(seen) == len(changes) - 1


def test_whoever_has_the_canvas_drawn_gets_the_curves_too() -> None:
    run = Run(4)
    run.go_on(300)
    twins = Twins()
    twins.show(Show(run.layout.plan(tuple(run.histories))), run.histories)
    twins.live.figure.canvas.draw()
    twins.check()
    assert not twins.live.draw(), "what another drew is kept as well"
    smaller = (5.0, 4.0)
    twins.live.figure.set_size_inches(smaller)  # as of a window that its user makes smaller
    twins.live.figure.canvas.draw()
    assert pixels(twins.live.figure).shape == (600, 750, 4)
    twins.show(Show(replace(run.layout.plan(tuple(run.histories)), size=smaller)), run.histories)
    assert twins.live.draw()
    twins.check()


def test_saving_disturbs_nothing() -> None:
    run = Run(4)
    run.go_on(300)
    twins = Twins()
    twins.show(Show(run.layout.plan(tuple(run.histories))), run.histories)
    twins.live.draw()
    before = pixels(twins.live.figure)
    image = matplotlib.image.imread(io.BytesIO(rendered(twins.live.figure, ".png")))
    np.testing.assert_array_equal(before, (image * 255.0).round())
    twins.live.draw()
    twins.check()


def test_the_limits_that_somebody_else_has_chosen_stay() -> None:
    run = Run(4)
    run.go_on(100)
    figure = TrainingFigure(SIZE, live=True)

    def show(leave: set[Axes]) -> bool:
        figure.show(Show(run.layout.plan(tuple(run.histories)), room=0.25), run.histories, leave=leave)
        return figure.draw()

    show(set())
    axes, other = figure.figure.axes[:2]
    axes.set_xlim(20.0, 30.0)
    axes.set_ylim(0.5, 0.6)
    run.go_on(400)
    show({axes})
    assert not show({axes}), "they need no drawing either"
    assert (axes.get_xlim(), axes.get_ylim()) == ((20.0, 30.0), (0.5, 0.6))
    assert other.get_xlim()[1] > 500.0
    assert show(set())
    assert axes.get_xlim() == other.get_xlim()


def test_a_canvas_that_keeps_no_pixels_is_drawn_anew_each_time() -> None:
    figure = Figure(figsize=SIZE)
    FigureCanvasSVG(figure)
    assert not can_be_kept(figure)
    run = Run(0)
    run.go_on(20)
    shown = TrainingFigure(SIZE, figure, live=True)
    shown.show(Show(run.layout.plan(tuple(run.histories))), run.histories)
    assert not any(line.get_animated() for axes in figure.axes for line in axes.lines)
    assert shown.draw()


def test_the_pixels_of_a_canvas_are_a_file_as_they_are() -> None:
    figure = Figure(figsize=(2.0, 1.0), dpi=50)
    FigureCanvasAgg(figure).draw()
    image = matplotlib.image.imread(io.BytesIO(png_of_canvas(figure)))
    np.testing.assert_array_equal((image * 255).astype(np.uint8), pixels(figure))
