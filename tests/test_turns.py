"""Whoever emits, from wherever, every sink is called once for each snapshot, in order, by one thread at a time."""

from __future__ import annotations

import gc
import signal
import threading
import time
from typing import Any

import pytest
from hub_doubles import PATIENCE_S, Holding, Make, Raising, Recording, accounts, in_thread, snapshot

import m.hub.turns as turns
from m import Alert, MetricsHub, TrainingSnapshot

# -- interrupts ------------------------------------------------------------------------------------------------------


@pytest.mark.fault("A3")
def test_an_interrupt_inside_a_sink_passes_once_the_others_have_the_snapshot(hubs: Make) -> None:
    before, after = Recording(), Recording()
    hub = hubs([before, Raising(KeyboardInterrupt()).record, after])
    with pytest.raises(KeyboardInterrupt):
        hub.emit(snapshot(0))
    assert before.log == after.log == [("start", "Training"), ("record", 0)]
    _, interrupted, healthy = accounts(hub)
    assert (interrupted.emitted, interrupted.dropped, interrupted.failed) == (1, 1, 0)
    assert interrupted.last_error is None, "Ctrl-C is not the sink's doing"
    assert healthy.delivered == 1
    with pytest.raises(KeyboardInterrupt):
        hub.emit(snapshot(1))
    assert after.log[-1] == ("record", 1), "the hub works on"


@pytest.mark.fault("A3")
def test_interrupts_at_any_moment_leave_the_hub_in_order() -> None:
    """Ctrl-C can arrive between any two steps of the interpreter: also after a turn was taken and before it is noted.

    A lock that is acquired outside its ``try`` stays locked then, and from then on nothing is delivered. Here a real
    signal arrives some hundred times while snapshots are emitted.
    """
    first: list[int] = []
    second: list[int] = []
    hub = MetricsHub([lambda s: first.append(s.step), lambda s: second.append(s.step)])
    hub.start()
    caught = 0
    gc.collect()
    gc.disable()  # an exception in a finaliser of some earlier test is lost, by Python's rules

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        step = 0
        end = time.monotonic() + PATIENCE_S
        while caught < 300 and time.monotonic() < end:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0001 + (step % 50) * 1e-6)
                for _ in range(1000):
                    step += 1
                    hub.emit(snapshot(step))
            except KeyboardInterrupt:
                caught += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()
    assert caught >= 100
    hub.emit(snapshot(step + 1))
    hub.emit(snapshot(step + 2))
    assert first[-2:] == second[-2:] == [step + 1, step + 2]
    assert first == sorted(set(first))
    assert second == sorted(set(second))
    assert len(set(first) ^ set(second)) <= caught // 10, "an interrupt between two sinks must not rob the second"
    accounts(hub)
    hub.close()


def test_what_an_interrupt_left_behind_comes_before_the_next_snapshot(hubs: Make) -> None:
    """The interrupt ends the turn at once, with two snapshots waiting; the next emit must not overtake them."""
    seen: list[int] = []
    hub = hubs()

    def sink(s: TrainingSnapshot) -> None:
        seen.append(s.step)
        if s.step == 0:
            for step in (1, 2, 3):
                hub.emit(snapshot(step))
        if s.step == 1:
            raise KeyboardInterrupt

    hub.subscribe(sink)
    with pytest.raises(KeyboardInterrupt):
        hub.emit(snapshot(0))
    assert accounts(hub)[0].waiting == 2
    hub.emit(snapshot(4))
    assert seen == [0, 1, 2, 3, 4]


@pytest.mark.fault("A3")
def test_what_a_users_signal_handler_raises_inside_a_sink_is_not_the_sinks_failure(hubs: Make) -> None:
    """``sys.exit`` in a SIGTERM handler, or a step time-out by SIGALRM, may strike while a sink is running.

    Swallowed as a failure of the sink, the exit that Slurm asked for would never happen.
    """

    def exit_now(number: int, frame: object) -> None:
        raise SystemExit(3)

    def slow(snapshot: TrainingSnapshot) -> None:
        signal.raise_signal(signal.SIGUSR1)

    after = Recording()
    hub = hubs([slow, after])
    before = signal.signal(signal.SIGUSR1, exit_now)
    try:
        with pytest.raises(SystemExit):
            hub.emit(snapshot())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert after.log[-1] == ("record", 0)


# -- emits from inside -----------------------------------------------------------------------------------------------


def test_a_sink_that_fails_where_there_is_a_signal_handler_is_the_sinks_failure(hubs: Make) -> None:
    before = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    try:
        hub = hubs([Raising(ValueError("no"))])
        hub.emit(snapshot())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert accounts(hub)[0].failed == 1


@pytest.mark.fault("A11")
def test_an_emit_from_a_sink_is_delivered_right_after_the_current_snapshot(hubs: Make) -> None:
    seen: list[Any] = []
    hub = hubs(strict=True)

    def derive(s: TrainingSnapshot) -> None:
        seen.append(("derive", s.step))
        if s.step < 100:
            hub.emit(snapshot(s.step + 100))

    hub.subscribe(derive)
    hub.subscribe(lambda s: seen.append(("last", s.step)))
    hub.emit(snapshot(1))
    hub.emit(snapshot(2))
    assert seen == [(name, step) for step in (1, 101, 2, 102) for name in ("derive", "last")]


@pytest.mark.fault("A11")
def test_a_sink_that_emits_for_every_snapshot_is_stopped(hubs: Make, caplog: pytest.LogCaptureFixture) -> None:
    """With plain blinker this is a RecursionError at depth 498; with a queue alone it would never end."""
    hub = hubs()
    hub.subscribe(lambda s: hub.emit(snapshot(s.step + 1)))
    hub.emit(snapshot(0))
    assert hub.stats().emitted == turns.MAX_NESTING + 1
    assert hub.stats().refused == 1
    assert "a sink emits for each snapshot it gets" in caplog.text
    hub.emit(snapshot(0))
    assert hub.stats().emitted == 2 * (turns.MAX_NESTING + 1)
    accounts(hub)


@pytest.mark.fault("A11")
def test_a_sink_that_emits_two_for_every_snapshot_stays_within_memory(hubs: Make) -> None:
    """Two for each one, sixteen deep, are 131,071 snapshots if nothing bounds what waits."""
    hub = hubs()
    most = 0

    def doubling(s: TrainingSnapshot) -> None:
        nonlocal most
        hub.emit(snapshot(1))
        hub.emit(snapshot(2))
        most = max(most, len(hub._turns._backlog))

    hub.subscribe(doubling)
    hub.emit(snapshot(0))
    stats = accounts(hub)[0]
    assert stats.emitted == hub.stats().emitted
    assert stats.waiting > 0
    while stats.waiting:
        hub.flush()
        stats = accounts(hub)[0]
    assert most <= turns.BACKLOG_LIMIT
    assert stats.emitted == hub.stats().emitted


@pytest.mark.fault("A12")
def test_an_emit_from_a_finaliser_is_delivered(hubs: Make) -> None:
    seen: list[int] = []
    hub = hubs(strict=True)

    class Loader:
        def __init__(self) -> None:
            self.cycle = self

        def __del__(self) -> None:
            hub.emit(snapshot(99))

    def sink(s: TrainingSnapshot) -> None:
        if s.step == 0:
            Loader()
            gc.collect()
        seen.append(s.step)

    hub.subscribe(sink)
    hub.emit(snapshot(0))
    hub.emit(snapshot(1))
    assert seen == [0, 99, 1]


@pytest.mark.fault("A12")
def test_a_storm_of_signals_and_finalisers_that_emit_loses_nothing() -> None:
    """``queue.Queue.put`` from a handler deadlocks on itself within seconds; nothing on this path may take a lock."""
    counts = {"loop": 0, "handler": 0, "finaliser": 0}
    taken = 0
    hub = MetricsHub()

    def sink(s: TrainingSnapshot) -> None:
        nonlocal taken
        taken += 1

    class Litter:
        def __init__(self) -> None:
            self.cycle = self

        def __del__(self) -> None:
            counts["finaliser"] += 1
            hub.emit(snapshot(2))

    def handler(number: int, frame: object) -> None:
        counts["handler"] += 1
        hub.emit(snapshot(1))

    hub.subscribe(sink)
    hub.start()
    thresholds = gc.get_threshold()
    before = signal.signal(signal.SIGALRM, handler)
    try:
        gc.set_threshold(20, 2, 2)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        end = time.monotonic() + 0.4
        while time.monotonic() < end:
            Litter()
            counts["loop"] += 1
            hub.emit(snapshot(0))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
        gc.set_threshold(*thresholds)
    gc.collect()
    hub.flush()
    assert taken == sum(counts.values()) == hub.stats().emitted
    assert counts["handler"] > 10
    assert counts["finaliser"] > 10
    assert accounts(hub)[0].delivered == taken
    hub.close()


# -- several threads -------------------------------------------------------------------------------------------------


@pytest.mark.fault("A13")
def test_threads_that_emit_at_once_lose_and_reorder_nothing(hubs: Make) -> None:
    """A thread that leaves its snapshot while another finishes must not leave it to nobody, nor overtake itself."""
    seen: list[tuple[int, float]] = []
    inside = threading.Lock()

    def sink(s: TrainingSnapshot) -> None:
        assert inside.acquire(blocking=False), "a sink is called by one thread at a time"
        seen.append((s.step, s.train_loss))
        inside.release()

    hub = hubs([sink])
    hub.start()
    n_threads, n_each = 4, 1500

    def work(thread: int) -> None:
        for step in range(n_each):
            hub.emit(snapshot(step, float(thread)))

    threads = [in_thread(lambda thread=thread: work(thread)) for thread in range(n_threads)]  # type: ignore[misc]
    for thread in threads:
        thread.join(PATIENCE_S)
    hub.flush()
    assert len(seen) == n_threads * n_each == hub.stats().emitted
    for number in range(n_threads):
        assert [step for step, of in seen if of == number] == list(range(n_each))
    assert accounts(hub)[0].delivered == len(seen)


def test_two_threads_that_emit_first_begin_one_run(hubs: Make) -> None:
    for _ in range(50):
        sink = Recording()
        hub = hubs([sink])
        gate = threading.Barrier(2)

        def work(hub: MetricsHub = hub, gate: threading.Barrier = gate) -> None:
            gate.wait()
            hub.emit(snapshot(0))

        threads = [in_thread(work) for _ in range(2)]
        for thread in threads:
            thread.join(PATIENCE_S)
        assert sorted(what for what, _ in sink.log) == ["record", "record", "start"]
        assert sink.log[0][0] == "start"


def test_an_emit_does_not_wait_for_another_threads_sink(hubs: Make) -> None:
    sink = Holding()
    hub = hubs([sink])
    thread = in_thread(lambda: hub.emit(snapshot(0)))
    assert sink.entered.wait(PATIENCE_S)
    for step in range(1, 100):
        hub.emit(snapshot(step))
    hub.alert(Alert(0, "loss_spike", "it jumped"))
    hub.start(description="second")
    assert sink.seen == []
    sink.go_on.set()
    thread.join(PATIENCE_S)
    assert sink.seen == list(range(100))
    assert hub.run is not None
    assert hub.run.description == "second"


@pytest.mark.fault("A5")
def test_what_waits_for_a_stuck_sink_is_bounded_and_so_is_the_waiting(
    hubs: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sink stuck in one thread must cost the others neither their memory nor more than one wait."""
    monkeypatch.setattr(turns, "BACKLOG_LIMIT", 10)
    monkeypatch.setattr(turns, "ROOM_WAIT_S", 0.05)
    waits: list[float] = []
    sink = Holding()
    hub = hubs([sink])
    thread = in_thread(lambda: hub.emit(snapshot(0)))
    assert sink.entered.wait(PATIENCE_S)
    real_sleep = time.sleep

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        real_sleep(seconds)

    monkeypatch.setattr(time, "sleep", sleep)
    for step in range(1, 1001):
        hub.emit(snapshot(step))
    n_waits = len(waits)
    hub.emit(snapshot(1001))
    assert len(waits) == n_waits, "it is known to be stuck"
    assert len(hub._turns._backlog) == 10
    sink.go_on.set()
    thread.join(PATIENCE_S)
    assert sink.seen == list(range(11))
    stats = accounts(hub)[0]
    assert (stats.emitted, stats.delivered, stats.dropped) == (1002, 11, 991)
    hub.emit(snapshot(2000))
    assert sink.seen[-1] == 2000

    sink.entered.clear()
    sink.go_on.clear()
    thread = in_thread(lambda: hub.emit(snapshot(3000)))
    assert sink.entered.wait(PATIENCE_S)
    for step in range(3001, 3012):
        hub.emit(snapshot(step))
    assert len(waits) > n_waits, "it came back, so it is worth waiting for again"
    sink.go_on.set()
    thread.join(PATIENCE_S)


def test_a_full_backlog_empties_and_nobody_is_dropped_when_the_sink_comes_back(
    hubs: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "BACKLOG_LIMIT", 10)
    monkeypatch.setattr(turns, "ROOM_WAIT_S", PATIENCE_S)
    sink = Holding()
    hub = hubs([sink])
    first = in_thread(lambda: hub.emit(snapshot(0)))
    assert sink.entered.wait(PATIENCE_S)

    def emit_the_others() -> None:
        for step in range(1, 101):
            hub.emit(snapshot(step))

    second = in_thread(emit_the_others)
    while len(hub._turns._backlog) < 10:
        time.sleep(0.001)
    sink.go_on.set()
    first.join(PATIENCE_S)
    second.join(PATIENCE_S)
    hub.flush()
    assert sink.seen == list(range(101))


def test_a_thread_that_others_always_come_before_waits_as_long_as_calls_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It took the sink for stuck then, and all who waited dropped what they had until the next call ended."""
    monkeypatch.setattr(turns, "BACKLOG_LIMIT", 20)
    monkeypatch.setattr(turns, "ROOM_WAIT_S", 0.05)
    queue, begun, done = turns.Turns(), threading.Event(), []

    def call(is_first: bool) -> None:
        """Somebody else is there with the next one before this one has ended."""
        begun.set()
        time.sleep(0.01)
        if is_first:
            queue._backlog.append((call, False, 0))

    first = in_thread(lambda: queue.take(lambda _: [queue.take(call, True, True) for _ in range(20)], None))
    assert begun.wait(PATIENCE_S)
    assert len(queue._backlog) >= 20
    assert queue.take(done.append, "in the end") is None
    first.join(PATIENCE_S)
    assert done == ["in the end"]


def test_a_thread_that_emits_without_pause_does_not_hold_another_for_ever(hubs: Make) -> None:
    """Whoever delivers takes along what others leave meanwhile; there must be an end to it."""
    stop = threading.Event()
    hub = hubs([lambda s: time.sleep(0)])
    hub.start()

    def pour() -> None:
        while not stop.is_set():
            hub.emit(snapshot(1))

    def train() -> None:
        for _ in range(20):
            hub.emit(snapshot(2))

    threads = [in_thread(pour) for _ in range(2)]
    done = in_thread(train)
    done.join(PATIENCE_S)
    assert not done.is_alive()
    stop.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    hub.flush()
    assert accounts(hub)[0].delivered == hub.stats().emitted


def test_what_is_to_come_after_a_call_is_left_to_the_thread_of_that_call_whoever_else_comes_meanwhile() -> None:
    """A signal handler of the user's must run on the main thread, and no sink may be closed in the middle of a call."""
    queue, done = turns.Turns(), []

    def call(_: object) -> None:
        queue.when_free(lambda: done.append(threading.current_thread()))
        in_thread(lambda: queue.take(lambda _: None, None)).join(PATIENCE_S)
        assert done == []

    queue.take(call, None)
    assert done == [threading.current_thread()]


def test_a_call_that_runs_is_no_longer_among_those_that_are_left() -> None:
    queue, left = turns.Turns(), []

    def call(_: object) -> None:
        left.append(len(queue.left()))

    queue.take(lambda _: [queue.take(call, None) for _ in range(3)], None)
    assert left == [2, 1, 0]


def test_what_one_of_the_calls_that_were_left_raises_keeps_nobody_from_the_others() -> None:
    queue, done = turns.Turns(), []

    def fail(number: int) -> None:
        raise ValueError(f"failure {number}")

    def call(_: object) -> None:
        for number in range(2):
            queue.take(fail, number)
        queue.take(done.append, "after it")

    with pytest.raises(ValueError, match="failure 0"):
        queue.take(call, None)
    assert (done, queue.left()) == (["after it"], [])


@pytest.mark.parametrize("later", [[], ["asked for later"]])
def test_a_call_during_which_all_is_given_up_takes_nothing_with_it_that_is_asked_for_later(later: list[str]) -> None:
    queue, done = turns.Turns(), []

    def call(_: object) -> None:
        queue.give_up_backlog()
        for each in later:
            queue.take(done.append, each)

    queue.take(lambda _: [queue.take(call, None), queue.take(done.append, "given up")], None)
    assert (done, queue.left()) == (later, [])
