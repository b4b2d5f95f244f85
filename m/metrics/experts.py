"""How evenly a Mixture of Experts uses its experts: the standard indicators of one utilization mapping."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

DEAD_BELOW: Final = 0.05
"""An expert with less than this part of its fair share counts as dead."""


@dataclass(slots=True, frozen=True)
class ExpertBalance:
    """The load of ``n`` experts in a few numbers. With p_i the normalised load (sums to 1) and 1/n the fair share:"""

    n: int
    """Experts in the mapping."""
    entropy: float
    """Shannon entropy of the loads, -sum p_i ln p_i, in nats: 0 (one expert does everything) to ln n (even)."""
    effective: float
    """exp(entropy): as many equally used experts have this entropy (Hill number of order 1; Hill 1973)."""
    cv: float
    """Coefficient of variation, std(p) / mean(p) with the population std; 0 is even. Its square is the balancing loss
    of Shazeer et al. 2017, "Outrageously Large Neural Networks", eq. 7."""
    load_balance: float
    """Mean load over largest load: 1 is even, 1/n is one expert for everything. The share of the time that experts
    running in parallel are busy while they wait for the fullest one."""
    heaviest: int
    """Id of the expert with the largest load."""
    dead: tuple[int, ...]
    """Ids of experts below `DEAD_BELOW` of the fair share, in order."""


def expert_balance(utilization: Mapping[int, float]) -> ExpertBalance | None:
    """The indicators of one mapping expert id -> load; loads may be shares or counts.

    None when there is nothing to speak of: an empty mapping, or no positive finite load. Loads that are negative, NaN
    or infinite count as 0 here.
    """
    largest = max((load for load in utilization.values() if 0.0 < load < math.inf), default=None)
    if largest is None:
        return None
    # relative to the largest: the sum and the squares of loads near 1e308 would overflow
    loads = {expert: load / largest if 0.0 < load < math.inf else 0.0 for expert, load in utilization.items()}
    n = len(loads)
    fair = math.fsum(loads.values()) / n
    entropy = entropy_of(loads.values())
    variance = math.fsum((load - fair) ** 2 for load in loads.values()) / n
    heaviest = max(loads, key=lambda expert: (loads[expert], -expert))
    return ExpertBalance(
        n=n,
        entropy=entropy,
        effective=math.exp(entropy),
        cv=math.sqrt(variance) / fair,
        load_balance=fair / loads[heaviest],
        heaviest=heaviest,
        dead=tuple(sorted(expert for expert, load in loads.items() if load < DEAD_BELOW * fair)),
    )


def entropy_of(loads: Iterable[float]) -> float:
    """Shannon entropy in nats of non-negative finite loads, which need not sum to 1; 0.0 when all are 0."""
    positive = [load for load in loads if load > 0.0]
    if not positive:
        return 0.0
    largest = max(positive)
    positive = [load / largest for load in positive]
    total = math.fsum(positive)
    # H = ln T - (1/T) sum x ln x with T the sum of the loads x: one pass, no division per expert
    entropy = math.log(total) - math.fsum([load * math.log(load) for load in positive]) / total
    return max(entropy, 0.0)
