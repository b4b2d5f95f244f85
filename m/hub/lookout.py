"""A daemon thread that looks when no snapshot comes. What it looks for stands in ``m.health``."""

from __future__ import annotations

import os
import threading
import time
import weakref
from queue import Empty, SimpleQueue
from typing import Final, Protocol

LONGEST_WAIT_S: Final = 30.0
"""So often at least it sees whether the time to look has changed, and whether its hub is still there."""


class Watched(Protocol):
    """What the lookout needs of the hub that it belongs to."""

    def next_look(self) -> float:
        """When to look, in monotonic seconds; infinite: not before a snapshot has come."""
        ...

    def look(self) -> None:
        """See whether it has been too long. Never raises."""
        ...


class Lookout:
    """Calls ``look`` of its hub whenever ``next_look`` has come. It does not keep the hub alive.

    Between two looks the thread sleeps, as a rule until one has become due: half a minute at a time.
    """

    def __init__(self, hub: Watched) -> None:
        self._hub = weakref.ref(hub)
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="metrics-hub lookout", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # no thread to be had: nobody looks
            pass

    def stop(self, deadline: float) -> None:
        """End the thread, and wait for it until ``deadline``, in monotonic seconds."""
        self._wakes.put(None)
        thread = self._thread
        if thread.ident is not None and thread is not threading.current_thread() and os.getpid() == self._pid:
            thread.join(max(deadline - time.monotonic(), 0.0))

    def _run(self) -> None:
        due = 0.0
        while True:
            wait = min(max(due - time.monotonic(), 0.0), LONGEST_WAIT_S)
            try:
                self._wakes.get(timeout=wait)
                return
            except Empty:
                pass
            hub = self._hub()
            if hub is None:
                return
            due = hub.next_look()
            if due <= time.monotonic():
                hub.look()
                due = hub.next_look()
                if due <= time.monotonic():  # somebody is busy and looks later
                    due = time.monotonic() + 1.0
            del hub
