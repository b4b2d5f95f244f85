"""A sink can come and go at any moment, and is left alone for a while when it keeps failing."""

from __future__ import annotations

import gc
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from hub_doubles import PATIENCE_S, Make, Raising, Recording, accounts, in_thread, snapshot

from m import Background, MetricsHub, Run, TrainingSnapshot
from m.hub.subscription import FAILURES_BEFORE_REST, LONGEST_REST_S, Subscription


def test_a_sink_subscribed_late_hears_of_the_run_first(hubs: Make) -> None:
    hub = hubs(strict=True)
    hub.start(description="running")
    hub.emit(snapshot(0))
    sink = Recording()
    hub.subscribe(sink)
    hub.emit(snapshot(1))
    assert sink.log == [("start", "running"), ("record", 1)]


def test_a_sink_may_subscribe_another_and_take_it_away(hubs: Make) -> None:
    late = Recording()
    hub = hubs(strict=True)

    def host(s: TrainingSnapshot) -> None:
        if s.step == 1:
            hub.subscribe(late)
        if s.step == 3:
            hub.unsubscribe(late)

    hub.subscribe(host)
    for step in range(5):
        hub.emit(snapshot(step))
    assert late.log == [("start", "Training"), ("record", 2), ("flush", None)]
    assert [each.sink for each in hub.subscriptions] == [host]


def test_a_sink_that_is_taken_away_during_a_snapshot_does_not_get_it(hubs: Make) -> None:
    second = Recording()
    hub = hubs(strict=True)
    hub.subscribe(lambda s: hub.unsubscribe(second))
    subscription = hub.subscribe(second)
    hub.emit(snapshot(0))
    assert second.log == [("start", "Training"), ("flush", None)]
    assert subscription.stats().emitted == 0


def test_a_sink_that_is_gone_before_it_began_hears_of_no_run(hubs: Make) -> None:
    brief = Recording()
    hub = hubs(strict=True)

    def host(s: TrainingSnapshot) -> None:
        subscriptions.append(hub.subscribe(brief))
        subscriptions[0].cancel()
        assert not subscriptions[0].is_attached

    subscriptions: list[Subscription] = []
    hub.subscribe(host)
    hub.emit(snapshot(0))
    assert brief.log == [("flush", None)]
    assert not subscriptions[0].is_attached


def test_the_place_of_a_sink_can_be_asked_and_taken_away_when_its_hub_is_gone() -> None:
    sink = Recording()
    hub = MetricsHub()
    with hub.subscribe(sink) as subscription:
        hub.emit(snapshot(0))
        del hub
        gc.collect()
        assert subscription.stats().delivered == 1


def test_a_sink_that_is_interrupted_at_its_start_gets_the_snapshots_all_the_same(hubs: Make) -> None:
    class Interrupted(Recording):
        def start(self, run: Run) -> None:
            raise KeyboardInterrupt

    hub = hubs()
    hub.start()
    sink = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        hub.subscribe(sink)
    hub.emit(snapshot(0))
    assert sink.log == [("record", 0)]


def test_a_sink_may_take_itself_away(hubs: Make) -> None:
    seen: list[int] = []
    hub = hubs(strict=True)

    def once(s: TrainingSnapshot) -> None:
        seen.append(s.step)
        subscription.cancel()

    subscription = hub.subscribe(once)
    hub.emit(snapshot(0))
    hub.emit(snapshot(1))
    assert seen == [0]
    assert (subscription.stats().emitted, subscription.stats().delivered) == (1, 1)


@pytest.mark.fault("A13")
def test_subscribing_in_one_thread_while_another_emits_loses_nothing(hubs: Make) -> None:
    steady: list[int] = []
    hub = hubs([lambda s: steady.append(s.step)])
    stop = threading.Event()
    failures: list[str] = []

    def churn() -> None:
        while not stop.is_set():
            sink = Recording()
            hub.subscribe(sink)
            hub.unsubscribe(sink)
            hub.flush()
            names = [what for what, _ in sink.log]
            if names != ["flush"] and (names[0] != "start" or "start" in names[1:]):  # gone before it began, or whole
                failures.append(str(names))

    hub.start()
    threads = [in_thread(churn) for _ in range(2)]
    for step in range(3000):
        hub.emit(snapshot(step))
    stop.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    hub.flush()
    assert steady == list(range(3000))
    assert failures == []


@pytest.mark.fault("A15")
@pytest.mark.parametrize("sink", [Recording(), print, [].append], ids=["object", "function", "bound method"])
def test_the_same_sink_twice_is_refused(hubs: Make, sink: Any) -> None:
    hub = hubs([sink])
    again = sink if sink is not print else print
    with pytest.raises(ValueError, match="is subscribed to this hub already"):
        hub.subscribe(again)
    hub.unsubscribe(sink)
    hub.subscribe(sink)


def test_taking_away_what_is_not_there_is_no_error(hubs: Make) -> None:
    hubs().unsubscribe(print)


def test_with_the_last_sink_gone_an_emit_costs_next_to_nothing_again(hubs: Make) -> None:
    hub = hubs([print])
    hub.unsubscribe(print)
    assert not hub.snapshot_emitted.receivers


def test_what_was_emitted_before_a_sink_is_there_is_not_on_its_way_to_it_and_not_missed(hubs: Make) -> None:
    late, waiting = Recording(), []

    def first(given: TrainingSnapshot) -> None:
        if given.step == 0:
            hub.emit(snapshot(1))
            waiting.append(hub.subscribe(late, name="late").stats().waiting)

    hub = hubs([first])
    for step in (0, 2):
        hub.emit(snapshot(step))
    stats = hub.stats().sinks["late"]
    assert (waiting, stats.emitted, stats.delivered) == ([0], 1, 1)
    assert late.log[1:] == [("record", 2)]


# -- accounts and rests ------------------------------------------------------------------------------------------------


def test_it_is_a_context_manager_and_flushes_but_does_not_close(hubs: Make) -> None:
    sink = Recording()
    hub = hubs(strict=True)
    with hub.subscribe(sink) as subscription:
        hub.emit(snapshot(0))
    hub.emit(snapshot(1))
    assert sink.log == [("start", "Training"), ("record", 0), ("flush", None)]
    assert subscription.stats().delivered == 1
    assert repr(subscription).startswith("<Subscription Recording: SinkStats(emitted=1, delivered=1")


def test_names_are_the_owners_choice_and_never_shared(hubs: Make) -> None:
    hub = hubs(strict=True)
    names = [hub.subscribe(Recording(), name="loss").name for _ in range(3)]
    assert names == ["loss", "loss-2", "loss-3"]
    assert list(hub.stats().sinks) == names


@pytest.mark.fault("A15")
def test_a_sink_without_a_weak_reference_or_a_hash_can_be_subscribed(hubs: Make) -> None:
    """A weak connection, blinker's default, raises TypeError for such a sink and drops a temporary one at once."""

    class Slotted:
        __slots__ = ("seen",)
        __hash__ = None  # type: ignore[assignment]

        def __init__(self) -> None:
            self.seen: list[int] = []

        def record(self, snapshot: TrainingSnapshot) -> None:
            self.seen.append(snapshot.step)

    sink = Slotted()
    kept: list[int] = []
    hub = hubs([sink, lambda s: kept.append(s.step), Recording().record], strict=True)
    gc.collect()
    hub.emit(snapshot(5))
    assert sink.seen == kept == [5]


def test_the_time_spent_in_a_sink_is_its_own(hubs: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("m.hub.roster._clock", lambda: now[0])

    def slow(snapshot: TrainingSnapshot) -> None:
        now[0] += 0.25

    hub = hubs([slow, lambda s: None], strict=True)
    hub.emit(snapshot())
    assert [each.seconds for each in accounts(hub)] == [0.25, 0.0]


@pytest.mark.fault("A4")
def test_a_slow_inline_sink_is_named_when_the_hub_closes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    monkeypatch.setattr("m.hub.roster._clock", lambda: now[0])

    def to_network(snapshot: TrainingSnapshot) -> None:
        now[0] += 0.02

    with MetricsHub([to_network, lambda s: None]) as hub:
        for step in range(100):
            hub.emit(snapshot(step))
    assert [record.getMessage() for record in caplog.records] == [
        "sink to_network: took 20.0 ms a snapshot on the training thread, 2.0 s in all; "
        "subscribe it with background=True; 100 of 100 snapshots delivered, 2.000 s here"
    ]


def test_one_slow_snapshot_of_a_short_run_is_not_worth_a_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On a busy machine the first snapshot takes some milliseconds whatever the sink does."""
    now = [0.0]
    monkeypatch.setattr("m.hub.roster._clock", lambda: now[0])

    def cold(snapshot: TrainingSnapshot) -> None:
        now[0] += 0.02 if snapshot.step == 0 else 0.0

    with MetricsHub([cold]) as hub:
        hub.emit(snapshot(0))
        hub.emit(snapshot(1))
    assert caplog.records == []


def test_the_time_of_a_snapshot_is_that_of_those_on_which_it_failed_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    monkeypatch.setattr("m.hub.roster._clock", lambda: now[0])

    def offline(snapshot: TrainingSnapshot) -> None:
        now[0] += 0.25
        raise ConnectionError("no network")

    with MetricsHub([offline]) as hub:
        for step in range(4):
            hub.emit(snapshot(step))
    assert "took 250.0 ms a snapshot on the training thread, 1.0 s in all" in caplog.text


def test_a_quick_sink_of_a_long_run_and_one_in_the_background_are_not_called_slow(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    monkeypatch.setattr("m.hub.roster._clock", lambda: now[0])

    def quick(snapshot: TrainingSnapshot) -> None:
        now[0] += 0.0005

    with MetricsHub([quick], rules=[]) as hub:
        for step in range(2000):
            hub.emit(snapshot(step))
    with MetricsHub(close_timeout=PATIENCE_S) as hub:
        subscription = hub.subscribe(Recording(), background=Background("block"))
        hub.emit(snapshot())
        subscription.seconds = 60.0
    assert caplog.records == []


def test_a_failure_outside_of_a_snapshot_names_no_step(caplog: pytest.LogCaptureFixture) -> None:
    class Full(Recording):
        def flush(self) -> None:
            raise OSError("disk full")

    with MetricsHub([Full()]) as hub:
        hub.emit(snapshot(3))
        hub.flush()
    failed, end = [record.getMessage() for record in caplog.records]
    assert failed.startswith("sink Full failed and training goes on")
    assert end.startswith("sink Full: last error: OSError: disk full; 1 of 1")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds as a subscription reads it; turned by hand."""
    now = [1000.0]
    monkeypatch.setattr("m.hub.subscription.time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


class Flaky:
    def __init__(self) -> None:
        self.broken = True
        self.calls = 0
        self.seen: list[int] = []

    def record(self, snapshot: TrainingSnapshot) -> None:
        self.calls += 1
        if self.broken:
            raise ConnectionError("no network")
        self.seen.append(snapshot.step)

    def flush(self) -> None: ...


@pytest.mark.fault("A2")
def test_a_sink_that_keeps_failing_is_left_alone_and_tried_again(
    hubs: Make, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    sink = Flaky()
    healthy: list[int] = []
    hub = hubs([sink, lambda s: healthy.append(s.step)])
    for step in range(100):
        hub.emit(snapshot(step))
    assert sink.calls == FAILURES_BEFORE_REST
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "failed 10 times in a row and is left alone for 1 s" in caplog.text
    clock[0] += 1.5
    hub.emit(snapshot(100))
    hub.emit(snapshot(101))
    assert sink.calls == FAILURES_BEFORE_REST + 1, "one more failure, and it rests again, longer"
    assert "failed 11 times in a row and is left alone for 2 s" in caplog.text
    clock[0] += 1.5
    hub.emit(snapshot(102))
    assert sink.calls == FAILURES_BEFORE_REST + 1
    clock[0] += 1.0
    sink.broken = False
    hub.emit(snapshot(103))
    hub.emit(snapshot(104))
    assert sink.seen == [103, 104]
    assert healthy == list(range(105))
    stats, _ = accounts(hub)
    assert (stats.emitted, stats.delivered, stats.failed, stats.dropped) == (105, 2, 11, 103)
    sink.broken = True
    caplog.clear()
    for step in range(FAILURES_BEFORE_REST):
        hub.emit(snapshot(step))
    assert "failed 10 times in a row and is left alone for 1 s" in caplog.text, "after a success it begins anew"


def test_after_a_success_it_takes_many_failures_again(hubs: Make, clock: list[float]) -> None:
    sink = Flaky()
    hub = hubs([sink])
    for step in range(50):
        sink.broken = step % FAILURES_BEFORE_REST != 0
        hub.emit(snapshot(step))
    assert sink.calls == 50


def test_a_flush_that_works_does_not_hide_that_no_snapshot_does(hubs: Make, clock: list[float]) -> None:
    sink = Flaky()
    hub = hubs([sink])
    for step in range(50):
        hub.emit(snapshot(step))
        hub.flush()
    assert sink.calls == FAILURES_BEFORE_REST


def test_a_flush_that_fails_does_not_prolong_the_rest(hubs: Make, clock: list[float]) -> None:
    hub = hubs([Raising(ConnectionError("no network"))])
    for step in range(FAILURES_BEFORE_REST):
        hub.emit(snapshot(step))
    until = hub.subscriptions[0].aside_until
    for _ in range(50):
        hub.flush()
    assert until is not None
    assert hub.subscriptions[0].aside_until == until


@pytest.mark.fault("A2")
def test_rests_grow_to_five_minutes_and_no_further(hubs: Make, clock: list[float]) -> None:
    sink = Flaky()
    hub = hubs([sink])
    for step in range(FAILURES_BEFORE_REST):
        hub.emit(snapshot(step))
    for _ in range(20):
        clock[0] += LONGEST_REST_S
        calls = sink.calls
        hub.emit(snapshot())
        assert sink.calls == calls + 1


def test_a_resting_sink_still_hears_of_a_new_run_and_is_closed(clock: list[float]) -> None:
    log: list[Any] = []

    class Broken(Recording):
        def record(self, snapshot: TrainingSnapshot) -> None:
            raise ConnectionError("no network")

    hub = MetricsHub([Broken(log)])
    for step in range(20):
        hub.emit(snapshot(step))
    hub.start(description="second")
    hub.close()
    assert log == [("start", "Training"), ("start", "second"), ("flush", None), ("close", None)]
