"""How often the process that draws may draw: as much as the training does not notice. Nothing is drawn here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

CROWDED: Final = 0.75
"""A drawing that had a core for less of its time than this shared it with others, as a rule with the training."""
MOST_BESIDES: Final = 1.0
"""What the process computed since the drawing before, reading what it was told and passing pictures on, counts as part
of a drawing; not more than the drawing itself, since what the user does in a window is done there as well."""


@dataclass(frozen=True, slots=True)
class Share:
    """How much of a core drawing may take."""

    free: float
    """Where a core is free."""
    crowded: float
    """Where none is: then whatever drawing takes is taken from the training."""


class Pace:
    """Takes no more than its ``share`` of a core for drawing.

    The first drawing is left out: it loads fonts, and what it took says nothing about the next. ``clock`` gives seconds
    that passed, ``thread`` those that this thread computed, ``process`` those that all threads did.
    """

    def __init__(
        self,
        share: Share,
        *,
        clock: Callable[[], float] = time.monotonic,
        thread: Callable[[], float] = time.thread_time,
        process: Callable[[], float] = time.process_time,
    ) -> None:
        self._share = share
        self._clock = clock
        self._thread = thread
        self._process = process
        self._process_before: float | None = None
        self.next_s = 0.0
        """When the next drawing may begin, on ``clock``."""

    @contextmanager
    def drawing(self, every_s: float = 0.0) -> Iterator[None]:
        """Inside, something is drawn; the next comes ``every_s`` seconds later at the earliest."""
        began, before = self._clock(), self._thread()
        try:
            yield
        finally:
            ended, drawing_s, process_s = self._clock(), self._thread() - before, self._process()
            crowded = drawing_s < CROWDED * (ended - began)
            wait_s = 0.0
            if self._process_before is not None:
                took_s = min(max(process_s - self._process_before, drawing_s), (1.0 + MOST_BESIDES) * drawing_s)
                wait_s = took_s / (self._share.crowded if crowded else self._share.free)
            self.next_s = ended + max(every_s, wait_s)
            self._process_before = process_s
