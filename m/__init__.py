"""Emit training metrics once; every subscribed display, file and tracker shows them.

The names below are the data and the hub. The documented facades are ``m.rich_trainer_viz`` and ``m.training_viz``, the
sinks live in the package ``sinks``. Importing ``m`` loads none of rich, matplotlib, numpy or ``sinks``; each name loads
its module when it is first used, so that importing ``m.cli`` or a facade pays only for what that needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from m.lazy import lazy

if TYPE_CHECKING:
    from m.hub.abilities import Recorder as Recorder
    from m.hub.abilities import Sink as Sink
    from m.hub.background import Background as Background
    from m.hub.hub import MetricsHub as MetricsHub
    from m.hub.stats import HubStats as HubStats
    from m.hub.stats import SinkStats as SinkStats
    from m.hub.subscription import Subscription as Subscription
    from m.metrics.alerts import Alert as Alert
    from m.metrics.performance import SystemMetrics as SystemMetrics
    from m.metrics.performance import ThroughputMetrics as ThroughputMetrics
    from m.metrics.run import Run as Run
    from m.metrics.snapshot import TrainingSnapshot as TrainingSnapshot

_HOMES = {
    "Alert": "m.metrics.alerts",
    "Background": "m.hub.background",
    "HubStats": "m.hub.stats",
    "MetricsHub": "m.hub.hub",
    "Recorder": "m.hub.abilities",
    "Run": "m.metrics.run",
    "Sink": "m.hub.abilities",
    "SinkStats": "m.hub.stats",
    "Subscription": "m.hub.subscription",
    "SystemMetrics": "m.metrics.performance",
    "ThroughputMetrics": "m.metrics.performance",
    "TrainingSnapshot": "m.metrics.snapshot",
}

__all__ = [
    "Alert",
    "Background",
    "HubStats",
    "MetricsHub",
    "Recorder",
    "Run",
    "Sink",
    "SinkStats",
    "Subscription",
    "SystemMetrics",
    "ThroughputMetrics",
    "TrainingSnapshot",
]

__getattr__, __dir__ = lazy(__name__, _HOMES)
