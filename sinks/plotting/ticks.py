"""Where the numbers on an axis stand and how they read: few, round, short."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

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

    def __init__(self, *, between: bool = False, most: int | None = None) -> None:
        """``between`` places the unnumbered ticks at 2, 3, ... 9 instead. There is room for about ``most`` numbers."""
        self._between = between
        self.most = most

    def __call__(self) -> Any:
        assert self.axis is not None
        low, high = sorted(self.axis.get_view_interval())
        return self.tick_values(float(low), float(high))

    def tick_values(self, vmin: float, vmax: float) -> Any:
        if not 0.0 < vmin < vmax < math.inf:
            return []
        first, last = math.floor(math.log10(vmin)), math.ceil(math.log10(vmax))
        decades = math.log10(vmax) - math.log10(vmin)
        powers = range(first, min(last, 308) + 1)
        ticks: Iterable[float]
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
            ticks = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(vmin, vmax)
        low, high = (1.0 - 1e-9) * float(vmin), (1.0 + 1e-9) * float(vmax)
        inside = [float(tick) for tick in ticks if low <= tick <= high]
        return inside if self._between or self.most is None else _apart(inside, 0.75 / self.most * decades)


def _apart(ticks: Sequence[float], decades: float) -> list[float]:
    """``ticks`` without those that stand closer than ``decades`` to others: powers of ten stay first, then the low."""
    kept: list[float] = []
    logs = {math.log10(tick): tick for tick in ticks}
    for log in sorted(logs, key=lambda log: (abs(log - round(log)) > 1e-9, log)):
        if all(abs(log - other) >= decades for other in kept):
            kept.append(log)
    return [logs[log] for log in sorted(kept)]


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
    """Leave no more than about ``most`` numbers on a linear or logarithmic axis, 2 to 6."""
    locator = axis.get_major_locator()
    most = min(max(most, 2), 6)
    if isinstance(locator, MaxNLocator):
        locator.set_params(nbins=most)
    elif isinstance(locator, LogTicks):
        locator.most = most


def set_value_ticks(axis: Axis, scale: str, linear_below: float = 1.0, *, whole: bool = False) -> None:
    """A value axis of the scale that it has already; ``linear_below`` is that of a symlog scale, and a linear one may
    have ``whole`` numbers alone."""
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
        axis.set_major_locator(MaxNLocator(nbins=6, integer=whole, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(AlikeNumbers())
    axis.set_minor_locator(NullLocator())
