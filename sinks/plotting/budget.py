"""What drawing in the training process has cost, and whether it may cost more. Nothing is drawn here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

DRAW_BUDGET: Final = 0.05
"""Of the time that passes, drawing in the training process takes no more than this unless somebody says otherwise."""
APART_S: Final = 0.5
"""Between two drawings that nobody asked for: twice a second is as often as a notebook can show them."""


class DrawBudget:
    """Measures drawing and keeps what nobody asked for below ``share`` of the time that passes.

    The first picture is on credit, since it shows that there is something to see; the next has to wait until both are
    paid for. What somebody asked for is measured too, and never refused. The idea is noggin's
    (``max_fraction_spent_plotting``). ``clock`` gives seconds. One thread at a time.
    """

    def __init__(self, share: float = DRAW_BUDGET, clock: Callable[[], float] = time.perf_counter) -> None:
        self.share = share
        self._clock = clock
        self.drawn = 0
        """Drawings so far."""
        self.spent_s = 0.0
        """Seconds that they took."""
        self._began = self._last_began = self._last_ended = clock()

    def begin(self) -> None:
        """From now on time counts."""
        self.drawn, self.spent_s = 0, 0.0
        self._began = self._clock()

    def allows(self) -> bool:
        """Whether a picture that nobody asked for may be drawn now."""
        if not self.drawn:
            return True
        now = self._clock()
        took = self._last_ended - self._last_began
        if now < self._last_ended + APART_S or now < self._last_began + took / self.share:
            return False  # the latter, so that a long pause does not pay for many pictures at once
        return self.spent_s + took <= self.share * (now - self._began + took)

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Inside, one picture is drawn. Whatever becomes of it, it counts."""
        began = self._clock()
        try:
            yield
        finally:
            self._last_began, self._last_ended = began, self._clock()
            self.spent_s += self._last_ended - began
            self.drawn += 1

    def report(self) -> str:
        """What drawing came to, for people; empty when nothing was drawn."""
        if not self.drawn:
            return ""
        passed = self._clock() - self._began
        share = f", {100.0 * self.spent_s / passed:.1f} % of the time" if passed > 0.0 else ""
        times = "once" if self.drawn == 1 else f"{self.drawn} times"
        return f"figure drawn {times} in this process: {self.spent_s:.1f} s{share}"
