"""Many experts over time: one row each, one column for a stretch of steps, colour for the load over the fair share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from m.metrics import buckets
from m.metrics.history import History
from sinks.plotting.dress import new_axes
from sinks.plotting.glyphs import plain
from sinks.plotting.lines import FRONT
from sinks.plotting.plan import HeatMap
from sinks.plotting.points import Floats, older_buckets
from sinks.plotting.styles import Style
from sinks.plotting.text import tick_text

MOST_COLUMNS: Final = 700
_NOT_GIVEN: Final = "#D9D9D9"
_LARGEST_LOAD: Final = 1e290  # sums of such loads do not overflow
_NONE: Final = np.empty(0)


class HeatMapView:
    """The image in the axes of a panel, and its colour bar. The bar lies above the axes, so it costs no width."""

    HEIGHT: Final = 13.0
    """Of the bar and its numbers, in points."""
    WIDTH: Final = 84.0

    def __init__(self, figure: Figure, axes: Axes, style: Style, *, front: bool = False) -> None:
        """``front``: whether somebody else draws the image, over a background that is kept."""
        self._axes = axes
        self.ids: tuple[int, ...] = ()
        """The experts whose rows there are, from below."""
        axes.yaxis.set_minor_locator(NullLocator())
        self._image = AxesImage(
            axes,
            cmap=colormaps["RdBu_r"].with_extremes(bad=_NOT_GIVEN),
            norm=Normalize(0.0, 2.0),
            interpolation="nearest",
            origin="lower",
            extent=(0.0, 1.0, -0.5, 0.5),
            resample=False,
        )
        self._image.set_data(np.full((1, 1), np.nan))
        self._image.set_clip_path(axes.patch)
        self._image.set(zorder=FRONT, animated=front)
        axes.add_image(self._image)
        self._bar_axes = new_axes(figure, style)
        bar: Any = figure.colorbar(
            self._image, cax=self._bar_axes, orientation="horizontal", extend="max", ticks=[0.0, 1.0, 2.0]
        )
        bar.ax.set_xticklabels(["0", "fair share", "2×"])
        bar.ax.tick_params(
            axis="x",
            length=0.0,
            pad=1.5,
            labelsize=style.letters - 1.0,
            labelcolor=style.dim,
            bottom=True,
            labelbottom=True,
        )
        bar.outline.set_edgecolor(style.frame)
        bar.outline.set_linewidth(0.5)
        for label in bar.ax.get_xticklabels():
            plain(label)
        self._place: tuple[float, float, float, float] | None = None
        self.note = ""
        """What a reader must know about the columns."""

    def show(self, plan: HeatMap, histories: Mapping[str, History], newest: int | None) -> tuple[float, float] | None:
        """Draw the loads; gives the steps that the image spans, or None when there are none."""
        table = load_table([histories[name] for _, name in plan.experts], plan.among, newest)
        if table is None:
            return None
        ids = tuple(expert for expert, _ in plan.experts)
        half = table.per_column / 2
        self._image.set_data(table.loads)
        self._image.set_extent((table.first - half, table.last + half, -0.5, len(ids) - 0.5))
        if ids != self.ids:
            self.ids = ids
            self._axes.set_autoscale_on(False)
            self._axes.set_ylim(-0.5, len(ids) - 0.5)
            self._axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, steps=[1, 2, 4, 8, 10]))
            self._axes.yaxis.set_major_formatter(
                FuncFormatter(lambda row, _: str(ids[round(row)]) if 0 <= round(row) < len(ids) else "")
            )
        self.note = f"mean of {tick_text(table.together)} points per column" if table.together > 1 else ""
        return table.first - half, table.last + half

    def place(self, right: float, bottom: float, size: tuple[float, float]) -> None:
        """Put the bar with its numbers above ``bottom`` and left of ``right``; points, as is the figure's ``size``."""
        across, up = size
        height = 5.5
        y = bottom + self.HEIGHT - height
        place = ((right - self.WIDTH - 6.0) / across, y / up, self.WIDTH / across, height / up)
        if place != self._place:
            self._place = place
            self._bar_axes.set_position(place)

    def remove(self) -> None:
        self._bar_axes.remove()
        self._image.remove()


@dataclass(slots=True, frozen=True)
class LoadTable:
    """The image's numbers."""

    loads: Floats
    """Load over fair share by expert and column; NaN where none was given. A column of several steps has their mean."""
    first: float
    """Step in the middle of the first column."""
    last: float
    """Step in the middle of the last column."""
    per_column: float
    """Steps from one column to the next."""
    together: int
    """Points of each expert that one column stands for."""


def load_table(histories: list[History], among: int, newest: int | None = None) -> LoadTable | None:
    """The loads of the experts whose ``histories`` these are, ``among`` being all experts; None without any points."""
    kept = [_loads(history, newest) for history in histories]
    steps = [each.earliest for each in kept if each.earliest.size]
    if not steps:
        return None
    first = min(float(column.min()) for column in steps)
    last = max(float(each.latest.max()) for each in kept if each.latest.size)
    spacing = next(each.spacing for each in kept if each.earliest.size)
    together = max(1, math.ceil((last - first) / spacing / MOST_COLUMNS))
    width = spacing * together
    count = round((last - first) / width) + 1
    table = np.full((len(kept), count), np.nan)
    for row, each in enumerate(kept):
        low, high = (
            np.minimum(((at - first) / width + 0.5).astype(np.intp), count - 1) for at in (each.earliest, each.latest)
        )
        columns = high - low + 1  # a bucket of points counts in each column that it reaches, for an equal part
        places = np.repeat(low, columns) + np.arange(columns.sum()) - np.repeat(np.cumsum(columns) - columns, columns)
        weights = np.repeat(each.numbers / columns, columns)
        number = np.bincount(places, weights=weights, minlength=count)
        total = np.bincount(places, weights=np.repeat(each.loads, columns) * weights, minlength=count)
        np.divide(total, number, out=table[row], where=number > 0.0)
    given = ~np.isnan(table)
    fair = np.where(given, table, 0.0).sum(axis=0) / max(among, len(histories))
    loads = np.full(table.shape, np.nan)
    np.divide(table, fair, out=loads, where=given & (fair > 0.0))
    return LoadTable(loads, first, first + (count - 1) * width, width, together)


@dataclass(slots=True, frozen=True)
class _Loads:
    """The loads of one expert: raw points by themselves, older ones as the means of buckets."""

    earliest: Floats
    """Step of the point, or the first step of the bucket."""
    latest: Floats
    loads: Floats
    numbers: Floats
    """How many finite points each stands for."""
    spacing: float
    """The smallest distance of two of the raw steps; 1 where there are no two."""


def _loads(history: History, newest: int | None) -> _Loads:
    kept = history.kept(newest)
    steps, values = (np.frombuffer(column) if column else _NONE for column in (kept.steps, kept.values))
    older = older_buckets(kept, newest)
    gaps = np.abs(np.diff(steps))
    spacing = float(gaps[gaps > 0].min()) if (gaps > 0).any() else 1.0
    finite = older[buckets.COUNT] - older[buckets.NAN] - older[buckets.INFINITE]
    there = np.isfinite(values)
    loads = np.concatenate((older[buckets.MEAN], np.where(there, values, 0.0)))
    return _Loads(
        earliest=np.concatenate((older[buckets.EARLIEST], steps)),
        latest=np.concatenate((older[buckets.LATEST], steps)),
        loads=np.clip(loads, 0.0, _LARGEST_LOAD),
        numbers=np.concatenate((finite, there)),
        spacing=spacing,
    )
