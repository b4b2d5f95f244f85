"""A metric's past in one row of characters: the whole of it, and its newest values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from operator import sub
from typing import Final

from sinks.terminal.look import PLAIN, Look, Row, Span
from sinks.terminal.past import Series, Values
from sinks.terminal.trends import Direction, better

STANDS_OUT: Final = 0.25
"""An extreme that lies so far from the mean of its column, as a share of the whole range, is shown instead of it."""
CLEARLY: Final = 3.0
"""And it must be so much farther away than the other extreme of its column, or than in other columns: noise goes both
ways and is everywhere."""
LEAST_RANGE: Final = 0.05
"""The height of a row stands for at least this share of the greatest value: noise about a constant is no mountain."""
PER_COLUMN: Final = 4
"""Of the newest values so many make a column, as soon as there are enough of them."""
LOG_FROM: Final = 30.0
"""Positive losses and norms that span so large a ratio are shown on a logarithmic scale."""


@dataclass(slots=True)
class Columns:
    """A series in few columns: four lists of equal length."""

    low: Values
    mean: Values
    high: Values
    broken: set[int]
    """Columns in which a value was NaN or infinite."""

    def shown(self) -> Values:
        """The value at which each column stands: its mean, or the extreme where one stands out, as a spike does."""
        lows, means, highs = _known(self.low), _known(self.mean), _known(self.high)
        if not lows:
            return self.mean
        far = STANDS_OUT * (max(highs) - min(lows))
        ups, downs = list(map(sub, highs, means)), list(map(sub, means, lows))
        if max(ups) <= far and max(downs) <= far:
            return self.mean
        above, below = _typical(ups), _typical(downs)
        values: Values = []
        for low, mean, high in zip(self.low, self.mean, self.high, strict=True):
            if low is None or mean is None or high is None:
                values.append(None)
                continue
            up, down = high - mean, mean - low
            if up > far and up * 1.001 >= down and (up > CLEARLY * down or up > CLEARLY * above):
                values.append(high)
            elif down > far and (down > CLEARLY * up or down > CLEARLY * below):
                values.append(low)
            else:
                values.append(mean)
        return values


def columns_of(series: Series, most: int) -> Columns:
    """``series`` in at most ``most`` columns, of which each holds nearly as many cells as every other."""
    cells = len(series.low)
    if cells <= most:
        return Columns(series.low, series.mean, series.high, series.broken)
    stretches = _stretches(cells, most)
    low, mean, high = series.low, series.mean, series.high
    hit = {((cell + 1) * most - 1) // cells for cell in series.broken}
    if None not in low:
        return Columns(
            [min(low[each]) for each in stretches],  # type: ignore[type-var]
            _means([mean[each] for each in stretches]),  # type: ignore[misc]
            [max(high[each]) for each in stretches],  # type: ignore[type-var]
            hit,
        )
    return Columns(
        [min(_known(low[each]), default=None) for each in stretches],
        _means([_known(mean[each]) for each in stretches]),
        [max(_known(high[each]), default=None) for each in stretches],
        hit,
    )


def newest_of(series: Series, most: int) -> Columns:
    """The newest values of ``series`` in at most ``most`` columns of `PER_COLUMN` each; of fewer while there are few.

    The last column fills up before there is another. So the columns move to the left by one now and then, and what they
    show stays what it was; were they counted from the end, each would change at every value.
    """
    measured = series.measured
    size = 1
    while size < PER_COLUMN and measured > size * most:
        size *= 2
    shown = min(measured, size * (most - 1) + (measured - 1) % size + 1)
    values = list(series.newest)[-shown:]
    if size == 1:
        single = [value if value - value == 0.0 else None for value in values]
        return Columns(single, single, single, {at for at, value in enumerate(single) if value is None})
    groups = [values[at : at + size] for at in range(0, len(values), size)]
    total = sum(values)
    if total - total == 0.0:
        return Columns(list(map(min, groups)), _means(groups), list(map(max, groups)), set())
    finite = [[value for value in each if value - value == 0.0] for each in groups]
    return Columns(
        [min(each, default=None) for each in finite],
        _means(finite),
        [max(each, default=None) for each in finite],
        {at for at, each in enumerate(groups) if len(finite[at]) < len(each)},
    )


@lru_cache(maxsize=8)
def _stretches(cells: int, columns: int) -> list[slice]:
    """The cells of each column."""
    edges = [column * cells // columns for column in range(columns + 1)]
    return [slice(start, end) for start, end in pairwise(edges)]


def _known(values: Values) -> list[float]:
    return [value for value in values if value is not None] if None in values else values  # type: ignore[return-value]


def _typical(distances: list[float]) -> float:
    """How far the extremes of columns lie from their means, as a rule (the median)."""
    return sorted(distances)[len(distances) // 2]


def _means(groups: list[list[float]]) -> Values:
    """The mean of each group, None of an empty one."""
    means: Values = [sum(each) / len(each) if each else None for each in groups]
    total = sum(_known(means))
    if total - total == 0.0:
        return means
    return [sum([value / len(each) for value in each]) if each else None for each in groups]  # a sum overflowed


def wants_log(name: str, low: float, high: float) -> bool:
    """A logarithmic scale says more of ``name`` from ``low`` to ``high``."""
    if low <= 0.0 or high < LOG_FROM * low:
        return False
    return better(name, Direction.DOWN) is True or "norm" in name.lower()


def sparkline(name: str, series: Series | None, width: int, look: Look) -> Row:
    """The whole past of ``name`` in exactly ``width`` cells; a cross where a value was not finite."""
    return ((" " * width, PLAIN),) if series is None else _row(name, columns_of(series, width), width, look)


def recent(name: str, series: Series | None, width: int, look: Look) -> Row:
    """The same of the newest values, ``width`` times `PER_COLUMN` of them, on a scale of their own."""
    return ((" " * width, PLAIN),) if series is None else _row(name, newest_of(series, width), width, look)


def _row(name: str, columns: Columns, width: int, look: Look) -> Row:
    values = columns.shown()
    known = _known(values)
    levels = look.glyphs.levels[:-1]  # not the full block: rows below each other stay apart
    top = len(levels) - 1
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    scale = values
    if wants_log(name, low, high):
        scale = [None if value is None else math.log(value) for value in values]
        low, high = math.log(low), math.log(high)
    else:
        missing = LEAST_RANGE * max(abs(low), abs(high)) - (high - low)
        if missing > 0.0:
            low, high = low - missing / 2, high + missing / 2
    size = high - low
    if size < 1e-300:  # nothing but zeros, or what divides like them
        low, size = low - 0.5, 1.0
    if not math.isfinite(size):  # values near the greatest that a float holds
        scale = [None if value is None else value / 4 for value in scale]
        low, size = low / 4, high / 4 - low / 4
    factor = top / size
    text = "".join([" " if value is None else levels[round((value - low) * factor)] for value in scale])
    text += " " * (width - len(values))
    spans: list[Span] = []
    start = 0
    for column in sorted(columns.broken):
        if column > start:
            spans.append((text[start:column], look.bar))
        spans.append((look.glyphs.cross, look.worse))
        start = column + 1
    return (*spans, (text[start:], look.bar)) if start < len(text) else tuple(spans)
