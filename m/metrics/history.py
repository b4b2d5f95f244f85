"""The course of one metric: every point that was recorded, in two plain columns."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Appenders: TypeAlias = tuple[Callable[[float], None], Callable[[float], None]]


@dataclass(slots=True, frozen=True)
class Summary:
    """A metric over the whole run."""

    current: float
    """The newest value; may be NaN or infinite."""
    min: float
    """Smallest finite value; NaN when there was none."""
    max: float
    """Largest finite value; NaN when there was none."""
    mean: float
    """Mean of the finite values; NaN when there was none."""
    count: int
    """Points recorded, NaN and infinities included."""
    nonfinite: int
    """Points that were NaN or infinite."""


class History:
    """Steps and values of one metric as columns of doubles: 16 bytes a point and nothing for the garbage collector.

    ``append`` is for one thread at a time; `columns` may be called from another at any time.
    """

    __slots__ = ("_steps", "_summed", "_values", "appenders")

    def __init__(self) -> None:
        self._steps = array("d")
        self._values = array("d")
        self._summed = _RunningSummary()
        # The step goes last: a reader takes as many points as there are steps.
        self.appenders: Appenders = (self._values.append, self._steps.append)
        """What `append` is made of, for loops that count nanoseconds: call the first with the value, then the second
        with the step, which must be one that a float can hold."""

    def append(self, step: float, value: float) -> None:
        """Record that the metric was ``value`` at ``step``. Raises ``OverflowError`` for an int beyond every float."""
        step = float(step)
        add_value, add_step = self.appenders
        add_value(value)
        add_step(step)

    def __reduce__(self) -> tuple[object, ...]:
        # a copied or unpickled history must append to its own columns, not through the appenders of this one
        return (_history_of, self.columns())

    def __len__(self) -> int:
        return len(self._steps)

    def columns(self, newest: int | None = None) -> tuple[array[float], array[float]]:
        """Copies of the steps and values, of the ``newest`` points or of all. Copies, since an array that someone
        holds a view of cannot grow."""
        end = len(self._steps)
        start = 0 if newest is None else max(end - newest, 0)
        return self._steps[start:end], self._values[start:end]

    def summary(self) -> Summary:
        """Exact figures over every point so far; each point is looked at once over all calls."""
        end = len(self._steps)
        self._summed.add(self._values[self._summed.count : end])
        current = self._values[end - 1] if end else math.nan
        return self._summed.result(current)


def _history_of(steps: array[float], values: array[float]) -> History:
    history = History()
    for step, value in zip(steps, values, strict=True):
        history.append(step, value)
    return history


class _RunningSummary:
    """Count, extremes and mean of values that come in batches."""

    __slots__ = ("count", "finite", "largest", "mean", "smallest")

    def __init__(self) -> None:
        self.count = 0
        self.finite = 0
        self.mean = 0.0
        self.smallest = math.inf
        self.largest = -math.inf

    def add(self, values: array[float]) -> None:
        self.count += len(values)
        finite = [value for value in values if math.isfinite(value)]
        if not finite:
            return
        self.finite += len(finite)
        self.smallest = min(self.smallest, min(finite))
        self.largest = max(self.largest, max(finite))
        # each summand is scaled first: sums and differences of values near 1e308 overflow where their mean does not;
        # halved again, since rounding can carry a sum of the largest floats over the edge
        before = self.mean * ((self.finite - len(finite)) / self.finite)
        mean = 2 * (before / 2 + math.fsum(value / self.finite / 2 for value in finite))
        self.mean = min(max(mean, self.smallest), self.largest)

    def result(self, current: float) -> Summary:
        none = not self.finite
        return Summary(
            current=current,
            min=math.nan if none else self.smallest,
            max=math.nan if none else self.largest,
            mean=math.nan if none else self.mean,
            count=self.count,
            nonfinite=self.count - self.finite,
        )
