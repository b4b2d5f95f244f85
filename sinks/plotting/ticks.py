"""Where the numbers on an axis stand and how they read: few, round, short."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axis import Axis
from matplotlib.ticker import Formatter, Locator, MaxNLocator, NullFormatter, NullLocator, SymmetricalLogLocator

from sinks.plotting.text import tick_text, tick_texts


class StepNumbers(Formatter):
    """Steps, each by itself: 800, 1k, 1.2k."""

    def __call__(self, value: float, position: int | None = None) -> str:
        return tick_text(value, 9)


class AlikeNumbers(Formatter):
    """Numbers of a linear axis, with one unit and as many decimals as they need together."""

    def __init__(self, unit: float = 1.0) -> None:
        """``unit`` is what the numbers count, such as 1000.0 for kilobytes of values in bytes."""
        self._unit = unit

    def __call__(self, value: float, position: int | None = None) -> str:
        return tick_text(value / self._unit, 4)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        return tick_texts([float(value) / self._unit for value in values])


class LogTicks(Locator):
    """Powers of ten; with 2 and 5 between them where there are few; plain round numbers within one decade."""

    def __init__(self, *, between: bool = False) -> None:
        """``between`` places the unnumbered ticks at 2, 3, ... 9 instead."""
        self._between = between

    def __call__(self) -> Any:
        assert self.axis is not None
        low, high = sorted(self.axis.get_view_interval())
        return self.tick_values(float(low), float(high))

    def tick_values(self, vmin: float, vmax: float) -> Any:
        if not 0.0 < vmin < vmax < math.inf:
            return []
        first, last = math.floor(math.log10(vmin)), math.ceil(math.log10(vmax))
        decades = math.log10(vmax) - math.log10(vmin)
        powers = np.arange(first, last + 1)
        if self._between:
            if not 0.9 <= decades <= 6.0:
                return []
            ticks = [factor * 10.0**power for power in powers for factor in range(2, 10)]
        elif decades > 2.0:
            stride = max(1, math.ceil(decades / 6.0))
            ticks = [10.0**power for power in powers if power % stride == 0]
        elif decades >= 0.9:
            ticks = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
        else:
            return [tick for tick in MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(vmin, vmax) if tick > 0.0]
        return [tick for tick in ticks if vmin <= tick <= vmax]


class SymlogTicks(Locator):
    """Zero and powers of ten; with 2 and 5 between them where there are few; plain round numbers where these are."""

    def __init__(self, linear_below: float) -> None:
        self._linear_below = linear_below

    def __call__(self) -> Any:
        assert self.axis is not None
        low, high = sorted(self.axis.get_view_interval())
        return self.tick_values(float(low), float(high))

    def tick_values(self, vmin: float, vmax: float) -> Any:
        for factors in ([1.0], [1.0, 2.0, 5.0]):
            locator = SymmetricalLogLocator(base=10, linthresh=self._linear_below, subs=factors)
            locator.set_params(numticks=7)
            ticks = [tick for tick in locator.tick_values(vmin, vmax) if vmin <= tick <= vmax]
            if len(ticks) > 2:
                return ticks
        return MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(vmin, vmax)


def set_step_ticks(axis: Axis) -> None:
    """A time axis."""
    axis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(StepNumbers())
    axis.set_minor_locator(NullLocator())


def limit_ticks(axis: Axis, most: int) -> None:
    """Leave no more than about ``most`` numbers on a linear axis, 2 to 6."""
    locator = axis.get_major_locator()
    if isinstance(locator, MaxNLocator):
        locator.set_params(nbins=min(max(most, 2), 6))


def set_value_ticks(axis: Axis, scale: str, linear_below: float = 1.0) -> None:
    """A value axis of the scale that it has already; ``linear_below`` is that of a symlog scale."""
    if scale == "log":
        axis.set_major_locator(LogTicks())
        axis.set_minor_locator(LogTicks(between=True))
        axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter(StepNumbers())
        return
    if scale == "symlog":
        axis.set_major_locator(SymlogTicks(linear_below))
        axis.set_major_formatter(StepNumbers())
    else:
        axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(AlikeNumbers())
    axis.set_minor_locator(NullLocator())
