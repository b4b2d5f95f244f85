"""Limits of a vertical axis: always finite, never of no extent, with a little room around the data."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sinks.plotting.points import FARTHEST, NEAREST, Floats

_ROOM = 0.05


def padded(
    ranges: Sequence[tuple[float, float]], scale: str, *, from_zero: bool = False, headroom: float = 0.0
) -> tuple[float, float]:
    """Limits around the smallest and largest drawn value of each line; some limits even where there is no line."""
    if not ranges:
        return (0.1, 1.0) if scale == "log" else (0.0, 1.0)
    low = min(smallest for smallest, _ in ranges)
    high = max(largest for _, largest in ranges)
    if scale == "log":
        return _padded_log(low, high)
    if scale == "symlog":
        return _away(low, up=False), _away(high, up=True) if high > low or high else 1.0
    if from_zero and low >= 0.0:
        return 0.0, (high if high > 0.0 else 1.0) * (1.0 + _ROOM) / (1.0 - headroom)
    extent = high - low
    if extent <= 1e-9 * max(abs(low), abs(high)):
        room = abs(low) * 0.1 or 1.0
        return low - room, high + room
    return low - _ROOM * extent, high + (_ROOM + headroom) * extent


def _padded_log(low: float, high: float) -> tuple[float, float]:
    decades = math.log10(high) - math.log10(low)
    if decades < 1e-9:
        return max(low / 2.0, NEAREST / 10), high * 2.0
    room = 10.0 ** min(_ROOM * decades, 3.0)
    return max(low / room, NEAREST / 10), min(high * room, FARTHEST * 100)


def _away(value: float, *, up: bool) -> float:
    """``value`` half as far again in one direction, as a symlog axis counts distance."""
    return value * 1.5 if (value > 0) is up else value / 1.5


def symlog_threshold(values: Sequence[Floats]) -> float:
    """Where a symlog axis turns linear: the power of ten below nine tenths of the sizes, so that the small are seen."""
    sizes = np.abs(np.concatenate([*values, np.empty(0)]))
    sizes = sizes[np.isfinite(sizes) & (sizes > 0.0)]
    if not sizes.size:
        return 1.0
    typical = float(np.quantile(sizes, 0.1))
    return 10.0 ** math.floor(math.log10(max(typical, float(sizes.max()) * 1e-8, NEAREST)))
