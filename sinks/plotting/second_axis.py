"""A second axis along the top of a panel: the time, or the tokens, that belong to the steps below.

Its numbers are round, and stand where the run was when it had come so far: steps need not be equally long, nor follow
one by one. Nothing is said of what lies before the first or after the last step that is known.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import Formatter, Locator, NullLocator

from m.metrics.buckets import Floats
from sinks.plotting.glyphs import plain, width_of
from sinks.plotting.milestones import SecondScale
from sinks.plotting.said import Said
from sinks.plotting.styles import Style
from sinks.plotting.text import tick_text

_MOST_NUMBERS: Final = 5
_APART: Final = 0.11
"""The middles of numbers keep this part of the panel's width from each other, as after a pause, in which there are no
steps; more where they are wide."""
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_TIMES: Final = (
    *(1.0, 2.0, 5.0, 10.0, 20.0, 30.0),
    *(minutes * _MINUTE for minutes in (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)),
    *(hours * _HOUR for hours in (1.0, 2.0, 3.0, 6.0, 12.0)),
    _DAY,
)


class SecondAxisView:
    """The axis over ``axes``, for one thread. It is a child of ``axes``, and goes with them."""

    def __init__(self, axes: Axes, style: Style) -> None:
        self._axes = axes
        self._letters = style.letters
        self.scale = SecondScale("time", (0.0, 1.0), (0.0, 1.0))
        """What it says the next time that it is shown."""
        self._steps: Floats = np.array([0.0, 1.0])
        self._values: Floats = np.array([0.0, 1.0])
        self._said = Said()
        top: Any = axes.secondary_xaxis("top", functions=(self._value_at, self._step_at))
        self._locator = _RoundNumbers()
        top.xaxis.set_major_locator(self._locator)
        top.xaxis.set_minor_locator(NullLocator())
        top.spines["top"].set_color(style.frame)
        top.spines["top"].set_linewidth(0.5 * style.line)
        top.tick_params(
            axis="x",
            which="major",
            direction="out",
            length=2.5 * style.room,
            width=0.6 * style.line,
            color=style.frame,
            labelcolor=style.dim,
            labelsize=style.letters,
            labelrotation=0,
            pad=1.5,
            top=True,
            labeltop=True,
            bottom=False,
            labelbottom=False,
        )
        plain(top.xaxis.get_offset_text())
        self.axis = top

    def show(self, width: float) -> None:
        """Follow the run on axes ``width`` points wide, whose limits are set; it is drawn anew only where that can be
        seen."""
        scale, words = self.scale, _Words(self.scale.kind)
        self._steps = np.asarray(scale.steps)
        # times that are the same, as of a clock that is coarse, would make this no function of the value
        self._values = np.maximum.accumulate(np.asarray(scale.values))
        self._values = self._values + np.arange(self._values.size) * 1e-12 * max(abs(float(self._values[-1])), 1e-9)
        first, last = (float(limit) for limit in self._axes.get_xlim())
        low, high = max(first, scale.steps[0]), min(last, scale.steps[-1])
        numbers: list[float] = []
        taken: list[tuple[float, float]] = []  # middles and widths, in points
        if low < high:
            ends = self._value_at(np.array([low, high]))
            for number in _round_numbers(float(ends[0]), float(ends[1]), scale.kind):
                at = width * float(self._step_at(number)) / (last - first)
                wide = width_of(words(number), self._letters) + self._letters
                if all(abs(at - other) >= max(_APART * width, 0.5 * (wide + its)) for other, its in taken):
                    numbers.append(number)
                    taken.append((at, wide))
        numbers.sort()
        places = self._step_at(numbers).tolist()
        seen = tuple(round(400.0 * (place - first) / (last - first)) for place in places)
        if self._said.new("numbers", scale.kind, tuple(numbers), seen):
            self._locator.numbers = numbers
            self.axis.xaxis.set_major_formatter(words)
            for tick in self.axis.xaxis.get_major_ticks(len(numbers)):
                plain(tick.label2)
            self.axis.stale = True

    def _value_at(self, steps: Any) -> Floats:
        return _along(np.asarray(steps, float), self._steps, self._values)

    def _step_at(self, values: Any) -> Floats:
        return _along(np.asarray(values, float), self._values, self._steps)


class _RoundNumbers(Locator):
    """Places that were decided already."""

    def __init__(self) -> None:
        self.numbers: list[float] = []

    def __call__(self) -> Any:
        return self.numbers

    def tick_values(self, vmin: float, vmax: float) -> Any:
        return self.numbers


class _Words(Formatter):
    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __call__(self, value: float, position: int | None = None) -> str:
        return time_text(value) if self._kind == "time" else f"{tick_text(value)} tok"


def time_text(seconds: float) -> str:
    """``0``, ``45s``, ``20m``, ``1h``, ``1h 30m``, ``2d 6h``: the two largest units of a whole number of seconds."""
    rest = round(seconds)
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0"


def _round_numbers(low: float, high: float, kind: str) -> list[float]:
    """From ``low`` to ``high``, the roundest first."""
    least = (high - low) / _MOST_NUMBERS
    if kind == "time" and least <= _DAY:
        apart = next(size for size in _TIMES if size >= least)
    else:
        unit = _DAY if kind == "time" else 1.0
        power = 10.0 ** math.floor(math.log10(max(least / unit, 1.0)))
        apart = unit * next(size * power for size in (1.0, 2.0, 5.0, 10.0) if size * power * unit >= least)
    counts = range(math.ceil(low / apart - 1e-9), math.floor(high / apart + 1e-9) + 1)
    return [apart * count for count in sorted(counts, key=lambda count: -(count & -count) if count else -math.inf)]


def _along(at: Floats, x: Floats, y: Floats) -> Floats:
    """Between the points of a rising line; before and after it, on with its mean slope."""
    slope = (y[-1] - y[0]) / (x[-1] - x[0])
    found = np.interp(at, x, y)
    return np.where(at < x[0], y[0] + slope * (at - x[0]), np.where(at > x[-1], y[-1] + slope * (at - x[-1]), found))
