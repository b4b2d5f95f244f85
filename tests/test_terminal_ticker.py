"""The thread behind a display."""

from __future__ import annotations

import logging
import threading
import time
from queue import Empty

import pytest

from sinks.terminal.ticker import AFFORDED_S, FAILURES_BEFORE_END, LONGEST, Ticker


def test_it_acts_until_it_is_stopped() -> None:
    acted = threading.Semaphore(0)
    ticker = Ticker(acted.release, 0.01, "test")
    assert ticker.start()
    for _ in range(3):
        assert acted.acquire(timeout=10)
    assert ticker.running
    assert ticker.stop(10)
    assert not ticker.running


@pytest.mark.parametrize(
    ("cpu_s", "slower"), [(0.0, 1.0), (0.9 * AFFORDED_S, 1.0), (1.5 * AFFORDED_S, 1.5), (1.0, LONGEST)]
)
def test_what_takes_much_cpu_time_is_done_less_often_down_to_a_limit(
    monkeypatch: pytest.MonkeyPatch, cpu_s: float, slower: float
) -> None:
    used, waits = [0.0], []

    class Wakes:
        """Nobody wakes it; a wait is over at once."""

        def get(self, timeout: float) -> bool:
            waits.append(timeout)
            raise Empty

        def empty(self) -> bool:
            return True

        def put(self, wake: bool) -> None:
            pass

    def act() -> None:
        used[0] += cpu_s
        if len(waits) == 200:
            ticker.stop(0.0)

    monkeypatch.setattr("sinks.terminal.ticker.time.thread_time", lambda: used[0])
    ticker = Ticker(act, 0.25, "test")
    ticker._wakes = Wakes()  # type: ignore[assignment]
    ticker._run()
    assert waits[0] == 0.25
    assert waits[-1] == pytest.approx(0.25 * slower, rel=1e-3)
    assert waits == sorted(waits)
    assert ticker.cpu_s == used[0]


def test_one_action_that_takes_very_long_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first frames load what they need."""
    used = [0.0]

    def act() -> None:
        used[0] += 30.0
        ticker.stop(0.0)

    monkeypatch.setattr("sinks.terminal.ticker.time.thread_time", lambda: used[0])
    ticker = Ticker(act, 0.001, "test")
    ticker._run()
    assert ticker.cpu_s == 30.0
    assert ticker._usual_s < AFFORDED_S


def test_waking_acts_before_the_next_turn() -> None:
    acted = threading.Event()
    ticker = Ticker(acted.set, 1000.0, "test")
    ticker.start()
    ticker.wake()
    assert acted.wait(10)
    assert ticker.stop(10)


def test_stopping_gives_up_on_an_action_that_does_not_end() -> None:
    entered, release = threading.Event(), threading.Event()

    def act() -> None:
        entered.set()
        release.wait(20)

    ticker = Ticker(act, 0.001, "test")
    ticker.start()
    assert entered.wait(10)
    before = time.monotonic()
    assert not ticker.stop(0.05)
    assert time.monotonic() - before < 10
    release.set()


@pytest.mark.fault("D18")
def test_an_action_that_keeps_failing_ends_the_thread_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    def act() -> None:
        calls.append(1)
        raise RuntimeError("cannot draw")

    with caplog.at_level(logging.ERROR):
        ticker = Ticker(act, 0.001, "test")
        ticker.start()
        deadline = time.monotonic() + 10
        while ticker.running and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(calls) == FAILURES_BEFORE_END
    assert [record.getMessage()[:40] for record in caplog.records] == [
        "the terminal display could not be drawn;",
        "the terminal display failed 5 times in a",
    ]


def test_stopping_what_never_started_is_no_error() -> None:
    assert Ticker(lambda: None, 1.0, "test").stop(0.1)
