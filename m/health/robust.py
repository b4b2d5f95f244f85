"""Level and spread of a few numbers, by their order: a few of them may be anything without doing harm."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

TO_DEVIATION: Final = 1.4826
"""Times the median absolute deviation is the standard deviation of a normal distribution (Hampel 1974)."""
_UPPER_TWENTIETH: Final = 1.6449
"""So many standard deviations above its median, the upper twentieth of a normal distribution begins."""


def median(values: Iterable[float]) -> float:
    """The middle of one or more finite values."""
    return middle(sorted(values))


def middle(ordered: Sequence[float]) -> float:
    """The median of values that are in order."""
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else 0.5 * ordered[half - 1] + 0.5 * ordered[half]


def deviation(ordered: Sequence[float], level: float) -> float:
    """How far values usually lie from their median ``level``, in the measure of a standard deviation.

    The larger of two: 1.4826 times the median absolute deviation, and the upper twentieth's distance from the median
    over 1.6449. They agree for normal noise. The second is larger for noise that is skewed upwards, or of which a part,
    more than a twentieth, comes from elsewhere: a mixture of tasks, say.
    """
    away = sorted([abs(value - level) for value in ordered])
    upper = ordered[(19 * len(ordered)) // 20] - level
    return max(TO_DEVIATION * middle(away), upper / _UPPER_TWENTIETH)
