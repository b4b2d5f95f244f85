"""What the loads of the experts in each layer did over a run: a few indicators by layer, and over all layers.

Nothing here knows how, or whether, they are shown. The indicators are those of `m.metrics.experts`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from m.metrics.derived import BALANCE
from m.metrics.experts import ExpertBalance, expert_balance
from m.metrics.history import History
from m.metrics.loads import Layers, numbers_in

SHARE: Final = 0.001
"""Reading the loads takes no more than about this part of the time, on the thread that records."""
AT_EVERY_STEP: Final = 64
"""So many loads, over all layers, are read at every step whatever it takes: some 20 microseconds."""
AT_ONCE: Final = 2048
"""About so many loads are read at one step; the other layers' of that step wait for the next ones."""
OVERALL: Final = (*BALANCE, "load_balance_worst", "dead_experts")
"""The names of the indicators over all layers."""
MOST_LAYERS: Final = 1000
"""Layers that are kept; the others are counted."""

_CV: Final = "load_cv/"
_DEAD: Final = "dead_experts/"
_LAYER = re.compile(r"(load_cv|dead_experts)/(.*)", re.DOTALL)


def layer_of(name: str) -> tuple[str, str] | None:
    """The indicator, ``load_cv`` or ``dead_experts``, and the layer that a metric of `LayerHistories` is named after;
    None when ``name`` is no such name."""
    match = _LAYER.fullmatch(name)
    return None if match is None else (match[1], match[2])


def told_apart(names: Sequence[str]) -> list[str]:
    """``names`` without what all of them begin and end with, as parts between dots: ``0``, ``1`` for ``layers.0.mlp``,
    ``layers.1.mlp``. Of each at least one part stays; a single one stays as it is."""
    parts = [name.split(".") for name in names]
    for end in (0, -1):
        while len(parts) > 1 and min(map(len, parts)) > 1 and len({each[end] for each in parts}) == 1:
            for each in parts:
                del each[end]
    return [".".join(each) for each in parts]


class LayerHistories:
    """Takes the utilization of snapshots, by layer; keeps histories by name. For one thread at a time.

    ``load_cv/<layer>`` and ``dead_experts/<layer>`` are the coefficient of variation of a layer's loads and how many
    of its experts are dead; ``expert_entropy`` and ``load_balance`` the means over layers, ``load_balance_worst`` the
    least ``load_balance`` of a layer and ``dead_experts`` their number in all layers. Single experts have no history:
    of 48 layers with 1,024 experts each, that would be the memory of the machine.

    Up to `AT_EVERY_STEP` loads are read at each step. More are read as often as `SHARE` of the time pays for: of 48
    layers of 1,024 experts every five seconds or so, all layers as of the same step, a few of them at each step (all
    at once where steps take that long). What stands between two of those steps is not in the histories. A history
    holds at most about 1.1 MB, after more than a hundred thousand points, or 0.2 MB where there are many
    (`NamedHistories`); a layer has two.

    ``clock`` gives seconds and never goes back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.overall = {name: History() for name in OVERALL}
        """The four over all layers."""
        self.by_layer: dict[str, History] = {}
        """Those of single layers, by name."""
        self.new: list[History] = []
        """Histories of layers that came since somebody emptied this list."""
        self.left_out = 0
        """Layers past `MOST_LAYERS`, at each step that was read."""
        self._waiting: Layers = {}
        self._at = 0.0
        self._found: list[ExpertBalance] = []
        self._silent = 0
        self._spent = 0.0
        self._few = True
        self._due = self._last = clock()

    def record(self, at: float, layers: Layers) -> None:
        """The loads of the layers at step ``at``. Looks at the clock, and now and then at some of the loads."""
        now = self._clock()
        if not self._waiting:
            if now < self._due and not self._few:
                return
            self._few = numbers_in(layers) <= AT_EVERY_STEP
            self._waiting = dict(layers)
            self._at, self._found, self._silent, self._spent = at, [], 0, 0.0
        self._read_some(now, SHARE * (now - self._last))
        self._last = now

    def _read_some(self, began: float, budget: float) -> None:
        read, spent = 0, 0.0
        while self._waiting and (read < AT_ONCE or spent < budget):
            label = next(iter(self._waiting))
            loads = self._waiting.pop(label)
            balance = expert_balance(loads)
            read += len(loads)
            self._keep(str(label), balance, len(loads))
            spent = self._clock() - began
        self._spent += spent
        if not self._waiting:
            self._sum_up()
            self._due = began + self._spent / SHARE

    def _keep(self, label: str, balance: ExpertBalance | None, experts: int) -> None:
        cv = self._history(_CV + label)
        dead = self._history(_DEAD + label)
        if cv is None or dead is None:
            self.left_out += 1
            return
        if balance is None:
            self._silent += experts
            dead.append(self._at, experts)
            return
        self._found.append(balance)
        cv.append(self._at, balance.cv)
        dead.append(self._at, len(balance.dead))

    def _history(self, name: str) -> History | None:
        history = self.by_layer.get(name)
        if history is None and len(self.by_layer) < 2 * MOST_LAYERS:
            history = self.by_layer[name] = History()
            self.new.append(history)
        return history

    def _sum_up(self) -> None:
        found = self._found
        overall = self.overall
        if found:
            overall["expert_entropy"].append(self._at, sum(each.entropy for each in found) / len(found))
            overall["load_balance"].append(self._at, sum(each.load_balance for each in found) / len(found))
            overall["load_balance_worst"].append(self._at, min(each.load_balance for each in found))
        overall["dead_experts"].append(self._at, self._silent + sum(len(each.dead) for each in found))
