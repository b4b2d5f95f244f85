"""Training that has become slow."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from m.health.parameters import number
from m.health.patient import PatientRule, Row
from m.health.robust import median
from m.metrics.alerts import Alert
from m.metrics.run import Run

_BLOCK: Final = 10
"""Intervals of which the median is one duration."""
_BEFORE: Final = 64
"""So many durations are what it is compared with ..."""
_LEAST_BEFORE: Final = 4
"""... and so many are needed."""


class ThroughputDrop(PatientRule):
    """``throughput_drop``: a step takes more than ``times`` as long as it did, and has done so for ``seconds``.

    A duration is the median time per step of 10 intervals, each from one snapshot to the next but one, so that a
    validation, a checkpoint and the compilation at the beginning do not count. Once a batch size was given it is the
    time per sample, and once a sequence length was given too, per token; a snapshot without them has those of the one
    before. It is compared with the median of the last 64 such durations, of which there have to be 4. ``seconds`` are
    made of such durations as well, so that a pause among slow steps does not count either. Intervals in which the step
    did not grow are left out, and one of several steps counts as their mean. After the alert the new pace is what later
    ones are compared with. ``clock`` gives seconds and never goes back.
    """

    def __init__(
        self, times: float = 2.0, seconds: float = 10.0, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.times = number("times", times, above=1.0)
        self.seconds = number("seconds", seconds, above=0.0)
        self._clock = clock
        self._begin()

    def _begin(self) -> None:
        self._other = 0  # 1: the next counts
        self._step: int | None = None
        self._at = 0.0
        self._block: list[float] = []
        self._before: deque[float] = deque(maxlen=_BEFORE)
        self._slow_s = 0.0
        self._done = 0.0  # units in the block
        self._batch: float | None = None
        self._length: float | None = None
        self._unit = "step"

    def start(self, run: Run) -> None:
        """Forget what was."""
        self._begin()

    def watch_rows(self, rows: Sequence[Row]) -> Sequence[Alert]:
        """Where in ``rows`` training has become slow."""
        said = []
        for came, step, _, _, batch, length in rows[1 - self._other :: 2]:
            alert = self._watch_other(came, step, batch, length)
            if alert is not None:
                said.append(alert)
        self._other ^= len(rows) & 1
        return said

    def _watch_other(self, came: float, step: int, batch: float | None, length: float | None) -> Alert | None:
        taken, self._at = came - self._at, came
        before, self._step = self._step, step
        if before is None or step <= before:
            return None
        done = float(step - before)
        if batch != self._batch or length != self._length:
            self._measure(batch, length)
        if self._batch is not None:
            done *= self._batch if self._length is None else self._batch * self._length
        if not done > 0.0:
            return None
        self._done += done
        block = self._block
        block.append(taken / done)
        if len(block) < _BLOCK:
            return None
        duration = median(block)
        spent, self._done = duration * self._done, 0.0
        block.clear()
        return self._judge(step, duration, spent)

    def _measure(self, batch: float | None, length: float | None) -> None:
        """Go by these sizes from now on, as far as they were given. Durations of other units are of no use."""
        if batch is not None:
            self._batch = float(batch)
        if length is not None:
            self._length = float(length)
        unit = "step" if self._batch is None else "sample" if self._length is None else "token"
        if unit != self._unit:
            self._unit = unit
            self._block.clear()
            self._before.clear()
            self._done = self._slow_s = 0.0

    def _judge(self, step: int, duration: float, spent: float) -> Alert | None:
        if len(self._before) < _LEAST_BEFORE:
            self._before.append(duration)
            return None
        usual = median(self._before)
        if not duration > self.times * usual:
            self._slow_s = 0.0
            self._before.append(duration)
            return None
        self._slow_s += spent
        if self._slow_s < self.seconds:
            return None
        self._slow_s = 0.0
        self._before.clear()
        slower = duration / usual if usual > 0.0 else float("inf")
        words = f"a {self._unit} takes {slower:.1f} times as long as it did"
        return Alert(step, "throughput_drop", words, 1.0 / slower)
