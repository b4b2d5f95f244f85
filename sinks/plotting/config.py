"""The documented settings of a figure: its grid, its panels, and which metric goes into which panel.

Nothing here draws. `validate` is called when a visualizer is made, since the classes can be changed until then.
"""

from __future__ import annotations

import math
import operator
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sinks.plotting.budget import DRAW_BUDGET
from sinks.plotting.milestones import SECOND_AXES
from sinks.plotting.styles import STYLE_NAMES

Y_SCALES: Final = ("linear", "log", "symlog")
LINE_STYLES: Final = ("-", "--", ":", "-.", "solid", "dashed", "dotted", "dashdot")

_HEX_COLOR = re.compile(r"#(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{8}|[0-9a-fA-F]{3,4})")


@dataclass(slots=True)
class TrainingVisualizerConfig:
    """The whole figure. Without ``plots`` and ``metrics`` it lays itself out by the metrics that it is given."""

    subplot_rows: int = 2
    """Rows of panels."""
    subplot_cols: int = 2
    """Columns of panels."""
    figure_size: tuple[int, int] = (12, 8)
    """Width and height in inches."""
    title: str = "Real-time Training Progress"
    """Above the panels. While it is this default, a run that was given a description shows that instead."""

    update_interval: int = 100
    """Steps from one redraw to the next, where the figure is shown while training goes on."""
    max_points: int | None = None
    """So many newest points of each metric are drawn; None draws all. Beyond eight thousand (of custom metrics,
    experts and layers one thousand where these are more than 64) the older ones stand in buckets, drawn by their
    extremes: the window may then be up to a sixteenth shorter, or longer by less than a bucket. Summaries speak of the
    whole run either way."""

    plots: list[PlotConfig] = field(default_factory=list)
    """The panels, row by row; at most as many as the grid has cells."""
    metrics: list[MetricConfig] = field(default_factory=list)
    """The curves. Metrics that are not named here are kept for the summary."""

    use_blit: bool = False
    """Whether axes that are shown live have room to grow into, up to a quarter of them. A redraw then draws the curves
    over a background that is kept, at a fraction of the price of numbers, words and frames, nearly always; otherwise
    while its axes, which end at the newest point, do not visibly move. In a notebook, whose drawing the training waits
    for, they have it in any case. Files and the last picture end at the data."""
    pause_duration: float = 0.01
    """Accepted, without effect: drawing never pauses the training loop."""

    display: str | Callable[[Any], object] = "auto"
    """Where the figure appears while training goes on: see `sinks.PlotSink`."""
    image_path: str | os.PathLike[str] | None = None
    """The PNG or SVG file of ``display="image"``."""
    image_every_s: float = 2.0
    """Seconds from one image to the next, at least."""
    keep_open: bool = False
    """Whether a window stays when the run is over."""
    draw_budget: float = DRAW_BUDGET
    """The part of the time, above 0.0 up to 1.0, that drawing within the training process may take."""
    on_rank: int | None = 0
    """Of a training in several processes only that of this rank shows anything by itself; None: each of them."""

    smoothing: float | Mapping[str, float] | None = None
    """Factor of the moving average (EMA) that is drawn in front of each curve, the values faint behind it: 0.0 draws
    none, 0.98 weighs some fifty points. Learning rates and sparse metrics such as validation are left as they are. A
    mapping gives factors by the names of metrics, whatever these are. None, and for what a mapping does not name: 0.95
    for the lines of single experts, which hide each other where they are laid out for you, and none for the others."""
    second_axis: str | None = None
    """``"time"``, since the start of the run, or ``"tokens"``, of the snapshots that give a batch size and a sequence
    length: along the top of each panel. None: no second axis."""
    style: str = "screen"
    """``"screen"``, ``"dark"``, or ``"paper"``: as wide as a column of a journal, with letters that are 7 to 8 points
    high in print, vector fonts and no title of its own."""


@dataclass(slots=True)
class PlotConfig:
    """One panel."""

    title: str
    """Above the panel."""
    ylabel: str
    """What the vertical axis measures, with its unit."""
    xlabel: str = "Step"
    """What the horizontal axis measures."""
    yscale: str = "linear"
    """``"linear"``, ``"log"`` or ``"symlog"``. A log axis leaves out values that are not positive and counts them."""
    show_grid: bool = True
    """Whether there are grid lines."""
    show_legend: bool = True
    """Whether there is a legend; it names only metrics that were given."""
    color_cycle: list[str] = field(
        default_factory=lambda: [
            "blue",
            "red",
            "green",
            "orange",
            "purple",
            "brown",
            "pink",
            "gray",
            "olive",
            "cyan",
        ]
    )
    """Colours for the panel's metrics that name none, in order; begun again when used up."""


@dataclass(slots=True)
class MetricConfig:
    """One curve: which metric, in which panel, and how it looks."""

    metric_name: str
    """The metric's name, as in ``update_metrics``."""
    plot_index: int
    """Its panel: the position in ``plots``, from 0."""
    color: str | None = None
    """Any colour that matplotlib knows. None: the next of the panel's ``color_cycle``."""
    label: str | None = None
    """Its name in the legend. None: the metric's name."""
    line_style: str = "-"
    """``"-"``, ``"--"``, ``":"``, ``"-."``, or matplotlib's word for one of them."""
    alpha: float = 1.0
    """Opacity: 0.0 cannot be seen, 1.0 hides what is behind."""


_KNOWN_COLORS: Final = frozenset([*PlotConfig("", "").color_cycle, "black", "white", "darkgreen"])
DEFAULT_CYCLE: Final = tuple(PlotConfig("", "").color_cycle)
DEFAULT_TITLE: Final = TrainingVisualizerConfig().title
DEFAULT_FIGURE_SIZE: Final = TrainingVisualizerConfig().figure_size
DEFAULT_GRID: Final = (TrainingVisualizerConfig().subplot_rows, TrainingVisualizerConfig().subplot_cols)


def validate(config: TrainingVisualizerConfig) -> None:
    """Raise ``TypeError`` or ``ValueError`` when no figure can be made of ``config``.

    The message names the setting by its path, such as ``metrics[3].plot_index``, what is accepted and what was given.
    """
    if not isinstance(config, TrainingVisualizerConfig):
        raise TypeError(f"config must be a TrainingVisualizerConfig; got {_shown(config)}")
    rows = whole_number(config.subplot_rows, "subplot_rows", at_least=1)
    cols = whole_number(config.subplot_cols, "subplot_cols", at_least=1)
    _check_figure_size(config.figure_size)
    _text(config.title, "title")
    whole_number(config.update_interval, "update_interval", at_least=1)
    if config.max_points is not None:
        whole_number(config.max_points, "max_points", at_least=1, otherwise=" or None for all points")
    _flag(config.use_blit, "use_blit")
    _check_smoothing(config.smoothing)
    if config.second_axis is not None:
        _choice(config.second_axis, "second_axis", SECOND_AXES, " or None")
    check_style(config.style)
    pause = _real_number(config.pause_duration, "pause_duration", "a number of seconds")
    if not 0.0 <= pause < math.inf:
        raise ValueError(f"pause_duration must be 0 or more seconds and finite; got {pause!r}")
    plots = _list(config.plots, "plots", PlotConfig)
    metrics = _list(config.metrics, "metrics", MetricConfig)
    if len(plots) > rows * cols:
        raise ValueError(
            f"plots must have at most {rows * cols} entries, one for each cell of a {rows} x {cols} grid "
            f"(subplot_rows x subplot_cols); got {len(plots)}"
        )
    for index, plot in enumerate(plots):
        _check_plot(plot, f"plots[{index}]")
    places: dict[tuple[str, int], int] = {}
    for index, metric in enumerate(metrics):
        _check_metric(metric, f"metrics[{index}]", len(plots), rows * cols)
        first = places.setdefault((metric.metric_name, operator.index(metric.plot_index)), index)
        if first != index:
            raise ValueError(
                f"metrics[{index}].metric_name must be named once for each plot; {_shown(metric.metric_name)} "
                f"is in plot {metric.plot_index} already, by metrics[{first}]"
            )


def check_style(style: Any) -> None:
    """Raise ``TypeError`` or ``ValueError`` when ``style`` is none of the names of styles."""
    _choice(style, "style", STYLE_NAMES)


def _check_plot(plot: PlotConfig, path: str) -> None:
    _text(plot.title, f"{path}.title")
    _text(plot.ylabel, f"{path}.ylabel")
    _text(plot.xlabel, f"{path}.xlabel")
    _choice(plot.yscale, f"{path}.yscale", Y_SCALES)
    _flag(plot.show_grid, f"{path}.show_grid")
    _flag(plot.show_legend, f"{path}.show_legend")
    colors = _list(plot.color_cycle, f"{path}.color_cycle", str)
    if not colors:
        raise ValueError(f"{path}.color_cycle must have at least one colour; got an empty list")
    for index, color in enumerate(colors):
        _check_color(color, f"{path}.color_cycle[{index}]")


def _check_metric(metric: MetricConfig, path: str, plots: int, cells: int) -> None:
    _text(metric.metric_name, f"{path}.metric_name")
    index = whole_number(metric.plot_index, f"{path}.plot_index")
    if not 0 <= index < plots:
        accepted = f"0 to {plots - 1}, the positions in plots" if plots else "the position of an entry of plots"
        reason = "" if 0 <= index < cells else f", and the grid has {cells} cells"
        if not plots:
            reason = ", and plots is empty" + reason
        raise ValueError(f"{path}.plot_index must be {accepted}; got {index} for {_shown(metric.metric_name)}{reason}")
    if metric.color is not None:
        _check_color(metric.color, f"{path}.color")
    if metric.label is not None:
        _text(metric.label, f"{path}.label")
    _choice(metric.line_style, f"{path}.line_style", LINE_STYLES)
    alpha = _real_number(metric.alpha, f"{path}.alpha", "a number from 0.0 to 1.0")
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"{path}.alpha must be a number from 0.0 to 1.0; got {alpha!r}")


def _check_smoothing(smoothing: Any) -> None:
    if smoothing is None:
        return
    accepted = "0.0 for none, or the factor of a moving average below 1.0, such as 0.98"
    factors = {"smoothing": smoothing}
    if isinstance(smoothing, Mapping):
        for name in smoothing:
            _text(name, "a name in smoothing")
        factors = {f"smoothing[{name!r:.60}]": factor for name, factor in smoothing.items()}
    else:
        accepted += "; or such a factor by the name of each metric, or None"
    for path, given in factors.items():
        factor = _real_number(given, path, accepted)
        if not 0.0 <= factor < 1.0:
            raise ValueError(f"{path} must be {accepted}; got {factor!r}")


def _check_figure_size(size: Any) -> None:
    accepted = "figure_size must be two positive finite numbers, width and height in inches"
    if isinstance(size, (str, bytes)) or not isinstance(size, Iterable):
        raise TypeError(f"{accepted}; got {_shown(size)}")
    sides = list(size)
    if len(sides) != 2:
        raise ValueError(f"{accepted}; got {_shown(size)}")
    for side in sides:
        inches = _real_number(side, "figure_size", "two positive finite numbers, width and height in inches")
        if not 0.0 < inches < math.inf:
            raise ValueError(f"{accepted}; got {_shown(size)}")


def _check_color(color: Any, path: str) -> None:
    if not isinstance(color, str):
        raise TypeError(f"{path} must be a colour as text, such as 'blue' or '#0072B2'; got {_shown(color)}")
    if color in _KNOWN_COLORS or _HEX_COLOR.fullmatch(color):
        return
    from matplotlib.colors import is_color_like  # only for colours that are not plain: loading it takes a while

    if not is_color_like(color):
        raise ValueError(
            f"{path} must be a colour that matplotlib knows, such as 'blue', '#0072B2' or 'tab:red'; "
            f"got {_shown(color)}"
        )


def whole_number(value: Any, path: str, *, at_least: int | None = None, otherwise: str = "") -> int:
    """``value`` as an int; ``TypeError`` when it is not a whole number, ``ValueError`` when it is too small."""
    accepted = "a whole number" + ("" if at_least is None else f", {at_least} or more") + otherwise
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{path} must be {accepted}; got {_shown(value)}") from None
    if at_least is not None and number < at_least:
        raise ValueError(f"{path} must be {accepted}; got {number}")
    return number


def _real_number(value: Any, path: str, accepted: str) -> float:
    try:
        if isinstance(value, (bool, str, bytes)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{path} must be {accepted}; got {_shown(value)}") from None
    except OverflowError:
        raise ValueError(f"{path} must be {accepted}; got an int too large for a float") from None


def _text(value: Any, path: str) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{path} must be text; got {_shown(value)}")


def _flag(value: Any, path: str) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{path} must be True or False; got {_shown(value)}")


def _choice(value: Any, path: str, accepted: tuple[str, ...], otherwise: str = "") -> None:
    message = f"{path} must be one of {', '.join(map(repr, accepted))}{otherwise}; got {_shown(value)}"
    if not isinstance(value, str):
        raise TypeError(message)
    if value not in accepted:
        raise ValueError(message)


def _list(value: Any, path: str, of: type) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{path} must be a list of {of.__name__}; got {_shown(value)}")
    for index, entry in enumerate(value):
        if not isinstance(entry, of):
            raise TypeError(f"{path}[{index}] must be a {of.__name__}; got {_shown(entry)}")
    return list(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
