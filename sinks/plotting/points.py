"""From a history to what one line draws: broken where it must be, thinned where nobody could see the difference.

Pure NumPy, no matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from m.metrics.history import History

Floats: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.intp]

MOST_POINTS: Final = 2000
"""About so many points are drawn of one line: more than a panel has pixels."""
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


def points_of(history: History, *, log: bool = False, newest: int | None = None) -> Points:
    """What to draw of ``history``, or of its ``newest`` points.

    NaN, infinities and, on a ``log`` axis, values that are not positive interrupt the line and are counted. A step
    that goes backwards begins a new piece of line; nothing is sorted or dropped. Of many points the extremes stay.
    """
    steps, values = history.columns(newest)
    x: Floats = np.frombuffer(steps) if steps else np.empty(0)
    y: Floats = np.frombuffer(values) if values else np.empty(0)
    if not x.size:
        return Points(x, y, np.empty(0, np.intp), 0, None, None, x, 0, 0, 0)
    finite = np.isfinite(y)
    nan = int(np.isnan(y).sum())
    drawn = finite & (y > 0.0) if log else finite
    y = np.where(drawn, np.clip(y, NEAREST if log else -FARTHEST, FARTHEST), np.nan)
    shown = y[drawn]
    line_x, line_y = thinned(*_broken_where_backwards(x, y))
    return Points(
        x=line_x,
        y=line_y,
        alone=_alone(line_y),
        count=int(x.size),
        steps=(float(x.min()), float(x.max())),
        values=(float(shown.min()), float(shown.max())) if shown.size else None,
        broken=x[~finite],
        nan=nan,
        infinite=int(x.size - finite.sum()) - nan,
        not_positive=int((finite & ~drawn).sum()),
    )


def thinned(x: Floats, y: Floats, most: int = MOST_POINTS) -> tuple[Floats, Floats]:
    """At most about ``most`` points that look the same: of each stretch the first, last, least, greatest and a gap."""
    if x.size <= most:
        return x, y
    length = -(-5 * x.size // most)  # five points are kept of each stretch
    whole = x.size // length * length
    rows = y[:whole].reshape(-1, length)
    missing = np.isnan(rows)
    starts = np.arange(0, whole, length)
    low = np.where(missing, np.inf, rows).argmin(axis=1)
    high = np.where(missing, -np.inf, rows).argmax(axis=1)
    gaps = missing.argmax(axis=1)  # the first NaN; position 0, which is kept anyway, where there is none
    kept: Any = (starts, starts + low, starts + high, starts + gaps, starts + length - 1, np.arange(whole, x.size))
    indices = np.unique(np.concatenate(kept))
    return x[indices], y[indices]


def _broken_where_backwards(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    back = np.flatnonzero(np.diff(x) < 0) + 1
    if not back.size:
        return x, y
    return np.insert(x, back, x[back]), np.insert(y, back, np.nan)


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
