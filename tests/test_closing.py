"""However badly an inline sink ends, the others end well, in bounded time, and Ctrl-C interrupts none of them."""

from __future__ import annotations

import contextvars
import linecache
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
from hub_doubles import PATIENCE_S, Holding, Raising, Recording, accounts, in_thread, snapshot

import m.hub.closing
from m import MetricsHub
from m.hub.closing import LEAST_S, Aside, do_each


class HangsAtTheEnd(Recording):
    """Its flush or its close does not come back before the test lets it."""

    def __init__(self, ability: str, release: threading.Event) -> None:
        super().__init__()
        self.ability = ability
        self.release = release
        self.entered = threading.Event()

    def flush(self) -> None:
        super().flush()
        self.hang("flush")

    def close(self) -> None:
        super().close()
        self.hang("close")

    def hang(self, ability: str) -> None:
        if ability == self.ability:
            self.entered.set()
            assert self.release.wait(PATIENCE_S)


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.fault("A5", "A10", "B3", "B17")
@pytest.mark.parametrize("ability", ["flush", "close"])
def test_a_close_that_hangs_costs_the_budget_and_no_more(
    release: threading.Event, ability: str, caplog: pytest.LogCaptureFixture
) -> None:
    """On the caller's thread it held the whole process, and the sinks that were subscribed before it stayed open."""
    before, hanging, after = Recording(), HangsAtTheEnd(ability, release), Recording()
    hub = MetricsHub([before, hanging, after], close_timeout=0.3)
    hub.emit(snapshot())
    begun = time.monotonic()
    hub.close()
    assert 0.2 < time.monotonic() - begun < PATIENCE_S / 2
    assert hanging.entered.is_set()
    assert before.log[-1] == after.log[-1] == ("close", None)
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("sink HangsAtTheEnd: was not closed in time and is left to itself; 1 of 1 snapshots del")
    assert [each.delivered for each in accounts(hub)] == [1, 1, 1]
    release.set()
    hub.close()


@pytest.mark.fault("A5", "B3")
def test_a_hub_that_others_would_wait_longer_for_takes_its_own_budget(release: threading.Event) -> None:
    """At exit all hubs have the longest of their budgets together."""
    hub = MetricsHub([HangsAtTheEnd("close", release)], close_timeout=0.1)
    begun = time.monotonic()
    hub.close_by(begun + PATIENCE_S)
    assert time.monotonic() - begun < PATIENCE_S / 2


@pytest.mark.fault("A5")
def test_one_sink_that_hangs_leaves_time_for_the_others(release: threading.Event) -> None:
    """The next is begun long before the budget is spent, so that a terminal has the time that it needs."""
    begun: list[float] = []

    class Slow(Recording):
        def close(self) -> None:
            begun.append(time.monotonic())
            time.sleep(0.3)
            super().close()

    slow = Slow()
    sinks = [slow, *(HangsAtTheEnd("close", release) for _ in range(3))]
    hub = MetricsHub(sinks, close_timeout=2.0)
    start = time.monotonic()
    hub.close()
    assert begun[0] - start < 1.7
    assert slow.log[-1] == ("close", None)


@pytest.mark.fault("A5", "A9")
def test_a_second_thread_that_closes_meanwhile_ends_nothing_twice(
    release: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[object] = []
    hanging = HangsAtTheEnd("close", release)
    hub = MetricsHub([hanging], close_timeout=0.05)
    hub.run_closed.connect(lambda hub, run: ended.append(run), weak=False)
    run = hub.start()
    closing = in_thread(hub.close)
    assert hanging.entered.wait(PATIENCE_S)
    hub.close()
    closing.join(PATIENCE_S)
    assert ended == [run]
    assert len(caplog.records) == 1


@pytest.mark.fault("A9", "A10")
def test_sinks_are_closed_one_at_a_time_and_the_newest_first(release: threading.Event) -> None:
    inside = threading.Lock()
    log: list[tuple[str, str, None]] = []

    class Alone(Recording):
        def close(self) -> None:
            assert inside.acquire(blocking=False)
            time.sleep(0.02)
            super().close()
            inside.release()

    MetricsHub([Alone(log, name) for name in "abc"], strict=True).close()
    assert [name for name, what, _ in log if what == "close"] == ["c", "b", "a"]


@pytest.mark.fault("A9")
def test_a_sink_that_calls_the_hub_while_it_is_closed_waits_for_nobody(release: threading.Event) -> None:
    """It is on a thread of its own then: waiting there for the end of the closing would be waiting for itself."""
    answers: list[object] = []

    class Talking(Recording):
        def close(self) -> None:
            hub.close()
            hub.emit(snapshot(1))
            answers.append(hub.flush(PATIENCE_S))
            answers.append(hub.start())
            super().close()

    sink = Talking()
    hub = MetricsHub([sink], close_timeout=PATIENCE_S)
    begun = time.monotonic()
    hub.close()
    assert time.monotonic() - begun < PATIENCE_S / 2
    assert sink.log[-1] == ("close", None)
    assert answers == [True, None]


@pytest.mark.fault("B10")
@pytest.mark.parametrize("times", [1, 2, 5])
def test_ctrl_c_ends_the_waiting_and_interrupts_no_sink(release: threading.Event, times: int) -> None:
    """Of 40 trials with two Ctrl-C, Rich left its hook and a hidden cursor behind in 2."""

    class Restoring(Recording):
        def close(self) -> None:
            for _ in range(20):
                time.sleep(0.005)
            super().close()

    sink, hanging = Restoring(), HangsAtTheEnd("close", release)
    hub = MetricsHub([sink, hanging], close_timeout=PATIENCE_S)

    def press() -> None:
        assert hanging.entered.wait(PATIENCE_S)
        for _ in range(times):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # type: ignore[arg-type]
            time.sleep(0.02)

    thread = threading.Thread(target=press)
    thread.start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        hub.close()
    assert time.monotonic() - begun < LEAST_S + PATIENCE_S / 2
    assert sink.log[-1] == ("close", None)
    thread.join()


@pytest.mark.fault("A5", "B10")
def test_ctrl_c_while_it_waits_for_a_call_of_another_thread_closes_all_that_can_be(
    release: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strike(seconds: float) -> None:
        raise KeyboardInterrupt

    journal, stuck = Recording(), Holding()
    hub = MetricsHub([journal, stuck, HangsAtTheEnd("close", release)], close_timeout=PATIENCE_S)
    thread = in_thread(lambda: hub.emit(snapshot()))
    assert stuck.entered.wait(PATIENCE_S)
    monkeypatch.setattr("m.hub.delivery.time", SimpleNamespace(monotonic=time.monotonic, sleep=strike))
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        hub.close()
    assert time.monotonic() - begun < PATIENCE_S / 2
    assert journal.log[-1] == ("close", None)
    stuck.go_on.set()
    thread.join(PATIENCE_S)


@pytest.mark.fault("A10")
def test_exceptions_of_several_closes_are_one_strict_exception_and_no_close_is_left_out() -> None:
    first, last = Recording(), Recording()
    hub = MetricsHub([first, Raising(ValueError("one")), Raising(SystemExit(2)), last], strict=True)
    with pytest.raises(SystemExit):
        hub.close()
    assert first.log == last.log == [("flush", None), ("close", None)]


@pytest.mark.fault("B5")
def test_without_a_thread_to_be_had_sinks_are_closed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.12 and newer start no thread when they are ending; a cluster may set a limit at any time."""

    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    first, last = Recording(), Recording()
    hub = MetricsHub([first, Raising(ValueError("broken")), last])
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        hub.close()
    assert first.log == last.log == [("flush", None), ("close", None)]


def test_an_interrupt_while_a_thread_is_started_closes_that_sink_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupts = [KeyboardInterrupt(), KeyboardInterrupt()]
    real_start = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if len(interrupts) == 2:
            raise interrupts.pop()  # before it began
        real_start(thread)
        if interrupts:
            raise interrupts.pop()  # and after

    sink = Recording()
    hub = MetricsHub([sink], close_timeout=PATIENCE_S)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(KeyboardInterrupt):
            hub.close()
    assert interrupts == []
    assert sink.log == [("flush", None), ("close", None)]


def test_two_threads_for_one_work_do_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a Ctrl-C nobody knows whether the thread that was being started runs."""
    threads: list[threading.Thread] = []
    monkeypatch.setattr(threading.Thread, "start", lambda thread: threads.append(thread))
    done: list[str] = []
    aside = Aside(lambda: done.append("work"), "a test")
    for _ in range(2):
        aside.begin()
    for thread in threads:
        thread.run()
    aside.begin()
    assert (len(threads), done) == (2, ["work"])


@pytest.mark.fault("B10")
def test_what_strikes_while_others_are_waited_for_is_given_back_when_all_is_done() -> None:
    def strike() -> None:
        raise KeyboardInterrupt

    done: list[str] = []
    asides = [
        Aside(lambda: done.append("before"), "before"),
        Aside(strike, "a test", here=True),
        Aside(lambda: done.append("after"), "after"),
    ]
    assert isinstance(do_each(asides, time.monotonic() + PATIENCE_S), KeyboardInterrupt)
    assert done == ["before", "after"]


@pytest.mark.fault("B10")
@pytest.mark.parametrize("place", range(4))
def test_a_ctrl_c_at_the_end_of_any_function_that_waits_keeps_nobody_waiting_for_ever(place: int) -> None:
    """In an Event it came when the lock inside was taken and nobody knew: the next wait never ended."""
    let_go, ended = threading.Event(), threading.Event()
    aside = Aside(lambda: None if let_go.wait(PATIENCE_S) else AssertionError("nobody let go"), "a test")
    aside.begin()
    left = [place]

    def strike(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != threading.__file__:
            return strike
        if event == "return":
            left[0] -= 1
            if left[0] == -1:
                raise KeyboardInterrupt
        return strike

    def wait() -> None:
        sys.settrace(strike)
        try:
            aside.wait(0.01)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        aside.wait(0.01)
        let_go.set()
        aside.wait(PATIENCE_S)
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    assert ended.wait(PATIENCE_S / 2)
    assert aside.raised is None


def test_a_sink_that_must_stay_on_this_thread_does_when_asked_and_comes_first() -> None:
    """SQLite refuses its connection to any other thread than the one that opened it."""

    class Database(Recording):
        def __init__(self, log: list[object]) -> None:
            super().__init__(log, "database")
            self.connection = sqlite3.connect(":memory:")
            self.connection.execute("create table losses (step, loss)")

        def record(self, snapshot: object) -> None:
            self.connection.execute("insert into losses values (1, 2)")

        def close(self) -> None:
            super().close()
            self.connection.close()

    log: list[object] = []
    hub = MetricsHub(strict=True)
    hub.subscribe(Database(log), background=False)
    hub.subscribe(Recording(log, "other"))
    hub.emit(snapshot())
    hub.close()
    assert [(name, what) for name, what, _ in log if what == "close"] == [("database", "close"), ("other", "close")]  # type: ignore[misc]


def test_a_close_sees_the_context_of_the_caller() -> None:
    """A notebook knows by a context variable to which cell the output belongs."""
    cell = contextvars.ContextVar("cell", default="none")
    seen: list[str] = []

    class Seeing(Recording):
        def close(self) -> None:
            seen.append(cell.get())

    hub = MetricsHub([Seeing()], strict=True)
    cell.set("second")
    hub.close()
    assert seen == ["second"]


@pytest.mark.fault("C6")
def test_no_thread_is_left_and_none_is_started_for_what_has_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    real_start = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        started.append(thread.name)
        real_start(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    before = threading.active_count()
    with MetricsHub([lambda s: None]) as hub:
        hub.emit(snapshot())
    assert started == []
    with MetricsHub([Recording()]) as hub:
        hub.emit(snapshot())
    assert started == ["metrics-hub closes Recording"]
    assert threading.active_count() == before


# -- Ctrl-C anywhere ---------------------------------------------------------------------------------------------------

HUB_CODE = str(Path(m.hub.closing.__file__).parent)


class StaysHere(Recording):
    """Closed on the caller's thread."""

    background = False


class Writes(Recording):
    """Hears of files, and has some."""

    def __init__(self) -> None:
        super().__init__()
        self.written = ["figure.png"]

    def wrote(self, *paths: str) -> None:
        self.note("wrote")


def interrupted(act: Callable[[], object], at: int) -> bool:
    """Whether ``act()`` came as far as the ``at``-th line of the hub's code, where a ``KeyboardInterrupt`` struck.

    Real ones strike at the beginning and end of calls and where a loop goes back, so not at the end of a ``with`` that
    has a lock, which a trace function sees as a line, and those in finalisers are lost.
    """
    seen = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal seen
        code = frame.f_code
        if not code.co_filename.startswith(HUB_CODE) or code.co_name in ("__del__", "<genexpr>"):
            return None
        if event in ("call", "line") and not linecache.getline(code.co_filename, frame.f_lineno).lstrip().startswith(
            "with"
        ):
            seen += 1
            if seen == at:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    return seen >= at


@pytest.mark.fault("B10")
@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_at_any_line_of_the_end_leaves_no_sink_open_and_closes_none_twice(presses: int) -> None:
    """As at the end of a program: ``close`` is interrupted, and what is left is done at exit; or that is interrupted
    as well, and done by the next of the two that are registered there."""
    at, reached = 1, True
    while reached:
        sinks = [Recording(name="inline"), StaysHere(), Writes(), Recording(name="background")]
        hub = MetricsHub(sinks[:3], close_timeout=2.0)
        hub.subscribe(sinks[3], background=True)
        hub.start(3, "interrupted")
        hub.emit(snapshot(0))
        reached = interrupted(hub.close, at)
        if presses == 2:
            interrupted(hub.close, 1 + at * 7 % 97)
        hub.close()
        for sink in sinks:
            ends = [what for *_, what, _ in sink.log if what in ("flush", "close")]
            if isinstance(sink, StaysHere):  # it is what the Ctrl-C strikes
                assert len(ends) == len(set(ends)), at
            else:
                assert (at, sink.name, ends) == (at, sink.name, ["flush", "close"])
        assert hub._finished
        at += 1
    assert at > 150, "this many lines are on the way"
