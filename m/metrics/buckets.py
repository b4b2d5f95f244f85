"""Stretches of a history put together as buckets that keep every extreme. Pure NumPy; nothing here knows of time.

A table of buckets is a 2-d array of doubles, one column a bucket, one row a quantity by the names below. Tables are
never changed in place, so any thread may read one. A bucket stands for the points of one *cell*: cell number c of size
s are the points whose index, counted from the first point of the run, lies in [c s, (c + 1) s). So boundaries depend
neither on when somebody looks nor on how long the run gets, and cells of size 2 s are pairs of cells of size s.

A step that goes backwards is a *border*: it begins a new bucket within the cell. First, least, greatest and last point
of each stretch are what min-max thinning keeps; with them a line is drawn as if every point were drawn (the "M4"
aggregation of Jugel et al., VLDB 2014).
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.intp]
Mask: TypeAlias = npt.NDArray[np.bool_]

START: Final = 0
"""Index of the bucket's first point in the run."""
COUNT, NAN, INFINITE, NOT_POSITIVE = range(1, 5)
"""Points, and how many of them are NaN, infinite, or finite but not positive."""
MEAN: Final = 5
"""Mean of the finite values; 0 when there is none."""
BORDER: Final = 6
"""1 when the step went back from the point before the bucket to its first."""
CROSSED: Final = 7
"""1 when there is a border within, so that its points must not be joined by a line."""
EARLIEST, LATEST = 8, 9
"""Smallest and largest step."""
FIRST, LAST, LEAST, GREATEST, LEAST_POSITIVE = range(10, 25, 3)
"""Each begins three rows, index, step and value, of a finite point; NaN when there is none."""
BREAK: Final = 25
"""Index and step of the first point that is not finite, then the step of the last; NaN when there is none."""
ROWS: Final = 28


def bucketed(steps: Floats, values: Floats, start: int, size: int, before: float | None = None) -> Floats:
    """The buckets of points, the first of which has the index ``start``, in cells of ``size`` points.

    ``before`` is the step of the point before the first; None when the first begins the run.
    """
    count = steps.size
    border = np.empty(count, bool)
    border[0] = before is not None and steps[0] < before
    np.less(steps[1:], steps[:-1], out=border[1:])
    begins = border.copy()
    begins[-start % size :: size] = True
    begins[0] = True
    groups = _Groups(begins)
    starts, ends = groups.starts, groups.ends
    finite = np.isfinite(values)
    positive = values > 0.0
    all_finite, all_positive = bool(finite.all()), bool(positive.all())
    table = np.empty((ROWS, starts.size))
    table[START] = starts + start
    table[COUNT] = groups.numbers
    table[NAN : NOT_POSITIVE + 1] = 0.0
    numbers = table[COUNT]
    if not all_finite:
        nan = np.isnan(values)
        table[NAN] = groups.sums(nan)
        table[INFINITE] = groups.sums(~finite & ~nan)
        numbers = np.maximum(numbers - table[NAN] - table[INFINITE], 1.0)
    if not all_positive:
        table[NOT_POSITIVE] = groups.sums(finite & ~positive)
    with np.errstate(over="ignore"):
        # each summand is scaled first: a sum of values near 1e308 overflows where their mean does not
        table[MEAN] = groups.sums((values if all_finite else np.where(finite, values, 0.0)) / groups.spread(numbers))
    table[BORDER] = border[starts]
    table[CROSSED] = 0.0
    table[EARLIEST] = steps[starts]  # steps do not go back within a bucket
    table[LATEST] = steps[ends]
    points = np.stack((np.arange(start, start + count, dtype=np.float64), steps, values))
    table[FIRST : FIRST + 3] = _taken(points, starts if all_finite else groups.first(finite))
    table[LAST : LAST + 3] = _taken(points, ends if all_finite else groups.last(finite))
    table[LEAST : LEAST + 3] = _taken(points, groups.lowest(values, finite))
    table[GREATEST : GREATEST + 3] = _taken(points, groups.lowest(-values, finite))
    if all_finite and all_positive:
        table[LEAST_POSITIVE : LEAST_POSITIVE + 3] = table[LEAST : LEAST + 3]
    else:
        table[LEAST_POSITIVE : LEAST_POSITIVE + 3] = _taken(points, groups.lowest(values, finite & positive))
    if all_finite:
        table[BREAK:] = np.nan
    else:
        table[BREAK : BREAK + 2] = _taken(points[:2], groups.first(~finite))
        table[BREAK + 2] = _taken(points[1:2], groups.last(~finite))
    return table


def merged(table: Floats, size: int, *, across: bool = False) -> Floats:
    """The same points in cells of ``size``, which is no smaller than the cells of ``table``.

    A bucket still ends where a step goes back, unless ``across``: then each cell is one bucket, marked as crossed
    where it holds a border.
    """
    if not table.shape[1]:
        return table
    begins = np.empty(table.shape[1], bool)
    begins[0] = True
    cells = table[START] // size
    np.not_equal(cells[1:], cells[:-1], out=begins[1:])
    border = table[BORDER] > 0.0
    if not across:
        begins |= border
    groups = _Groups(begins)
    starts, ends = groups.starts, groups.ends
    if starts.size == begins.size:
        return table
    finite = table[COUNT] - table[NAN] - table[INFINITE]
    there = finite > 0.0
    all_there = bool(there.all())
    whole = np.empty((ROWS, starts.size))
    whole[START] = table[START, starts]
    whole[COUNT : NOT_POSITIVE + 1] = np.add.reduceat(table[COUNT : NOT_POSITIVE + 1], starts, axis=1)
    with np.errstate(over="ignore"):
        shares = finite / groups.spread(np.maximum(groups.sums(finite), 1.0))
        whole[MEAN] = groups.sums(table[MEAN] * shares)
    whole[BORDER] = table[BORDER, starts]
    crossed = (table[CROSSED] > 0.0) | (~begins & border)
    if crossed.any():
        whole[CROSSED] = np.logical_or.reduceat(crossed, starts)
        whole[EARLIEST] = np.minimum.reduceat(table[EARLIEST], starts)
        whole[LATEST] = np.maximum.reduceat(table[LATEST], starts)
    else:
        whole[CROSSED] = 0.0
        whole[EARLIEST] = table[EARLIEST, starts]
        whole[LATEST] = table[LATEST, ends]
    whole[FIRST : FIRST + 3] = _taken(table[FIRST : FIRST + 3], starts if all_there else groups.first(there))
    whole[LAST : LAST + 3] = _taken(table[LAST : LAST + 3], ends if all_there else groups.last(there))
    whole[LEAST : LEAST + 3] = _taken(table[LEAST : LEAST + 3], groups.lowest(table[LEAST + 2], there))
    whole[GREATEST : GREATEST + 3] = _taken(table[GREATEST : GREATEST + 3], groups.lowest(-table[GREATEST + 2], there))
    if all_there and not table[NOT_POSITIVE].any():
        whole[LEAST_POSITIVE : LEAST_POSITIVE + 3] = whole[LEAST : LEAST + 3]
    else:
        positive = ~np.isnan(table[LEAST_POSITIVE])
        positions = groups.lowest(table[LEAST_POSITIVE + 2], positive)
        whole[LEAST_POSITIVE : LEAST_POSITIVE + 3] = _taken(table[LEAST_POSITIVE : LEAST_POSITIVE + 3], positions)
    broken = ~np.isnan(table[BREAK])
    if broken.any():
        whole[BREAK : BREAK + 2] = _taken(table[BREAK : BREAK + 2], groups.first(broken))
        whole[BREAK + 2] = _taken(table[BREAK + 2 : BREAK + 3], groups.last(broken))
    else:
        whole[BREAK:] = np.nan
    return whole


def cell_size(points: int, borders: int, smallest: int, most: int) -> tuple[int, bool]:
    """How to put so many points with so many borders into about ``most`` buckets: the size of cells, doubled from
    ``smallest`` on, and whether to merge across borders. Those are kept while they are no more than half of ``most``.

    Where the first point lies in its cell plays no part, so that a window of fixed length always gets one answer.
    """
    across = borders > most // 2
    room = max(most if across else most - borders, 1)
    size = smallest
    while -(-points // size) > room:
        size *= 2
    return size, across


class _Groups:
    """Neighbouring points, or buckets, that are put together. Positions that do not exist are the number of all."""

    def __init__(self, begins: Mask) -> None:
        """``begins`` is true at the first of each group."""
        self.count = begins.size
        self.starts: Indices = np.flatnonzero(begins)
        after = np.empty_like(self.starts)
        after[:-1] = self.starts[1:]
        after[-1] = self.count
        self.ends: Indices = after - 1
        self.numbers: Indices = after - self.starts
        each = int(self.numbers[0])
        self._each = each if each * self.starts.size == self.count and bool((self.numbers == each).all()) else 0

    def spread(self, of_groups: Floats) -> Floats:
        """The number of each group for each of its members."""
        return np.repeat(of_groups, self._each or self.numbers)

    def sums(self, values: Any) -> Floats:
        found: Floats = np.add.reduceat(values, self.starts, dtype=np.float64)
        return found

    def first(self, mask: Mask) -> Indices:
        """Position of the first true."""
        found: Indices = np.minimum.reduceat(np.where(mask, np.arange(self.count), self.count), self.starts)
        return found

    def last(self, mask: Mask) -> Indices:
        """Position of the last true."""
        found: Indices = np.maximum.reduceat(np.where(mask, np.arange(self.count), -1), self.starts)
        return np.where(found < 0, self.count, found)

    def lowest(self, values: Floats, mask: Mask) -> Indices:
        """Position of the first of the smallest values, all of them finite, where the mask is true."""
        candidates = values if mask.all() else np.where(mask, values, np.inf)
        if self._each:
            found: Indices = self.starts + candidates.reshape(-1, self._each).argmin(axis=1)
            return found if candidates is values else np.where(mask[found], found, self.count)
        lowest = np.minimum.reduceat(candidates, self.starts)
        return self.first(mask & (candidates == self.spread(lowest)))


def _taken(rows: Floats, positions: Indices) -> Floats:
    """The columns at ``positions``; NaN where that is beyond the last."""
    missing = positions >= rows.shape[1]
    if not missing.any():
        taken: Floats = rows[:, positions]
        return taken
    return np.where(missing, np.nan, rows[:, np.where(missing, 0, positions)])
