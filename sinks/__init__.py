"""Where snapshots go. Each sink is one module here; the names below load theirs when first used.

``import sinks`` itself loads neither rich nor matplotlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sinks.jsonl import JsonlSink as JsonlSink
    from sinks.plotting.sink import PlotSink as PlotSink
    from sinks.terminal.sink import TerminalSink as TerminalSink

_HOMES = {
    "JsonlSink": "sinks.jsonl",
    "PlotSink": "sinks.plotting.sink",
    "TerminalSink": "sinks.terminal.sink",
}

__all__ = ["JsonlSink", "PlotSink", "TerminalSink"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'sinks' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = globals()[name] = getattr(importlib.import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
