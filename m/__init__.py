"""Emit training metrics once; every subscribed display, file and tracker shows them.

The names below are the data and the hub. The documented facades are ``m.rich_trainer_viz`` and ``m.training_viz``, the
sinks live in the package ``sinks``. Importing ``m`` loads none of rich, matplotlib, numpy or ``sinks``.
"""

from m.hub.abilities import Recorder, Sink
from m.hub.background import Background
from m.hub.hub import MetricsHub
from m.hub.stats import HubStats, SinkStats
from m.hub.subscription import Subscription
from m.metrics.alerts import Alert
from m.metrics.performance import SystemMetrics, ThroughputMetrics
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot

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
