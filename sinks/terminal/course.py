"""First, best and newest value of one loss, and enough to see where it is going."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


class Course:
    """What is remembered of one loss. Lower is better; values that are not finite are counted apart."""

    __slots__ = (
        "best",
        "best_step",
        "first",
        "last",
        "last_step",
        "nonfinite",
        "nonfinite_since",
    )

    def __init__(self) -> None:
        self.first: float | None = None
        self.last: float | None = None
        self.last_step = 0
        self.best: float = math.inf
        self.best_step: int | None = None
        self.nonfinite = 0
        """Values so far that were NaN or infinite."""
        self.nonfinite_since: int | None = None
        """The step at which it stopped being finite; None while it is finite."""

    def copy(self) -> Course:
        """This moment of the course, which goes on without it."""
        twin = Course.__new__(Course)
        twin.first = self.first
        twin.last, twin.last_step = self.last, self.last_step
        twin.best, twin.best_step = self.best, self.best_step
        twin.nonfinite, twin.nonfinite_since = self.nonfinite, self.nonfinite_since
        return twin

    def extend(self, steps: Sequence[int], values: Sequence[Any]) -> None:
        """Add the number that was measured at each of ``steps``; None: nothing."""
        try:
            total = sum(values)
            plain = total - total == 0.0
        except TypeError:  # None among them
            plain = False
        if not plain or self.first is None or self.nonfinite_since is not None:
            for step, value in zip(steps, values, strict=True):
                if value is not None:
                    self.add(step, value)
            return
        least = min(values)
        if least < self.best:
            self.best = least
            self.best_step = steps[values.index(least)]
        self.last, self.last_step = values[-1], steps[-1]

    def add(self, step: int, value: float) -> None:
        self.last = value
        self.last_step = step
        if value - value == 0.0:  # finite: NaN and the infinities give NaN
            if value < self.best:
                self.best = value
                self.best_step = step
            if self.nonfinite_since is not None:
                self.nonfinite_since = None
        else:
            self.nonfinite += 1
            if self.nonfinite_since is None:
                self.nonfinite_since = step
        if self.first is None:
            self.first = value
