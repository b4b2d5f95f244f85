"""The accounts of a hub, as data and as a table for people."""

from __future__ import annotations

import textwrap

from m.hub.hub import MetricsHub
from m.hub.stats import HubStats, SinkStats
from m.metrics.snapshot import TrainingSnapshot


def test_the_table_has_a_line_for_each_sink() -> None:
    stats = HubStats(
        200,
        1,
        3,
        {
            "PlotSink": SinkStats(200, 200, 0, 0, 0, 0.0012, None),
            "tracker": SinkStats(200, 150, 45, 12, 5, 1.5, "OSError: no route to host"),
        },
    )
    table = """\
    200 snapshots emitted, 1 refused, 3 values left out
                delivered  dropped  failed  waiting  seconds
      PlotSink        200        0       0        0    0.001
      tracker         150       45      12        5    1.500  OSError: no route to host"""
    assert str(stats) == textwrap.dedent(table)


def test_a_hub_without_sinks_says_what_was_emitted(hubs) -> None:  # type: ignore[no-untyped-def]
    hub: MetricsHub = hubs()
    hub.emit(TrainingSnapshot(0, 0.5))
    assert str(hub.stats()) == "1 snapshot emitted"
