"""How often the process that draws may draw: as much as the training does not notice. Nothing is drawn here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

CROWDED: Final = 0.75
"""A drawing that had a core for less of its time than this shared it with others, as a rule with the training."""
PART_WHEN_CROWDED: Final = 0.125
"""Of its share. Where no core is free, whatever drawing takes is taken from the training."""


class Pace:
    """Takes no more than ``share`` of a core for drawing, and `PART_WHEN_CROWDED` of that where no core is free.

    The first drawing is left out: it loads fonts, and what it took says nothing about the next. ``clock`` gives seconds
    that passed, ``cpu`` those that this thread computed.
    """

    def __init__(
        self,
        share: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self._share = share
        self._clock = clock
        self._cpu = cpu
        self._first = True
        self.next_s = 0.0
        """When the next drawing may begin, on ``clock``."""

    @contextmanager
    def drawing(self, every_s: float = 0.0) -> Iterator[None]:
        """Inside, something is drawn; the next comes ``every_s`` seconds later at the earliest."""
        began, cpu_before = self._clock(), self._cpu()
        try:
            yield
        finally:
            ended, took_s = self._clock(), self._cpu() - cpu_before
            crowded = took_s < CROWDED * (ended - began)
            share = self._share * PART_WHEN_CROWDED if crowded else self._share
            self.next_s = ended + max(every_s, 0.0 if self._first else took_s / share)
            self._first = False
