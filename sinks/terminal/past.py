"""What every metric did since the beginning of the run, in memory that does not grow with it.

Snapshots are put into *cells*: each stands for as many snapshots as every other and keeps the least, mean and greatest
finite value of each metric, and whether there was one that is not finite. When there are too many cells, neighbours
become one. So a spike of a single step is kept for good, and all metrics share one axis. Beside the cells the newest
values of each metric are kept one by one.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import mul
from typing import Any, Final, TypeAlias, TypeVar

from m.metrics.snapshot import LOSS_FIELDS, TrainingSnapshot
from sinks.terminal.trends import Direction, better

MOST_CELLS: Final = 512
MANY_CELLS: Final = 48
"""Where snapshots come so fast that a batch of them would make more cells than this, half of `MOST_CELLS` are the most:
longer cells take less time to make."""
MOST_SERIES: Final = 100
"""Metrics whose past is kept: the fields, and the custom ones that came first."""
EMA_DECAY: Final = 0.98
"""The average weighs about the last fifty values."""
NEWEST: Final = 64
"""Values of each metric that are kept one by one."""
FIELDS: Final = (*LOSS_FIELDS, "learning_rate", "gradient_norm")
"""The fields of a snapshot that have a past: those of the status table, in its order."""
SMOOTHED: Final = ("train_loss", "aux_loss", "gradient_norm")
"""What is averaged where ``ema=True``: measured at every step, and noisy."""
RATE: Final = "steps/s"
"""The series of the rate of steps, of which a custom metric of this name takes the place."""
_WEIGHTS: Final = tuple((1.0 - EMA_DECAY) * EMA_DECAY**later for later in reversed(range(256)))
"""What a value weighs in the average, by how many came later; that of the newest is the last."""

_T = TypeVar("_T")

Values: TypeAlias = list[float | None]
Columns: TypeAlias = dict[str, Sequence[Any]]
"""By metric, a value for each of some snapshots; None where it was not measured."""
Best: TypeAlias = Callable[[Sequence[float]], float]


class Average:
    """Exponential moving average whose start at zero is taken out again.

    m = d m + (1 - d) x and, after t values, m / (1 - d^t): the bias correction of Adam (Kingma and Ba 2015, section 3).
    So the first average is the first value.
    """

    __slots__ = ("_biased", "_missing")

    def __init__(self) -> None:
        self._biased = 0.0
        self._missing = 1.0  # d^t

    def add(self, values: Sequence[float]) -> None:
        """All of them finite."""
        for start in range(0, len(values), len(_WEIGHTS)):
            some = values[start : start + len(_WEIGHTS)]
            decay = EMA_DECAY ** len(some)
            self._biased = self._biased * decay + sum(map(mul, some, _WEIGHTS[-len(some) :]))
            self._missing *= decay

    @property
    def value(self) -> float | None:
        """None before the first finite value."""
        return None if self._missing == 1.0 else self._biased / (1.0 - self._missing)


class Series:
    """One metric, cell by cell. The lists are of equal length; a cell without a finite value holds None."""

    __slots__ = (
        "_best",
        "_open_count",
        "_open_sum",
        "average",
        "best",
        "best_step",
        "broken",
        "high",
        "low",
        "mean",
        "measured",
        "newest",
        "nonfinite_since",
    )

    def __init__(self, cells: int, averaged: bool = False, best: Best | None = None) -> None:
        """``cells`` had gone by before its first value; ``best`` is ``min`` or ``max``, None where neither is good."""
        self._best = best
        self.best: float | None = None
        """The best finite value; None where nobody can tell what is good."""
        self.best_step = 0
        self.low: Values = [None] * cells
        self.mean: Values = [None] * cells
        self.high: Values = [None] * cells
        self.broken: set[int] = set()
        """Cells in which a value was NaN or infinite."""
        self.nonfinite_since: int | None = None
        """The step at which it stopped being finite; None while it is finite."""
        self.newest: deque[float] = deque(maxlen=NEWEST)
        """The newest values, each as it was measured; what was not measured takes no place."""
        self.measured = 0
        """How many values there were, of which those are the last."""
        self.average = Average() if averaged else None
        self._open_sum = 0.0
        self._open_count = 0

    def add(self, values: Sequence[Any], steps: Sequence[int], filled: int, span: int) -> None:
        """One value a snapshot, None where it was not measured. The last cell holds ``filled`` snapshots of ``span``
        already; 0: it is full."""
        finite: Sequence[Any] = values
        measured: Sequence[float] = values
        broken: list[int] = []
        try:
            total = sum(values)
            plain = type(total) is float and total - total == 0.0
        except TypeError:  # None among them
            plain = False
        if not plain:
            finite = [_finite(value) for value in values]
            broken = [at for at, value in enumerate(values) if finite[at] is None and isinstance(value, (int, float))]
            measured = [value for value in values if isinstance(value, (int, float))]
        if broken:
            last = max((at for at, value in enumerate(finite) if value is not None), default=-1)
            since = next((steps[at] for at in broken if at > last), None)
            if last >= 0 or self.nonfinite_since is None:
                self.nonfinite_since = since
        elif measured:
            self.nonfinite_since = None
        self.measured += len(measured)
        self.newest.extend(measured[-NEWEST:])
        known = finite if plain else [value for value in finite if value is not None]
        if self.average is not None:
            self.average.add(known)
        if known and self._best is not None:
            found = self._best(known)
            if self.best is None or (found != self.best and self._best((found, self.best)) == found):
                self.best, self.best_step = found, steps[finite.index(found)]
        cell = len(self.low) - (1 if filled else 0)
        for at in broken:
            self.broken.add(cell + (filled + at) // span)
        if span == 1:
            self.low += finite
            self.mean += finite
            self.high += finite
            return
        at = 0
        while at < len(finite):
            if not filled:
                whole = (len(finite) - at) // span if plain else 0
                if whole > 1:
                    self._add_whole(finite[at : at + whole * span], span)
                    at += whole * span
                    continue
                self.low.append(None)
                self.mean.append(None)
                self.high.append(None)
                self._open_sum, self._open_count = 0.0, 0
            some = finite[at : at + span - filled]
            at += len(some)
            filled = (filled + len(some)) % span
            self._into_open(some if plain else [value for value in some if value is not None])

    def _add_whole(self, values: Sequence[float], span: int) -> None:
        """Finite values for some cells of ``span``, all at once."""
        lows = totals = highs = values
        if span <= 4:  # twice the pairs: sooner than to sort so few
            for _ in range(span.bit_length() - 1):
                lows = [one if one < other else other for one, other in _pairs(lows)]
                highs = [one if one > other else other for one, other in _pairs(highs)]
                totals = [one + other for one, other in _pairs(totals)]
        else:
            cells = list(map(sorted, zip(*[iter(values)] * span, strict=True)))  # sooner than to ask for min and max
            lows, totals, highs = [cell[0] for cell in cells], list(map(sum, cells)), [cell[-1] for cell in cells]
        means = [total / span for total in totals]
        if not math.isfinite(sum(means)):  # a sum that overflowed, perhaps that of a cell
            means = [mean if math.isfinite(mean) else low for mean, low in zip(means, lows, strict=True)]
        self.low += lows
        self.mean += means
        self.high += highs

    def _into_open(self, values: Sequence[float]) -> None:
        if not values:
            return
        least, greatest = min(values), max(values)
        low, high = self.low[-1], self.high[-1]
        self.low[-1] = least if low is None or least < low else low
        self.high[-1] = greatest if high is None or greatest > high else high
        self._open_sum += sum(values)
        self._open_count += len(values)
        mean = self._open_sum / self._open_count
        self.mean[-1] = mean if mean - mean == 0.0 else self.low[-1]  # a sum that overflowed

    def halve(self) -> None:
        """Make one cell of each two. There is an even number of them, all full."""
        low, mean, high = _pairs(self.low), _pairs(self.mean), _pairs(self.high)
        self.low = [two if one is None else one if two is None or one < two else two for one, two in low]
        self.mean = [two if one is None else one if two is None else one / 2 + two / 2 for one, two in mean]
        self.high = [two if one is None else one if two is None or one > two else two for one, two in high]
        self.broken = {cell // 2 for cell in self.broken}


class Past:
    """The series of one run, for one thread at a time, which `lock` sees to."""

    def __init__(self, smoothed: Sequence[str] = SMOOTHED) -> None:
        self.lock = threading.RLock()
        """Held while cells are made or read."""
        self.series: dict[str, Series] = {}
        self.span = 1
        """Snapshots in a cell."""
        self.steps: list[int] = []
        """The step at which each cell begins."""
        self.last_step = 0
        """That of the newest snapshot in a cell."""
        self.stand_ins: set[str] = set()
        """Fields that were not given so far: their series is that of a custom metric of their name."""
        self._smoothed = smoothed
        self._filled = 0

    def add(self, batch: Sequence[TrainingSnapshot], steps: Sequence[int], rate: float | None) -> tuple[Columns, bool]:
        """Put ``batch``, whose steps are ``steps``, into cells; ``rate`` is what `RATE` was meanwhile.

        Gives the columns of `FIELDS`, and whether it was seen that the last of the batch has every custom metric that
        is in it. A field that is given goes before a custom metric of its name.
        """
        fields: Columns = {
            "train_loss": [each.train_loss for each in batch],
            "val_loss": [each.val_loss for each in batch],
            "aux_loss": [each.aux_loss for each in batch],
            "learning_rate": [each.learning_rate for each in batch],
            "gradient_norm": [each.gradient_norm for each in batch],
        }
        customs, alike = self._customs([each.custom_metrics for each in batch])
        columns = {**fields, **customs, **fields}
        if rate is not None:
            columns.setdefault(RATE, [rate] * len(batch))
        for name in FIELDS:
            if name in customs or name in self.stand_ins:
                self._stand_in(name, columns, customs)
        start = 0
        while start < len(steps):
            cells, span = len(self.steps), self.span
            most = MOST_CELLS // 2 if len(steps) > MANY_CELLS * span else MOST_CELLS
            if not self._filled and cells >= most and cells % 2 == 0:
                self._halve()
                continue
            most = max(most, cells + cells % 2)
            end = min(start + (most - cells) * span + (span - self._filled if self._filled else 0), len(steps))
            if end - start == len(steps):
                self._add(steps, columns)
            else:
                self._add(steps[start:end], {name: values[start:end] for name, values in columns.items()})
            start = end
        return fields, alike

    def _stand_in(self, name: str, columns: Columns, customs: Columns) -> None:
        """Put the custom metric ``name`` into ``columns`` unless the field of this name was given, now or before."""
        if columns[name].count(None) < len(columns[name]):
            if name in self.stand_ins:  # given for the first time
                self.stand_ins.remove(name)
                self.series.pop(name, None)
        elif name in customs and (name in self.stand_ins or name not in self.series):
            self.stand_ins.add(name)
            columns[name] = customs[name]

    def ema(self, name: str) -> float | None:
        """The average of ``name``; None where it is not averaged, or was never finite."""
        series = self.series.get(name)
        return None if series is None or series.average is None else series.average.value

    def nonfinite_since(self, name: str) -> int | None:
        """The step at which ``name`` stopped being finite; None while it is finite."""
        series = self.series.get(name)
        return None if series is None else series.nonfinite_since

    def _customs(self, customs: Sequence[Mapping[str, Any]]) -> tuple[Columns, bool]:
        """The columns of custom metrics that have a past, or get one; whether all of ``customs`` are sure to have the
        same metrics."""
        names = customs[-1]
        if set(map(len, customs)) == {len(names)}:
            try:  # as a rule: the same names at every step
                columns: Columns = {name: [custom[name] for custom in customs] for name in self._remembered(names)}
            except KeyError:
                pass
            else:
                return columns, len(columns) == len(names)
        every = dict.fromkeys(name for custom in customs for name in custom)
        return {name: [custom.get(name) for custom in customs] for name in self._remembered(every)}, False

    def _remembered(self, names: Collection[str]) -> Iterable[str]:
        """Those of ``names`` that have a past, and the first of the others for which there is room."""
        room = MOST_SERIES - len(self.series)
        if len(names) <= room:
            return names
        new = [name for name in names if name not in self.series][: max(room, 0)]
        return [*(name for name in names if name in self.series), *new]

    def _add(self, steps: Sequence[int], columns: Columns) -> None:
        self.last_step = steps[-1]
        cells, filled, span = len(self.steps), self._filled, self.span
        for name, values in columns.items():
            series = self.series.get(name)
            if series is None:
                if (name not in FIELDS and len(self.series) >= MOST_SERIES) or values.count(None) == len(values):
                    continue
                series = self.series[name] = Series(cells, name in self._smoothed, best_of(name))
            series.add(values, steps, filled, span)
        for name in self.series.keys() - columns.keys():
            self.series[name].add((None,) * len(steps), steps, filled, span)
        self.steps += steps[span - filled if filled else 0 :: span]
        self._filled = (filled + len(steps)) % span

    def _halve(self) -> None:
        for series in self.series.values():
            series.halve()
        self.steps = self.steps[::2]
        self.span *= 2


def best_of(name: str) -> Best | None:
    """``min`` or ``max``, judged by the words of ``name``; None where nobody can tell."""
    good = better(name, Direction.UP)
    return None if good is None else max if good else min


def _finite(value: Any) -> float | None:
    """``value`` if it is a number that is finite; a word is none, nor is a whole number beyond every float."""
    if not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _pairs(values: Sequence[_T]) -> Iterable[tuple[_T, _T]]:
    """The first with the second, the third with the fourth ..."""
    each = iter(values)
    return zip(each, each, strict=True)
