"""The hub's public blinker signals, with the one property that blinker leaves open: receivers are called in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from blinker import Signal


class _InOrder(set[Any]):
    """A set that iterates in the order of insertion; blinker keeps the ids of a signal's receivers in one."""

    def __init__(self, items: Any = ()) -> None:
        super().__init__()
        self._order: dict[Any, None] = {}
        for item in items:
            self.add(item)

    def add(self, item: Any) -> None:
        self._order[item] = None
        super().add(item)

    def discard(self, item: Any) -> None:
        self._order.pop(item, None)
        super().discard(item)

    def remove(self, item: Any) -> None:
        super().remove(item)
        self._order.pop(item, None)

    def clear(self) -> None:
        self._order.clear()
        super().clear()

    def copy(self) -> _InOrder:
        return _InOrder(self._order)

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._order))

    def __or__(self, other: Any) -> Any:
        return _InOrder([*self, *other])


class HubSignal(Signal):
    """A blinker signal whose receivers are called in the order in which they were connected."""

    set_class = _InOrder
