"""Time or tokens along the top of each panel: where the run was, and nothing that nobody knows."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot
from m.training_viz import create_loss_visualizer
from sinks.plotting.figure import TrainingFigure
from sinks.plotting.milestones import MOST_MILESTONES, Milestones, SecondScale
from sinks.plotting.plan import Panel, Plan, Series, Show
from sinks.plotting.second_axis import time_text
from sinks.plotting.sink import PlotSink
from sinks.plotting.styles import STYLE_BY_NAME
from tests.test_plot_figure import history_of


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def scale_of(kind: str, course: Iterable[tuple[int, float]], **sizes: int) -> SecondScale | None:
    """After snapshots at these steps and seconds since the start."""
    clock = Clock()
    milestones = Milestones(kind, clock)
    milestones.start()
    for step, seconds in course:
        clock.now = 1000.0 + seconds
        milestones.record(TrainingSnapshot(step, 1.0, **sizes))
    return milestones.scale()


def top_of(figure: Any) -> list[list[tuple[str, float]]]:
    """The numbers along the top of each panel that has any, each with the step that it stands at."""
    figure.canvas.draw()
    found = []
    for axes in figure.axes:
        for child in axes.child_axes:
            places = child.xaxis.get_majorticklocs()
            texts = child.xaxis.get_major_formatter().format_ticks(places)
            pixels = child.transData.transform([(place, 0.0) for place in places])[:, 0]
            steps = axes.transData.inverted().transform([(pixel, 0.0) for pixel in pixels])[:, 0]
            found.append([(text, float(step)) for text, step in zip(texts, steps, strict=True)])
    return found


def fed(sink: PlotSink, clock: Clock, course: Iterable[tuple[int, float]], **sizes: int) -> PlotSink:
    began = clock.now
    sink.start(Run())
    for step, seconds in course:
        clock.now = began + seconds
        sink.record(TrainingSnapshot(step, 1.0, learning_rate=1e-3, **sizes))
    return sink


# -- what is remembered


def test_memory_is_bounded_however_long_the_run_is_and_what_lies_between_is_known_closely() -> None:
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.exponential(1.0, 50_000))
    steps = np.cumsum(rng.integers(1, 4, 50_000))
    scale = scale_of("time", zip(steps.tolist(), times.tolist(), strict=True))
    assert scale is not None
    assert len(scale.steps) <= MOST_MILESTONES + 1
    assert (scale.steps[-1], scale.values[-1]) == (steps[-1], pytest.approx(times[-1]))
    assert list(scale.steps) == sorted(set(scale.steps))
    guessed = np.interp(steps, scale.steps, scale.values)
    assert np.abs(guessed - times).max() < 0.005 * times[-1]


def test_steps_that_go_back_are_done_again() -> None:
    scale = scale_of("time", [(0, 0.0), (10, 100.0), (20, 200.0), (10, 300.0), (15, 350.0)])
    assert scale == SecondScale("time", (0.0, 10.0, 15.0), (0.0, 300.0, 350.0))


def test_tokens_are_batch_times_length_times_steps() -> None:
    course = [(0, 0.0), (1, 1.0), (11, 2.0), (11, 3.0), (12, 4.0)]
    scale = scale_of("tokens", course, batch_size=8, sequence_length=128)
    assert scale == SecondScale("tokens", (0.0, 1.0, 11.0, 12.0), (1024.0, 2048.0, 12 * 1024.0, 13 * 1024.0))


@pytest.mark.parametrize("sizes", [{}, {"batch_size": 8}, {"sequence_length": 128}])
def test_tokens_that_nobody_counted_are_not_invented(sizes: dict[str, int]) -> None:
    assert scale_of("tokens", [(0, 0.0), (1, 1.0), (2, 2.0)], **sizes) is None


def test_one_step_is_no_scale() -> None:
    assert scale_of("time", []) is None
    assert scale_of("time", [(5, 1.0), (5, 2.0)]) is None


# -- what is drawn


def test_round_times_stand_at_the_steps_of_that_time() -> None:
    clock = Clock()
    # 100 steps of a minute, then steps ten times as fast
    course = [(step, 60.0 * step if step <= 100 else 6000.0 + 6.0 * (step - 100)) for step in range(500)]
    figure = fed(PlotSink.loss(display="off", summary=False, clock=clock, second_axis="time"), clock, course).figure
    panels = top_of(figure)
    assert len(panels) == 2
    for numbers in panels:
        found = dict(numbers)
        assert found["0"] == pytest.approx(0.0, abs=2.0)
        assert found["1h"] == pytest.approx(60.0, abs=2.0)
        assert found["2h"] == pytest.approx(300.0, abs=2.0)


def test_numbers_within_a_pause_do_not_lie_on_each_other() -> None:
    clock = Clock()
    course = [(step, float(step) + (36_000.0 if step > 50 else 0.0)) for step in range(101)]
    figure = fed(PlotSink.loss(display="off", summary=False, clock=clock, second_axis="time"), clock, course).figure
    for numbers in top_of(figure):
        steps = [step for _, step in numbers]
        assert all(after - before > 10.0 for before, after in itertools.pairwise(steps))


@pytest.mark.parametrize("style", ["screen", "paper"])
@pytest.mark.parametrize("kind", ["time", "tokens"])
def test_numbers_of_a_narrow_panel_do_not_lie_on_each_other(kind: str, style: str) -> None:
    plan = Plan(1, 3, (6.9, 2.6), tuple(Panel("Loss", "loss", (Series("a", "a", "#0072B2"),)) for _ in range(3)))
    figure = TrainingFigure((6.9, 2.6), style=STYLE_BY_NAME[style])
    second = SecondScale(kind, (0.0, 400_000.0), (0.0, 420e9 if kind == "tokens" else 30_000.0))
    figure.show(Show(plan, second=second), {"a": history_of([1.0] * 401, range(0, 400_001, 1000))})
    figure.figure.canvas.draw()
    axes: Axes = figure.figure.axes[0]
    second_axis: Any = axes.child_axes[0]
    for labels in (axes.get_xticklabels(), [tick.label2 for tick in second_axis.xaxis.get_major_ticks()]):
        boxes = sorted(tuple(label.get_window_extent().intervalx) for label in labels if label.get_text())
        assert len(boxes) >= 2
        assert all(before[1] < after[0] for before, after in itertools.pairwise(boxes))


def test_tokens_are_named_and_a_run_without_them_has_no_second_axis() -> None:
    clock = Clock()
    course = [(step, float(step)) for step in range(1, 1001)]
    options: dict[str, Any] = {"display": "off", "summary": False, "clock": clock, "second_axis": "tokens"}
    sink = fed(PlotSink.loss(**options), clock, course, batch_size=10, sequence_length=100)
    for numbers in top_of(sink.figure):
        assert [text for text, _ in numbers] == ["200k tok", "400k tok", "600k tok", "800k tok", "1M tok"]
        assert [round(step) for _, step in numbers] == [200, 400, 600, 800, 1000]
    assert top_of(fed(PlotSink.loss(**options), clock, course).figure) == []


def test_a_run_without_tokens_does_not_keep_the_axis_of_the_run_before() -> None:
    clock = Clock()
    course = [(step, float(step)) for step in range(1, 1001)]
    sink = PlotSink.loss(display="off", summary=False, clock=clock, second_axis="tokens")
    first = fed(sink, clock, course, batch_size=10, sequence_length=100)
    heights = [axes.get_position().height for axes in first.figure.axes]
    assert top_of(first.figure)
    second = fed(sink, clock, course)
    assert top_of(second.figure) == []
    assert [axes.get_position().height for axes in second.figure.axes] > heights


def test_without_being_asked_for_there_is_none() -> None:
    clock = Clock()
    sink = fed(PlotSink.loss(display="off", summary=False, clock=clock), clock, [(0, 0.0), (9, 9.0)])
    assert top_of(sink.figure) == []


def test_a_new_run_begins_at_zero() -> None:
    clock = Clock()
    sink = PlotSink.loss(display="off", summary=False, clock=clock, second_axis="time")
    fed(sink, clock, [(step, float(step)) for step in range(100)])
    fed(sink, clock, [(step, 2.0 * step) for step in range(100)])
    assert top_of(sink.figure)[0][0] == ("0", pytest.approx(0.0, abs=1.0))


def test_it_is_drawn_with_the_background_and_anew_when_it_changes() -> None:
    plan = Plan(1, 1, (6.0, 4.0), (Panel("Loss", "loss", (Series("a", "a", "#0072B2"),)),))
    live, anew = TrainingFigure((6.0, 4.0), live=True), TrainingFigure((6.0, 4.0))
    history = history_of([1.0, 2.0] * 40)
    drawn = []
    for last in (10.0, 10.0, 100.0):
        for figure in (live, anew):
            figure.show(Show(plan, second=SecondScale("time", (0.0, 79.0), (0.0, last)), room=0.25), {"a": history})
        drawn.append(live.draw())
        anew.draw()
        canvases: Any = (live.figure.canvas, anew.figure.canvas)
        np.testing.assert_array_equal(canvases[0].buffer_rgba(), canvases[1].buffer_rgba())
    assert drawn == [True, False, True]


def test_it_follows_a_zoom() -> None:
    plan = Plan(1, 1, (6.0, 4.0), (Panel("Loss", "loss", (Series("a", "a", "#0072B2"),)),))
    figure = TrainingFigure((6.0, 4.0))
    figure.show(Show(plan, second=SecondScale("time", (0.0, 100.0), (0.0, 100.0))), {"a": history_of([1.0] * 101)})
    axes: Axes = figure.figure.axes[0]
    axes.set_xlim(40.0, 80.0)
    [numbers] = top_of(figure.figure)
    for text, step in numbers:
        seconds = {"0": 0, "30s": 30, "1m": 60, "1m 30s": 90}[text]
        assert step == pytest.approx(seconds, abs=0.1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0"),
        (45, "45s"),
        (60, "1m"),
        (80, "1m 20s"),
        (3600, "1h"),
        (5400, "1h 30m"),
        (86400, "1d"),
        (194400, "2d 6h"),
        (93784, "1d 2h"),
    ],
)
def test_times_read_as_people_write_them(seconds: float, text: str) -> None:
    assert time_text(seconds) == text


@pytest.mark.parametrize("last", [3e-3, 1.0, 59.0, 3601.0, 1e5, 1e7, 1e9])
@pytest.mark.parametrize("kind", ["time", "tokens"])
def test_any_extent_has_a_few_numbers_that_differ(kind: str, last: float) -> None:
    plan = Plan(1, 1, (6.0, 4.0), (Panel("Loss", "loss", (Series("a", "a", "#0072B2"),)),))
    figure = TrainingFigure((6.0, 4.0))
    figure.show(Show(plan, second=SecondScale(kind, (0.0, 10.0), (0.0, last))), {"a": history_of([1.0] * 11)})
    [numbers] = top_of(figure.figure)
    texts = [text for text, _ in numbers]
    assert len(set(texts)) == len(texts)
    assert (2 if last >= 1.0 else 1) <= len(texts) <= 7
    steps = [step for _, step in numbers]
    assert bisect.bisect_left(steps, 10.2) == len(steps)


def test_times_that_stand_still_are_drawn_all_the_same() -> None:
    plan = Plan(1, 1, (6.0, 4.0), (Panel("Loss", "loss", (Series("a", "a", "#0072B2"),)),))
    figure = TrainingFigure((6.0, 4.0))
    for values in ((0.0, 0.0, 0.0), (0.0, 5.0, 5.0), (7.0, 7.0, 9.0)):
        figure.show(Show(plan, second=SecondScale("time", (0.0, 5.0, 10.0), values)), {"a": history_of([1.0] * 11)})
        assert len(top_of(figure.figure)) == 1


def test_an_unknown_second_axis_is_refused() -> None:
    with pytest.raises(ValueError, match="second_axis must be one of 'time', 'tokens' or None; got 'epochs'"):
        create_loss_visualizer(second_axis="epochs")
