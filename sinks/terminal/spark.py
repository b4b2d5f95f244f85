"""A metric's past in one row of characters."""

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
        lows, highs = _known(self.low), _known(self.high)
        if not lows:
            return self.mean
        far = STANDS_OUT * (max(highs) - min(lows))
        above = _typical(highs, self.mean)
        below = -_typical(lows, self.mean)
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
            [sum(mean[each]) / (each.stop - each.start) for each in stretches],  # type: ignore[arg-type]
            [max(high[each]) for each in stretches],  # type: ignore[type-var]
            hit,
        )
    return Columns(
        [min(_known(low[each]), default=None) for each in stretches],
        [_mean(_known(mean[each])) for each in stretches],
        [max(_known(high[each]), default=None) for each in stretches],
        hit,
    )


@lru_cache(maxsize=8)
def _stretches(cells: int, columns: int) -> list[slice]:
    """The cells of each column."""
    edges = [column * cells // columns for column in range(columns + 1)]
    return [slice(start, end) for start, end in pairwise(edges)]


def _known(values: Values) -> list[float]:
    return [value for value in values if value is not None] if None in values else values  # type: ignore[return-value]


def _typical(extremes: list[float], means: Values) -> float:
    """How far the extremes of columns lie above their means, as a rule (the median)."""
    distances = sorted(map(sub, extremes, _known(means)))
    middle: float = distances[len(distances) // 2]
    return middle


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def wants_log(name: str, low: float, high: float) -> bool:
    """A logarithmic scale says more of ``name`` from ``low`` to ``high``."""
    if low <= 0.0 or high < LOG_FROM * low:
        return False
    return better(name, Direction.DOWN) is True or "norm" in name.lower()


def sparkline(name: str, series: Series | None, width: int, look: Look) -> Row:
    """The whole past of ``name`` in exactly ``width`` cells; a cross where a value was not finite."""
    if series is None:
        return ((" " * width, PLAIN),)
    columns = columns_of(series, width)
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
