"""Figures over every value so far that do not lose digits however many there are. No NumPy, no knowledge of steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_UNIT_BITS: Final = 1074
"""Every float is a whole number of 2 ** -1074."""


@dataclass(slots=True, frozen=True)
class Running:
    """Count, extremes and sum of values that come in batches. Each batch makes a new object: any thread may read one.

    The sum is kept as a whole number of the smallest float, so that batches are added without rounding and without
    overflow: the mean is as exact after ten million values as after two.
    """

    count: int = 0
    finite: int = 0
    smallest: float = math.inf
    largest: float = -math.inf
    units: int = 0
    """The sum of the finite values in units of 2 ** -1074."""

    def with_values(self, values: Sequence[float]) -> Running:
        """The figures with ``values`` added. Each batch is summed exactly and rounded once (``math.fsum``)."""
        finite = values if all(map(math.isfinite, values)) else [value for value in values if math.isfinite(value)]
        if not finite:
            return self.with_batch(len(values), (), math.inf, -math.inf)
        return self.with_batch(len(values), finite, min(finite), max(finite))

    def with_batch(self, count: int, finite: Sequence[float], smallest: float, largest: float) -> Running:
        """The same for who knows already which of the ``count`` values are finite, and their extremes."""
        try:
            units = _units(math.fsum(finite))
        except OverflowError:  # of values near the largest float the sum is none, though the mean is
            units = sum(map(_units, finite))
        return Running(
            self.count + count,
            self.finite + len(finite),
            min(self.smallest, smallest),
            max(self.largest, largest),
            self.units + units,
        )

    @property
    def mean(self) -> float:
        """Mean of the finite values; NaN when there was none."""
        if not self.finite:
            return math.nan
        # the division of two whole numbers is rounded correctly; the sums of the batches may have rounded the mean
        # of equal values past them
        return min(max(self.units / (self.finite << _UNIT_BITS), self.smallest), self.largest)


def _units(value: float) -> int:
    above, below = value.as_integer_ratio()  # below is a power of two
    return above << (_UNIT_BITS + 1 - below.bit_length())
