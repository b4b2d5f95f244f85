"""Sinks to test with, and what every test of the hub checks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from m import Alert, MetricsHub, Run, SinkStats, TrainingSnapshot

Make = Callable[..., MetricsHub]
"""What the fixture ``hubs`` gives: makes a hub that is closed after the test."""

PATIENCE_S = 20.0  # how long a test waits for what happens at once on an idle machine


def snapshot(step: int = 0, loss: float = 0.5) -> TrainingSnapshot:
    return TrainingSnapshot(step=step, train_loss=loss)


class Recording:
    """A sink with every ability; notes what it is called with."""

    def __init__(self, log: list[Any] | None = None, name: str = "") -> None:
        self.log: list[Any] = [] if log is None else log
        self.name = name

    def note(self, what: str, detail: Any = None) -> None:
        self.log.append((self.name, what, detail) if self.name else (what, detail))

    def start(self, run: Run) -> None:
        self.note("start", run.description)

    def record(self, snapshot: TrainingSnapshot) -> None:
        self.note("record", snapshot.step)

    def alert(self, alert: Alert) -> None:
        self.note("alert", alert.rule)

    def flush(self) -> None:
        self.note("flush")

    def close(self) -> None:
        self.note("close")


class Raising:
    """A sink that raises ``error`` whatever it is asked."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def record(self, snapshot: TrainingSnapshot) -> None:
        raise self.error

    def start(self, run: Run) -> None:
        raise self.error

    def alert(self, alert: Alert) -> None:
        raise self.error

    def flush(self) -> None:
        raise self.error

    def close(self) -> None:
        raise self.error


def accounts(hub: MetricsHub) -> list[SinkStats]:
    """The sinks' accounts, checked: nothing may vanish without being counted."""
    stats = hub.stats()
    for each in stats.sinks.values():
        assert each.emitted == each.delivered + each.dropped + each.waiting
        assert min(each.delivered, each.dropped, each.waiting, each.failed) >= 0
    return list(stats.sinks.values())


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


class Holding:
    """An inline sink that can be held in the middle of a snapshot by a test, from another thread."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.seen: list[int] = []
        self.closed = False

    def record(self, snapshot: TrainingSnapshot) -> None:
        self.entered.set()
        assert self.go_on.wait(PATIENCE_S)
        self.seen.append(snapshot.step)

    def close(self) -> None:
        self.closed = True
