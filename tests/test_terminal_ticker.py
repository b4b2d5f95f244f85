"""The thread behind a display."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from sinks.terminal.ticker import FAILURES_BEFORE_END, Ticker


def test_it_acts_until_it_is_stopped() -> None:
    acted = threading.Semaphore(0)
    ticker = Ticker(acted.release, 0.01, "test")
    assert ticker.start()
    for _ in range(3):
        assert acted.acquire(timeout=10)
    assert ticker.running
    assert ticker.stop(10)
    assert not ticker.running


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
