"""Snapshots that wait for a moment, so that several are taken one right after another.

After a training step nothing that takes a snapshot is in the processor's caches any more, and fetching it takes longer
than what it then does. For the second of two snapshots in a row it is there (benchmarks/loop.py).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import Any, Final

from m.metrics.loads import Loads
from m.metrics.snapshot import TrainingSnapshot

MOST_TOGETHER: Final = 16
"""So many snapshots are taken together ..."""
NUMBERS_TOGETHER: Final = 192
"""... or fewer, with about so many numbers in all: so that this takes some tens of microseconds."""
MOST_WAITING: Final = 1024
"""Past so many, whoever is said to be taking them is waited for; and given up after that, as when he was interrupted
twice or is a thread that a fork left behind."""
_FIELDS: Final = 6  # of a snapshot, that are taken one by one
_TAKER: Final = "taker"


def how_many_like(snapshot: TrainingSnapshot) -> int:
    """So many like ``snapshot`` are taken together; one where it has loads by layer, which hold memory."""
    utilization: Any = snapshot.expert_utilization
    if utilization and type(next(iter(utilization.values()))) is Loads:
        return 1
    numbers = _FIELDS + len(snapshot.custom_metrics) + len(utilization)
    return max(min(NUMBERS_TOGETHER // numbers, MOST_TOGETHER), 1)


class Intake:
    """Hands snapshots on, in order, to ``take(snapshot, came)``, with the time at which each came.

    `put` is for one thread, which never waits. `catch_up` is for any thread that wants to see what was put so far.
    ``take`` is called on either, by one of them at a time.
    """

    def __init__(self, take: Callable[[TrainingSnapshot, float], object]) -> None:
        self._take = take
        self._together = 1  # the first is taken at once: it says how many of its like are taken together
        self._waiting: deque[tuple[TrainingSnapshot, float]] = deque()
        # Who takes, or empty. A dict, because setdefault notes it in one step that no interrupt can split.
        self._taker: dict[str, tuple[int, object]] = {}

    def put(self, snapshot: TrainingSnapshot, came: float) -> None:
        """Let ``snapshot`` wait, or take it now with all that wait."""
        waiting = self._waiting
        waiting.append((snapshot, came))
        if len(waiting) >= self._together:
            self._together = how_many_like(snapshot)
            if not self._take_all() and len(waiting) > MOST_WAITING:
                self._take_over()

    def catch_up(self, patience_s: float = 1.0) -> None:
        """Return when all that were put before have been taken, or after ``patience_s`` seconds in which another thread
        was at it. In the middle of a ``take``, as in the handler of a signal, return at once."""
        deadline = time.monotonic() + patience_s
        while not self._take_all():
            taker = self._taker.get(_TAKER)
            if (taker is not None and taker[0] == get_ident()) or time.monotonic() >= deadline:
                return
            time.sleep(0.0005)

    def _take_over(self) -> None:
        """Take in place of somebody who does not come back."""
        self.catch_up()
        if len(self._waiting) > MOST_WAITING:
            self._taker.clear()
            self._take_all()

    def _take_all(self) -> bool:
        """Take what waits by now; False when somebody is at it."""
        me = (get_ident(), object())
        taker = self._taker
        try:
            if taker.setdefault(_TAKER, me) is not me:
                return False
            waiting, take = self._waiting, self._take
            for _ in range(len(waiting)):
                take(*waiting.popleft())
        finally:
            if taker.get(_TAKER) is me:
                taker.clear()
        return True
