"""Where snapshots go. Each sink is one module or package here; the names below load theirs when first used.

``import sinks`` itself loads neither rich nor matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from m.lazy import lazy

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

__getattr__, __dir__ = lazy(__name__, _HOMES)
