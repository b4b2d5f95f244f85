"""The accounts of a hub, as data and as a table for people."""

from __future__ import annotations

import gc
import logging
import re
import textwrap
import threading
import weakref

import numpy as np
import pytest
from hub_doubles import PATIENCE_S

from m.hub.background import Background
from m.hub.hub import MetricsHub
from m.hub.roster import MOST_LEFT, OTHERS
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


def test_a_hub_without_sinks_says_what_was_emitted() -> None:
    assert str(HubStats(1, 0, 0, {})) == "1 snapshot emitted"


def test_alerts_are_in_the_line_of_what_was_emitted() -> None:
    assert str(HubStats(2, 0, 0, {}, {"spike": 1})) == "2 snapshots emitted, 1 alert"
    assert str(HubStats(2, 0, 3, {}, {"spike": 1, "stall": 2})) == "2 snapshots emitted, 3 values left out, 3 alerts"


def test_two_accounts_are_one_with_the_newer_error() -> None:
    older = SinkStats(10, 6, 3, 2, 1, 0.5, "OSError: older")
    newer = SinkStats(20, 12, 5, 1, 3, 0.25, "OSError: newer")
    assert older.with_more(newer) == SinkStats(30, 18, 8, 3, 4, 0.75, "OSError: newer")
    healthy = SinkStats(1, 1, 0, 0, 0, 0.0, None)
    assert older.with_more(healthy).last_error == healthy.with_more(older).last_error == "OSError: older"


def test_values_that_were_left_out_before_a_hub_was_made_are_not_counted_as_its_own() -> None:
    def lossy(step: int) -> TrainingSnapshot:
        return TrainingSnapshot(step, 0.5, custom_metrics={"many": np.ones(2)})

    with MetricsHub() as first:
        first.emit(lossy(0))
        with MetricsHub() as second:
            first.emit(lossy(1))
            second.emit(lossy(2))
            assert (first.stats().unconvertible, second.stats().unconvertible) == (3, 2)
    with MetricsHub() as third:
        third.emit(TrainingSnapshot(0, 0.5))
        assert str(third.stats()) == "1 snapshot emitted"


def test_what_a_sink_missed_is_kept_and_said_when_it_was_taken_away(
    hubs,  # type: ignore[no-untyped-def]
    caplog: pytest.LogCaptureFixture,
) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(snapshot: TrainingSnapshot) -> None:
        entered.set()
        assert go_on.wait(PATIENCE_S)

    def failing(snapshot: TrainingSnapshot) -> None:
        raise OSError("no route")

    def healthy(snapshot: TrainingSnapshot) -> None:
        pass

    hub: MetricsHub = hubs([failing, healthy])
    hub.subscribe(slow, background=Background("drop_oldest", capacity=2))
    hub.emit(TrainingSnapshot(0, 0.5))
    assert entered.wait(PATIENCE_S)
    for step in range(1, 6):
        hub.emit(TrainingSnapshot(step, 0.5))
    go_on.set()
    for sink in (slow, failing, healthy):
        hub.unsubscribe(sink)
    caplog.clear()
    hub.close()
    stats = hub.stats()
    assert stats.sinks == {}
    assert {name: (each.delivered, each.dropped) for name, each in stats.taken_away.items()} == {
        "slow": (3, 3),
        "failing": (0, 6),
    }
    assert re.search(r"\n  slow \(taken away\) +3 +3 +0 +0 ", str(stats))
    assert [record.getMessage() for record in caplog.records] == [
        "sink slow, which was taken away: missed 3 of 6 snapshots",
        "sink failing, which was taken away: missed 6 of 6 snapshots; last error: OSError: no route",
    ]


def test_sinks_that_come_and_go_for_ever_do_not_fill_the_memory(hubs) -> None:  # type: ignore[no-untyped-def]
    class Failing:
        def record(self, snapshot: TrainingSnapshot) -> None:
            raise OSError("no route")

    hub: MetricsHub = hubs()
    left: list[weakref.ref[Failing]] = []
    for number in range(MOST_LEFT + 50):
        sink = Failing()
        left.append(weakref.ref(sink))
        hub.subscribe(sink, name=f"sink {number}")
        hub.emit(TrainingSnapshot(number, 0.5))
        hub.unsubscribe(sink)
    del sink
    gone = hub.stats().taken_away
    assert (len(gone), gone[OTHERS].dropped, gone["sink 0"].dropped) == (MOST_LEFT + 1, 50, 1)
    gc.collect()
    assert not any(ref() for ref in left)


def test_the_end_has_a_line_for_each_sink_a_warning_only_for_those_that_missed_something(
    hubs,  # type: ignore[no-untyped-def]
    caplog: pytest.LogCaptureFixture,
) -> None:
    def healthy(snapshot: TrainingSnapshot) -> None:
        pass

    def failing(snapshot: TrainingSnapshot) -> None:
        raise OSError("no route")

    hub: MetricsHub = hubs([healthy, failing])
    for step in range(3):
        hub.emit(TrainingSnapshot(step, 0.5))
    caplog.clear()
    with caplog.at_level(logging.INFO):
        hub.close()
    lines = {record.levelname: record.getMessage() for record in caplog.records}
    assert re.fullmatch(r"sink healthy: 3 of 3 snapshots delivered, 0\.00\d s here", lines["INFO"])
    assert lines["WARNING"].startswith("sink failing: missed 3 of 3 snapshots, 3 of them by failing; last error")
    assert re.search(r"; 0 of 3 snapshots delivered, 0\.\d{3} s here$", lines["WARNING"])
