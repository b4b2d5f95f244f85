"""Delivery to a slow sink: a bounded queue and one daemon thread that does everything for that sink."""

from __future__ import annotations

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
    ``record(snapshot, depth)`` takes one snapshot, never raises and gives True (delivered), False (failed) or None
    (passed over); ``depth`` is carried along from ``offer``.

    The lock may be entered again by a signal handler or finaliser on the same thread, and it is never held while a
    sink runs, so nothing waits for it longer than a few moves of a deque.
    """

    def __init__(self, name: str, settings: Background, record: Callable[[Any, int], bool | None]) -> None:
        self._name = name
        self._overflow = settings.overflow
        self._capacity = 1 if settings.overflow == "latest" else settings.capacity
        self._record = record
        self._lock = threading.RLock()
        self._items: deque[tuple[Callable[[], object] | None, Any, int]] = deque()  # (action, or None and a snapshot)
        self._tokens: queue.SimpleQueue[bool] = queue.SimpleQueue()  # wakes the thread; False ends it
        self._thread: threading.Thread | None = None
        self._ended = False  # takes nothing more
        self._abandoned = False
        self._stuck = False
        self._queued = 0
        self._in_hands = 0
        self._delivered = 0
        self._failed = 0
        self._dropped = 0
        self.superseded = 0
        """Of the dropped, those that made room for a newer one because the policy is "latest"."""

    def offer(self, snapshot: Any, depth: int = 0) -> None:
        """Queue one snapshot, as the overflow policy says. From one thread at a time."""
        room = self._queued < self._capacity or self._overflow != "block" or self._wait_for_room()
        with self._lock:
            if self._ended or not room:
                self._dropped += 1
                return
            if self._queued >= self._capacity:
                self._drop_oldest()  # its token stands for this one
            else:
                self._tokens.put(True)
            self._items.append((None, snapshot, depth))
            self._queued += 1
        if self._thread is None:
            self._start()

    def call(self, action: Callable[[], object]) -> None:
        """Queue something that must happen and never raises: it counts against no capacity and is never dropped."""
        with self._lock:
            if self._ended:
                return
            self._tokens.put(True)
            self._items.append((action, None, 0))
        if self._thread is None:
            self._start()

    def counts(self) -> tuple[int, int, int, int]:
        """Snapshots delivered, failed, dropped (the failed among them) and waiting, the one in the sink's hands too."""
        with self._lock:
            return self._delivered, self._failed, self._dropped, self._queued + self._in_hands

    def is_current(self) -> bool:
        """The caller runs on this worker's thread."""
        return self._thread is threading.current_thread()

    def stop(self) -> None:
        """Take nothing more, and end the thread after everything that is queued. Does not wait."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
        self._tokens.put(False)

    def join(self, deadline: float) -> bool:
        """Wait until everything is done, at most to ``deadline`` (monotonic), then give up the rest.

        Gives False on its own thread, which cannot wait for itself and carries on after the caller has returned.
        """
        if self.is_current():
            return False
        thread = self._thread
        if thread is not None and thread.is_alive() and not self._abandoned:
            thread.join(max(deadline - time.monotonic(), 0.0))
        self._abandon()
        return True

    def go_inert(self) -> None:
        """In a forked child, where the thread does not exist and the lock may be held by nobody."""
        self._lock = threading.RLock()
        self._ended = True
        self._thread = None

    def _abandon(self) -> None:
        """Count what the sink has not taken as dropped; what it still takes from now on counts no more."""
        with self._lock:
            self._abandoned = True
            self._items.clear()
            self._dropped += self._queued + self._in_hands
            self._queued = self._in_hands = 0

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            self._thread = thread = threading.Thread(target=self._run, name=f"metrics-hub {self._name}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread to be had, or the interpreter is shutting down and starts none: do it here
            self._thread = None
            self._tokens.put(False)
            self._run()

    def _run(self) -> None:
        go_on = True
        while go_on:
            go_on = self._tokens.get()
            while self._do_next():
                self._stuck = False

    def _do_next(self) -> bool:
        with self._lock:
            if not self._items:
                return False
            action, snapshot, depth = self._items.popleft()
            if action is None:
                self._queued -= 1
                self._in_hands = 1
        if action is not None:
            action()
        else:
            self._count(self._record(snapshot, depth))
        return True

    def _count(self, succeeded: bool | None) -> None:
        with self._lock:
            if self._abandoned:
                return
            self._in_hands = 0
            self._delivered += succeeded is True
            self._failed += succeeded is False
            self._dropped += succeeded is not True

    def _drop_oldest(self) -> None:
        for index, (action, _, _) in enumerate(self._items):
            if action is None:
                del self._items[index]
                self._queued -= 1
                self._dropped += 1
                self.superseded += self._overflow == "latest"
                return

    def _wait_for_room(self) -> bool:
        if self._stuck or self.is_current():  # its own thread would wait for itself
            return False
        deadline = time.monotonic() + BLOCK_LIMIT_S
        while self._queued >= self._capacity:
            if time.monotonic() > deadline:
                self._stuck = True
                return False
            time.sleep(0.0005)
        return True
