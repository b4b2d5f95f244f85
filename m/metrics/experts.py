"""How evenly a Mixture of Experts uses its experts: the standard indicators, of one mapping and over layers.

All of them compare the load of an expert with the *fair share*, the mean load of all experts: 1.0 is ideal, 0.0 a dead
expert. Loads may be shares or counts of routed tokens; only their proportions matter here. Where routing sends a token
to k experts, count it k times.

Sources: Shazeer et al. 2017, "Outrageously Large Neural Networks" (arXiv 1701.06538), whose importance and load losses
are squared coefficients of variation. Lepikhin et al. 2020, GShard (arXiv 2006.16668), where an expert has a capacity
and tokens beyond it overflow. Fedus et al. 2021, Switch Transformer (arXiv 2101.03961): the fraction f_i of tokens
dispatched to expert i, a balancing loss that is least at f_i = 1/n, and the capacity factor: how much of its fair share
an expert can take. Zoph et al. 2022, ST-MoE (arXiv 2202.08906), on factors of 1.25 to 2 and on what they cost.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import mul
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from m.metrics.loads import Loads, ids_of, layers_of

if TYPE_CHECKING:
    from m.metrics.buckets import Floats, Mask

Label: TypeAlias = str | int | None
"""The label of a layer; None for a mapping that is not by layer."""

DEAD_BELOW: Final = 0.05
"""An expert with less than this part of its fair share counts as dead."""
OVERLOADED_FROM: Final = 2.0
"""An expert with this many fair shares or more counts as overloaded. It is the largest capacity factor in common use
(GShard's for two experts a token, and ST-MoE's in evaluation), so its tokens are dropped even there."""
_ROUNDING: Final = 1.0 - 1e-9
DEAD_UNDER: Final = DEAD_BELOW * _ROUNDING
OVERLOADED_OVER: Final = OVERLOADED_FROM * _ROUNDING
"""What computed loads are compared with, so that rounding does not decide where an expert has exactly that much."""
COUNTS_ABOVE: Final = 1.05
"""Loads with a larger sum are no shares of one whole and are shown as parts of their sum."""
_PURE_UP_TO: Final = 256
"""More loads than this are summed up by NumPy, which is loaded then."""


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
    running in parallel are busy while they wait for the fullest one. The reciprocal of ``peak``."""
    heaviest: int
    """Id of the expert with the largest load."""
    dead: tuple[int, ...]
    """Ids of experts below `DEAD_BELOW` of the fair share, in order."""
    overloaded: tuple[int, ...] = ()
    """Ids of experts with `OVERLOADED_FROM` fair shares or more, in order."""
    peak: float = 1.0
    """Largest load over the fair share, n max p_i: the capacity factor (GShard, Switch Transformer) that would drop no
    token. 1 is even, n is one expert for everything."""
    least: float = 1.0
    """Smallest load over the fair share: 1 is even, 0 a dead expert."""
    total: float = field(default=1.0, compare=False)
    """Sum of the loads as they were given."""

    @property
    def evenness(self) -> float:
        """Normalised entropy, entropy / ln n: 1 is even, 0 is one expert for everything (Pielou's evenness)."""
        return self.entropy / math.log(self.n) if self.n > 1 else 1.0

    @property
    def max_over_min(self) -> float:
        """Largest load over smallest; infinite where an expert has none."""
        return self.peak / self.least if self.least > 0.0 else math.inf


@dataclass(slots=True, frozen=True)
class LayersBalance:
    """The balance of each layer, and of all. A mapping that is not by layer is one layer without a label."""

    layers: tuple[tuple[Label, ExpertBalance | None], ...]
    """In the order in which they were given; None for a layer without any load."""
    entropy: float
    """Mean over the layers with a load, as the next three."""
    effective: float
    cv: float
    load_balance: float
    worst_load_balance: float
    """The least of a layer."""
    dead: int
    """Dead experts in all layers together; all of a layer without any load."""
    overloaded: int
    """Overloaded experts in all layers together."""

    def worst_first(self) -> list[tuple[Label, ExpertBalance | None]]:
        """The layers, first those without a load, then by the number of their dead experts, then by ``cv``."""
        return sorted(self.layers, key=lambda layer: _badness(layer[1]), reverse=True)


def expert_balance(utilization: Mapping[int, float]) -> ExpertBalance | None:
    """The indicators of one mapping expert id -> load; loads may be shares or counts.

    None when there is nothing to speak of: an empty mapping, or no positive finite load. Loads that are negative, NaN
    or infinite count as 0 here.
    """
    columns = _matrix([utilization])
    return _small(utilization) if columns is None else _large(columns, [utilization])[0]


def balance_by_layer(utilization: Mapping[Any, Any]) -> LayersBalance | None:
    """The same of each layer of a snapshot's ``expert_utilization``, by layer or not. None where no layer has a load.

    About 2 ms for 48 layers of 1,024 experts, once their numbers have been read.
    """
    given = layers_of(utilization)
    columns = _matrix([loads for _, loads in given])
    if columns is None:
        layers = tuple((label, expert_balance(loads)) for label, loads in given)
    else:
        layers = tuple(zip((label for label, _ in given), _large(columns, [loads for _, loads in given]), strict=True))
    known = [balance for _, balance in layers if balance is not None]
    if not known:
        return None
    silent = sum(len(loads) for (_, loads), (_, balance) in zip(given, layers, strict=True) if balance is None)
    return LayersBalance(
        layers=layers,
        entropy=_mean([balance.entropy for balance in known]),
        effective=_mean([balance.effective for balance in known]),
        cv=_mean([balance.cv for balance in known]),
        load_balance=_mean([balance.load_balance for balance in known]),
        worst_load_balance=min(balance.load_balance for balance in known),
        dead=silent + sum(len(balance.dead) for balance in known),
        overloaded=sum(len(balance.overloaded) for balance in known),
    )


def share(load: float, total: float) -> float:
    """``load`` as displays print it: as it was given where all loads sum up to 1 or less (utilizations), else, where
    they are counts, or fractions of tokens that each go to several experts, as part of their sum ``total``."""
    return load / total if total > COUNTS_ABOVE else load


def relative_loads(utilization: Mapping[int, float]) -> array[float]:
    """Each load over the fair share, in the order of the mapping; all 0 without any load. What is negative, NaN or
    infinite counts as 0."""
    columns = _matrix([utilization])
    if columns is not None:
        columns /= columns.max() or 1.0
        columns *= columns.size / (columns.sum() or 1.0)
        return array("d", columns.tobytes())
    loads = [load if 0.0 < load < math.inf else 0.0 for load in _column(utilization)]
    largest = max(loads, default=0.0)
    if not largest:
        return array("d", loads)
    loads = [load / largest for load in loads]
    scale = len(loads) / math.fsum(loads)
    return array("d", [load * scale for load in loads])


def load_change(before: Mapping[Any, Any], now: Mapping[Any, Any]) -> float | None:
    """How much the loads have changed: total variation distance, 1/2 sum |p_i - q_i|, the mean over layers.

    It is the part of the tokens that go to another expert: 0 none, 1 all. None where no layer has loads at both
    moments. An expert that only one of them knows counts as 0 at the other.
    """
    earlier = dict(layers_of(before))
    at_once = _distances(earlier, dict(layers_of(now)))
    if at_once is not None:
        return at_once
    distances = []
    for label, loads in layers_of(now):
        if label in earlier:
            distance = _distance(earlier[label], loads)
            if distance is not None:
                distances.append(distance)
    return _mean(distances) if distances else None


def entropy_of(loads: Iterable[float]) -> float:
    """Shannon entropy in nats of non-negative finite loads, which need not sum to 1; 0.0 when all are 0."""
    positive = [load for load in loads if load > 0.0]
    if not positive:
        return 0.0
    largest = max(positive)
    positive = [load / largest for load in positive]
    total = math.fsum(positive)
    # H = ln T - (1/T) sum x ln x with T the sum of the loads x: one pass, no division per expert
    entropy = math.log(total) - math.fsum(map(mul, positive, map(math.log, positive))) / total
    return max(entropy, 0.0)


def _small(utilization: Mapping[int, float]) -> ExpertBalance | None:
    largest = max((load for load in utilization.values() if 0.0 < load < math.inf), default=None)
    if largest is None:
        return None
    # relative to the largest: the sum and the squares of loads near 1e308 would overflow
    loads = {expert: load / largest if 0.0 < load < math.inf else 0.0 for expert, load in utilization.items()}
    n = len(loads)
    whole = math.fsum(loads.values())
    fair = whole / n
    variance = math.fsum((load - fair) ** 2 for load in loads.values()) / n
    heaviest = max(loads, key=lambda expert: (loads[expert], -expert))
    entropy = entropy_of(loads.values())
    return ExpertBalance(
        n=n,
        entropy=entropy,
        effective=math.exp(entropy),
        cv=math.sqrt(variance) / fair,
        load_balance=fair / loads[heaviest],
        heaviest=heaviest,
        dead=tuple(sorted(expert for expert, load in loads.items() if load < DEAD_UNDER * fair)),
        overloaded=tuple(sorted(expert for expert, load in loads.items() if load >= OVERLOADED_OVER * fair)),
        peak=loads[heaviest] / fair,
        least=min(loads.values()) / fair,
        total=whole * largest,
    )


def _matrix(layers: Sequence[Mapping[int, float]]) -> Floats | None:
    """The loads by layer and expert, for NumPy, with 0 for what is negative, NaN or infinite; None where they are few,
    or not as many in each layer."""
    sizes = {len(loads) for loads in layers}
    if len(sizes) != 1 or len(layers) * min(sizes) <= _PURE_UP_TO:
        return None
    import numpy as np

    given = np.array([np.frombuffer(_column(loads)) for loads in layers])
    return np.where((given > 0.0) & (given < math.inf), given, 0.0)


def _large(loads: Floats, layers: Sequence[Mapping[int, float]]) -> list[ExpertBalance | None]:
    """`_small` of each layer by NumPy. ``loads`` is their `_matrix`, which is changed."""
    import numpy as np

    n = loads.shape[1]
    largest = loads.max(axis=1)
    loads /= np.where(largest > 0.0, largest, 1.0)[:, None]
    whole = loads.sum(axis=1)
    fair = whole / n
    logs = np.log(loads, out=np.zeros_like(loads), where=loads > 0.0)
    weighted = np.einsum("ij,ij->i", loads, logs)
    deviation, least = loads.std(axis=1), loads.min(axis=1)
    dead = loads < DEAD_UNDER * fair[:, None]
    overloaded = loads >= OVERLOADED_OVER * fair[:, None]
    found: list[ExpertBalance | None] = []
    for at, given in enumerate(layers):
        if not largest[at]:
            found.append(None)
            continue
        ids = ids_of(given)
        entropy = max(math.log(whole[at]) - float(weighted[at] / whole[at]), 0.0)
        found.append(
            ExpertBalance(
                n=n,
                entropy=entropy,
                effective=math.exp(entropy),
                cv=float(deviation[at] / fair[at]),
                load_balance=float(fair[at]),
                heaviest=min(ids[place] for place in np.flatnonzero(loads[at] == 1.0).tolist()),
                dead=_at(dead[at], ids),
                overloaded=_at(overloaded[at], ids),
                peak=float(1.0 / fair[at]),
                least=float(least[at] / fair[at]),
                total=float(whole[at]) * float(largest[at]),
            )
        )
    return found


def _at(places: Mask, ids: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(ids[place] for place in places.nonzero()[0].tolist()))


def _distances(before: Mapping[Any, Mapping[int, float]], now: Mapping[Any, Mapping[int, float]]) -> float | None:
    """The mean of `_distance` by NumPy; None where it takes looking at each layer by itself."""
    if before.keys() != now.keys() or any(ids_of(before[label]) != ids_of(loads) for label, loads in now.items()):
        return None
    first, second = _matrix([before[label] for label in now]), _matrix(list(now.values()))
    if first is None or second is None or not first.max(axis=1).all() or not second.max(axis=1).all():
        return None
    for loads in (first, second):
        loads /= loads.max(axis=1)[:, None]
        loads /= loads.sum(axis=1)[:, None]
    return min(float(abs(first - second).sum()) / 2 / len(first), 1.0)


def _distance(before: Mapping[int, float], now: Mapping[int, float]) -> float | None:
    """Total variation distance of two mappings; None where one of them has no load."""
    first, second = relative_loads(before), relative_loads(now)
    if not max(first, default=0.0) or not max(second, default=0.0):
        return None
    earlier, later = ids_of(before), ids_of(now)
    if earlier != later:
        known, known_later = dict(zip(earlier, first, strict=True)), dict(zip(later, second, strict=True))
        every = [*known, *(expert for expert in known_later if expert not in known)]
        first = array("d", [known.get(expert, 0.0) * len(later) / len(earlier) for expert in every])
        second = array("d", [known_later.get(expert, 0.0) for expert in every])
    return min(math.fsum(map(abs, map(float.__sub__, first, second))) / 2 / len(later), 1.0)


def _column(utilization: Mapping[int, float]) -> array[float]:
    return utilization.numbers if isinstance(utilization, Loads) else array("d", utilization.values())


def _badness(balance: ExpertBalance | None) -> tuple[bool, int, float]:
    return (True, 0, 0.0) if balance is None else (False, len(balance.dead), balance.cv)


def _mean(numbers: Sequence[float]) -> float:
    return math.fsum(numbers) / len(numbers)
