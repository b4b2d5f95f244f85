"""What follows from a snapshot and the clock: throughput and the balance of the experts, cheap enough for every step.

The full indicators and the rate meter that these build on are in ``experts`` and ``throughput``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from operator import mul
from typing import Final

from m.metrics.throughput import RateMeter

RATES: Final = ("samples_per_sec", "tokens_per_sec")
"""The names of the rates: of samples, where a batch size is given, and of tokens, where a sequence length is, too."""
BALANCE: Final = ("expert_entropy", "load_balance")
"""The names of what `entropy_and_balance` gives."""
OBSERVE_EVERY_S: Final = 0.25
"""The rate is worked out anew this often, not at every step: a loop may do a thousand steps in that time."""


class RecentRate:
    """Steps per second lately, asked for at every step; costs one look at the clock between two observations.

    ``clock`` gives seconds and never goes back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._meter = RateMeter()
        self._first: float | None = None
        self._due = -math.inf
        self._rate: float | None = None

    def at(self, step: int) -> float | None:
        """The recent rate now that ``step`` is done; None for the first step."""
        now = self._clock()
        if now < self._due:
            return self._rate
        if self._first is None:
            self._first = now
        # close together at first, so that the second step has a rate and the tenth a good one
        self._due = now + min(OBSERVE_EVERY_S, 0.5 * (now - self._first))
        self._meter.observe(now, step)
        self._rate = self._meter.steps_per_second
        return self._rate


def entropy_and_balance(utilization: Mapping[int, float]) -> tuple[float, float] | None:
    """Shannon entropy in nats, and mean load over largest load, of one mapping expert id -> load.

    The same two numbers as ``expert_balance(utilization)``, for callers who want only those at every step. None when
    there is no positive finite load; loads that are negative, NaN or infinite count as 0.
    """
    loads = [load for load in utilization.values() if 0.0 < load < math.inf]
    if not loads:
        return None
    total = sum(loads)
    if not total < math.inf:
        return None
    entropy = math.log(total) - sum(map(mul, loads, map(math.log, loads))) / total
    return max(entropy, 0.0), total / (len(utilization) * max(loads))
