"""From a history to what one line draws: broken where it must be, thinned where nobody could see the difference.

Thinning is by the cells of `m.metrics.buckets`, whose size is a power of two: while a run grows, what is drawn of a
cell stays the same until pairs of cells are put together. Pure NumPy, no matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from m.metrics import buckets
from m.metrics.buckets import Floats, Indices
from m.metrics.history import History, Kept
from sinks.plotting.smoothing import average, settled_after

MOST_POINTS: Final = 1000
"""About so many points are drawn of one line unless somebody says otherwise, the extremes of each cell."""
FARTHEST: Final = 1e300
"""Values beyond are drawn here: matplotlib's limits and ticks overflow near the largest float."""
NEAREST: Final = 1e-300
"""The smallest value on a log axis."""


@dataclass(slots=True, frozen=True)
class Points:
    """One line, ready to be drawn."""

    x: Floats
    y: Floats
    """NaN where the line is broken."""
    alone: Indices
    """Positions of points without a neighbour, which a line alone would not show."""
    count: int
    """Points in the drawn part of the history."""
    steps: tuple[float, float] | None
    """First and last step, those of values that cannot be drawn included; None without points."""
    values: tuple[float, float] | None
    """Smallest and largest value drawn; None when there is none."""
    broken: Floats
    """Steps at which the value was NaN or infinite."""
    nan: int
    infinite: int
    not_positive: int
    """Values that a log axis leaves out."""
    together: int = 1
    """Points of a cell, of which at most the extremes, the ends and a gap are drawn."""
    average: Average | None = None
    """The moving average in front; None where none is asked for."""


@dataclass(slots=True, frozen=True)
class Average:
    """A moving average as a line."""

    x: Floats
    y: Floats
    """NaN where the line is broken."""
    alone: Indices
    """Positions of points without a neighbour."""


def points_of(
    history: History,
    *,
    log: bool = False,
    newest: int | None = None,
    most: int = MOST_POINTS,
    smoothing: float = 0.0,
) -> Points:
    """What to draw of ``history``, or of its ``newest`` points: about ``most`` points. With a ``smoothing`` above 0.0
    their moving average comes along (`sinks.plotting.smoothing`).

    NaN, infinities and, on a ``log`` axis, values that are not positive interrupt the line and are counted. A step
    that goes backwards begins a new piece of line; nothing is sorted or dropped. Of many points the extremes stay, and
    the work does not grow with the length of the run. More ``newest`` points than are kept raw begin with a bucket.
    """
    kept = history.kept(newest)
    x, y = _raw(kept)
    older = older_buckets(kept, newest)
    if not x.size and not older.shape[1]:
        return Points(x, y, np.empty(0, np.intp), 0, None, None, x, 0, 0, 0)
    size, table = _table(kept, older, newest, most)
    line_x, line_y = _line(table, log=log)
    low = table[(buckets.LEAST_POSITIVE if log else buckets.LEAST) + 2]
    high = table[buckets.GREATEST + 2]
    low = low[~np.isnan(low)]
    nan, infinite, not_positive = (
        int(table[row].sum()) for row in (buckets.NAN, buckets.INFINITE, buckets.NOT_POSITIVE)
    )
    return Points(
        x=line_x,
        y=line_y,
        alone=_alone(line_y),
        count=int(table[buckets.COUNT].sum()),
        steps=(float(table[buckets.EARLIEST].min()), float(table[buckets.LATEST].max())),
        values=_clipped(float(low.min()), float(np.nanmax(high)), log=log) if low.size else None,
        broken=_broken(older, x, y),
        nan=nan,
        infinite=infinite,
        not_positive=not_positive if log else 0,
        together=size,
        average=_average(history, table, newest, most, smoothing, log=log) if smoothing else None,
    )


def _raw(kept: Kept) -> tuple[Floats, Floats]:
    return (
        np.frombuffer(kept.steps) if kept.steps else np.empty(0),
        np.frombuffer(kept.values) if kept.values else np.empty(0),
    )


def _table(kept: Kept, older: Floats, newest: int | None, most: int) -> tuple[int, Floats]:
    """The buckets to draw, ``older`` ones and raw points, and how many points each of them stands for."""
    x, y = _raw(kept)
    total = kept.start + x.size
    before = kept.folded.last_step if older.shape[1] else None
    return _cells(older, x, y, kept.start, before, total if newest is None else min(newest, total), most)


def _average(history: History, table: Floats, newest: int | None, most: int, factor: float, *, log: bool) -> Average:
    """The average of what ``table`` holds. Of the ``newest`` points it remembers those before them: what it says of a
    point must not change while the window moves on."""
    first = table[buckets.START, 0]
    if newest is not None:
        reach = newest + settled_after(factor)
        kept = history.kept(reach)
        table = _table(kept, older_buckets(kept, reach), reach, most)[1]
    index, x, y = average(table, factor)
    inside = index >= first
    x, y = x[inside], y[inside]
    drawn = y > 0.0 if log else ~np.isnan(y)
    y = np.where(drawn, np.clip(y, NEAREST if log else -FARTHEST, FARTHEST), np.nan)
    return Average(x, y, _alone(y))


def older_buckets(kept: Kept, newest: int | None) -> Floats:
    """The buckets that stand for the points before the raw ones in ``kept``, old to new; of the ``newest`` points those
    that lie wholly among them. Where these would lack more than a sixteenth of the points, the one before them too."""
    if not kept.folded.levels or (newest is not None and newest <= len(kept.steps)):
        return np.empty((buckets.ROWS, 0))
    table = np.concatenate(kept.folded.levels[::-1], axis=1)
    if newest is None:
        return table
    begin = kept.start + len(kept.steps) - newest
    first = int(np.searchsorted(table[buckets.START], begin))
    whole = table[buckets.START, first] if first < table.shape[1] else kept.start
    return table[:, first - (first > 0 and whole - begin > newest / 16) :]


def _cells(
    older: Floats, x: Floats, y: Floats, start: int, before: float | None, points: int, most: int
) -> tuple[int, Floats]:
    """Buckets in cells of one size, which comes with them: of ``older`` buckets and the raw points, which begin at the
    index ``start`` with the step ``before`` in front of them; of few points, each. They are ``points`` or a bucket
    less or more in all."""
    if not older.shape[1] and x.size <= most:
        return 1, buckets.bucketed(x, y, start, 1, before)
    # the cells of a table are powers of two, so the points of its largest bucket tell how large they are
    smallest = 1 << (int(older[buckets.COUNT].max(initial=1.0)) - 1).bit_length()
    borders = int((np.diff(x) < 0).sum() + older[buckets.BORDER].sum())
    size, across = buckets.cell_size(points, borders, smallest, most // 2)
    table = buckets.merged(older, size, across=across)
    if x.size:
        table = np.concatenate((table, buckets.bucketed(x, y, start, size, before)), axis=1)
    return size, buckets.merged(table, size, across=across)


def _line(table: Floats, *, log: bool) -> tuple[Floats, Floats]:
    """The points that stand for each bucket in the order of the run, with NaN where the line is broken.

    They are its extremes; also its first and last point where the line begins, ends or is broken there.
    """
    extremes = (buckets.LEAST, buckets.GREATEST, *((buckets.LEAST_POSITIVE,) * log))
    every = np.arange(table.shape[1])
    broken = ~np.isnan(table[buckets.BREAK])
    border = table[buckets.BORDER] > 0.0
    ends = broken | border
    ends[:-1] |= border[1:]
    ends &= table[buckets.CROSSED] == 0.0  # there is no line between the points of such a bucket
    ends[0] = ends[-1] = True
    edges, breaks = np.flatnonzero(ends), np.flatnonzero(broken)
    parts = [*((row, every) for row in extremes), (buckets.FIRST, edges), (buckets.LAST, edges)]
    index = np.concatenate([*(table[row, at] for row, at in parts), table[buckets.BREAK, breaks]])
    x = np.concatenate([*(table[row + 1, at] for row, at in parts), table[buckets.BREAK + 1, breaks]])
    y = np.concatenate([*(table[row + 2, at] for row, at in parts), np.full(breaks.size, np.nan)])
    of = np.concatenate([*(at for _, at in parts), breaks])
    index, positions = np.unique(index, return_index=True)  # the missing ones are one NaN, the last
    if index.size and np.isnan(index[-1]):
        positions = positions[:-1]
    x, y, of = x[positions], y[positions], of[positions]
    drawn = y > 0.0 if log else ~np.isnan(y)
    y = np.where(drawn, np.clip(y, NEAREST if log else -FARTHEST, FARTHEST), np.nan)
    new = np.diff(of, prepend=-1) > 0
    crossed = table[buckets.CROSSED, of] > 0.0
    apart = (new & border[of]) | crossed | np.concatenate(([False], crossed[:-1]))
    apart[0] = False
    at = np.flatnonzero(apart)
    return (np.insert(x, at, x[at]), np.insert(y, at, np.nan)) if at.size else (x, y)


def _clipped(low: float, high: float, *, log: bool) -> tuple[float, float]:
    least = NEAREST if log else -FARTHEST
    return min(max(low, least), FARTHEST), min(max(high, least), FARTHEST)


def _broken(older: Floats, x: Floats, y: Floats) -> Floats:
    """Steps of values that are not finite; of a bucket the first and the last."""
    ends = older[buckets.BREAK + 1 : buckets.BREAK + 3].T.ravel()
    return np.concatenate((ends[~np.isnan(ends)], x[~np.isfinite(y)]))


def _alone(y: Floats) -> Indices:
    there = np.concatenate(([False], ~np.isnan(y), [False]))
    return np.flatnonzero(there[1:-1] & ~there[:-2] & ~there[2:])


def note_of(points: Sequence[Points]) -> str:
    """What the lines of a panel cannot show, counted; empty when there is nothing."""
    parts = []
    hidden = sum(each.not_positive for each in points)
    if hidden:
        parts.append(f"{hidden} value{'s' if hidden > 1 else ''} ≤ 0 not shown")
    for count, name in ((sum(each.nan for each in points), "NaN"), (sum(each.infinite for each in points), "inf")):
        if count:
            parts.append(f"{count} {name}")
    return " · ".join(parts)
