"""A loss that has left where it was, upwards, and does not come back."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Final

from m.health.parameters import number, share
from m.health.patient import PatientRule, Row
from m.health.robust import median
from m.metrics.alerts import Alert
from m.metrics.run import Run

_BLOCK: Final = 8
"""Losses of which the median is one level."""
_NOW: Final = 3
"""So many of the newest levels are now; as many before them are neither now nor before."""
_BEFORE: Final = 58
"""So many levels before that, 464 losses, are what it is compared with ..."""
_LEAST_BEFORE: Final = 12
"""... and so many are needed."""
_LEAST_SPREAD: Final = 0.05
"""Of the highest level before: a loss that did not move at all has a spread as well."""


class Divergence(PatientRule):
    """``divergence``: the loss is above everything it lately was, by as much as it lately varied, and stays there.

    A level is the median of 8 losses. With ``low`` and ``high`` the extremes of the levels from 48 to 512 losses ago,
    three quarters of the last 24 losses have to be above ``high + times * (high - low)``, and above
    ``best + lost * (first - best)``: ``lost`` of what was learned between the highest of the first levels and the best
    one is lost. ``high - low`` is at least 5 % of ``high``, and the newest loss is above as well. It speaks after 144
    losses at the earliest, within 25 of a jump to a new level, and of growth that doubles every 18 losses or faster
    wherever it begins.

    Comparing with the range of the past leaves alone what drifts, or swings no farther than it did: losses of
    reinforcement learning and of adversarial training, restarts of the learning rate. Armed again when the loss has
    come back below what it crossed; what was before is forgotten then, so that it takes 144 losses to speak again.
    """

    def __init__(self, times: float = 1.0, lost: float = 0.5) -> None:
        self.times = number("times", times, above=0.0)
        self.lost = share("lost", lost)
        self._begin()

    def _begin(self) -> None:
        self._block: list[float] = []
        self._recent: deque[float] = deque(maxlen=_NOW * _BLOCK)
        self._levels: deque[float] = deque(maxlen=_BEFORE + 2 * _NOW)
        self._seen = 0
        self._first = -math.inf  # the highest of the first levels
        self._best = math.inf
        self._crossed: float | None = None  # while it is diverged

    def start(self, run: Run) -> None:
        """Forget what was."""
        self._begin()

    def watch_rows(self, rows: Sequence[Row]) -> Sequence[Alert]:
        """Where in ``rows`` the loss has diverged."""
        said = []
        block = self._block
        for _, step, loss, _, _, _ in rows:
            if loss is None or loss - loss != 0.0:  # NaN or infinite
                continue
            block.append(loss)
            if len(block) < _BLOCK:
                continue
            self._recent.extend(block)
            level = median(block)
            block.clear()
            alert = self._judge(step, level)
            if alert is not None:
                said.append(alert)
        return said

    def _judge(self, step: int, level: float) -> Alert | None:
        levels = self._levels
        if self._crossed is not None:
            if median(self._recent) < self._crossed:
                self._crossed = None
                levels.clear()  # what was before the divergence is long ago
            return None
        levels.append(level)
        self._best = min(self._best, level)
        if self._seen < _LEAST_BEFORE:
            self._seen += 1
            self._first = max(self._first, level)
        known = len(levels) - 2 * _NOW
        if known < _LEAST_BEFORE:
            return None
        crossed = self._best + self.lost * (self._first - self._best)
        if level <= crossed:
            return None
        before = list(levels)[:known]
        high = max(before)
        if level <= high:
            return None
        spread = max(high - min(before), _LEAST_SPREAD * abs(high))
        crossed = max(crossed, high + self.times * spread)
        if level <= crossed or self._recent[-1] <= crossed or sorted(self._recent)[_NOW * _BLOCK // 4] <= crossed:
            return None
        self._crossed = crossed
        now = median(self._recent)
        return Alert(step, "divergence", f"the loss went from {before[-1]:.4g} to {now:.4g} and stays there", now)
