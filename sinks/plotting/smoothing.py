"""The moving average that is drawn in front of a noisy curve. Pure NumPy, no matplotlib.

With x_1, x_2, ... the finite values of a metric, E_0 = 0 and a factor b, the exponential moving average (EMA) is

    E_t = b E_(t-1) + (1 - b) x_t,    drawn as    E_t / (1 - b^t).

The division takes away that E begins at 0: the correction that Kingma and Ba derive for Adam (ICLR 2015, section 3). So
the first point of the average is the first value, and never something on the way from 0 to it.

It is computed when somebody looks, from the buckets of the curve that lies behind it: n points that are drawn as one
bucket enter at once with their mean m, E = b^n E + (1 - b^n) m, which for n = 1 is the formula above. So what it says
of the past is as fixed as that curve, it costs as little in a run of ten million steps as in one of a thousand, and it
costs nothing at all when a number is recorded.
"""

from __future__ import annotations

import math

import numpy as np

from m.metrics import buckets
from m.metrics.buckets import Floats


def average(table: Floats, factor: float) -> tuple[Floats, Floats, Floats]:
    """Index in the run, step and average for each bucket of ``table``, at its last finite point; NaN for the average
    where the line is broken.

    A value that is not finite enters no average, breaks the line where the curve is broken, and the average goes on
    from where it was. A step that goes back begins it anew. ``factor`` lies in 0.0 to 1.0, both excluded.
    """
    numbers = table[buckets.COUNT] - table[buckets.NAN] - table[buckets.INFINITE]
    crossed = table[buckets.CROSSED] > 0.0
    anew = (table[buckets.BORDER] > 0.0) | crossed
    anew[1:] |= crossed[:-1]
    gains = -np.expm1(numbers * math.log(factor))  # 1 - b^n, to the last digit
    decays = np.where(anew, 0.0, 1.0 - gains)
    sums, weights = _recurrence(decays, np.stack((gains * table[buckets.MEAN], gains)))
    there = np.flatnonzero(numbers > 0.0)
    broken = np.flatnonzero(~np.isnan(table[buckets.BREAK]))
    again = there[anew[there]]
    # each average at its last point, each break at its first, a new beginning before all of those
    index = np.concatenate(
        (table[buckets.LAST, there], table[buckets.BREAK, broken], table[buckets.START, again] - 0.5)
    )
    x = np.concatenate(
        (table[buckets.LAST + 1, there], table[buckets.BREAK + 1, broken], table[buckets.EARLIEST, again])
    )
    y = np.concatenate((sums[there] / weights[there], np.full(broken.size + again.size, np.nan)))
    order = np.argsort(index, kind="stable")
    return index[order], x[order], y[order]


def settled_after(factor: float) -> int:
    """So many points ago a value counts for less than a thousandth of the average."""
    return math.ceil(math.log(1e-3) / math.log(factor))


def _recurrence(decays: Floats, gains: Floats) -> Floats:
    """The results of r_k = decays_k r_(k-1) + gains_k by row, from r = 0, in a logarithmic number of passes."""
    decays, results, reach = decays.copy(), gains.copy(), 1
    while reach < decays.size:
        results[:, reach:] += decays[reach:] * results[:, :-reach]
        decays[reach:] = decays[reach:] * decays[:-reach]
        reach *= 2
    return results
