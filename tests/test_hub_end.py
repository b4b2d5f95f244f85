"""However a hub ends, each of its sinks is closed once, in bounded time, and nothing reaches it afterwards."""

from __future__ import annotations

import gc
import sys
import threading
import time
from typing import Any

import pytest
from hub_doubles import PATIENCE_S, Holding, Raising, Recording, accounts, in_thread, snapshot

from m import Alert, MetricsHub, TrainingSnapshot


@pytest.mark.fault("A8")
def test_everything_after_close_is_safe_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    sink = Recording()
    hub = MetricsHub([sink], strict=True)
    hub.emit(snapshot())
    hub.close()
    caplog.clear()
    log = list(sink.log)
    hub.emit(snapshot(1))
    hub.log({"train_loss": 0.5})
    hub.emit("anything")  # type: ignore[arg-type]
    hub.close()
    assert [record.getMessage() for record in caplog.records] == ["emit() after close() does nothing"]
    assert hub.start() is None
    assert hub.flush()
    hub.alert(Alert(0, "loss_spike", "it jumped"))
    hub.unsubscribe(sink)
    assert sink.log == log
    assert hub.stats().emitted == 1
    assert hub.stats().refused == 5
    assert "closed" in repr(hub)
    with pytest.raises(ValueError, match="cannot subscribe to a closed hub"):
        hub.subscribe(Recording())


def test_closing_from_a_sink_takes_effect_after_everybody_has_the_snapshot() -> None:
    """Closed on the spot, the sinks behind the one that closes would get a snapshot after their close."""
    log: list[Any] = []
    last = Recording(log, "last")
    hub = MetricsHub(strict=True)

    def closing(s: TrainingSnapshot) -> None:
        hub.close()
        hub.emit(snapshot(1))

    hub.subscribe(closing)
    hub.subscribe(last)
    hub.emit(snapshot(0))
    assert [what for _, what, _ in log] == ["start", "record", "flush", "close"]
    hub.emit(snapshot(2))
    assert len(log) == 4
    assert (hub.stats().emitted, hub.stats().refused) == (1, 2)


@pytest.mark.fault("A9")
def test_a_sink_may_close_the_hub_while_it_is_being_closed() -> None:
    class Closing(Recording):
        def close(self) -> None:
            super().close()
            hub.close()
            hub.emit(snapshot())
            hub.flush()

    sink = Closing()
    hub = MetricsHub([sink], strict=True)
    hub.close()
    assert sink.log == [("flush", None), ("close", None)]


@pytest.mark.fault("A9")
def test_two_threads_that_close_at_once_close_each_sink_once_and_return_when_it_is_done() -> None:
    for _ in range(20):
        sink = Recording()
        hub = MetricsHub([sink])
        hub.start()
        gate = threading.Barrier(2)
        done: list[bool] = []

        def work(
            hub: MetricsHub = hub, sink: Recording = sink, gate: threading.Barrier = gate, done: list[bool] = done
        ) -> None:
            gate.wait()
            hub.close()
            done.append(("close", None) in sink.log)

        threads = [in_thread(work) for _ in range(2)]
        for thread in threads:
            thread.join(PATIENCE_S)
        assert sink.log == [("start", "Training"), ("flush", None), ("close", None)]
        assert done == [True, True]


def test_close_waits_for_a_snapshot_that_another_thread_is_delivering() -> None:
    sink = Holding()
    hub = MetricsHub([sink], close_timeout=PATIENCE_S)
    emitting = in_thread(lambda: hub.emit(snapshot(0)))
    assert sink.entered.wait(PATIENCE_S)
    hub.emit(snapshot(1))
    closing = in_thread(hub.close)
    sink.go_on.set()
    closing.join(PATIENCE_S)
    emitting.join(PATIENCE_S)
    assert sink.seen == [0, 1]
    assert sink.closed


@pytest.mark.fault("A5", "A10")
def test_close_leaves_a_stuck_inline_sink_alone_and_closes_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """One sink that hangs in another thread must not keep the journal and the terminal from being closed."""
    journal, stuck, last = Recording(), Holding(), Recording()
    hub = MetricsHub([journal, stuck, last], close_timeout=0.05)
    thread = in_thread(lambda: hub.emit(snapshot(0)))
    assert stuck.entered.wait(PATIENCE_S)
    hub.emit(snapshot(1))
    hub.close()
    assert "close() waited in vain for a call to come back" in caplog.text
    assert journal.log[-2:] == [("flush", None), ("close", None)]
    assert not stuck.closed
    stuck.go_on.set()
    thread.join(PATIENCE_S)
    assert journal.log[-1] == last.log[-1] == ("close", None), "nothing is delivered after the close"
    first, second, third = accounts(hub)
    assert (third.emitted, third.delivered, third.dropped) == (2, 0, 2)
    assert (first.emitted, first.delivered, first.dropped) == (2, 1, 1)
    assert (second.emitted, second.delivered, second.dropped) == (2, 1, 1)


@pytest.mark.fault("A10")
def test_an_interrupt_while_closing_still_closes_the_other_sinks() -> None:
    first, last = Recording(), Recording()
    hub = MetricsHub([first, Raising(KeyboardInterrupt()), last])
    with pytest.raises(KeyboardInterrupt):
        hub.close()
    assert first.log == last.log == [("flush", None), ("close", None)]
    hub.close()


def test_a_hub_without_a_budget_closes_sinks_that_are_quick_about_it() -> None:
    sink = Recording()
    with MetricsHub([sink], close_timeout=0) as hub:
        hub.emit(snapshot(0))
    assert sink.log[1:] == [("record", 0), ("flush", None), ("close", None)]


@pytest.mark.parametrize("background", [None, True])
def test_a_hub_may_have_all_the_time_there_is(background: bool | None) -> None:
    sink, brief = Recording(), Recording()
    hub = MetricsHub(close_timeout=sys.float_info.max)
    hub.subscribe(sink, background=background)
    hub.subscribe(brief, background=background)
    hub.emit(snapshot(0))
    assert hub.flush()
    hub.unsubscribe(brief)
    hub.close()
    assert brief.log[-1] == ("flush", None)
    assert sink.log[-1] == ("close", None)


@pytest.mark.fault("B17")
def test_the_with_block_closes_on_an_exception_and_lets_it_pass() -> None:
    sink = Recording()

    def train() -> None:
        with MetricsHub([sink]) as hub:
            hub.emit(snapshot())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()
    assert sink.log[-1] == ("close", None)


def test_a_hub_that_was_let_go_of_is_closed_when_the_next_one_is_made() -> None:
    """A function that makes a hub and forgets to close it must not cost the last picture of its run."""
    forgotten = Recording()

    def train() -> None:
        hub = MetricsHub([forgotten])
        hub.emit(snapshot())

    train()
    gc.collect()
    assert forgotten.log[-1] == ("record", 0), "not in the middle of a collection"
    MetricsHub().close()
    assert forgotten.log[-1] == ("close", None)


@pytest.mark.parametrize("background", [False, True])
def test_a_hub_that_was_let_go_of_is_found_whether_its_sinks_have_threads_or_not(background: bool) -> None:
    forgotten = Recording()

    def train() -> None:
        hub = MetricsHub()
        hub.subscribe(forgotten, background=background)
        for step in range(3):
            hub.emit(snapshot(step))

    train()
    gc.collect()
    MetricsHub().close()
    assert forgotten.log[-3:] == [("record", 2), ("flush", None), ("close", None)]


def test_a_sink_that_moved_from_a_forgotten_hub_to_another_is_not_closed() -> None:
    """In a notebook the cell that makes the hub is run again, with the sink of the cell above."""
    sink = Recording()

    def cell() -> MetricsHub:
        return MetricsHub([sink])

    cell().start()
    gc.collect()
    with cell() as hub:
        assert ("close", None) not in sink.log
        hub.emit(snapshot())
        assert sink.log[-1] == ("record", 0)


def test_an_interrupt_inside_a_sinks_close_ends_the_waiting_for_the_others() -> None:
    """Whoever presses Ctrl-C during the close does not want to wait; it may strike inside the close of a sink."""
    healthy, stuck = Recording(), Holding()
    hub = MetricsHub([healthy, Raising(KeyboardInterrupt())], close_timeout=PATIENCE_S)
    hub.subscribe(stuck, background=True)
    hub.subscriptions[1].detach()
    hub.emit(snapshot())
    assert stuck.entered.wait(PATIENCE_S)
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        hub.close()
    assert time.monotonic() - begun < PATIENCE_S / 2
    assert healthy.log[-1] == ("close", None)
    stuck.go_on.set()


class Listing:
    """A sink that writes a file and is told of all of them."""

    def __init__(self, *written: str) -> None:
        self.written = written
        self.told: list[tuple[str, ...]] = []

    def record(self, snapshot: TrainingSnapshot) -> None: ...

    def wrote(self, *paths: str) -> None:
        self.told.append(paths)

    def close(self) -> None:
        self.told.append(("closed",))


@pytest.mark.parametrize("background", [True, None])
def test_sinks_are_told_which_files_there_are_before_they_are_closed(background: bool | None) -> None:
    first, last = Listing("a.csv"), Listing("b.csv", "c.csv")
    hub = MetricsHub([first])
    hub.subscribe(last, background=background)
    hub.start(10)
    hub.emit(TrainingSnapshot(0, 1.0))
    assert hub.flush(PATIENCE_S)
    assert first.told == last.told == []
    hub.start(10)
    hub.close()
    files = ("a.csv", "b.csv", "c.csv")
    assert first.told == last.told == [files, files, ("closed",)]


def test_where_nothing_was_written_nobody_is_told() -> None:
    sink = Listing()
    with MetricsHub([sink, print_nothing]):
        pass
    assert sink.told == [("closed",)]


def test_a_sink_that_cannot_be_told_is_closed_all_the_same() -> None:
    class Deaf(Listing):
        def wrote(self, *paths: str) -> None:
            raise ValueError("no")

    deaf, other = Deaf("a.csv"), Listing()
    with MetricsHub([deaf, other]):
        pass
    assert deaf.told == [("closed",)]
    assert other.told == [("a.csv",), ("closed",)]
    strict = MetricsHub([deaf], strict=True)
    strict.start()
    with pytest.raises(ValueError, match="no"):
        strict.start()
    with pytest.raises(ValueError, match="no"):
        strict.close()


def print_nothing(snapshot: TrainingSnapshot) -> None: ...
