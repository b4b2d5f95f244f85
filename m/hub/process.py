"""What happens to hubs when their process exits, forks or gets a signal. The only file that hooks into the interpreter.

The hooks are installed with the first hub, not at import.
"""

from __future__ import annotations

import atexit
import os
import signal
import weakref
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from m.hub.hub import MetricsHub

_open: weakref.WeakSet[MetricsHub] = weakref.WeakSet()
_hooked = False


def register(hub: MetricsHub) -> None:
    """Close ``hub`` at exit unless somebody closes it before."""
    global _hooked
    _open.add(hub)
    if not _hooked:
        _hooked = True
        atexit.register(_close_all)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_go_inert)


def forget(hub: MetricsHub) -> None:
    """``hub`` is closed."""
    _open.discard(hub)


def close_on(hub: MetricsHub, signal_number: int) -> None:
    """Install a handler for ``signal_number`` that closes ``hub`` and then does what was to be done before."""
    before = signal.getsignal(signal_number)
    weak = weakref.ref(hub)
    pid = os.getpid()

    def close_then_pass_on(number: int, frame: FrameType | None) -> None:
        def act() -> None:
            target = weak()
            if target is not None and os.getpid() == pid:
                target.close()
            _pass_on(before, number, frame)

        target = weak()
        if target is None:
            act()
        else:
            target.run_when_delivered(act)  # closing in the middle of a delivery would enter a sink twice

    signal.signal(signal_number, close_then_pass_on)


def _pass_on(handler: Any, number: int, frame: FrameType | None) -> None:
    if callable(handler):
        handler(number, frame)
    elif handler == signal.SIG_DFL:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _close_all() -> None:
    for hub in list(_open):
        try:
            hub.close()
        except Exception:  # strict hubs; an exit must not be held up
            continue


def _go_inert() -> None:
    hubs = list(_open)
    _open.clear()
    for hub in hubs:
        hub.go_inert()
