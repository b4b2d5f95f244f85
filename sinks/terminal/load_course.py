"""What the loads did from table to table: the last change, and a strip of time for each expert or layer.

Memory is fixed: time slots of equal numbers of tables, two of which become one when there are too many; a slot keeps
the worst of its tables, so a moment in which an expert was dead stays visible. Boundaries never move otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from m.metrics.experts import LayersBalance, balance_by_layer, load_change
from m.metrics.layers import told_apart
from m.metrics.loads import is_by_layer
from sinks.terminal.strips import MISSING, layer_code, load_codes, worst_load
from sinks.terminal.trends import Direction, direction

MOST_SLOTS: Final = 128
MOST_ROWS: Final = 64
"""Rows of strips; where there are more experts or layers, each row is the worst of some neighbours."""


class LoadCourse:
    """Told of each table; one thread at a time."""

    def __init__(self) -> None:
        self.utilization: Mapping[Any, Any] = {}
        """That of the newest table."""
        self.balance: LayersBalance | None = None
        """Of the newest table."""
        self.change: float | None = None
        """The part of the tokens that go to other experts than at the table before; None at the first."""
        self.way = Direction.UNKNOWN
        """Where the coefficient of variation went since the table before."""
        self._labels: list[str] = []
        self._slots: list[dict[str, int]] = []
        self._tables = 0
        self._per_slot = 1

    def see(self, utilization: Mapping[Any, Any]) -> None:
        """The new table shows ``utilization``. The same object again, or an empty one, is no news."""
        if utilization is self.utilization or not utilization:
            return
        balance = balance_by_layer(utilization)
        if self.balance is not None and balance is not None:
            self.change = load_change(self.utilization, utilization)
            self.way = direction(self.balance.cv, balance.cv)
        self.utilization, self.balance = utilization, balance
        self._add(_row_codes(utilization, balance))

    def rows(self, cells: int, most: int) -> list[tuple[str, bytes]]:
        """Name and codes of each row, the newest moment last: at most ``most`` rows of at most ``cells`` codes."""
        slots = self._slots
        group = -(-len(slots) // max(cells, 1))
        moments = [_worst(slots[at : at + group]) for at in range(0, len(slots), group)]
        together = max(-(-len(self._labels) // max(most, 1)), 1)
        names = told_apart(self._labels)
        rows = []
        for at in range(0, len(self._labels), together):
            labels = self._labels[at : at + together]
            codes = bytes([max([moment.get(label, MISSING) for label in labels], key=worst_load) for moment in moments])
            its = names[at : at + together]
            rows.append((its[0] if len(its) == 1 else f"{its[0]}-{its[-1]}", codes))
        return rows

    def _add(self, codes: dict[str, int]) -> None:
        known = set(self._labels)
        self._labels += [label for label in codes if label not in known][: max(MOST_ROWS - len(known), 0)]
        if self._tables % self._per_slot or not self._slots:
            self._slots = [*self._slots[:-1], _worst([*self._slots[-1:], codes])]
        else:
            self._slots = [*self._slots, codes]
        self._tables += 1
        if len(self._slots) > MOST_SLOTS:
            self._slots = [_worst(self._slots[at : at + 2]) for at in range(0, len(self._slots), 2)]
            self._per_slot *= 2


def _row_codes(utilization: Mapping[Any, Any], balance: LayersBalance | None) -> dict[str, int]:
    if not is_by_layer(utilization):
        ids = sorted(utilization)
        group = -(-len(ids) // MOST_ROWS)
        return {str(ids[at * group]): code for at, code in enumerate(load_codes(utilization, MOST_ROWS))}
    layers = [] if balance is None else balance.layers
    return {str(label): layer_code(each) for label, each in layers}


def _worst(slots: list[dict[str, int]]) -> dict[str, int]:
    if len(slots) == 1:
        return slots[0]
    whole = dict(slots[0])
    for slot in slots[1:]:
        for label, code in slot.items():
            whole[label] = max(whole.get(label, MISSING), code, key=worst_load)
    return whole
