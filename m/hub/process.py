"""What happens to hubs when their process exits, forks or gets a signal. The only file that hooks into the interpreter.

The hooks are installed with the first hub, not at import.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Protocol

from m.journal import lock


class Subscribed(Protocol):
    """A sink's place at a hub."""

    sink: Any


class Hub(Protocol):
    """What the hooks need of a hub."""

    close_timeout: float

    @property
    def subscriptions(self) -> Sequence[Subscribed]: ...
    def unsubscribe(self, sink: Any, /) -> None: ...
    def close(self) -> None: ...
    def close_by(self, deadline: float | None, /) -> None: ...
    def go_inert(self) -> None: ...
    def run_when_delivered(self, action: Callable[[], object], /) -> None: ...


_open: weakref.WeakSet[Hub] = weakref.WeakSet()
_dropped: deque[Hub] = deque()  # let go of by their owner without being closed
_hooked = False


def register(hub: Hub) -> None:
    """Close ``hub`` at exit unless somebody closes it before. Hubs whose owner let go of them are closed now."""
    global _hooked
    if not _hooked:
        _hooked = True
        atexit.register(_close_all)
        atexit.register(_close_all)  # twice, since a Ctrl-C may strike before the first has begun
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_go_inert)
        lock.closers.append(close_dropped)
    _open.add(hub)
    close_dropped()


def close_dropped() -> None:
    """Close the hubs whose owner let go of them without closing them, as far as a collection has found them."""
    while _dropped:
        _close_dropped(_dropped.popleft())


def forget(hub: Any) -> None:
    """``hub`` is closed."""
    _open.discard(hub)


def keep_to_close(hub: Hub, keep: Any = _dropped.append) -> None:
    """``hub`` is being collected and was never closed. Not now: a collection may happen in the middle of anything."""
    keep(hub)


def close_on(hub: Hub, signal_number: int) -> None:
    """Install a handler for ``signal_number`` that closes ``hub`` and then does what was to be done before."""
    before = signal.getsignal(signal_number)
    weak = weakref.ref(hub)
    pid = os.getpid()
    postponed = False

    def close_then_pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal postponed

        def act() -> None:
            nonlocal postponed
            try:
                if target is not None:
                    target.close()
            finally:
                postponed = False
                _pass_on(before, number, frame)

        target = weak()
        if target is None or os.getpid() != pid or postponed:
            target = None  # nothing to close; or a second signal, for whoever finds the first one slow
            act()
        else:
            postponed = True  # closing in the middle of a delivery would enter a sink twice
            target.run_when_delivered(act)

    signal.signal(signal_number, close_then_pass_on)


def is_from_outside(error: BaseException) -> bool:
    """Not the doing of the code that it came out of: a Ctrl-C, or what a signal handler of the user's raised there.

    A step time-out by ``signal.alarm`` or a ``sys.exit`` on SIGTERM may strike while a sink is running; swallowed as
    the sink's failure it would be lost.
    """
    if isinstance(error, KeyboardInterrupt):
        return True
    if threading.current_thread() is not threading.main_thread():
        return False  # handlers run on the main thread only
    handlers = set()
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        code = getattr(getattr(handler, "__func__", handler), "__code__", None)
        if code is not None:
            handlers.add(code)
    trace = error.__traceback__
    while trace is not None and handlers:
        if trace.tb_frame.f_code in handlers:
            return True
        trace = trace.tb_next
    return False


def _pass_on(handler: Any, number: int, frame: FrameType | None) -> None:
    if callable(handler):
        handler(number, frame)
    elif handler == signal.SIG_DFL:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _close_dropped(hub: Hub) -> None:
    in_use = [subscription.sink for other in list(_open) for subscription in other.subscriptions]
    for subscription in hub.subscriptions:
        if any(subscription.sink is sink for sink in in_use):
            hub.unsubscribe(subscription.sink)  # it serves another hub now and is not to be closed
    _close(hub, None)


def _close(hub: Hub, deadline: float | None) -> BaseException | None:
    try:
        hub.close_by(deadline)
    except BaseException as error:  # a strict hub, or Ctrl-C: the other hubs are closed all the same
        return error
    return None


def _close_all() -> None:
    """At exit: all hubs within the longest of their budgets."""
    hubs = [*_dropped, *_open]
    deadline = time.monotonic() + max((hub.close_timeout for hub in hubs), default=0.0)
    for hub in hubs:
        if isinstance(_close(hub, deadline), KeyboardInterrupt):
            deadline = 0.0  # somebody is tired of waiting
    _dropped.clear()


def _go_inert() -> None:
    hubs = [*_dropped, *_open]
    _dropped.clear()
    _open.clear()
    for hub in hubs:
        hub.go_inert()
