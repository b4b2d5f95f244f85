"""The hub's public blinker signals, with two properties that blinker leaves open.

Receivers are called in the order in which they were connected, and what can never be called is refused at once.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from blinker import ANY, NamedSignal

from m.hub.reporting import graver

Receiver = TypeVar("Receiver", bound=Callable[..., Any])
_next_place = itertools.count()


class _InOrder(set[Any]):
    """A set that iterates in the order of insertion; blinker keeps the ids of a signal's receivers in such sets.

    Blinker uses ``add``, ``discard``, ``copy``, ``|`` and iteration. Copies are made in one step, since another
    thread may connect a receiver meanwhile.
    """

    def __init__(self, places: dict[Any, int] | None = None) -> None:
        super().__init__(places or ())
        self._places = places or {}

    def add(self, item: Any) -> None:
        self._places.setdefault(item, next(_next_place))
        super().add(item)

    def discard(self, item: Any) -> None:
        self._places.pop(item, None)
        super().discard(item)

    def copy(self) -> _InOrder:
        return _InOrder(self._places.copy())

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._places))

    def __or__(self, other: Any) -> Any:
        places = {**self._places.copy(), **other._places.copy()}
        return _InOrder(dict(sorted(places.items(), key=lambda item: item[1])))


class HubSignal(NamedSignal):
    """A blinker signal whose receivers are called in the order in which they were connected."""

    set_class = _InOrder

    def connect(self, receiver: Receiver, sender: Any = ANY, weak: bool = True) -> Receiver:
        """As in blinker. Raises ``TypeError`` for a coroutine function, which nothing would await."""
        if inspect.iscoroutinefunction(receiver):
            raise TypeError(
                f"a receiver of {self.name} must be a plain function, {receiver.__name__} is a coroutine function"
            )
        return super().connect(receiver, sender, weak)

    def send_guarded(self, sender: Any, failed: Callable[[Any, BaseException], bool], **arguments: Any) -> None:
        """Send to every receiver, whatever the others do, which ``send`` does not.

        ``failed(receiver, error)`` tells whether the error must pass; the first such is raised when all were called.
        """
        if self.is_muted:
            return
        raised: BaseException | None = None
        for receiver in list(self.receivers_for(sender)):
            try:
                receiver(sender, **arguments)
            except BaseException as error:
                if failed(receiver, error):
                    raised = graver(raised, error)
        if raised is not None:
            raise raised
