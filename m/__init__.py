"""Emit training metrics once; every subscribed display, file and tracker shows them.

The names below are the data, the rules and the hub. The documented facades are ``m.rich_trainer_viz`` and
``m.training_viz``, the sinks live in the package ``sinks``. Importing ``m`` loads none of rich, matplotlib, numpy or
``sinks``; each name loads its module when it is first used, so that importing ``m.cli`` or a facade pays only for what
that needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from m.lazy import lazy

if TYPE_CHECKING:
    from m.health.defaults import default_rules as default_rules
    from m.health.divergence import Divergence as Divergence
    from m.health.experts import CollapsedRouting as CollapsedRouting
    from m.health.experts import DeadExperts as DeadExperts
    from m.health.finite import NonFiniteGradient as NonFiniteGradient
    from m.health.finite import NonFiniteLoss as NonFiniteLoss
    from m.health.plateau import Plateau as Plateau
    from m.health.rule import Rule as Rule
    from m.health.spike import LossSpike as LossSpike
    from m.health.stall import Stall as Stall
    from m.health.throughput import ThroughputDrop as ThroughputDrop
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
    "CollapsedRouting": "m.health.experts",
    "DeadExperts": "m.health.experts",
    "Divergence": "m.health.divergence",
    "HubStats": "m.hub.stats",
    "LossSpike": "m.health.spike",
    "MetricsHub": "m.hub.hub",
    "NonFiniteGradient": "m.health.finite",
    "NonFiniteLoss": "m.health.finite",
    "Plateau": "m.health.plateau",
    "Recorder": "m.hub.abilities",
    "Rule": "m.health.rule",
    "Run": "m.metrics.run",
    "Sink": "m.hub.abilities",
    "SinkStats": "m.hub.stats",
    "Stall": "m.health.stall",
    "Subscription": "m.hub.subscription",
    "SystemMetrics": "m.metrics.performance",
    "ThroughputDrop": "m.health.throughput",
    "ThroughputMetrics": "m.metrics.performance",
    "TrainingSnapshot": "m.metrics.snapshot",
    "default_rules": "m.health.defaults",
}

__all__ = [
    "Alert",
    "Background",
    "CollapsedRouting",
    "DeadExperts",
    "Divergence",
    "HubStats",
    "LossSpike",
    "MetricsHub",
    "NonFiniteGradient",
    "NonFiniteLoss",
    "Plateau",
    "Recorder",
    "Rule",
    "Run",
    "Sink",
    "SinkStats",
    "Stall",
    "Subscription",
    "SystemMetrics",
    "ThroughputDrop",
    "ThroughputMetrics",
    "TrainingSnapshot",
    "default_rules",
]

__getattr__, __dir__ = lazy(__name__, _HOMES)
