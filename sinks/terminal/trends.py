"""Where a metric is going: up, down or about the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum
from itertools import pairwise
from typing import Final

STILL: Final = 0.002
"""A relative change up to this counts as none."""

NOISE: Final = 3.0
"""Two means that lie closer than this, in their standard errors or nearly so, are taken for equal."""

_HIGHER_IS_BETTER: Final = ("accuracy", "acc", "f1", "score", "precision", "recall", "auc", "bleu", "reward", "return")
_LOWER_IS_BETTER: Final = ("loss", "error", "err", "perplexity", "ppl", "mse", "rmse", "mae", "wer", "cer")


class Direction(Enum):
    """How a value compares with the one before."""

    UP = 1
    DOWN = -1
    SAME = 0
    UNKNOWN = None


def direction(before: float | None, now: float | None) -> Direction:
    """From ``before`` to ``now``; UNKNOWN when either is missing or not finite."""
    if before is None or now is None or before - before != 0.0 or now - now != 0.0:
        return Direction.UNKNOWN
    if abs(now - before) <= STILL * max(abs(now), abs(before)):
        return Direction.SAME
    return Direction.UP if now > before else Direction.DOWN


def better(name: str, way: Direction) -> bool | None:
    """Whether going ``way`` is good news for the metric ``name``, judged by its words; None where nobody can tell."""
    if way not in (Direction.UP, Direction.DOWN):
        return None
    words = name.lower().replace("-", "_").replace("/", "_").split("_")
    if any(word in _LOWER_IS_BETTER for word in words):
        return way is Direction.DOWN
    if any(word in _HIGHER_IS_BETTER for word in words):
        return way is Direction.UP
    return None


def tendency(values: Sequence[float | None]) -> Direction:
    """Where the newest eighth of ``values`` lies against the eighth before it, by their means; None: not measured.

    SAME for a difference that is no larger than the noise of such a mean, judged by the steps from one value to the
    next; UNKNOWN with fewer than two values.
    """
    some = [value for value in values[-2 * max(len(values) // 8, 1) :] if value is not None]
    if len(some) < 2:
        some = [value for value in values if value is not None][-2:]
    half = len(some) // 2
    if not half:
        return Direction.UNKNOWN
    before, now = sum(some[-2 * half : -half]) / half, sum(some[-half:]) / half
    if half > 2:
        restless = sum([abs(other - one) for one, other in pairwise(some)]) / (len(some) - 1)
        if abs(now - before) <= NOISE * restless / math.sqrt(half):
            return Direction.SAME
    return direction(before, now)


class Trends:
    """Where each metric was going when somebody looked last. One thread at a time."""

    def __init__(self) -> None:
        self._ways: dict[str, Direction] = {}

    def of(self, name: str) -> Direction:
        """UNKNOWN for a metric that nobody has looked at."""
        return self._ways.get(name, Direction.UNKNOWN)

    def see(self, name: str, values: Sequence[float | None]) -> None:
        """``values`` is what ``name`` was from the beginning on."""
        self._ways[name] = tendency(values)
