"""The moving average in front of a curve: what it is, and that it hides and invents nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from m.metrics.history import History
from m.metrics.snapshot import TrainingSnapshot
from sinks.plotting.config import MetricConfig, PlotConfig, TrainingVisualizerConfig
from sinks.plotting.points import Average, points_of
from sinks.plotting.sink import PlotSink
from sinks.plotting.styles import SCREEN
from tests.long_runs import grow


def reference(values: Sequence[float], factor: float) -> list[float]:
    """By the definition, one value after the other."""
    averages, total, count = [], 0.0, 0
    for value in values:
        if math.isfinite(value):
            total = factor * total + (1.0 - factor) * value
            count += 1
            averages.append(total / (1.0 - factor**count))
        else:
            averages.append(math.nan)
    return averages


def averaged(history: History, factor: float = 0.9, **options: Any) -> Average:
    average = points_of(history, smoothing=factor, **options).average
    assert average is not None
    return average


# -- the numbers


@pytest.mark.parametrize("factor", [0.001, 0.5, 0.9, 0.98, 0.9999])
def test_it_is_the_corrected_average_of_all_values_so_far(factor: float) -> None:
    values = np.random.default_rng(0).normal(3.0, 1.0, 700)
    average = averaged(grow(History(), values), factor)
    assert average.x.tolist() == list(range(700))
    assert average.y[0] == pytest.approx(values[0])
    np.testing.assert_allclose(average.y, reference(values, factor), rtol=1e-9)


def test_equal_values_have_themselves_for_an_average_from_the_first_on() -> None:
    np.testing.assert_allclose(averaged(grow(History(), [7.0] * 50), 0.999).y, 7.0)


def test_what_is_not_finite_enters_no_average_and_breaks_the_line() -> None:
    values = [1.0, 2.0, math.nan, math.nan, 3.0, math.inf, 4.0, 5.0]
    history = grow(History(), values)
    points = points_of(history, smoothing=0.5)
    assert points.average is not None
    assert points.average.x.tolist() == list(range(8))
    np.testing.assert_allclose(points.average.y, reference(values, 0.5))
    assert points.average.alone.tolist() == [4]
    assert (points.broken.tolist(), points.nan, points.infinite) == ([2.0, 3.0, 5.0], 2, 1)


def test_a_run_of_nan_alone_has_no_average() -> None:
    assert not np.isfinite(averaged(grow(History(), [math.nan] * 5)).y).any()


def test_a_step_that_goes_back_begins_it_anew() -> None:
    average = averaged(grow(History(), [5.0, 5.0, 1.0, 1.0], [10.0, 11.0, 4.0, 5.0]))
    assert np.isnan(average.y).nonzero()[0].tolist() == [2]
    np.testing.assert_allclose(average.y[~np.isnan(average.y)], [5.0, 5.0, 1.0, 1.0])


def test_on_a_log_axis_an_average_that_is_not_positive_is_left_out() -> None:
    average = averaged(grow(History(), [1.0, -9.0, 30.0]), 0.5, log=True)
    assert np.isnan(average.y).tolist() == [False, True, False]
    assert average.y[2] == pytest.approx(reference([1.0, -9.0, 30.0], 0.5)[2])


@pytest.mark.parametrize("length", [5_000, 60_000])
def test_in_a_long_run_it_is_that_of_all_points_but_for_what_nobody_sees(length: int) -> None:
    rng = np.random.default_rng(1)
    values = 3.0 * np.exp(-np.arange(length) / (length / 4)) + rng.normal(0.0, 0.1, length)
    average = averaged(grow(History(), values), 0.999)
    exact = np.array(reference(values.tolist(), 0.999))[average.x.astype(int)]
    assert np.abs(average.y - exact).max() < 0.01 * np.ptp(values)


def test_what_it_says_of_the_past_stays_while_the_run_goes_on() -> None:
    rng = np.random.default_rng(2)
    history = grow(History(), rng.random(40_000))
    before = averaged(history, 0.98)
    grow(history, rng.random(100))
    after = averaged(history, 0.98)
    known = len(before.x) - 1  # the last bucket was not full
    np.testing.assert_array_equal(after.x[:known], before.x[:known])
    np.testing.assert_allclose(after.y[:known], before.y[:known], rtol=1e-12)


def test_what_it_says_of_a_point_stays_while_a_window_moves_past() -> None:
    rng = np.random.default_rng(3)
    history = grow(History(), rng.random(2_000))
    first = averaged(history, 0.98, newest=300)
    assert first.x[0] == 1_700
    grow(history, rng.random(200))
    second = averaged(history, 0.98, newest=300)
    assert second.x[0] == 1_900
    np.testing.assert_allclose(second.y[:100], first.y[200:], rtol=1e-3)


# -- the picture


def fed(sink: PlotSink, steps: int = 120) -> PlotSink:
    rng = np.random.default_rng(4)
    for step in range(steps):
        noise = float(rng.random())
        sink.record(
            TrainingSnapshot(
                step,
                99.0 if step == 70 else 1.0 + noise,
                val_loss=1.0 if step % 20 == 0 else None,
                learning_rate=1e-3,
                aux_loss=noise + 0.5,
                expert_utilization={0: 0.4 + 0.1 * noise, 1: 0.6 - 0.1 * noise},
            )
        )
    return sink


def lines(axes: Axes) -> dict[str, Line2D]:
    return {str(line.get_label()).removeprefix("_"): line for line in axes.lines if line.get_visible()}


def legend(axes: Axes) -> list[str]:
    box = axes.get_legend()
    return [] if box is None else [text.get_text() for text in box.get_texts()]


def notes(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts if text.get_visible() and text.get_text()]


def configured(*metrics: MetricConfig, **options: Any) -> Axes:
    config = TrainingVisualizerConfig(plots=[PlotConfig("A", "a")], metrics=list(metrics), **options)
    return fed(PlotSink(config, display="off", summary=False)).figure.axes[0]


def test_values_are_faint_behind_their_average_and_both_are_named() -> None:
    axes = configured(MetricConfig("train_loss", 0), MetricConfig("val_loss", 0), smoothing={"train_loss": 0.98})
    drawn = lines(axes)
    raw, average, val = drawn["train_loss"], drawn["EMA 0.98"], drawn["val_loss"]
    assert legend(axes) == ["train_loss", "EMA 0.98", "val_loss"]
    assert (raw.get_alpha(), average.get_alpha(), val.get_alpha()) == (SCREEN.faint, 1.0, 1.0)
    assert raw.get_color() == average.get_color()
    assert raw.get_zorder() < average.get_zorder() < val.get_zorder()
    assert 99.0 in list(raw.get_ydata())  # a spike is drawn as it was
    assert axes.get_ylim()[1] > 99.0


def test_of_several_curves_the_averages_stand_in_the_legend_and_a_remark_says_so() -> None:
    axes = configured(MetricConfig("train_loss", 0), MetricConfig("aux_loss", 0), smoothing=0.9)
    assert legend(axes) == ["train_loss", "aux_loss"]
    assert notes(axes) == ["EMA 0.9, raw faint"]


def test_by_default_only_single_experts_are_smoothed_and_one_word_turns_it_off() -> None:
    axes = fed(PlotSink.moe(2, display="off", summary=False)).figure.axes
    assert ["EMA 0.95, raw faint" in notes(each) for each in axes].count(True) == 1
    assert "EMA 0.95" in lines(next(each for each in axes if each.get_title() == "Expert utilization"))
    axes = fed(PlotSink.moe(2, display="off", summary=False, smoothing=0.0)).figure.axes
    assert not any(label.startswith("EMA") for each in axes for label in lines(each))
    axes = fed(PlotSink.moe(2, display="off", summary=False, smoothing={"expert_0": 0.0})).figure.axes
    assert [label for each in axes for label in lines(each) if label.startswith("EMA")] == ["EMA 0.95"]
    axes = [configured(MetricConfig("train_loss", 0), MetricConfig("expert_0", 0))]
    assert not any(label.startswith("EMA") for each in axes for label in lines(each))


def test_a_figure_s_smoothing_leaves_validation_and_learning_rates_alone() -> None:
    names = ("val_loss", "learning_rate", "aux_loss")
    axes = configured(*(MetricConfig(name, 0) for name in names), smoothing=0.9)
    assert legend(axes) == ["val_loss", "learning_rate", "aux_loss", "EMA 0.9"]


def test_what_is_said_of_a_metric_by_name_holds_whatever_it_is() -> None:
    factors = {"val_loss": 0.5, "train_loss": 0.0, "never given": 0.9}
    axes = configured(MetricConfig("val_loss", 0), MetricConfig("train_loss", 0), smoothing=factors)
    assert legend(axes) == ["val_loss", "EMA 0.5", "train_loss"]
    assert lines(axes)["train_loss"].get_alpha() == 1.0


def test_nan_is_marked_and_counted_as_ever() -> None:
    config = TrainingVisualizerConfig(
        plots=[PlotConfig("A", "a")], metrics=[MetricConfig("train_loss", 0)], smoothing=0.9
    )
    sink = PlotSink(config, display="off", summary=False)
    for step in range(20):
        sink.record(TrainingSnapshot(step, math.nan if step >= 15 else 1.0))
    axes = sink.figure.axes[0]
    assert notes(axes) == ["5 NaN"]
    marks = next(line for line in axes.lines if line.get_marker() == "x")
    assert [round(step) for step in marks.get_xdata()] == [15, 16, 17, 18, 19]


@pytest.mark.parametrize("given", [1.0, -0.1, math.nan, 2])
def test_a_factor_that_cannot_work_is_refused(given: float) -> None:
    with pytest.raises(ValueError, match=r"smoothing must be 0\.0 for none, or the factor"):
        PlotSink.moe(8, smoothing=given)
    with pytest.raises(ValueError, match=r"smoothing\['train_loss'\] must be 0\.0 for none"):
        PlotSink(smoothing={"train_loss": given})
    with pytest.raises(TypeError, match="smoothing must be"):
        PlotSink(smoothing="much")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a name in smoothing must be text"):
        PlotSink(smoothing={3: 0.9})  # type: ignore[dict-item]
