"""Training that does not come back: no snapshot for long, noticed without one."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from m.health.parameters import number
from m.health.patient import PatientRule, Row
from m.health.robust import median
from m.metrics.alerts import Alert
from m.metrics.run import Run

_LEAST: Final = 20
"""Intervals between snapshots that have to be known."""
_LEAST_RUN_S: Final = 1.0
"""So long a run has to go on before anybody watches the clock for it."""
_KEPT: Final = 32
_REFRESH: Final = 16
"""The usual interval is the median of the last 32, worked out anew after every 16."""
_TIMES_PAUSE: Final = 2.0
"""A pause may be so many times as long as the longest so far."""
_LATE_S: Final = 5.0
"""Whoever looks so much later than was asked for did not run either: the whole process stood still."""


class Stall(PatientRule):
    """``stall``: no snapshot for ``at_least_s`` seconds, and ``times`` the usual interval, and twice the longest pause.

    The usual interval is the median of the last 32 between two snapshots; the longest pause is that of the run so far,
    the first interval, in which things are compiled, included. So a validation that takes longer than all before is
    told once if it takes longer than ``at_least_s``, 5 minutes, and never again. 20 intervals and a second of training
    have to be known; a run that has reached its ``total_steps`` is over and expects none. One alert per stall. While
    the whole process is stopped (Ctrl-Z) nobody looks, and the waiting begins anew when it goes on. ``clock`` gives
    seconds on the scale of ``time.monotonic``.
    """

    def __init__(
        self, at_least_s: float = 300.0, times: float = 20.0, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.at_least_s = number("at_least_s", at_least_s, above=0.0)
        self.times = number("times", times, above=1.0)
        self._clock = clock
        self.next_look = math.inf
        """When `look` has to be called unless a snapshot comes before; infinite: not at all."""
        self._begin(None)

    def _begin(self, total_steps: int | None) -> None:
        self._last_step = math.inf if total_steps is None else total_steps - 1
        self._first_at: float | None = None
        self._at = 0.0
        self._step = 0
        self._recent: deque[float] = deque(maxlen=_KEPT)
        self._until_refresh = _LEAST
        self._longest = 0.0
        self._limit = math.inf
        self.next_look = math.inf

    def start(self, run: Run) -> None:
        """Forget what was."""
        self._begin(run.total_steps)

    def rest(self) -> None:
        """Expect no snapshot until one comes."""
        self.next_look = math.inf

    def watch_rows(self, rows: Sequence[Row]) -> Sequence[Alert]:
        """Note when they came. Says nothing: this rule speaks when no snapshot comes."""
        for row in rows:
            self._note(row[0])
        now, self._step = rows[-1][:2]
        self.next_look = now + self._limit if self._step < self._last_step else math.inf
        return ()

    def _note(self, now: float) -> None:
        if self._first_at is None:
            self._first_at = now
        else:
            taken = now - self._at
            self._recent.append(taken)
            if taken > self._longest:
                self._longest = taken
            self._until_refresh -= 1
            if self._until_refresh <= 0 and now - self._first_at >= _LEAST_RUN_S:
                self._until_refresh = _REFRESH
                # while even the longest is short, what is usual does not matter
                usual = median(self._recent) if self.times * self._longest > self.at_least_s else 0.0
                self._limit = max(self.at_least_s, self.times * usual, _TIMES_PAUSE * self._longest)
            elif _TIMES_PAUSE * taken > self._limit:
                self._limit = _TIMES_PAUSE * taken
        self._at = now

    def look(self, now: float) -> Alert | None:
        """Whether the waiting has been too long by ``now``."""
        if now < self.next_look:
            return None
        if now > self.next_look + _LATE_S:
            self.next_look = now + self._limit
            return None
        self.next_look = math.inf
        waited = now - self._at
        usual = median(self._recent)
        words = f"no snapshot for {_duration(waited)}, after one every {_duration(usual)}"
        return Alert(self._step, "stall", words, waited)


def _duration(seconds: float) -> str:
    if seconds < 60.0:
        return f"{seconds:.3g} s"
    if seconds < 5400.0:
        return f"{seconds / 60.0:.3g} min"
    return f"{seconds / 3600.0:.3g} h"
