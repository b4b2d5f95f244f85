"""A slow sink on a thread of its own: bounded, in order, accounted for, and never in the way of the training loop."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pytest
from hub_doubles import PATIENCE_S, Holding, Make, Raising, Recording, accounts, in_thread, snapshot

import m.hub.background as background
from m import Background, MetricsHub, TrainingSnapshot
from m.hub.background import background_of
from m.hub.closing import LEAST_S
from m.hub.subscription import FAILURES_BEFORE_REST

# -- settings ----------------------------------------------------------------------------------------------------------


def test_what_may_be_asked_for() -> None:
    assert background_of(None) is None
    assert background_of(False) is None
    assert background_of(True) == Background("drop_oldest", 1000)
    assert background_of("latest") == Background(overflow="latest")
    own = Background("block", 5)
    assert background_of(own) is own


@pytest.mark.parametrize("wanted", ["newest", 3, 1.5, object(), ["block"]])
def test_what_may_not_be_asked_for(hubs: Make, wanted: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="'block', 'drop_oldest', 'latest'"):
        hubs().subscribe(Recording(), background=wanted)


@pytest.mark.parametrize(
    ("capacity", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_a_queue_holds_a_whole_number_of_snapshots(capacity: Any, error: type) -> None:
    with pytest.raises(error, match="capacity"):
        Background(capacity=capacity)


def test_a_sink_class_may_ask_for_the_background_and_the_subscriber_may_refuse(hubs: Make) -> None:
    class ToNetwork(Recording):
        background = "block"

    hub = hubs(strict=True)
    assert hub.subscribe(ToNetwork()).worker is not None
    assert hub.subscribe(ToNetwork(), background=False).worker is None
    assert hub.subscribe(Recording()).worker is None


# -- delivery ----------------------------------------------------------------------------------------------------------


def test_everything_happens_on_one_thread_of_its_own_in_order() -> None:
    threads: set[str] = set()

    class Noting(Recording):
        def note(self, what: str, detail: Any = None) -> None:
            threads.add(threading.current_thread().name)
            super().note(what, detail)

    sink = Noting()
    with MetricsHub(close_timeout=PATIENCE_S) as hub:
        hub.subscribe(sink, name="slow", background=True)
        hub.start(description="run")
        for step in range(100):
            hub.emit(snapshot(step))
        assert hub.flush()
    assert sink.log == [
        ("start", "run"),
        *[("record", step) for step in range(100)],
        ("flush", None),
        ("flush", None),
        ("close", None),
    ]
    assert threads == {"metrics-hub slow"}


@pytest.mark.fault("C6")
def test_no_thread_starts_before_there_is_something_to_do(hubs: Make) -> None:
    """From Python 3.12 on a fork warns when there is any other thread."""
    before = threading.active_count()
    hub = hubs()
    hub.subscribe(lambda s: None, background=True)
    hub.start()
    assert threading.active_count() == before
    hub.emit(snapshot())
    assert threading.active_count() == before + 1


@pytest.mark.fault("A4")
def test_the_training_loop_does_not_wait_for_a_slow_sink(hubs: Make) -> None:
    sink = Holding()
    hub = hubs(close_timeout=PATIENCE_S)
    subscription = hub.subscribe(sink, background=True)
    for step in range(50):
        hub.emit(snapshot(step))
    assert sink.entered.wait(PATIENCE_S)
    stats = subscription.stats()
    assert (stats.emitted, stats.waiting, stats.delivered) == (50, 50, 0), "the one in the sink's hands waits too"
    sink.go_on.set()
    assert hub.flush(PATIENCE_S)
    assert sink.seen == list(range(50))
    stats = subscription.stats()
    assert (stats.emitted, stats.waiting, stats.delivered) == (50, 0, 50)


def held(hub: MetricsHub, policy: Background | str) -> Holding:
    """A sink that has the first snapshot in its hands."""
    sink = Holding()
    hub.subscribe(sink, background=policy)
    hub.emit(snapshot(0))
    assert sink.entered.wait(PATIENCE_S)
    return sink


@pytest.mark.fault("A6")
def test_drop_oldest_keeps_the_newest(hubs: Make) -> None:
    hub = hubs(close_timeout=PATIENCE_S)
    sink = held(hub, Background("drop_oldest", capacity=3))
    for step in range(1, 101):
        hub.emit(snapshot(step))
    stats = accounts(hub)[0]
    assert (stats.emitted, stats.dropped, stats.waiting) == (101, 97, 4)
    sink.go_on.set()
    assert hub.flush(PATIENCE_S)
    assert sink.seen == [0, 98, 99, 100]


@pytest.mark.fault("A4")
def test_the_end_says_how_many_made_room_where_that_was_asked_for(hubs: Make, caplog: pytest.LogCaptureFixture) -> None:
    hub = hubs(close_timeout=PATIENCE_S)
    sink = held(hub, "latest")
    for step in range(1, 10):
        hub.emit(snapshot(step))
    sink.go_on.set()
    with caplog.at_level(logging.INFO):
        hub.close()
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("sink Holding: 2 of 10 snapshots delivered, 8 made room for newer ones, ")


@pytest.mark.fault("A4")
def test_latest_keeps_only_the_newest(hubs: Make, caplog: pytest.LogCaptureFixture) -> None:
    hub = hubs(close_timeout=PATIENCE_S)
    sink = held(hub, Background("latest", capacity=50))
    for step in range(1, 101):
        hub.emit(snapshot(step))
    sink.go_on.set()
    hub.close()
    assert sink.seen == [0, 100]
    stats = accounts(hub)[0]
    assert (stats.emitted, stats.delivered, stats.dropped) == (101, 2, 99)
    assert caplog.records == [], "it got what it asked for"


@pytest.mark.fault("A6")
def test_block_loses_nothing(hubs: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "BLOCK_LIMIT_S", PATIENCE_S)
    hub = hubs(close_timeout=PATIENCE_S)
    sink = held(hub, Background("block", capacity=3))

    def train() -> None:
        for step in range(1, 101):
            hub.emit(snapshot(step))

    training = in_thread(train)
    while accounts(hub)[0].waiting < 4:
        time.sleep(0.001)
    assert training.is_alive()
    sink.go_on.set()
    training.join(PATIENCE_S)
    assert hub.flush(PATIENCE_S)
    assert sink.seen == list(range(101))


@pytest.mark.fault("A6")
def test_block_holds_the_loop_once_for_a_sink_that_does_not_come_back(
    hubs: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "BLOCK_LIMIT_S", 0.05)
    naps: list[float] = []
    real_sleep = time.sleep

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        real_sleep(seconds)

    hub = hubs(close_timeout=PATIENCE_S)
    sink = held(hub, Background("block", capacity=3))
    monkeypatch.setattr(time, "sleep", sleep)
    for step in range(1, 5):
        hub.emit(snapshot(step))
    n_naps = len(naps)
    assert n_naps > 0
    for step in range(5, 1000):
        hub.emit(snapshot(step))
    assert len(naps) == n_naps
    stats = accounts(hub)[0]
    assert (stats.emitted, stats.waiting, stats.dropped) == (1000, 4, 996)
    sink.go_on.set()
    assert hub.flush(PATIENCE_S)
    hub.emit(snapshot(1000))
    assert hub.flush(PATIENCE_S)
    assert sink.seen == [0, 1, 2, 3, 1000]


def test_an_interrupt_while_blocked_passes_and_the_snapshot_is_accounted_for(
    hubs: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    after: list[int] = []
    hub = hubs(close_timeout=PATIENCE_S)
    sink = held(hub, Background("block", capacity=1))
    hub.subscribe(lambda s: after.append(s.step))
    hub.emit(snapshot(1))
    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", interrupted)
        with pytest.raises(KeyboardInterrupt):
            hub.emit(snapshot(2))
    assert after == [1, 2]
    stats = accounts(hub)[0]
    assert (stats.emitted, stats.waiting, stats.dropped) == (3, 2, 1)
    sink.go_on.set()
    assert hub.flush(PATIENCE_S)
    assert sink.seen == [0, 1]


# -- failures ----------------------------------------------------------------------------------------------------------


@pytest.mark.fault("A3")
@pytest.mark.parametrize(
    "error", [ValueError("broken"), SystemExit(1), KeyboardInterrupt()], ids=lambda error: type(error).__name__
)
@pytest.mark.parametrize("strict", [False, True])
def test_a_failing_sink_does_not_end_its_thread_nor_reach_the_loop(
    hubs: Make, error: BaseException, strict: bool, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Raising(error)
    hub = hubs(strict=strict, close_timeout=PATIENCE_S)
    hub.subscribe(sink, background=True)
    hub.start()
    for step in range(3):
        hub.emit(snapshot(step))
    assert not hub.flush(PATIENCE_S), "the flush failed"
    stats = accounts(hub)[0]
    assert (stats.emitted, stats.failed, stats.dropped) == (3, 3, 3)
    assert isinstance(error, KeyboardInterrupt) or "sink Raising failed and training goes on" in caplog.text


@pytest.mark.fault("A2")
def test_an_outage_does_not_set_a_sink_aside_for_minutes(hubs: Make) -> None:
    """A thousand queued snapshots failing one after the other used to double the rest to its longest in a moment."""
    gate = threading.Event()

    def offline(snapshot: TrainingSnapshot) -> None:
        assert gate.wait(PATIENCE_S)
        raise ConnectionError("no network")

    hub = hubs(close_timeout=PATIENCE_S)
    subscription = hub.subscribe(offline, background=True)
    for step in range(200):
        hub.emit(snapshot(step))
    gate.set()
    assert hub.flush(PATIENCE_S)
    stats = accounts(hub)[0]
    assert (stats.emitted, stats.dropped, stats.failed) == (200, 200, FAILURES_BEFORE_REST)
    assert subscription.aside_until is not None
    assert subscription.aside_until - time.monotonic() <= 1.0


def test_failures_with_a_success_between_them_set_no_sink_aside(hubs: Make) -> None:
    def unsteady(snapshot: TrainingSnapshot) -> None:
        if snapshot.step % 2:
            raise ConnectionError("no network")

    hub = hubs(close_timeout=PATIENCE_S)
    hub.subscribe(unsteady, background=True)
    for step in range(4 * FAILURES_BEFORE_REST):
        hub.emit(snapshot(step))
    assert hub.flush(PATIENCE_S)
    stats = accounts(hub)[0]
    assert (stats.delivered, stats.failed) == (2 * FAILURES_BEFORE_REST, 2 * FAILURES_BEFORE_REST)


# -- from inside -------------------------------------------------------------------------------------------------------


def test_a_sink_may_emit_from_its_thread(hubs: Make) -> None:
    seen: list[int] = []
    hub = hubs(close_timeout=PATIENCE_S)

    def derive(s: TrainingSnapshot) -> None:
        if s.step < 100:
            hub.emit(snapshot(s.step + 100))

    hub.subscribe(derive, background=True)
    hub.subscribe(lambda s: seen.append(s.step))
    for step in range(10):
        hub.emit(snapshot(step))
    assert hub.flush(PATIENCE_S)
    assert sorted(seen) == [*range(10), *range(100, 110)]


@pytest.mark.fault("A11")
@pytest.mark.parametrize("policy", ["block", "drop_oldest", "latest"])
def test_a_sink_that_emits_for_every_snapshot_is_stopped(hubs: Make, policy: str) -> None:
    """Across threads there is no recursion to stop it: it would fill both of them for the rest of the run."""
    hub = hubs(close_timeout=PATIENCE_S)
    hub.subscribe(lambda s: hub.emit(snapshot(s.step + 1)), background=policy)
    hub.emit(snapshot(0))
    end = time.monotonic() + PATIENCE_S
    while not hub.stats().refused and time.monotonic() < end:
        assert hub.flush(PATIENCE_S)
    assert hub.stats().refused == 1
    assert hub.flush(PATIENCE_S)
    assert hub.stats().emitted == 17
    assert accounts(hub)[0].delivered == 17


def test_a_sink_that_emits_into_its_own_full_queue_does_not_wait_for_itself(
    hubs: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "BLOCK_LIMIT_S", PATIENCE_S)
    loop_has_gone_on, emitted = threading.Event(), threading.Event()
    hub = hubs(close_timeout=PATIENCE_S)

    def doubling(s: TrainingSnapshot) -> None:
        if s.step == 0:
            assert loop_has_gone_on.wait(PATIENCE_S)
            hub.emit(snapshot(1))
            hub.emit(snapshot(2))
            emitted.set()

    hub.subscribe(doubling, background=Background("block", capacity=1))
    begun = time.monotonic()
    hub.emit(snapshot(0))
    loop_has_gone_on.set()
    assert emitted.wait(PATIENCE_S)
    assert time.monotonic() - begun < PATIENCE_S / 2
    assert hub.flush(PATIENCE_S)
    stats = accounts(hub)[0]
    assert (stats.emitted, stats.delivered, stats.dropped) == (3, 2, 1)


@pytest.mark.fault("A9")
def test_a_sink_may_flush_close_and_take_itself_away_from_its_thread() -> None:
    """A thread that joins itself raises, and one that waits for its own queue waits for ever."""
    answers: list[Any] = []
    done = threading.Event()

    class Odd(Recording):
        def record(self, s: TrainingSnapshot) -> None:
            super().record(s)
            if s.step == 0:
                answers.append(hub.flush(PATIENCE_S))
            if s.step == 1:
                hub.close()
                hub.close()
            if s.step == 2:
                done.set()

        def close(self) -> None:
            super().close()
            hub.close()
            done.set()

    odd, other = Odd(), Recording()
    hub = MetricsHub([other], close_timeout=PATIENCE_S)
    hub.subscribe(odd, background=True)
    hub.emit(snapshot(0))
    assert hub.flush(PATIENCE_S)
    hub.emit(snapshot(1))
    assert done.wait(PATIENCE_S)
    hub.close()
    assert answers == [False]
    assert odd.log[-4:] == [("flush", None), ("record", 1), ("flush", None), ("close", None)]
    assert other.log[-1] == ("close", None)
    stats = accounts(hub)
    assert [each.delivered for each in stats] == [2, 2]


@pytest.mark.fault("A9")
def test_a_close_waits_for_a_sink_that_has_closed_the_hub_itself() -> None:
    closed, go_on = threading.Event(), threading.Event()

    class Closing(Recording):
        def record(self, s: TrainingSnapshot) -> None:
            super().record(s)
            hub.close()
            closed.set()
            assert go_on.wait(PATIENCE_S)
            time.sleep(0.05)

    sink = Closing()
    hub = MetricsHub(close_timeout=PATIENCE_S)
    hub.subscribe(sink, background=True)
    hub.emit(snapshot())
    assert closed.wait(PATIENCE_S)
    go_on.set()
    hub.close()
    assert sink.log[-1] == ("close", None)


@pytest.mark.fault("A9")
def test_a_sink_that_closes_the_hub_while_it_is_closed_waits_for_nobody() -> None:
    """The closing thread waits for the sink's thread, which must not wait for the closing to be over."""

    class Closing(Recording):
        def close(self) -> None:
            super().close()
            hub.close()

    sink = Closing()
    hub = MetricsHub(close_timeout=PATIENCE_S)
    hub.subscribe(sink, background=True)
    hub.emit(snapshot())
    begun = time.monotonic()
    hub.close()
    assert time.monotonic() - begun < PATIENCE_S / 2
    assert sink.log[-1] == ("close", None)


def test_cancelling_from_its_own_thread_leaves_nothing_undone(hubs: Make) -> None:
    flushed = threading.Event()

    class Leaving(Recording):
        def record(self, s: TrainingSnapshot) -> None:
            super().record(s)
            subscription.cancel()

        def flush(self) -> None:
            super().flush()
            flushed.set()

    sink = Leaving()
    hub = hubs(close_timeout=PATIENCE_S)
    subscription = hub.subscribe(sink, background=True)
    hub.emit(snapshot(0))
    assert flushed.wait(PATIENCE_S)
    hub.emit(snapshot(1))
    assert sink.log == [("start", "Training"), ("record", 0), ("flush", None)]
    assert hub.subscriptions == ()


# -- the end -----------------------------------------------------------------------------------------------------------


def test_taking_a_sink_away_delivers_what_it_has_queued(hubs: Make) -> None:
    sink = Recording()
    hub = hubs(close_timeout=PATIENCE_S)
    subscription = hub.subscribe(sink, background=True)
    for step in range(100):
        hub.emit(snapshot(step))
    subscription.cancel()
    assert sink.log == [("start", "Training"), *[("record", step) for step in range(100)], ("flush", None)]
    stats = subscription.stats()
    assert (stats.emitted, stats.delivered, stats.waiting) == (100, 100, 0)


def test_close_delivers_what_is_queued_then_flushes_then_closes() -> None:
    sink = Recording()
    hub = MetricsHub(close_timeout=PATIENCE_S)
    hub.subscribe(sink, background=True)
    for step in range(100):
        hub.emit(snapshot(step))
    hub.close()
    assert sink.log[-3:] == [("record", 99), ("flush", None), ("close", None)]
    assert accounts(hub)[0].delivered == 100


@pytest.mark.fault("A5")
def test_close_gives_up_a_sink_that_does_not_come_back_and_counts_what_it_missed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    healthy, stuck = Recording(), Holding()
    hub = MetricsHub(close_timeout=0.1)
    hub.subscribe(stuck, name="stuck", background=True)
    hub.subscribe(healthy, background=True)
    for step in range(10):
        hub.emit(snapshot(step))
    assert stuck.entered.wait(PATIENCE_S)
    hub.close()
    assert healthy.log[-2:] == [("flush", None), ("close", None)]
    stats = hub.stats().sinks["stuck"]
    assert (stats.emitted, stats.delivered, stats.dropped, stats.waiting) == (10, 0, 10, 0)
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("sink stuck: missed 10 of 10 snapshots; 0 of 10 snapshots delivered, 0.0")
    worker = hub.subscriptions[0].worker
    assert worker is not None
    stuck.go_on.set()
    while worker._thread is not None and worker._thread.is_alive():
        time.sleep(0.001)
    assert accounts(hub)[0] == stats, "what was given up is not counted twice when the sink comes back"


@pytest.mark.fault("A5", "B3")
def test_one_budget_for_all_sinks() -> None:
    """Three seconds for each of twenty stuck sinks would hold a cluster node for a minute."""
    stuck = [Holding() for _ in range(20)]
    hub = MetricsHub(close_timeout=0.2)
    for sink in stuck:
        hub.subscribe(sink, background=True)
    hub.emit(snapshot())
    begun = time.monotonic()
    hub.close()
    assert time.monotonic() - begun < 20 * 0.2 / 2
    for sink in stuck:
        sink.go_on.set()


@pytest.mark.fault("B5")
def test_a_machine_without_threads_to_spare_delivers_in_the_loop(hubs: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """ "can't start new thread": a limit of the cluster, or Python 3.12 at its exit."""

    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    sink = Recording()
    hub = hubs(close_timeout=PATIENCE_S)
    subscription = hub.subscribe(sink, background=True)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        hub.emit(snapshot(0))
        hub.emit(snapshot(1))
        assert sink.log == [("start", "Training"), ("record", 0), ("record", 1)]
    hub.emit(snapshot(2))
    assert hub.flush(PATIENCE_S)
    assert subscription.stats().delivered == 3


def test_an_interrupt_while_waiting_at_close_shortens_the_waiting_only() -> None:
    stuck, other = Holding(), Recording()
    hub = MetricsHub([other], close_timeout=PATIENCE_S)
    subscription = hub.subscribe(stuck, background=True)
    hub.emit(snapshot())
    assert stuck.entered.wait(PATIENCE_S)
    worker = subscription.worker
    assert worker is not None
    thread = worker._thread
    assert thread is not None
    waits: list[float | None] = []

    def interrupted(timeout: float | None = None) -> None:
        waits.append(timeout)
        if len(waits) == 1:
            raise KeyboardInterrupt

    thread.join = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        hub.close()
    hub.close()
    assert len(waits) == 2, "a moment in the same close, and not again in another"
    assert waits[1] is not None
    assert waits[1] <= LEAST_S
    assert other.log[-1] == ("close", None)
    assert accounts(hub)[1].dropped == 1
    stuck.go_on.set()
