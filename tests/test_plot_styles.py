"""The three looks of a figure. What is asked for by name stays as it is in each of them."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.text import Text

from m.metrics.history import History
from m.metrics.snapshot import TrainingSnapshot
from m.training_viz import (
    RealTimeTrainingVisualizer,
    create_custom_visualizer,
    create_loss_visualizer,
    create_moe_visualizer,
)
from sinks.plotting.colors import CYCLE, other_tone
from sinks.plotting.config import MetricConfig, PlotConfig, TrainingVisualizerConfig
from sinks.plotting.figure import TrainingFigure
from sinks.plotting.live_image import _Image
from sinks.plotting.plan import Panel, Plan, Series, Show
from sinks.plotting.sink import PlotSink
from sinks.plotting.styles import DARK, PAPER, SCREEN, STYLE_BY_NAME, Style

STYLES = list(STYLE_BY_NAME.values())


def fed(sink: PlotSink, steps: int = 60) -> PlotSink:
    for step in range(steps):
        val = 1.2 / (1 + step) if step % 10 == 0 else None
        sink.record(TrainingSnapshot(step, 1.0 / (1 + step), val_loss=val, expert_utilization={0: 0.3, 1: 0.7}))
    return sink


def quiet(**options: Any) -> PlotSink:
    return PlotSink(display="off", summary=False, **options)


def luminance(color: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(color)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def corner(path: Path) -> str:
    return to_hex(matplotlib.image.imread(path)[0, 0, :3]).upper()


# -- asked for by name


@pytest.mark.parametrize(
    "make",
    [
        lambda style: PlotSink(TrainingVisualizerConfig(style=style)),
        lambda style: PlotSink(style=style),
        lambda style: PlotSink.moe(8, style=style),
        lambda style: PlotSink.loss(style=style),
        lambda style: PlotSink.custom({"a": (0, "red")}, ["A"], (1, 1), style=style),
        lambda style: RealTimeTrainingVisualizer(TrainingVisualizerConfig(), style=style),
        lambda style: create_loss_visualizer(style=style),
        lambda style: create_moe_visualizer(style=style),
        lambda style: create_custom_visualizer({"a": (0, "red")}, ["A"], (1, 1), style=style),
    ],
)
def test_an_unknown_style_is_refused_when_a_visualizer_is_made(make: Callable[[Any], object]) -> None:
    with pytest.raises(ValueError, match="style must be one of 'screen', 'dark', 'paper'; got 'neon'"):
        make("neon")
    with pytest.raises(TypeError, match="style must be one of 'screen', 'dark', 'paper'; got 3"):
        make(3)


def test_a_file_may_have_another_style_than_the_screen(tmp_path: Path) -> None:
    sink = fed(quiet(style="dark"))
    shown = sink.figure
    sink.save_plot(tmp_path / "dark.png")
    sink.save_plot(tmp_path / "paper.png", style="paper")
    assert corner(tmp_path / "dark.png") == DARK.page
    assert corner(tmp_path / "paper.png") == PAPER.page
    assert sink.figure is shown
    assert to_hex(shown.get_facecolor()).upper() == DARK.page
    with pytest.raises(ValueError, match="'screen', 'dark', 'paper'"):
        sink.save_plot(tmp_path / "none.png", style="neon")
    assert not (tmp_path / "none.png").exists()


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", ["run.png", "run.svg"])
def test_the_process_that_draws_knows_the_style(tmp_path: Path, name: str, style: Style) -> None:
    history = History()
    for step in range(5):
        history.append(step, 1.0)
    plan = Plan(1, 1, (6.0, 4.0), (Panel("Loss", "loss", (Series("a", "a", CYCLE[0]),)),))
    _Image(tmp_path / name).replace(Show(plan, style=style.name), {"a": history}, last=True)
    if name.endswith("png"):
        assert corner(tmp_path / name) == style.page
    else:
        page = re.search(r'<g id="patch_1">.*?fill: (#\w+)', (tmp_path / name).read_text(), re.DOTALL)
        assert page is not None
        assert to_hex(page[1]).upper() == style.page


def test_nothing_of_matplotlib_s_settings_is_touched(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    for style in STYLES:
        fed(quiet(style=style.name)).save_plot(tmp_path / "run.pdf")
    assert dict(matplotlib.rcParams) == before


# -- colours


@pytest.mark.parametrize("style", STYLES)
def test_words_and_marks_stand_out_from_the_page(style: Style) -> None:
    for color in (style.ink, style.dim, style.broken):
        assert contrast(color, style.page) >= 4.5
    assert contrast(style.alert, style.page) >= 3.0


def test_on_a_dark_page_each_colour_and_its_tone_can_be_seen() -> None:
    for color in [*CYCLE, *PlotConfig("", "").color_cycle]:
        shade = DARK.color(color)
        assert contrast(shade, DARK.page) >= 4.5
        assert contrast(other_tone(to_hex(shade), lighter=True), DARK.page) >= 4.5


def test_the_tone_of_a_colour_differs_from_it_for_every_colour() -> None:
    for color in ("#000000", "#FFFFFF", "#0072B2", "#000080", "#FFFF00"):
        for lighter in (False, True):
            assert contrast(other_tone(color, lighter=lighter), color) > 1.2


@pytest.mark.parametrize("style", STYLES)
def test_named_colours_are_drawn_as_they_were_named_and_validation_in_a_tone(style: Style) -> None:
    config = TrainingVisualizerConfig(
        plots=[PlotConfig("A", "a"), PlotConfig("B", "b", color_cycle=["red", "#0072B2"])],
        metrics=[
            MetricConfig("train_loss", 0, color="blue"),
            MetricConfig("val_loss", 0),
            MetricConfig("aux_loss", 0, color="#0072B2"),
            MetricConfig("expert_0", 1),
            MetricConfig("expert_1", 1),
        ],
        style=style.name,
    )
    figure = fed(PlotSink(config, display="off", summary=False)).figure
    drawn = {line.get_label(): to_hex(line.get_color()) for axes in figure.axes for line in axes.lines}
    assert (drawn["train_loss"], drawn["expert_0"], drawn["expert_1"]) == ("#0000ff", "#ff0000", "#0072b2")
    assert drawn["val_loss"] == other_tone("#0000ff", lighter=style is DARK).lower()


def test_the_documented_cycle_is_literal_on_a_screen_and_told_apart_by_everybody_in_a_paper() -> None:
    config = TrainingVisualizerConfig(plots=[PlotConfig("A", "a")], metrics=[MetricConfig("train_loss", 0)])
    for style, color in ((SCREEN, "#0000ff"), (PAPER, "#0072b2")):
        figure = fed(PlotSink(config, display="off", summary=False, style=style.name)).figure
        assert "train_loss" in [line.get_label() for line in figure.axes[0].lines]
        assert color in [to_hex(line.get_color()) for line in figure.axes[0].lines]


# -- in a paper


def letters(figure: Any) -> list[Text]:
    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


@pytest.mark.parametrize(
    ("sink", "width"),
    [
        (lambda: PlotSink.moe(2, display="off", summary=False, style="paper"), 6.9),
        (lambda: PlotSink.loss(display="off", summary=False, style="paper"), 6.9),
        (
            lambda: PlotSink.custom(
                {"train_loss": (0, None)}, ["A"], (1, 1), display="off", summary=False, style="paper"
            ),
            3.3,
        ),
        (
            lambda: PlotSink.custom(
                {"train_loss": (0, None)},
                ["A"],
                (1, 1),
                figure_size=(2.5, 2.0),
                display="off",
                summary=False,
                style="paper",
            ),
            2.5,
        ),
    ],
)
def test_a_figure_for_a_paper_is_as_wide_as_a_column_and_its_letters_can_be_read(
    sink: Callable[[], PlotSink], width: float
) -> None:
    figure = fed(sink()).figure
    assert figure.get_size_inches()[0] == pytest.approx(width)
    sizes = [text.get_fontsize() for text in letters(figure)]
    assert min(sizes) >= 7.0
    assert max(sizes) <= 8.0
    assert "Real-time Training Progress" not in [text.get_text() for text in letters(figure)]


@pytest.mark.parametrize("title", ["Loss", "Learning rate", "a title of a length that nobody would expect of a panel"])
@pytest.mark.parametrize("width", [0.8, 2.0, 2.7, 3.3])
def test_title_and_notes_of_a_panel_stand_beside_each_other(title: str, width: float) -> None:
    history = History()
    for step, value in enumerate([1.0, 0.0, math.nan, math.inf] * 12):
        history.append(step, value)
    panel = Panel(title, "loss", (Series("a", "a", "#0072B2", smoothing=0.9),), yscale="log")
    figure = TrainingFigure((width, 2.5), style=PAPER)
    figure.show(Show(Plan(1, 1, (width, 2.5), (panel,))), {"a": history})
    figure.draw()
    axes = figure.figure.axes[0]
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text() and text.get_visible()]
    boxes = sorted([*boxes, axes.title.get_window_extent()], key=lambda box: box.x0)
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    if width > 1.0:
        assert axes.get_window_extent().x0 - 1.0 < boxes[0].x0
        assert len(boxes) > 1
    if width > 3.0 and len(title) < 20:
        assert axes.get_title() == title
        assert any("12 NaN · 12 inf" in text.get_text() for text in axes.texts)


def test_a_paper_s_figure_lies_within_its_page() -> None:
    figure = fed(PlotSink.moe(8, display="off", summary=False, style="paper")).figure
    figure.canvas.draw()
    canvas: Any = figure.canvas
    image = np.asarray(canvas.buffer_rgba())
    for edge in (image[:3], image[-3:], image[:, :3], image[:, -3:]):
        assert (edge == 255).all()


def test_vector_files_keep_text_as_text(tmp_path: Path) -> None:
    sink = fed(quiet(style="paper"))
    sink.save_plot(tmp_path / "run.svg")
    assert re.search(r"<text[^>]*>train_loss</text>", (tmp_path / "run.svg").read_text())
    sink.save_plot(tmp_path / "run.pdf")
    pdf = (tmp_path / "run.pdf").read_bytes()
    assert b"/Type3" not in pdf
    assert b"/CIDFontType2" in pdf


def test_many_panels_keep_room_for_their_words() -> None:
    sink = quiet(style="paper")
    for step in range(20):
        sink.record(TrainingSnapshot(step, 1.0, custom_metrics={f"quantity{index}": 1.0 for index in "abcdefgh"}))
    width, height = sink.figure.get_size_inches()
    assert (width, height) == pytest.approx((6.9, 3 * 1.9))


def test_a_live_picture_in_every_style_is_that_of_a_file() -> None:
    for style in STYLES:
        live, anew = TrainingFigure((6.0, 4.0), style=style, live=True), TrainingFigure((6.0, 4.0), style=style)
        history = History()
        for upto in (10, 20):
            while len(history) < upto:
                history.append(len(history), 1.0 + len(history))
            plan = Plan(1, 1, (6.0, 4.0), (Panel("Loss", "loss", (Series("a", "a", CYCLE[0]),)),))
            for figure in (live, anew):
                figure.show(Show(plan, room=0.25), {"a": history})
                figure.draw()
        canvases: Any = (live.figure.canvas, anew.figure.canvas)
        assert bytes(canvases[0].buffer_rgba()) == bytes(canvases[1].buffer_rgba())
