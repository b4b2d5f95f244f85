"""Limits of an axis: always finite, never of no extent, with a little room around the data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from m.metrics.buckets import Floats
from sinks.plotting.points import FARTHEST, NEAREST

_ROOM = 0.05

Limits: TypeAlias = tuple[float, float]


def padded(ranges: Sequence[Limits], scale: str, *, from_zero: bool = False, headroom: float = 0.0) -> Limits:
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


def _padded_log(low: float, high: float) -> Limits:
    decades = math.log10(high) - math.log10(low)
    if decades < 1e-9:
        return max(low / 2.0, NEAREST / 10), high * 2.0
    room = 10.0 ** min(_ROOM * decades, 3.0)
    return max(low / room, NEAREST / 10), min(high * room, FARTHEST * 100)


def _away(value: float, *, up: bool) -> float:
    """``value`` half as far again in one direction, as a symlog axis counts distance."""
    return value * 1.5 if (value > 0) is up else value / 1.5


def calm(now: Limits | None, data: Limits, room: float) -> Limits:
    """A range for an axis that need not move at every update: ``now`` while that will do, else one with room to grow.

    It will do while ``data`` is within it and no more than the part ``room`` of it lies empty. A new one reaches
    farther than the data, by half of ``room``, on a side where that has outgrown ``now``.
    """
    if now is None:
        return data
    low, high = data
    extent = high - low
    if now[0] <= low and high <= now[1] and extent >= (1.0 - room) * (now[1] - now[0]):
        return now
    further = 0.5 * room * extent
    return low - further * (low < now[0]), high + further * (high > now[1])


def calm_log(now: Limits | None, data: Limits, room: float) -> Limits:
    """The same for a logarithmic axis, where extent is a matter of ratios."""
    before = None if now is None else _logs(now)
    low, high = calm(before, _logs(data), room)
    if now is not None and (low, high) == before:
        return now
    # what has been there and back is not quite what it was
    return min(10.0 ** max(low, math.log10(NEAREST)), data[0]), max(10.0 ** min(high, math.log10(FARTHEST)), data[1])


def _logs(limits: Limits) -> Limits:
    return math.log10(limits[0]), math.log10(limits[1])


def symlog_threshold(values: Sequence[Floats]) -> float:
    """Where a symlog axis turns linear: the power of ten below nine tenths of the sizes, so that the small are seen."""
    sizes = np.abs(np.concatenate([*values, np.empty(0)]))
    sizes = sizes[np.isfinite(sizes) & (sizes > 0.0)]
    if not sizes.size:
        return 1.0
    typical = float(np.quantile(sizes, 0.1))
    return 10.0 ** math.floor(math.log10(max(typical, float(sizes.max()) * 1e-8, NEAREST)))
