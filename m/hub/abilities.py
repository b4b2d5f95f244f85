"""What a sink can do, looked up once when it is subscribed."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from m.metrics.snapshot import TrainingSnapshot


class Recorder(Protocol):
    """An object sink: ``record`` it must have; ``start(run)``, ``alert(alert)``, ``flush()``, ``wrote(*paths)`` and
    ``close()`` it may, and an attribute ``written``, a list of paths."""

    def record(self, snapshot: TrainingSnapshot, /) -> object: ...


Sink: TypeAlias = Recorder | Callable[[TrainingSnapshot], object]
"""Any function that takes a snapshot, or an object with ``record``."""

OPTIONAL_ABILITIES = ("start", "alert", "flush", "wrote", "close")


def record_of(sink: Any) -> Callable[[TrainingSnapshot], object]:
    """What to call with each snapshot. Raises ``TypeError`` that says what a sink is when ``sink`` is none."""
    if isinstance(sink, type):
        raise TypeError(f"a sink must be an instance, got the class {sink.__name__}; write {sink.__name__}(...)")
    record = getattr(sink, "record", None)
    if not callable(record):
        record = sink
    if not callable(record):
        raise TypeError(
            "a sink must be a function that takes a TrainingSnapshot, or an object with a method "
            f"record(snapshot); got {sink!r:.80} ({type(sink).__name__})"
        )
    if inspect.iscoroutinefunction(record) or inspect.iscoroutinefunction(getattr(record, "__call__", None)):  # noqa: B004
        raise TypeError(
            f"a sink must be a plain function, {name_of(sink)} is a coroutine function: nothing would await it. "
            "Put the snapshot on a queue of your event loop instead"
        )
    return record  # type: ignore[no-any-return]


def ability(sink: Any, name: str) -> Callable[..., object] | None:
    """The optional method ``name`` of an object sink, or None. A plain function has none."""
    if not callable(getattr(sink, "record", None)):
        return None
    method = getattr(sink, name, None)
    return method if callable(method) else None


def written_by(sink: Any) -> list[str]:
    """The files that a sink says it has written, in its attribute ``written``. Never raises; anything else is none."""
    try:
        given = getattr(sink, "written", ())
        return [os.fspath(path) for path in given] if isinstance(given, (list, tuple)) else []
    except Exception:
        return []


def is_same(one: Any, other: Any) -> bool:
    """The same sink. Bound methods are made anew at each access, so those are compared by what they bind."""
    if one is other:
        return True
    if not hasattr(one, "__self__") or not hasattr(other, "__self__"):
        return False
    return one.__self__ is other.__self__ and getattr(one, "__func__", one) == getattr(other, "__func__", other)


def name_of(sink: Any) -> str:
    """How messages call a sink that was given no name: a function by its name, an object by its class."""
    name = getattr(sink, "__name__", None) or type(sink).__name__
    return str(name)
