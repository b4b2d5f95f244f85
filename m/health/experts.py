"""Experts that get next to nothing, and routing that uses few of them.

Both rules look at one mapping of expert -> load at a time, under a label: the layer, or None where there is but one.
Loads may be shares or counts. An expert that is not in the mapping is not known of.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Mapping
from itertools import pairwise
from typing import Any, Final

from m.health.parameters import share, whole
from m.metrics.alerts import Alert
from m.metrics.experts import DEAD_BELOW, entropy_of
from m.metrics.loads import Loads
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot

_ENOUGH: Final = 30.0
"""So many tokens an expert with its fair share would have got: that it gets none by chance is one in 10^13."""
_ENOUGH_AGAIN: Final = 100.0
"""So many show whether a dead expert lives again, and whether one that did has died again: an expert with little load
that was told once must not be told whenever chance passes it over."""
_ENOUGH_TOGETHER: Final = 4.0
"""So many tokens for each expert show how many are used; with fewer even routing looks uneven."""
_ALIVE: Final = 4.0
"""A dead expert lives again with so many times the load below which it was dead, on average."""
_GAP: Final = 64
"""Snapshots between two alerts of one rule."""
_MOST_NAMED: Final = 5
_MOST_LAYERS: Final = 4096
"""With more of them, under labels that are made up as it goes on, everything is forgotten."""
_ROUNDING: Final = 1e-6
"""What differs by less, as part of all loads together, differs by rounding."""
_NOTHING_YET: Final = (0, 0.0, 0.0)
_AT_ONCE: Final = 32
"""So many experts are looked at in one snapshot, in one layer at least; the layers take turns."""
_LARGE: Final = 256
"""After a layer of so many experts, one snapshot is passed over; after twice as many two, and so on."""
_SELDOM: Final = 64
"""A single mapping is looked at every second time; one with more experts than this less often."""


class _Layers(ABC):
    """What both rules share: which mappings are looked at, and when something may be said."""

    says_once: Final = True

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._snapshot = 0
        self._told_at = -_GAP
        self._measured = 0
        self._layered = False
        self._next = 0  # the layer whose turn it is
        self._wait = 0  # snapshots in which none has its turn
        self._layers: set[Hashable] = set()  # whatever was looked at

    def start(self, run: Run) -> None:
        """Forget what was."""
        self._begin()

    def watch(self, snapshot: TrainingSnapshot) -> Alert | None:
        """What is wrong with the experts of ``snapshot``."""
        self._snapshot += 1
        utilization: Mapping[Any, Any] = snapshot.expert_utilization  # of the experts, or of layers
        if not utilization:
            return None
        measured = self._measured
        self._measured = measured + 1
        if measured & 1 and not self._layered:
            return None
        first = next(iter(utilization.values()))
        self._layered = type(first) is not float and isinstance(first, Mapping)
        if self._layered:
            if len(self._layers) > _MOST_LAYERS:
                self._begin()
            if self._wait:
                self._wait -= 1
                return None
            labels = list(utilization)
            looked_at = 0
            for _ in labels:
                label = labels[self._next % len(labels)]
                self._next += 1
                self._look(snapshot.step, label, utilization[label])
                looked_at += len(utilization[label]) or 1  # only here, for it reads the loads
                if looked_at >= _AT_ONCE:
                    break
            self._wait = looked_at // _LARGE
        elif len(utilization) <= _SELDOM or measured % (2 * (len(utilization) // _SELDOM)) == 0:
            self._look(snapshot.step, None, utilization)
        else:
            return None
        if self._snapshot - self._told_at < _GAP:
            return None
        said = self._news(snapshot.step)
        if said is not None:
            self._told_at = self._snapshot
        return said

    @abstractmethod
    def _look(self, step: int, label: Hashable, loads: Mapping[int, float]) -> None:
        """Take in the loads of one layer, or of the only one (None)."""

    @abstractmethod
    def _news(self, step: int) -> Alert | None:
        """What is new since it was asked last."""


class DeadExperts(_Layers):
    """``dead_experts``: experts got less than ``share`` of their fair share, ``patience`` looks in a row.

    And as many times as it takes for an expert with its fair share to have got 30 tokens: with few tokens and many
    experts it is chance that leaves an expert out. How many tokens there are is not known; the smallest difference
    between two loads of a mapping stands for one, which is never too many. One alert names all that are new; an expert
    that had four times that much again, on average over ``patience`` looks and 100 tokens for a fair share, may be told
    anew after as many tokens. An expert that is not in the mapping is not known of. A look is taken at every second
    mapping, less often above 64 experts; of many layers at some in each snapshot, in turn.

    Experts that get no tokens are why balancing losses exist: Shazeer et al. 2017, section 4; Fedus et al. 2021
    (Switch Transformer), section 2.2.
    """

    def __init__(self, share: float = DEAD_BELOW, patience: int = 20) -> None:
        self.share = _share("share", share)
        self.patience = whole("patience", patience, at_least=1)
        super().__init__()

    def _begin(self) -> None:
        super()._begin()
        self._below: dict[Hashable, dict[int, tuple[int, float, int]]] = {}  # since: looks, tokens, first step
        self._dead: dict[Hashable, dict[int, tuple[int, float, float]]] = {}  # looks, fair tokens and its own since
        self._revived: set[tuple[Hashable, int]] = set()
        self._new: list[tuple[Hashable, int, int, int]] = []  # not told yet: of how many, and since when

    def _look(self, step: int, label: Hashable, loads: Mapping[int, float]) -> None:
        n = len(loads)
        numbers = _numbers(loads)
        total = sum(numbers)
        if not 0.0 < total < math.inf or n < 2:
            return
        limit = self.share * total / n * (1.0 - _ROUNDING)
        below = self._below.get(label)
        dead = self._dead.get(label)
        if not below and not dead and min(numbers) >= limit:
            return  # the common case: all are alive
        self._layers.add(label)
        tokens = total / _least_part(numbers, total)
        before = below or {}
        now: dict[int, tuple[int, float, int]] = {}
        for expert, load in loads.items():
            if dead and expert in dead:
                looks, fair, got = dead[expert]
                looks, fair, got = looks + 1, fair + tokens / n, got + tokens * (load / total)
                if looks < self.patience or fair < _ENOUGH_AGAIN:
                    dead[expert] = (looks, fair, got)
                elif got < _ALIVE * self.share * fair:
                    dead[expert] = _NOTHING_YET
                else:
                    del dead[expert]
                    self._revived.add((label, expert))
            elif load < limit:
                looks, fair, since = before.get(expert, (0, 0.0, step))
                looks, fair = looks + 1, fair + tokens / n
                enough = _ENOUGH_AGAIN if (label, expert) in self._revived else _ENOUGH
                if looks < self.patience or fair < enough:
                    now[expert] = (looks, fair, since)
                    continue
                dead = self._dead.setdefault(label, {})
                dead[expert] = _NOTHING_YET
                self._new.append((label, expert, n, since))
        self._below[label] = now

    def _news(self, step: int) -> Alert | None:
        if not self._new:
            return None
        new, self._new = self._new, []
        since = min(since for _, _, _, since in new)
        few = f"less than {100 * self.share:g} % of the fair share since step {since}"
        if len(new) == 1:
            words = f"{_named(new)} of {new[0][2]} gets {few}"
        else:
            words = f"{len(new)} experts get {few}: {_named(new)}"
        return Alert(step, "dead_experts", words, float(len(new)))


class CollapsedRouting(_Layers):
    """``collapsed_routing``: no more than ``effective`` of the experts are used, together over ``patience`` looks.

    Used is measured by effective experts, e to the Shannon entropy of the loads (Hill 1973; see
    `m.metrics.experts.ExpertBalance`), over their number. The loads of ``patience`` looks are added up, more of them
    until there are four tokens for each expert, and that begins anew with each look at which more could be in use.
    Armed again when a quarter more than that are used, or half of what is missing to all, whichever is less. A look is
    taken as in `DeadExperts`.

    Routing that feeds itself, more tokens for whoever learned more, is the collapse that Shazeer et al. 2017 describe
    in section 4. Half is far below what balanced models show and above what top-1 and top-2 routing collapse to.
    """

    def __init__(self, effective: float = 0.5, patience: int = 20) -> None:
        self.effective = _share("effective", effective)
        self._armed_from = min(1.25 * self.effective, (1.0 + self.effective) / 2)
        self.patience = whole("patience", patience, at_least=1)
        super().__init__()

    def _begin(self) -> None:
        super()._begin()
        self._sums: dict[Hashable, dict[int, float]] = {}
        self._looks: dict[Hashable, tuple[int, float]] = {}  # how many, and the tokens in them
        self._collapsed: set[Hashable] = set()
        self._new: list[tuple[Hashable, float, int]] = []

    def _look(self, step: int, label: Hashable, loads: Mapping[int, float]) -> None:
        n = len(loads)
        numbers = _numbers(loads)
        total = sum(numbers)
        if not 0.0 < total < math.inf or n < 2:
            return
        # e to the entropy is at least 1 / (largest share), so this many are in use
        at_least = total / max(numbers)
        if at_least > self.effective * n:
            if label in self._looks:
                del self._looks[label], self._sums[label]
            if at_least > self._armed_from * n:
                self._collapsed.discard(label)
            return
        self._layers.add(label)
        sums = self._sums.get(label, {})
        if sums.keys() != loads.keys():  # the first look, or other experts
            sums = self._sums[label] = dict.fromkeys(loads, 0.0)
            self._looks[label] = 0, 0.0
        for expert, load in loads.items():
            sums[expert] += max(load, 0.0) / total
        looks, tokens = self._looks[label]
        looks, tokens = looks + 1, tokens + total / _least_part(numbers, total)
        self._looks[label] = looks, tokens
        if looks < self.patience or tokens < _ENOUGH_TOGETHER * n:
            return
        used = math.exp(entropy_of(sums.values()))
        del self._looks[label], self._sums[label]
        if used > self._armed_from * n:
            self._collapsed.discard(label)
        elif label not in self._collapsed and used <= self.effective * n * (1 + 1e-9):
            self._collapsed.add(label)
            self._new.append((label, used, n))

    def _news(self, step: int) -> Alert | None:
        if not self._new:
            return None
        new, self._new = self._new, []
        label, used, n = min(new, key=lambda each: each[1] / each[2])
        where = "" if label is None else f"layer {label} "
        more = f"; {len(new) - 1} more layers have collapsed" if len(new) > 1 else ""
        words = f"{where}uses {n} experts as if there were {used:.1f}{more}".strip()
        return Alert(step, "collapsed_routing", words if where else f"the router {words}", used)


def _numbers(loads: Mapping[int, float]) -> Collection[float]:
    """The loads alone, without making a mapping of what was given as a column."""
    return loads.numbers if isinstance(loads, Loads) else loads.values()


def _least_part(numbers: Collection[float], total: float) -> float:
    """The smallest difference between two loads, or between a load and none: at least what one token is."""
    rounding = _ROUNDING * total
    ordered = sorted([0.0, *numbers])
    return min([above - below for below, above in pairwise(ordered) if above - below > rounding], default=total)


def _named(new: list[tuple[Hashable, int, int, int]]) -> str:
    """The experts by number, those of one layer together: ``layer 3: experts 0, 5``."""
    by_layer: dict[Hashable, list[int]] = {}
    for label, expert, _, _ in sorted(new[:_MOST_NAMED], key=lambda each: (str(each[0]), each[1])):
        by_layer.setdefault(label, []).append(expert)
    parts = []
    for label, experts in by_layer.items():
        word = "expert" if len(experts) == 1 else "experts"
        where = "" if label is None else f"layer {label}: "
        parts.append(f"{where}{word} {', '.join(map(str, experts))}")
    more = f" and {len(new) - _MOST_NAMED} more" if len(new) > _MOST_NAMED else ""
    return "; ".join(parts) + more


_share = share  # a parameter of the classes above has the same name
