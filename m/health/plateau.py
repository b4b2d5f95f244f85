"""A loss that stands still."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from m.health.parameters import share, whole
from m.health.patient import PatientRule, Row
from m.health.robust import median
from m.metrics.alerts import Alert
from m.metrics.run import Run

_LEVELS: Final = 20
"""The stretch that is looked at has so many levels, half of them older and half newer."""
_MOST_LEVELS: Final = 60
"""With so many, pairs of neighbours become one; so the stretch is at least a third of the run."""
_LEAST_RATE: Final = 0.1
"""Of the highest learning rate: below it a loss may stand still."""
_TIMES_ERROR: Final = 2.0
"""So many standard errors count as movement that may be there."""


class Plateau(PatientRule):
    """``plateau``: the loss moved by next to nothing over a third of the run or more, and ``patience`` losses at least.

    The stretch is cut into 20 levels, each the median of ``patience / 20`` losses or the mean of several such. With
    ``d`` the difference of the means of the older and the newer ten, and ``e`` its standard error, it speaks when
    ``|d| + 2 e <= tolerance * |mean of the newer|``: not because no movement was found, but because so much would have
    been. A noisy loss therefore takes longer, and a loss around 0 is never said to stand still. Not while the last
    learning rate that was given is below a tenth of the highest so far, where a schedule ends. Armed again when a newer
    half lies ``tolerance`` away from where the loss stood.

    It is the usual "no improvement for so long" (ReduceLROnPlateau) as a test of equivalence (Schuirmann 1987).
    """

    def __init__(self, patience: int = 2000, tolerance: float = 0.01) -> None:
        self.patience = whole("patience", patience, at_least=_LEVELS)
        self.tolerance = share("tolerance", tolerance)
        self._begin()

    def _begin(self) -> None:
        self._size = max(self.patience // _LEVELS, 1)
        self._merged = 1  # blocks of `_size` losses in each level
        self._block: list[float] = []
        self._waiting: list[float] = []  # medians on their way to a level
        self._levels: list[float] = []
        self._rate: float | None = None  # the last that was given
        self._highest_rate = -math.inf
        self._stands_at: float | None = None

    def start(self, run: Run) -> None:
        """Forget what was."""
        self._begin()

    def watch_rows(self, rows: Sequence[Row]) -> Sequence[Alert]:
        """Where in ``rows`` the loss stands still."""
        said = []
        block = self._block
        for _, step, loss, rate, _, _ in rows:
            if rate is not None:
                self._rate = rate
            if loss is None or loss - loss != 0.0:  # NaN or infinite
                continue
            block.append(loss)
            if len(block) < self._size:
                continue
            level = median(block)
            block.clear()
            alert = self._judge(step, level)
            if alert is not None:
                said.append(alert)
        return said

    def _judge(self, step: int, level: float) -> Alert | None:
        rate = self._rate
        if rate is not None and rate > self._highest_rate:
            self._highest_rate = rate
        self._waiting.append(level)
        if len(self._waiting) < self._merged:
            return None
        levels = self._levels
        levels.append(_mean(self._waiting))
        self._waiting.clear()
        if len(levels) == _MOST_LEVELS:
            levels[:] = map(_mean, zip(levels[::2], levels[1::2], strict=True))
            self._merged *= 2
        if len(levels) < _LEVELS:
            return None
        older, newer = levels[-_LEVELS : -_LEVELS // 2], levels[-_LEVELS // 2 :]
        before, mean = _mean(older), _mean(newer)
        moved = abs(before - mean)
        allowed = self.tolerance * abs(mean)
        if self._stands_at is not None:
            if abs(mean - self._stands_at) > self.tolerance * abs(self._stands_at):
                self._stands_at = None
            return None
        error = math.sqrt((_variance(older, before) + _variance(newer, mean)) / (_LEVELS // 2))
        decayed = rate is not None and rate < _LEAST_RATE * self._highest_rate
        if decayed or not allowed > 0.0 or not moved + _TIMES_ERROR * error <= allowed:
            return None
        self._stands_at = mean
        losses = _LEVELS * self._merged * self._size
        words = f"the loss stands at {mean:.4g}: it moved by less than {100 * self.tolerance:g} % in {losses} snapshots"
        return Alert(step, "plateau", words, mean)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _variance(values: Sequence[float], mean: float) -> float:
    return sum([(value - mean) * (value - mean) for value in values]) / (len(values) - 1)
