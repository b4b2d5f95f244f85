"""The end of inline sinks, in bounded time: each is flushed and closed on a thread of its own, one after the other.

On the caller's thread a close that hangs would hang the end of the training with it, and a Ctrl-C could strike in the
middle of giving back the terminal. Here the caller only waits. A sink that does not come back holds up the next one
for its share of the time, and the caller for the budget.

This file does not know who comes first.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from m.hub.reporting import graver
from m.hub.subscription import Subscription

LEAST_S: Final = 0.5
"""So much time there is even when the budget is spent, or after a Ctrl-C: a terminal is given back in less."""


def ending_of(subscription: Subscription) -> Aside:
    """Flushing and closing this inline sink."""
    return Aside(subscription.end, f"closes {subscription.name}", here=subscription.stays_here)


def do_each(asides: Sequence[Aside], deadline: float) -> BaseException | None:
    """Do these in order, one after the other, waiting to ``deadline`` (monotonic seconds) or for `LEAST_S`.

    Gives what must not be swallowed: a Ctrl-C meanwhile, or what a strict hub's sinks raise. What is not done by then
    is left to its thread. Should a second Ctrl-C strike in the handling of the first and come out of here, the same
    asides can be given again: what is done or begun is only waited for.
    """
    latest = max(deadline, time.monotonic() + LEAST_S)
    raised: BaseException | None = None
    waiting = True
    while waiting:
        try:
            for place, aside in enumerate(asides):
                aside.begin()
                aside.wait((latest - time.monotonic()) / (len(asides) - place + 1))
            for aside in asides:
                aside.wait(latest - time.monotonic())
            waiting = False
        except BaseException as error:  # Ctrl-C, or from a signal handler of the user's: the rest is done, but soon
            raised = graver(raised, error)
            latest = min(latest, time.monotonic() + LEAST_S)
    for aside in asides:
        raised = graver(raised, aside.raised)
    return raised


class Aside:
    """Something that is done once, on a daemon thread; ``here`` on the caller's. It never raises."""

    def __init__(self, work: Callable[[], BaseException | None], name: str, *, here: bool = False) -> None:
        self._work = work
        self._name = name
        self._here = here
        self._context = contextvars.copy_context()
        self._thread: threading.Thread | None = None
        self._to_do = [True]  # taken by the thread that does it
        # Held until it is done. Not an Event: a Ctrl-C can strike between taking the lock inside of that and noting so,
        # and whoever waits next waits for ever, whatever the limit.
        self._gate = threading.Lock()
        self._gate.acquire()
        self._is_done = False
        self.raised: BaseException | None = None
        """What ``work`` gave when it was done."""

    def begin(self) -> None:
        """Start a thread, unless it is done or begun. Without one to be had it is done here, however long it takes.

        After a Ctrl-C nobody knows whether the thread that was being started runs, so there may be two for one work.
        """
        if not self._to_do:
            return
        if self._here:
            self._run()
            return
        self._thread = threading.Thread(
            target=self._context.copy().run, args=(self._run,), name=f"metrics-hub {self._name}", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError:  # Python 3.12 and newer start none when the interpreter is ending
            self._run()

    def wait(self, seconds: float) -> None:
        """Until it is done, at most so long."""
        if not self._is_done and self._gate.acquire(timeout=max(seconds, 0.0)):
            self._gate.release()  # for whoever else waits
        if self._is_done and self._thread is not None and self._thread.is_alive():
            self._thread.join(LEAST_S)  # it has nothing left to do

    def _run(self) -> None:
        try:
            self._to_do.pop()
        except IndexError:
            return
        try:
            self.raised = self._work()
        finally:
            self._is_done = True
            self._gate.release()
