"""Where a metric is going, from one table to the next: up, down or about the same."""

from __future__ import annotations

from collections.abc import Container
from enum import Enum
from typing import Final

from sinks.terminal.course import Course

STILL: Final = 0.002
"""A relative change up to this counts as none."""

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


class Trends:
    """Remembers what the last table said, to tell where this one goes. One thread at a time."""

    def __init__(self) -> None:
        self._values: dict[str, float] = {}
        self._sums: dict[str, tuple[float, int]] = {}
        self._ways: dict[str, Direction] = {}

    def of(self, name: str) -> Direction:
        """The direction found at the newest table."""
        return self._ways.get(name, Direction.UNKNOWN)

    def see(self, name: str, value: object) -> None:
        """The new table shows ``value``."""
        if not isinstance(value, (int, float)):
            return
        self._ways[name] = direction(self._values.get(name), value)
        self._values[name] = value

    def forget_others(self, names: Container[str]) -> None:
        """Only ``names`` are still shown."""
        for name in [name for name in self._values if name not in names]:
            del self._values[name], self._ways[name]

    def see_course(self, name: str, course: Course) -> None:
        """The new table shows ``course``: compared are the means over the steps between tables, not two noisy steps."""
        total, number = course.total, course.count
        before_total, before_number = self._sums.get(name, (0.0, 0))
        if number > before_number:
            self._sums[name] = (total, number)
            self.see(name, (total - before_total) / (number - before_number))
