"""Many experts or layers over time: one row each, one column for a stretch of steps. The colour is the load over the
fair share, or how much the loads of a layer vary; dead experts are black."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
from m.metrics.buckets import Floats, Indices, Mask
from m.metrics.experts import DEAD_UNDER
from m.metrics.history import History
from m.metrics.layers import told_apart
from sinks.plotting.dress import new_axes
from sinks.plotting.glyphs import drawable, plain
from sinks.plotting.lines import FRONT
from sinks.plotting.plan import HeatMap
from sinks.plotting.points import older_buckets
from sinks.plotting.styles import Style
from sinks.plotting.text import tick_text

MOST_COLUMNS: Final = 700
_NOT_GIVEN: Final = "#D9D9D9"
_DEAD: Final = "#1A1A1A"
_IS_DEAD: Final = -1.0
"""What stands in the image for a dead expert: less than any load, and drawn in a colour of its own."""
_LARGEST_LOAD: Final = 1e290  # sums of such loads do not overflow
_NONE: Final = np.empty(0)
_EMPTY: Final = History()


class HeatMapView:
    """The image in the axes of a panel, and its colour bar. The bar lies above the axes, so it costs no width."""

    HEIGHT: Final = 13.0
    """Of the bar and its numbers, in points."""
    WIDTH: Final = 84.0

    def __init__(self, figure: Figure, axes: Axes, style: Style, *, front: bool = False) -> None:
        """``front``: whether somebody else draws the image, over a background that is kept."""
        self._axes = axes
        self.ids: tuple[int | str, ...] = ()
        """The experts or layers whose rows there are, from below."""
        self._of_layers: bool | None = None
        axes.yaxis.set_minor_locator(NullLocator())
        self._image = AxesImage(
            axes,
            norm=Normalize(0.0, 1.0),  # the colours are said below
            interpolation="nearest",
            origin="lower",
            extent=(0.0, 1.0, -0.5, 0.5),
            resample=False,
        )
        self._image.set_data(np.full((1, 1), np.nan))
        self._image.set_clip_path(axes.patch)
        self._image.set(zorder=FRONT - 0.05, animated=front)  # the marks of alerts lie over it
        axes.add_image(self._image)
        self._bar_axes = new_axes(figure, style)
        bar: Any = figure.colorbar(self._image, cax=self._bar_axes, orientation="horizontal", extend="max")
        self._bar = bar
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
        self._speak_of_layers(False)
        self._place: tuple[float, float, float, float] | None = None
        self.note = ""
        """What a reader must know about the columns."""

    def show(self, plan: HeatMap, histories: Mapping[str, History], newest: int | None) -> tuple[float, float] | None:
        """Draw the loads; gives the steps that the image spans, or None when there are none."""
        rows = [histories[name] for _, name in plan.experts]
        if plan.dead is None:
            table = load_table(rows, plan.among, newest)
        else:
            table = layer_table(rows, [histories.get(name, _EMPTY) for name in plan.dead], newest)
        if table is None:
            return None
        self._speak_of_layers(plan.dead is not None)
        ids = tuple(expert for expert, _ in plan.experts)
        if plan.dead is not None:
            ids = tuple(drawable(name, 16) for name in told_apart([str(layer) for layer in ids]))
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
        notes = ["black: dead"] if table.any_dead else []
        if table.together > 1:
            what = "mean" if plan.dead is None else "largest"
            notes.append(f"{what} of {tick_text(table.together)} points per column")
        self.note = " · ".join(notes)
        return table.first - half, table.last + half

    def _speak_of_layers(self, of_layers: bool) -> None:
        """Have colours and their bar stand for the variation within layers, or for the loads of experts."""
        if of_layers == self._of_layers:
            return
        self._of_layers = of_layers
        name, top = ("YlOrRd", 1.0) if of_layers else ("RdBu_r", 2.0)
        self._image.set_cmap(colormaps[name].with_extremes(bad=_NOT_GIVEN, under=_DEAD))
        self._image.set_norm(Normalize(0.0, top))
        self._bar.set_ticks([0.0, top / 2, top])
        self._bar.ax.set_xticklabels(["even", "cv", "1"] if of_layers else ["0", "fair share", "2×"])
        for label in self._bar.ax.get_xticklabels():
            plain(label)

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
    """Load over fair share by expert and column, or the variation by layer and column; NaN where none was given, and
    less than 0 where an expert is dead. A column of several steps has the mean load, or the largest variation."""
    first: float
    """Step in the middle of the first column."""
    last: float
    """Step in the middle of the last column."""
    per_column: float
    """Steps from one column to the next."""
    together: int
    """Points of each row that one column stands for."""
    any_dead: bool = False
    """Whether an expert is dead in some cell."""


def load_table(histories: list[History], among: int, newest: int | None = None) -> LoadTable | None:
    """The loads of the experts whose ``histories`` these are, ``among`` being all experts; None without any points.

    Of the ``newest`` points the table begins where the last of the experts' windows does: earlier the fair share,
    which is the mean of all, is not known.
    """
    kept = [_points(history, newest, buckets.MEAN) for history in histories]
    columns = _Columns.of(kept)
    if columns is None:
        return None
    table = np.full((len(kept), columns.count), np.nan)
    for row, each in enumerate(kept):
        places, members, shares = columns.places(each)
        weights = each.numbers[members] * shares
        number = np.bincount(places, weights=weights, minlength=columns.count)
        total = np.bincount(places, weights=each.loads[members] * weights, minlength=columns.count)
        np.divide(total, number, out=table[row], where=number > 0.0)
    given = ~np.isnan(table)
    fair = np.where(given, table, 0.0).sum(axis=0) / max(among, len(histories))
    loads = np.full(table.shape, np.nan)
    np.divide(table, fair, out=loads, where=given & (fair > 0.0))
    dead = loads < DEAD_UNDER
    loads[dead] = _IS_DEAD
    return columns.table(loads, any_dead=bool(dead.any()))


def layer_table(variations: list[History], dead: Sequence[History], newest: int | None = None) -> LoadTable | None:
    """The layers whose ``variations`` these are; in a column the largest, and dead where an expert was at any of its
    points; between two points what the first of them says. None without any points."""
    kept = [_points(history, newest, buckets.GREATEST + 2) for history in variations]
    deaths = [_points(history, newest, buckets.GREATEST + 2) for history in dead]
    columns = _Columns.of([*kept, *deaths])
    if columns is None:
        return None
    table = np.full((len(kept), columns.count), np.nan)
    any_dead = False
    for row, (each, count) in enumerate(zip(kept, deaths, strict=True)):
        places, members, _ = columns.places(each)
        np.fmax.at(table[row], places, np.where(each.numbers > 0.0, each.loads, np.nan)[members])
        places, members, _ = columns.places(count)
        at = places[count.loads[members] > 0.0]
        table[row, at] = _IS_DEAD
        _hold(table[row])
        any_dead = any_dead or bool(at.size)
    return columns.table(table, any_dead=any_dead)


def _hold(row: Floats) -> None:
    """Where nothing was read, what was read last goes on: loads of many layers are not read at every step."""
    known = np.flatnonzero(~np.isnan(row))
    if known.size:
        upto = np.arange(known[0], known[-1] + 1)
        row[upto] = row[known[np.searchsorted(known, upto, side="right") - 1]]


@dataclass(slots=True, frozen=True)
class _Columns:
    """Which steps a column of the image stands for."""

    first: float
    width: float
    count: int
    together: int

    @classmethod
    def of(cls, kept: Sequence[_Points]) -> _Columns | None:
        """Columns for all points from where each row has the points that it was given; None when there are none."""
        there = [each for each in kept if each.earliest.size]
        if not there:
            return None
        first = min(float(each.earliest.min()) for each in there)
        first = max([first, *(float(each.earliest.min()) for each in there if each.is_cut)])
        last = max(float(each.latest.max()) for each in there)
        together = max(1, math.ceil((last - first) / there[0].spacing / MOST_COLUMNS))
        width = there[0].spacing * together
        return cls(first, width, round((last - first) / width) + 1, together)

    def places(self, each: _Points) -> tuple[Indices, Indices, Floats]:
        """The columns that points and buckets reach, for each of those which point it is and what part of it."""
        low, high = (
            np.minimum(np.floor((at - self.first) / self.width + 0.5), self.count - 1.0)
            for at in (each.earliest, each.latest)
        )
        shares = 1.0 / (high - low + 1.0)  # a bucket of points counts in each column that it reaches, for an equal part
        low, high = np.maximum(low, 0.0).astype(np.intp), np.maximum(high, -1.0).astype(np.intp)
        reached = high - low + 1  # none of what lies before the first column
        before = np.repeat(np.cumsum(reached) - reached, reached)
        members = np.repeat(np.arange(low.size), reached)
        return low[members] + np.arange(reached.sum()) - before, members, shares[members]

    def table(self, loads: Floats, *, any_dead: bool) -> LoadTable:
        last = self.first + (self.count - 1) * self.width
        return LoadTable(loads, self.first, last, self.width, self.together, any_dead)


@dataclass(slots=True, frozen=True)
class _Points:
    """One row's points: raw ones by themselves, older ones as buckets."""

    earliest: Floats
    """Step of the point, or the first step of the bucket."""
    latest: Floats
    loads: Floats
    numbers: Floats
    """How many finite points each stands for."""
    spacing: float
    """The smallest distance of two of the raw steps; 1 where there are no two."""
    is_cut: bool
    """Whether there were points before these, which the window leaves out."""


def _points(history: History, newest: int | None, of_bucket: int) -> _Points:
    """``of_bucket`` is the row of a table of buckets that stands for the bucket's points."""
    kept = history.kept(newest)
    steps, values = (np.frombuffer(column) if column else _NONE for column in (kept.steps, kept.values))
    older = older_buckets(kept, newest)
    gaps = np.abs(np.diff(steps))
    spacing = float(gaps[gaps > 0].min()) if (gaps > 0).any() else 1.0
    finite = older[buckets.COUNT] - older[buckets.NAN] - older[buckets.INFINITE]
    of_buckets = np.where(finite > 0.0, older[of_bucket], 0.0)
    there = np.isfinite(values)
    gap = _with_gap(older, spacing)  # half of such a bucket stands at its first step, half at its last
    earliest, latest, numbers = older[buckets.EARLIEST], older[buckets.LATEST], np.where(gap, finite / 2.0, finite)
    loads = np.concatenate((of_buckets, of_buckets[gap], np.where(there, values, 0.0)))
    return _Points(
        earliest=np.concatenate((earliest, latest[gap], steps)),
        latest=np.concatenate((np.where(gap, earliest, latest), latest[gap], steps)),
        loads=np.clip(loads, 0.0, _LARGEST_LOAD),
        numbers=np.concatenate((numbers, numbers[gap], there)),
        spacing=spacing,
        is_cut=bool(older[buckets.COUNT].sum() < kept.start),
    )


def _with_gap(older: Floats, spacing: float) -> Mask:
    """Which buckets span a stretch without points: the steps in them lie twice as far apart as in those before and
    after, or as the raw ones, which are ``spacing`` apart."""
    extents = older[buckets.LATEST] - older[buckets.EARLIEST]
    apart = np.concatenate(([0.0], extents / np.maximum(older[buckets.COUNT] - 1.0, 1.0), [spacing]))
    found: Mask = (apart[1:-1] > 2.0 * np.maximum(apart[:-2], apart[2:])) & (older[buckets.CROSSED] == 0.0)
    return found
