"""What the artists hold. Figures here belong to nobody else: no pyplot, so nothing has to be closed."""

from __future__ import annotations

import itertools
import logging
import math
from array import array
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from m.metrics.history import History
from sinks.plotting.figure import TrainingFigure
from sinks.plotting.glyphs import UNDRAWABLE, drawable
from sinks.plotting.heatmap import layer_table, load_table
from sinks.plotting.legend import MOST_ROWS, arranged
from sinks.plotting.limits import padded, symlog_threshold
from sinks.plotting.plan import MOST_ALERTS, HeatMap, Panel, Plan, RightAxis, Series, Show
from sinks.plotting.points import FARTHEST, points_of
from sinks.plotting.styles import SCREEN
from sinks.plotting.text import shortened, tick_text, tick_texts, visible
from sinks.plotting.ticks import LogTicks

NASTY = [
    "_hidden",
    r"$\frac$",
    "100 % & #_{^",
    "two\nlines",
    "\x1b[31mred",
    "🚀 emoji 漢字",
    "lone \ud800",
    "bidi \u202e",
    "x" * 500,
    "",
    " ",
    "\x00",
]


def history_of(values: Any, steps: Any = None) -> History:
    history = History()
    for index, value in enumerate(values):
        history.append(index if steps is None else steps[index], float(value))
    return history


def drawn(panel: Panel, histories: dict[str, History], **options: Any) -> TrainingFigure:
    figure = TrainingFigure((6.0, 4.0))
    figure.show(Show(Plan(1, 1, (6.0, 4.0), (panel,)), **options), histories)
    figure.draw()
    return figure


def loss_panel(*names: str, **more: Any) -> Panel:
    return Panel("Loss", "loss", tuple(Series(name, name, "#0072B2") for name in names), **more)


def line(axes: Axes, label: str) -> Line2D:
    return next(each for each in axes.lines if each.get_label() == label)


def note(axes: Axes) -> str:
    return next((text.get_text() for text in axes.texts if text.get_visible() and "data" not in text.get_text()), "")


def legend_texts(axes: Axes) -> list[str]:
    legend = axes.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


# -- lines and limits


def test_a_line_holds_the_points_and_the_axes_have_room() -> None:
    axes = drawn(loss_panel("a"), {"a": history_of([3.0, 2.0, 1.0])}).figure.axes[0]
    assert line(axes, "a").get_xydata().tolist() == [[0.0, 3.0], [1.0, 2.0], [2.0, 1.0]]
    assert axes.get_ylim() == pytest.approx((0.9, 3.1))
    assert axes.get_xlim()[0] < 0.0 < 2.0 < axes.get_xlim()[1]
    assert axes.get_title() == "Loss"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Step", "loss")


def test_an_update_keeps_every_artist() -> None:
    history = history_of([3.0, 2.0])
    figure = TrainingFigure((6.0, 4.0))
    plan = Plan(1, 1, (6.0, 4.0), (loss_panel("a"),))
    figure.show(Show(plan), {"a": history})
    axes = figure.figure.axes[0]
    before = (axes, line(axes, "a"), axes.get_legend())
    history.append(2, 1.0)
    figure.show(Show(plan), {"a": history})
    assert (figure.figure.axes[0], line(axes, "a"), axes.get_legend()) == before
    assert line(axes, "a").get_xdata().tolist() == [0.0, 1.0, 2.0]


def test_a_new_metric_joins_without_replacing_the_others() -> None:
    histories = {"a": history_of([3.0, 2.0]), "b": history_of([1.0, 1.0])}
    figure = TrainingFigure((6.0, 4.0))
    figure.show(Show(Plan(1, 1, (6.0, 4.0), (loss_panel("a"),))), histories)
    axes = figure.figure.axes[0]
    first = line(axes, "a")
    figure.show(Show(Plan(1, 1, (6.0, 4.0), (loss_panel("a", "b"),))), histories)
    figure.draw()
    assert line(axes, "a") is first
    assert legend_texts(axes) == ["a", "b"]
    figure.show(Show(Plan(1, 1, (6.0, 4.0), (loss_panel("b"),))), histories)
    assert legend_texts(axes) == ["b"]


@pytest.mark.fault("E9", "E9b")
@pytest.mark.parametrize("scale", ["linear", "log", "symlog"])
@pytest.mark.parametrize(
    "values",
    [
        [],
        [1.0],
        [0.0],
        [5.0] * 10,
        [-2.0, -1.0],
        [0.0, 0.0],
        [math.nan],
        [math.inf, -math.inf, math.nan],
        [1e308, -1e308],
        [1.7e308],
        [5e-324, 1e-300],
        [1e-320, 1e308],
        [0.0, -3.0, math.nan],
        [1e-9, 1e9],
        [1000000.1, 1000000.2],
    ],
)
def test_any_values_draw_on_any_scale_with_finite_limits(scale: str, values: list[float]) -> None:
    figure = drawn(loss_panel("a", yscale=scale), {"a": history_of(values)} if values else {"a": History()})
    axes = figure.figure.axes[0]
    low, high = axes.get_ylim()
    assert -math.inf < low < high < math.inf
    assert axes.get_yscale() != "log" or low > 0.0


@pytest.mark.parametrize("values", [[0.35, 5.9], [0.3, 0.9], [-0.9, -0.2], [-2.0, 5.0], [10.0, 90.0], [-1e3, 1e4]])
def test_a_symlog_axis_has_numbers_enough_to_read_a_value(values: list[float]) -> None:
    history = history_of(np.linspace(*values, 100))
    axes = drawn(loss_panel("a", yscale="symlog"), {"a": history}).figure.axes[0]
    low, high = axes.get_ylim()
    assert 3 <= sum(low <= tick <= high for tick in axes.get_yticks()) <= 8


@pytest.mark.fault("E8")
def test_a_log_axis_leaves_out_what_it_cannot_show_and_says_so() -> None:
    axes = drawn(loss_panel("a", yscale="log"), {"a": history_of([1.0, 0.0, -1.0, 2.0])}).figure.axes[0]
    values = line(axes, "a").get_ydata()
    assert np.isnan(values).tolist() == [False, True, True, False]
    assert note(axes) == "2 values ≤ 0 not shown"


@pytest.mark.fault("E8")
def test_values_of_which_none_is_above_0_are_drawn_on_a_linear_axis_until_one_is() -> None:
    figure, plan = TrainingFigure((6.0, 4.0)), Plan(1, 1, (6.0, 4.0), (loss_panel("a", yscale="log"),))
    history = history_of([-1.0, math.nan, -3.0])
    for value, scale, said in ((0.0, "linear", "1 NaN"), (2.0, "log", "3 values ≤ 0 not shown · 1 NaN")):
        history.append(len(history), value)
        figure.show(Show(plan), {"a": history})
        figure.draw()
        axes = figure.figure.axes[0]
        assert (axes.get_yscale(), note(axes)) == (scale, said)
    figure.show(Show(plan, newest=2), {"a": history_of([2.0, -1.0, -4.0])})
    assert figure.figure.axes[0].get_yscale() == "linear"
    assert line(figure.figure.axes[0], "a").get_ydata().tolist() == [-1.0, -4.0]


@pytest.mark.fault("E8")
def test_a_logarithmic_axis_that_nobody_asked_for_is_linear_once_a_value_is_below_0() -> None:
    for values, scale in (([1.0, 0.5, 0.0], "log"), ([1.0, 0.5, -2.0], "linear")):
        axes = drawn(loss_panel("a", yscale="log", log_while_positive=True), {"a": history_of(values)}).figure.axes[0]
        assert axes.get_yscale() == scale
        assert note(axes) == ("1 value ≤ 0 not shown" if scale == "log" else "")


def test_nan_and_inf_are_marked_on_the_time_axis_and_counted() -> None:
    axes = drawn(loss_panel("a"), {"a": history_of([1.0, math.nan, 2.0, -math.inf, 1.5])}).figure.axes[0]
    marks = next(each for each in axes.lines if each.get_marker() == "x")
    assert marks.get_xdata() == pytest.approx([1.0, 3.0], abs=0.02)
    assert set(marks.get_ydata()) == {0.0}
    assert note(axes) == "1 NaN · 1 inf"


@pytest.mark.fault("I1")
def test_steps_that_go_back_begin_a_new_piece_of_line() -> None:
    axes = drawn(loss_panel("a"), {"a": history_of([3, 2, 1, 2, 1], steps=[0, 1, 2, 1, 2])}).figure.axes[0]
    assert line(axes, "a").get_xdata().tolist() == [0.0, 1.0, 2.0, 1.0, 1.0, 2.0]
    assert np.flatnonzero(np.isnan(line(axes, "a").get_ydata())).tolist() == [3]


@pytest.mark.fault("E9b")
def test_points_without_a_neighbour_are_seen() -> None:
    axes = drawn(loss_panel("a"), {"a": history_of([1, math.nan, 2, math.nan, 3, 4])}).figure.axes[0]
    assert line(axes, "a").get_marker() == "o"
    assert line(axes, "a").get_markevery() == [0, 2]


def test_sparse_metrics_have_markers_and_dense_ones_have_none() -> None:
    histories = {"train": history_of(range(1, 101)), "val": history_of([1, 2, 3], steps=[0, 50, 99])}
    axes = drawn(loss_panel("train", "val"), histories).figure.axes[0]
    assert (line(axes, "train").get_marker(), line(axes, "val").get_marker()) == ("none", "o")


def test_max_points_are_the_newest_and_panels_then_span_their_own_time() -> None:
    histories = {"a": history_of(range(100)), "b": history_of(range(10), steps=range(0, 100, 10))}
    figure = TrainingFigure((6.0, 4.0))
    figure.show(Show(Plan(1, 2, (6.0, 4.0), (loss_panel("a"), loss_panel("b"))), newest=5), histories)
    a, b = figure.figure.axes
    assert line(a, "a").get_xdata().tolist() == [95.0, 96.0, 97.0, 98.0, 99.0]
    assert a.get_xlim()[0] > 90.0 > b.get_xlim()[0]
    figure.show(Show(Plan(1, 2, (6.0, 4.0), (loss_panel("a"), loss_panel("b")))), histories)
    assert a.get_xlim() == b.get_xlim()


def test_alerts_are_lines_at_their_steps() -> None:
    alerts = [(3, "loss_spike"), (7, "nan")]
    figure = drawn(loss_panel("a"), {"a": history_of(range(1, 10))}, alerts=alerts).figure
    axes = figure.axes[0]
    marked = next(each for each in axes.lines if len(each.get_xdata()) == 6)
    assert list(marked.get_xdata())[::3] == [3, 7]
    assert any("loss spike at step 3 · nan at step 7" in text.get_text() for text in figure.texts)


def alerts_in(size: tuple[float, float], alerts: list[tuple[int, str]], title: str = "run") -> str:
    figure = TrainingFigure(size)
    plan = Plan(1, 1, size, (loss_panel("a"),))
    figure.show(Show(plan, alerts=alerts, title=title), {"a": history_of(range(1, 10))})
    return next(text.get_text() for text in figure.figure.texts if text.get_text().startswith("┆"))


def test_of_the_alerts_as_many_are_named_as_the_figure_is_wide() -> None:
    alerts = [(1, "non_finite_loss"), (2, "non_finite_gradient"), (3, "collapsed_routing"), (4, "dead_experts")]
    assert alerts_in((14.0, 4.0), alerts) == (
        "┆ non finite gradient at step 2 · collapsed routing at step 3 · dead experts at step 4 · 1 earlier"
    )
    assert alerts_in((6.0, 4.0), alerts) == "┆ collapsed routing at step 3 · dead experts at step 4 · 2 earlier"
    assert alerts_in((6.0, 4.0), alerts, "a title of half a line or more") == "┆ dead experts at step 4 · 3 earlier"
    assert alerts_in((6.0, 4.0), [(5, "x" * 1000)], "t" * 1000).endswith(" at step 5")


def test_alerts_before_those_that_are_kept_are_not_denied() -> None:
    alerts = [(step, "spike") for step in range(MOST_ALERTS)]
    assert alerts_in((14.0, 4.0), alerts).endswith("spike at step 19 · 17+ earlier")
    assert alerts_in((14.0, 4.0), alerts[1:]).endswith("spike at step 19 · 16 earlier")


@pytest.mark.fault("E9b")
def test_no_data_says_so_and_empty_cells_have_no_axes() -> None:
    figure = TrainingFigure((6.0, 4.0))
    figure.show(Show(Plan(2, 2, (6.0, 4.0), (loss_panel(), loss_panel()))), {})
    figure.draw()
    assert len(figure.figure.axes) == 2
    for axes in figure.figure.axes:
        assert "no data yet" in [text.get_text() for text in axes.texts if text.get_visible()]
        assert axes.get_title() == "Loss"
        assert axes.get_legend() is None


def test_the_right_hand_axis_comes_and_goes() -> None:
    histories = {"a": history_of([1, 2]), "b": history_of([100, 300])}
    right = Series("b", "b", "#D55E00", right=True)
    both = Panel("T", "a", (Series("a", "a", "#0072B2"), right), right=RightAxis("b / s", "#D55E00", from_zero=True))
    figure = TrainingFigure((6.0, 4.0))
    figure.show(Show(Plan(1, 1, (6.0, 4.0), (both,))), histories)
    left, twin = figure.figure.axes
    assert (twin.get_ylabel(), line(twin, "b").get_ydata().tolist()) == ("b / s", [100.0, 300.0])
    assert twin.get_ylim() == pytest.approx((0.0, 315.0))
    assert (legend_texts(left), legend_texts(twin)) == (["a"], ["b"])
    figure.show(Show(Plan(1, 1, (6.0, 4.0), (loss_panel("a", "b"),))), histories)
    figure.draw()
    assert figure.figure.axes == [left]
    assert line(left, "b").get_ydata().tolist() == [100.0, 300.0]


def test_the_fair_share_is_the_mean_load() -> None:
    histories = {"expert_0": history_of([0.2, 0.3]), "expert_1": history_of([0.8, 0.7])}
    axes = drawn(loss_panel(*histories, fair_among=2), histories).figure.axes[0]
    fair = next(each for each in axes.lines if each.get_linestyle() == ":")
    assert fair.get_ydata() == pytest.approx([0.5, 0.5])
    assert legend_texts(axes)[-1] == "fair share"


def test_the_fair_share_of_the_largest_floats_is_one() -> None:
    histories = {name: history_of([1e308, 1e308]) for name in ("train_loss", "val_loss")}
    axes = drawn(loss_panel(*histories, fair_among=2), histories).figure.axes[0]
    fair = next(each for each in axes.lines if each.get_linestyle() == ":")
    assert fair.get_ydata() == [FARTHEST, FARTHEST]


@pytest.mark.parametrize("size", [(0.1, 0.1), (1.0, 0.5), (60.0, 2.0)])
def test_any_size_draws(size: tuple[float, float]) -> None:
    figure = TrainingFigure(size)
    figure.show(Show(Plan(3, 3, size, (loss_panel("a"),) * 9), title="T" * 300), {"a": history_of([1, 2])})
    figure.figure.savefig("/dev/null", format="png", dpi=10)


# -- words


@pytest.mark.fault("E12", "E14", "E15")
def test_nasty_words_are_drawn_letter_for_letter(caplog: pytest.LogCaptureFixture) -> None:
    histories = {name: history_of([1.0, 2.0]) for name in NASTY}
    for name in NASTY:
        series = tuple(Series(each, each, "#0072B2") for each in NASTY)
        panel = Panel(name, name, series, xlabel=name, right=RightAxis(name))
        figure = drawn(panel, histories, title=name, alerts=[(1, name)])
        assert figure.figure.get_suptitle() == figure.figure.get_suptitle().replace("\n", "")
    with caplog.at_level(logging.WARNING):
        assert not caplog.records


@pytest.mark.fault("E13")
def test_a_leading_underscore_stays_in_the_legend() -> None:
    assert legend_texts(drawn(loss_panel("_hidden"), {"_hidden": history_of([1, 2])}).figure.axes[0]) == ["_hidden"]


@pytest.mark.fault("E17")
def test_more_metrics_than_fit_are_counted_in_the_legend() -> None:
    names = [f"a_rather_long_metric_name_{index}" for index in range(60)]
    figure = drawn(loss_panel(*names), {name: history_of([1, 2]) for name in names}).figure
    texts = legend_texts(figure.axes[0])
    assert len(texts) < 15
    assert any(text == f"+{60 - (len(texts) - 1)} more" for text in texts)


def test_the_legend_lies_above_the_axes_and_reads_along_the_rows() -> None:
    names = [f"metric_{index}" for index in range(7)]
    figure = drawn(loss_panel(*names), {name: history_of([1, 2]) for name in names}).figure
    axes = figure.axes[0]
    assert axes.get_legend().get_window_extent().y0 >= axes.get_window_extent().y1
    rows: dict[int, list[tuple[float, str]]] = {}
    for text in axes.get_legend().get_texts():
        box = text.get_window_extent()
        rows.setdefault(round(-box.y0 / 10), []).append((box.x0, text.get_text()))
    assert [name for row in sorted(rows) for _, name in sorted(rows[row])] == names


@pytest.mark.fault("E13")
def test_no_legend_and_no_grid_where_not_wanted() -> None:
    axes = drawn(loss_panel("a", legend=False, grid=False), {"a": history_of([1, 2])}).figure.axes[0]
    assert axes.get_legend() is None
    assert not any(each.get_visible() for each in axes.get_ygridlines())


@pytest.fixture
def other_settings() -> Iterator[None]:
    with matplotlib.rc_context():
        style.use("dark_background")
        matplotlib.rcParams.update(
            {
                "text.usetex": True,
                "text.parse_math": True,
                "path.sketch": (1.0, 100.0, 2.0),
                "figure.constrained_layout.use": True,
                "savefig.bbox": "tight",
                "axes.formatter.use_mathtext": True,
                "axes.grid": True,
                "xtick.labelbottom": False,
                "ytick.right": True,
                "font.family": ["No Such Font"],
                "lines.marker": "s",
                "legend.loc": "upper left",
                "axes.titlelocation": "right",
                "figure.frameon": False,
                "font.weight": "bold",
            }
        )
        yield


@pytest.mark.fault("E7")
@pytest.mark.usefixtures("other_settings")
def test_the_users_settings_neither_break_the_figure_nor_change() -> None:
    before = dict(matplotlib.rcParams)
    figure = drawn(loss_panel("a", yscale="log"), {"a": history_of([1, 2])}).figure
    figure.canvas.draw()
    axes = figure.axes[0]
    assert dict(matplotlib.rcParams) == before
    assert figure.get_facecolor() == (1.0, 1.0, 1.0, 1.0)
    assert figure.get_frameon()
    assert axes.get_title() == "Loss"
    assert {label.get_fontweight() for label in axes.get_xticklabels()} == {"normal"}
    assert any(label.get_visible() and label.get_text() for label in axes.get_xticklabels())
    assert line(axes, "a").get_marker() == "none"


# -- heat map


def test_the_heat_map_holds_load_over_fair_share() -> None:
    histories = {f"expert_{i}": history_of([load] * 4, steps=[0, 10, 20, 30]) for i, load in enumerate([0.1, 0.3, 0.2])}
    rows = tuple((i, f"expert_{i}") for i in range(3))
    panel = Panel("Experts", "expert", heat_map=HeatMap(rows, 3), grid=False, below=loss_panel("expert_0"))
    figure = drawn(panel, histories).figure
    [image] = figure.axes[0].images
    assert image.get_array().tolist() == [pytest.approx([load] * 4) for load in (0.5, 1.5, 1.0)]
    assert image.get_extent() == [-5.0, 35.0, -0.5, 2.5]
    assert (image.norm.vmin, image.norm.vmax) == (0.0, 2.0)


def test_the_heat_map_takes_gaps_and_nonsense() -> None:
    histories = [history_of([0.5, math.nan, 1e308, -1.0]), history_of([0.5], steps=[3]), History()]
    table = load_table(histories, 3)
    assert table is not None
    assert table.loads.shape == (3, 4)
    assert np.isnan(table.loads[2]).all()
    assert np.isnan(table.loads[0][1])
    assert load_table([History()], 1) is None


def test_a_long_run_is_averaged_into_columns_and_steps_may_repeat() -> None:
    table = load_table([history_of([0.4, 0.6] * 5000), history_of([0.6, 0.4] * 5000)], 2)
    assert table is not None
    assert table.loads.shape[1] <= 701
    assert table.together > 1
    assert np.nanmean(table.loads) == pytest.approx(1.0)
    again = load_table([history_of([1.0, 2.0, 1.0], steps=[5, 5, 3])], 1)
    assert again is not None
    assert (again.first, again.last) == (3.0, 5.0)


def test_dead_experts_are_drawn_in_a_colour_that_no_load_has() -> None:
    histories = {f"expert_{i}": history_of(loads) for i, loads in enumerate([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])}
    panel = Panel("E", "expert", heat_map=HeatMap(tuple((i, f"expert_{i}") for i in range(3)), 3))
    figure = drawn(panel, histories).figure
    [image] = figure.axes[0].images
    assert image.get_array().tolist() == [[1.0, -1.0], [1.0, 1.0], [1.0, 2.0]]
    apart = np.abs(image.cmap(np.linspace(0.0, 1.0, 256)) - image.cmap.get_under()).sum(axis=1)
    assert apart.min() > 0.15
    assert "black: dead" in [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("live", [False, True])
def test_an_alert_is_seen_on_a_heat_map(live: bool) -> None:
    histories = {f"expert_{i}": history_of([1.0] * 100) for i in range(16)}
    panel = Panel("E", "expert", heat_map=HeatMap(tuple((i, f"expert_{i}") for i in range(16)), 16))
    figure = TrainingFigure((6.0, 4.0), live=live)
    for _ in range(2):  # the second time over what is kept of the first
        figure.show(Show(Plan(1, 1, (6.0, 4.0), (panel,)), alerts=[(50, "nan")]), histories)
        figure.draw()
        canvas: Any = figure.figure.canvas
        colors = np.asarray(canvas.buffer_rgba())[..., :3]
        amber = [int(SCREEN.alert[start : start + 2], 16) for start in (1, 3, 5)]
        box = figure.figure.axes[0].get_window_extent()
        middle = colors[:, round(box.x0 + 0.4 * box.width) : round(box.x0 + 0.6 * box.width)]
        assert (np.abs(middle.astype(int) - amber).sum(axis=2) < 60).sum() > 0.4 * box.height


def test_a_zoom_into_a_heat_map_is_one_into_the_part_below_it() -> None:
    """Whose axis has the numbers of both."""
    histories = {f"expert_{i}": history_of([1.0] * 100) for i in range(16)}
    rows = tuple((i, f"expert_{i}") for i in range(16))
    panel = Panel("E", "expert", heat_map=HeatMap(rows, 16), below=loss_panel("expert_0"))
    figure = drawn(panel, histories)
    upper, lower = (axes for axes in figure.figure.axes if axes.get_ylabel())
    upper.set_xlim(20.0, 40.0)
    assert lower.get_xlim() == (20.0, 40.0)
    figure.show(Show(Plan(1, 1, (6.0, 4.0), (panel,))), histories, leave=[upper, lower])
    assert upper.get_xlim() == lower.get_xlim() == (20.0, 40.0)
    figure.show(Show(Plan(1, 1, (6.0, 4.0), (loss_panel("expert_0"),))), histories)
    figure.draw()
    assert any(label.get_text() for label in figure.figure.axes[0].get_xticklabels())


def test_numbers_of_the_rows_of_a_low_heat_map_do_not_lie_on_each_other() -> None:
    histories = {f"expert_{i}": history_of([1.0] * 9) for i in range(48)}
    panel = Panel("E", "expert", heat_map=HeatMap(tuple((i, f"expert_{i}") for i in range(48)), 48))
    figure = TrainingFigure((4.0, 4.0))
    figure.show(Show(Plan(3, 1, (4.0, 4.0), (panel,) * 3)), histories)
    figure.draw()
    labels = figure.figure.axes[0].get_yticklabels()
    boxes = sorted(tuple(label.get_window_extent().intervaly) for label in labels if label.get_text())
    assert len(boxes) >= 2
    assert all(before[1] < after[0] for before, after in itertools.pairwise(boxes))


def layer_histories() -> dict[str, History]:
    return {
        "load_cv/0": history_of([0.1, 0.2, 0.3], steps=[0, 10, 40]),
        "load_cv/head": history_of([0.5, 0.5, 3.0], steps=[0, 10, 40]),
        "dead_experts/0": history_of([0.0, 0.0, 0.0], steps=[0, 10, 40]),
        "dead_experts/head": history_of([0.0, 2.0, 0.0], steps=[0, 10, 40]),
    }


def layer_panel(*labels: str) -> Panel:
    rows = tuple((label, f"load_cv/{label}") for label in labels)
    heat_map = HeatMap(rows, len(rows), tuple(f"dead_experts/{label}" for label in labels))
    return Panel("Layers", "layer", heat_map=heat_map, grid=False)


def test_layers_have_a_scale_of_their_own_and_hold_what_was_read_last() -> None:
    figure = drawn(layer_panel("0", "head"), layer_histories()).figure
    [image] = figure.axes[0].images
    assert image.get_array().tolist() == [[0.1, 0.2, 0.2, 0.2, 0.3], [0.5, -1.0, -1.0, -1.0, 3.0]]
    assert (image.norm.vmin, image.norm.vmax) == (0.0, 1.0)
    assert [label.get_text() for label in figure.axes[1].get_xticklabels()] == ["even", "cv", "1"]


def test_of_the_names_of_layers_what_differs_is_seen() -> None:
    names = [f"model.layers.{index}.mlp.router" for index in range(8)]
    histories = {f"{kind}/{name}": history_of([0.1]) for name in names for kind in ("load_cv", "dead_experts")}
    axes = drawn(layer_panel(*names), histories).figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels() if text.get_text()] == ["0", "2", "4", "6"]


def test_a_map_of_experts_can_become_one_of_layers_and_back() -> None:
    histories = {**layer_histories(), "expert_0": history_of([0.5, 0.5]), "expert_1": history_of([0.5, 0.5])}
    experts = Panel("E", "expert", heat_map=HeatMap(((0, "expert_0"), (1, "expert_1")), 2))
    figure = TrainingFigure((6.0, 4.0))
    for panel, top in ((experts, 2.0), (layer_panel("0"), 1.0), (experts, 2.0)):
        figure.show(Show(Plan(1, 1, (6.0, 4.0), (panel,))), histories)
        figure.draw()
        assert figure.figure.axes[0].images[0].norm.vmax == top


def test_a_bad_moment_of_a_layer_stays_visible_in_a_long_run() -> None:
    """The column that stands for its points has the largest variation, and is dead where one of them is."""
    variation, dead = np.full(200_000, 0.1), np.zeros(200_000)
    variation[1234] = 2.5
    dead[150_000] = 1.0
    histories = [History(), History()]
    for history, values in zip(histories, (variation, dead), strict=True):
        history.extend(array("d", range(values.size)), array("d", values))
    table = layer_table(histories[:1], histories[1:])
    assert table is not None
    assert table.loads.shape[1] <= 701
    assert np.nanmax(table.loads) == 2.5
    assert 1 <= (table.loads < 0.0).sum() <= 3
    assert table.any_dead
    assert layer_table([History()], [History()]) is None


def test_a_layer_without_any_load_has_no_variation_and_is_dead() -> None:
    table = layer_table([History(), history_of([0.5])], [history_of([8.0]), history_of([0.0])])
    assert table is not None
    assert table.loads.tolist() == [[-1.0], [0.5]]


def test_a_heat_map_gives_way_to_lines_and_comes_back() -> None:
    histories = {"expert_0": history_of([0.4, 0.6]), "expert_1": history_of([0.6, 0.4])}
    heat = Panel("E", "expert", heat_map=HeatMap(((0, "expert_0"), (1, "expert_1")), 2), below=loss_panel("expert_0"))
    figure = TrainingFigure((6.0, 4.0))
    for panel, axes in ((heat, 3), (loss_panel("expert_0"), 1), (heat, 3)):
        figure.show(Show(Plan(1, 1, (6.0, 4.0), (panel,))), histories)
        figure.draw()
        assert len(figure.figure.axes) == axes


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", ["log", "symlog"])
def test_a_panel_of_any_scale_can_become_a_heat_map_and_go_back(scale: str) -> None:
    histories = {f"expert_{i}": history_of([0.4, 0.6]) for i in range(16)} | {"none": history_of([math.nan])}
    heat = Panel("E", "expert", heat_map=HeatMap(tuple((i, f"expert_{i}") for i in range(16)), 16))
    lines = loss_panel("expert_0", yscale=scale)
    figure = TrainingFigure((6.0, 4.0))
    for panel in (lines, heat, lines, loss_panel("none", yscale=scale), heat, lines):
        figure.show(Show(Plan(1, 1, (6.0, 4.0), (panel,))), histories)
        figure.draw()
        axes = figure.figure.axes[0]
        if panel is heat:
            assert (axes.get_yscale(), axes.get_ylim()) == ("linear", (-0.5, 15.5))
            assert {"0", "4", "8", "12"} <= {text.get_text() for text in axes.get_yticklabels() if text.get_visible()}
        else:
            anew = drawn(panel, histories).figure.axes[0]
            assert (axes.get_yscale(), axes.get_ylim()) == (scale, anew.get_ylim())


# -- points, limits, text


def test_of_many_points_every_extreme_and_every_gap_stays() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=100_000)
    y[[123, 77_777]] = [50.0, -50.0]
    y[40_000:41_000] = np.nan
    points = points_of(history_of(y.tolist()))
    assert points.x.size <= 1100
    assert (np.nanmax(points.y), np.nanmin(points.y)) == (50.0, -50.0)
    assert points.x[np.nanargmax(points.y)] == 123.0
    assert np.isnan(points.y[(points.x >= 40_000) & (points.x < 41_000)]).any()
    assert (points.x[0], points.x[-1]) == (0.0, 99_999.0)
    assert (np.diff(points.x) > 0).all()


@pytest.mark.fault("E9")
def test_values_far_out_are_clipped_and_few_points_stay_as_they_are() -> None:
    points = points_of(history_of([1e308, -1e308, 2.0]))
    assert points.y.tolist() == [FARTHEST, -FARTHEST, 2.0]
    assert points.values == (-FARTHEST, FARTHEST)
    assert points_of(History()).steps is None


def test_limits() -> None:
    assert padded([], "linear") == (0.0, 1.0)
    assert padded([(2.0, 2.0)], "linear") == pytest.approx((1.8, 2.2))
    assert padded([(0.0, 0.0)], "linear") == (-1.0, 1.0)
    assert padded([(10.0, 20.0)], "linear", from_zero=True, headroom=0.5) == pytest.approx((0.0, 42.0))
    low, high = padded([(1.0, 1.0)], "log")
    assert low < 1.0 < high
    assert symlog_threshold([np.array([0.0, math.nan])]) == 1.0
    assert symlog_threshold([np.array([-0.02, 0.02, *[5.0] * 8, 3000.0])]) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.0, 0.25, 0.5], ["0.00", "0.25", "0.50"]),
        ([0.0, 20_000.0, 40_000.0], ["0", "20k", "40k"]),
        ([-1.0, 0.0, 1.0], ["−1", "0", "1"]),
        ([1e-5, 2e-5], ["1e-5", "2e-5"]),
        ([0.0, 1e300], ["0", "1e300"]),
        ([1.43e-4, 1.435e-4, 1.44e-4], ["1.43e-4", "1.435e-4", "1.44e-4"]),
        ([1.0, 1.000005, 1.00001], ["1.000000", "1.000005", "1.000010"]),
        ([1e6, 1e6 + 0.5, 1e6 + 1], ["1.0000000M", "1.0000005M", "1.0000010M"]),
        ([5.0], ["5"]),
        ([], []),
    ],
)
def test_numbers_of_one_axis(values: list[float], texts: list[str]) -> None:
    assert tick_texts(values) == texts


@given(st.floats(-15.0, 17.0), st.floats(-8.5, 2.0), st.sampled_from([-1.0, 1.0]))
def test_numbers_that_differ_read_differently(power: float, part: float, sign: float) -> None:
    low = sign * 10.0**power
    ticks = [float(tick) for tick in MaxNLocator(nbins=6).tick_values(low, low + 10.0 ** (power + part))]
    units = {"k": "e3", "M": "e6", "G": "e9", "T": "e12"}
    numbers = [
        float(text.replace("−", "-").translate(str.maketrans(units)))  # type: ignore[arg-type]
        for text in tick_texts(ticks)
    ]
    np.testing.assert_allclose(numbers, ticks, rtol=0.0, atol=0.02 * (ticks[1] - ticks[0]))


def test_numbers_by_themselves() -> None:
    steps = [0, 800, 1000, 1500, 1.5e6, 1e-5, 0.05, -2e-4, 1e20]
    assert [tick_text(step, 9) for step in steps] == ["0", "800", "1k", "1.5k", "1.5M", "1e-5", "0.05", "−2e-4", "1e20"]


@pytest.mark.fault("F16")
def test_foreign_text_is_made_visible() -> None:
    assert visible("two\nlines\x1b[1m\u202e\ud800") == r"two\nlines\x1b[1m\u202e\ud800"
    assert visible("a\u00a0b") == "a b"
    assert len(visible("\x1b" * 10_000)) == 60
    assert shortened("abcdefghij", 5) == "ab…ij"
    assert drawable("ok 🚀") == f"ok {UNDRAWABLE}"


@pytest.mark.parametrize(
    ("limits", "numbered", "between"),
    [
        ((1.0, 50.0), [1, 2, 5, 10, 20, 50], [*range(2, 10), 20, 30, 40, 50]),
        ((3.0, 400.0), [10, 100], [*range(3, 10), *range(20, 100, 10), 200, 300, 400]),
        ((1.0, 3.0), [1, 1.5, 2, 2.5, 3], []),
        ((0.5, 5e6), [1, 100, 10_000, 1_000_000], []),
        ((1e-9, 1e9), [1e-9, 1e-6, 1e-3, 1, 1e3, 1e6, 1e9], []),
        ((0.0, 1.0), [], []),
        ((1.0, math.inf), [], []),
    ],
)
def test_a_logarithmic_axis_has_round_numbers_for_any_extent(
    limits: tuple[float, float], numbered: list[float], between: list[float]
) -> None:
    assert LogTicks().tick_values(*limits) == pytest.approx(numbered)
    assert LogTicks(between=True).tick_values(*limits) == pytest.approx(between)


@pytest.mark.parametrize(
    ("limits", "numbered"),
    [
        ((1.7e-4, 6.1e-4), [2e-4, 3e-4, 5e-4]),
        ((0.06, 2.2), [0.1, 1]),
        ((2e-3, 0.5), [0.01, 0.1]),
        ((1e-9, 1e9), [1e-9, 1e-3, 1e3, 1e9]),
    ],
)
def test_numbers_of_a_low_logarithmic_axis_keep_apart(limits: tuple[float, float], numbered: list[float]) -> None:
    assert LogTicks(most=3).tick_values(*limits) == pytest.approx(numbered)


def test_a_panel_without_room_has_fewer_numbers_on_a_logarithmic_axis() -> None:
    histories = {"rate": history_of([1.8e-4, 6e-4])}
    counts = []
    for height in (6.0, 1.2):
        figure, plan = TrainingFigure((6.0, height)), Plan(1, 1, (6.0, height), (loss_panel("rate", yscale="log"),))
        figure.show(Show(plan), histories)
        figure.figure.canvas.draw()
        counts.append(len(figure.figure.axes[0].get_yticks()))
    assert counts[0] > counts[1] >= 2


def test_long_numbers_are_counted_in_a_larger_unit() -> None:
    history = history_of([200.0, 800.0])
    figure = TrainingFigure((6.0, 4.0))
    for name, larger, label, numbers in (
        ("Memory", (1000.0, "GB"), "MB", {"400", "600"}),
        ("Memory", (1000.0, "GB"), "GB", {"20", "40"}),
        ("Other", None, "MB", {"20k", "40k"}),
    ):
        panel = Panel(name, "MB", (Series("a", "a", "#0072B2"),), larger=larger)
        figure.show(Show(Plan(1, 1, (6.0, 4.0), (panel,))), {"a": history})
        figure.draw()
        axis = figure.figure.axes[0].yaxis
        assert figure.figure.axes[0].get_ylabel() == label
        assert numbers <= {text.get_text() for text in axis.get_ticklabels()}
        history.append(2, 41_200.0)


@pytest.mark.parametrize("width", [60.0, 93.0, 150.0, 400.0])
def test_a_legend_names_as_many_metrics_as_fit(width: float) -> None:
    labels = ["a metric of a long name", *(str(index) for index in range(40)), "another one"]
    lines = [(Line2D([], []), label) for label in labels]
    rows = arranged(lines, width, SCREEN)
    assert rows.rows <= MOST_ROWS or len(rows.entries) == 2
    named = len(rows.entries) - 1
    assert rows.entries[-1][1] == f"+{len(labels) - named} more"
    fewer = [(line, label) for line, label in lines[: named + 1]]
    assert arranged([*fewer, (Line2D([], []), "+9 more")], width, SCREEN).entries[-1][1] != "+9 more"


def test_a_single_curve_whose_name_is_the_title_needs_no_legend_but_beside_its_average() -> None:
    series = Series("fid", "fid", "#0072B2")
    alone = drawn(Panel("fid", "", (series,)), {"fid": history_of([3, 2, 1])}).figure.axes[0]
    assert (alone.get_title(), legend_texts(alone)) == ("fid", [])
    averaged = drawn(Panel("fid", "", (replace(series, smoothing=0.9),)), {"fid": history_of([3, 2, 1])})
    assert legend_texts(averaged.figure.axes[0]) == ["fid", "EMA 0.9"]


@pytest.mark.parametrize("again", [False, True])
def test_the_label_of_an_axis_stands_beside_its_numbers_where_a_panel_is_low(again: bool) -> None:
    """How many numbers there were was decided after their width was measured: a low panel had 5.0 and 7.5, and the
    label stood where it would have stood beside 4, 6 and 8."""
    figure = TrainingFigure((2.3, 1.9))
    plan = Plan(1, 1, (2.3, 1.9), (loss_panel("a"),))
    for _ in range(2 if again else 1):
        figure.show(Show(plan), {"a": history_of([3.1, 8.4])})
    figure.draw()
    axes = figure.figure.axes[0]
    numbers = [text for text in axes.get_yticklabels() if text.get_text() and text.get_visible()]
    shown = [text for text in numbers if axes.get_ylim()[0] <= text.get_position()[1] <= axes.get_ylim()[1]]
    assert [text.get_text() for text in shown] == ["5.0", "7.5"]
    assert axes.yaxis.label.get_window_extent().x1 < min(text.get_window_extent().x0 for text in shown)


@pytest.mark.parametrize(
    ("title", "shown"), [("Expert utilization", "Expert…"), ("decoder_layer_11_out_proj_norm", "dec…orm")]
)
def test_a_title_keeps_its_first_words_and_a_name_both_its_ends(title: str, shown: str) -> None:
    """ "Expert utilization" stood over a panel of a paper as "Exp…ion"."""
    figure = TrainingFigure((1.9, 1.9))
    panel = Panel(title, "load", (Series("a", "a", "#0072B2"),))
    figure.show(Show(Plan(1, 1, (1.9, 1.9), (panel,))), {"a": history_of([1])})
    assert figure.figure.axes[0].get_title() == shown


def test_an_axis_that_counts_has_whole_numbers() -> None:
    """One dead expert had numbers for half a one."""
    series = (Series("load_balance", "a", "#0072B2"), Series("dead_experts", "b", "#D55E00", right=True))
    panel = Panel("Experts", "balance", series, right=RightAxis("dead", from_zero=True, whole=True))
    histories = {"load_balance": history_of([0.9, 0.8]), "dead_experts": history_of([0, 1])}
    right = drawn(panel, histories).figure.axes[1]
    assert [text.get_text() for text in right.get_yticklabels()][:2] == ["0", "1"]
