"""How one metric is drawn as a line: its looks, its points, and markers where a line alone would not show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

from sinks.plotting.colors import other_tone
from sinks.plotting.plan import Series
from sinks.plotting.points import Points
from sinks.plotting.styles import Style

FRONT: Final = 2.6
"""Whatever shows data is drawn over the frame and the grid, which have a lower z-order."""
_MOST_MARKERS: Final = 150


@dataclass(slots=True, frozen=True)
class Course:
    """A metric's points, and whether they are few beside those of other metrics, as in validation."""

    points: Points
    sparse: bool


def color_of(series: Series, style: Style) -> str:
    """The colour of the line in figures of ``style``."""
    color = style.color(series.color, named=series.named)
    return other_tone(to_hex(color), lighter=style.lighter) if series.tone else color


def set_looks(line: Line2D, series: Series, style: Style) -> None:
    """Give ``line`` what the plan says, and say the rest outright, so that no style of the user disturbs it."""
    color = color_of(series, style)
    line.set_label(series.label)
    line.set(color=color, linestyle=series.style, linewidth=series.width * style.line, alpha=series.alpha)
    line.set(markersize=4.5 * style.line, markerfacecolor=color)
    line.set(markeredgecolor=style.page, markeredgewidth=0.6 * style.line)
    line.set(zorder=FRONT + (0.4 if series.front else 0.2), drawstyle="default", fillstyle="full", antialiased=True)
    line.set(solid_joinstyle="round", dash_joinstyle="round", solid_capstyle="round", dash_capstyle="butt")


def set_average_looks(line: Line2D, series: Series, style: Style) -> None:
    """The same for the moving average in front of it."""
    set_looks(line, series, style)
    line.set_label(f"_{average_label(series)}")  # who looks for the metrics among the lines finds each once
    line.set(linewidth=1.5 * series.width * style.line, zorder=FRONT + (0.5 if series.front else 0.3))


def average_label(series: Series) -> str:
    """What a legend calls it."""
    return f"EMA {series.smoothing:g}"


def set_average(line: Line2D, raw: Line2D, series: Series, course: Course, style: Style) -> None:
    """Give ``line`` the average of ``course``, and make ``raw``, the values behind it, faint where there is one."""
    average = course.points.average
    behind = average is not None
    raw.set(
        alpha=series.alpha * (style.faint if behind else 1.0),
        linewidth=series.width * style.line * (0.7 if behind else 1.0),
    )
    line.set_visible(behind)
    if average is None:
        return
    line.set_data(average.x, average.y)
    line.set_marker("o" if average.alone.size else "none")
    line.set_markevery(average.alone.tolist() if average.alone.size else None)


def set_points(line: Line2D, course: Course) -> None:
    """Give ``line`` its data. Sparse metrics have markers, others only at points without a neighbour."""
    points = course.points
    line.set_data(points.x, points.y)
    if course.sparse and points.count <= _MOST_MARKERS:
        line.set_marker("o")
        line.set_markevery(None)
    elif points.alone.size:
        line.set_marker("o")
        line.set_markevery(points.alone.tolist())
    else:
        line.set_marker("none")
        line.set_markevery(None)
