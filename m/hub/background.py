"""Delivery to a slow sink: a bounded queue and one daemon thread that does everything for that sink."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

Overflow = Literal["block", "drop_oldest", "latest"]
POLICIES: Final = get_args(Overflow)


@dataclass(slots=True, frozen=True)
class Background:
    """Deliver to this sink on a thread of its own, with at most ``capacity`` snapshots waiting."""

    overflow: Overflow = "drop_oldest"
    """When the queue is full: ``"block"`` the training loop until there is room (at most `BLOCK_LIMIT_S`, then the
    snapshot is dropped), ``"drop_oldest"``, or keep only the ``"latest"`` (then ``capacity`` is 1)."""
    capacity: int = 1000
    """Snapshots that may wait."""

    def __post_init__(self) -> None:
        if self.overflow not in POLICIES:
            raise ValueError(f"overflow must be one of {', '.join(map(repr, POLICIES))}; got {self.overflow!r}")
        if isinstance(self.capacity, bool) or not isinstance(self.capacity, int):
            raise TypeError(f"capacity must be a whole number of snapshots; got {self.capacity!r}")
        if self.capacity < 1:
            raise ValueError(f"capacity must be 1 or more; got {self.capacity}")


BLOCK_LIMIT_S: Final = 5.0
"""How long ``overflow="block"`` may hold the training loop for one snapshot. A sink that took nothing for that long
is stuck, and from then on it does not hold the loop again until it has taken something."""


def background_of(wanted: object) -> Background | None:
    """``background=`` as given to ``subscribe`` or by a sink class: None and False mean inline."""
    if wanted is None or wanted is False:
        return None
    if wanted is True:
        return Background()
    if isinstance(wanted, Background):
        return wanted
    if isinstance(wanted, str):
        return Background(overflow=wanted)  # type: ignore[arg-type]  # __post_init__ says what is accepted
    raise TypeError(
        f"background must be True, False, None, a Background or one of {', '.join(map(repr, POLICIES))}; "
        f"got {wanted!r:.80} ({type(wanted).__name__})"
    )


class Worker:
    """Runs calls for one sink, in order, on one daemon thread that starts with the first of them.

    ``offer`` puts a snapshot into the bounded queue; ``call`` puts in something that must not be dropped.
    ``guard(function, argument)`` runs one of them, never raises and tells whether it succeeded.

    The lock may be entered again by a signal handler or finaliser on the same thread, and it is never held while a
    sink runs, so nothing waits for it longer than a few moves of a deque.
    """

    def __init__(self, name: str, settings: Background, guard: Callable[[Callable[..., object], Any], bool]) -> None:
        self._name = name
        self._overflow = settings.overflow
        self._capacity = 1 if settings.overflow == "latest" else settings.capacity
        self._guard = guard
        self._lock = threading.RLock()
        self._items: deque[tuple[bool, Callable[..., object], Any]] = deque()  # (is a snapshot, function, argument)
        self._tokens: queue.SimpleQueue[bool] = queue.SimpleQueue()  # one for each item; False ends the thread
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._stuck = False
        self.waiting = 0
        """Snapshots in the queue."""
        self.delivered = 0
        self.failed = 0
        self.dropped = 0
        """Snapshots that the sink never saw."""

    def offer(self, record: Callable[..., object], snapshot: Any) -> None:
        """Queue one snapshot, as the overflow policy says. From one thread at a time."""
        if self.waiting >= self._capacity and self._overflow == "block" and not self._wait_for_room():
            self.dropped += 1
            return
        with self._lock:
            full = self.waiting >= self._capacity
            if full:
                self._drop_oldest()
            self._items.append((True, record, snapshot))
            self.waiting += 1
        if not full:  # else the token of the dropped one stands for this one
            self._tokens.put(True)
        if self._thread is None:
            self._start()

    def call(self, function: Callable[..., object], argument: Any) -> None:
        """Queue something that must happen: it counts against no capacity and is never dropped."""
        with self._lock:
            self._items.append((False, function, argument))
        self._tokens.put(True)
        if self._thread is None:
            self._start()

    def stop(self) -> None:
        """Ask the thread to end after everything that is queued. Does not wait."""
        if self._thread is not None:
            self._tokens.put(False)

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread to end; False when it has not. True at once when it never began or is the caller's."""
        thread = self._thread
        if thread is None or thread is threading.current_thread() or os.getpid() != self._pid:
            return True
        thread.join(max(timeout_s, 0.0))
        return not thread.is_alive()

    def abandon(self) -> None:
        """Give up what is still queued and count its snapshots as dropped."""
        with self._lock:
            self._items.clear()
            self.dropped += self.waiting
            self.waiting = 0

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name=f"metrics-hub {self._name}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is shutting down and starts no threads: do it here
            self._tokens.put(False)
            self._run()
        else:
            self._thread = thread

    def _run(self) -> None:
        while self._tokens.get():
            with self._lock:
                if not self._items:
                    continue  # abandoned meanwhile
                is_snapshot, function, argument = self._items.popleft()
                self.waiting -= is_snapshot
            succeeded = self._guard(function, argument)
            self._stuck = False
            if is_snapshot:
                self.delivered += succeeded
                self.failed += not succeeded

    def _drop_oldest(self) -> None:
        for index, (is_snapshot, _, _) in enumerate(self._items):
            if is_snapshot:
                del self._items[index]
                self.waiting -= 1
                self.dropped += 1
                return

    def _wait_for_room(self) -> bool:
        if self._stuck:
            return False
        deadline = time.monotonic() + BLOCK_LIMIT_S
        while self.waiting >= self._capacity:
            if time.monotonic() > deadline:
                self._stuck = True
                return False
            time.sleep(0.0005)
        return True
