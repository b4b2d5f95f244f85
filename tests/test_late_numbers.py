"""A number that is still on its device is not waited for, and its snapshot is neither lost nor out of order."""

from __future__ import annotations

import types
from typing import Any

import pytest
from hub_doubles import PATIENCE_S, Make, Recording, accounts, snapshot

from m import Alert, MetricsHub, TrainingSnapshot
from m.metrics.loads import NoLoads
from m.metrics.snapshot import PendingSnapshot


class OnDevice:
    """Behaves like a tensor on a device without events: a number of which nobody knows whether it is there yet."""

    shape = ()
    device = types.SimpleNamespace(type="mps")

    def __init__(self, number: float, ready: bool = True) -> None:
        self.number, self.ready, self.waited = number, ready, False

    def numel(self) -> int:
        return 1

    def detach(self) -> OnDevice:
        return self

    def clone(self) -> OnDevice:
        return self

    def is_ready(self) -> bool:
        return self.ready

    def item(self) -> float:
        self.waited = True
        return self.number


def late(step: int, loss: float = 0.5, ready: bool = True) -> TrainingSnapshot:
    made = TrainingSnapshot(step, OnDevice(loss, ready))  # type: ignore[arg-type]
    assert type(made) is PendingSnapshot
    return made


def test_whether_loads_were_given_is_known_of_a_late_snapshot_too() -> None:
    assert type(late(0).resolve().expert_utilization) is dict  # type: ignore[attr-defined]
    lacking = TrainingSnapshot(0, OnDevice(0.5), expert_utilization={})  # type: ignore[arg-type]
    assert type(lacking.resolve().expert_utilization) is NoLoads  # type: ignore[attr-defined]


@pytest.mark.fault("F6")
def test_a_late_number_is_delivered_with_the_next_step_and_in_order(hubs: Make) -> None:
    seen: list[Any] = []
    hub = hubs([lambda s: seen.append((s.step, s.train_loss, type(s)))], strict=True)
    hub.start()
    first = OnDevice(0.5)
    hub.emit(TrainingSnapshot(0, first))  # type: ignore[arg-type]
    assert seen == []
    assert not first.waited
    hub.emit(late(1))
    assert [step for step, _, _ in seen] == [0]
    assert accounts(hub)[0].waiting == 1
    hub.emit(snapshot(2))
    assert seen == [(step, 0.5, TrainingSnapshot) for step in (0, 1, 2)]
    stats = accounts(hub)[0]
    assert (stats.emitted, stats.delivered) == (3, 3)


@pytest.mark.parametrize("end", ["flush", "close", "start"])
def test_the_last_late_number_is_delivered_at_the_end(end: str) -> None:
    sink = Recording()
    hub = MetricsHub([sink], strict=True)
    hub.emit(late(0))
    assert sink.log == [("start", "Training")]
    getattr(hub, end)()
    assert sink.log[1] == ("record", 0)
    hub.close()
    assert accounts(hub)[0].delivered == hub.stats().emitted == 1


def test_a_device_that_never_answers_does_not_hold_close_or_flush(caplog: pytest.LogCaptureFixture) -> None:
    """After a collective has hung, the device hangs too, and so would whoever waits for it at exit."""
    sink = Recording()
    hub = MetricsHub([sink], close_timeout=0.05)
    hub.emit(late(0, ready=False))
    assert not hub.flush(timeout=0.0)
    hub.close()
    assert sink.log == [("start", "Training"), ("flush", None), ("flush", None), ("close", None)]
    stats = accounts(hub)[0]
    assert (stats.emitted, stats.dropped) == (1, 1)
    assert "did not arrive from the device in time" in caplog.text


def test_a_flush_waits_for_the_device_and_loses_nothing_when_it_was_in_vain(hubs: Make) -> None:
    class Soon(OnDevice):
        def is_ready(self) -> bool:
            self.number += 1
            return self.number > 3

    seen: list[int] = []
    hub = hubs([lambda s: seen.append(s.step)])
    hub.emit(TrainingSnapshot(0, Soon(0)))  # type: ignore[arg-type]
    assert hub.flush(PATIENCE_S)
    assert seen == [0]
    slow = OnDevice(0.5, ready=False)
    hub.emit(TrainingSnapshot(1, slow))  # type: ignore[arg-type]
    assert not hub.flush(0.0)
    slow.ready = True
    hub.emit(snapshot(2))
    assert seen == [0, 1, 2]


def test_an_interrupt_while_waiting_for_the_device_loses_nothing() -> None:
    class Interrupted(OnDevice):
        def item(self) -> float:
            if not self.waited:
                self.waited = True
                raise KeyboardInterrupt
            return self.number

    seen: list[int] = []
    hub = MetricsHub([lambda s: seen.append(s.step)])
    hub.emit(TrainingSnapshot(0, Interrupted(0.5)))  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        hub.emit(snapshot(1))
    hub.emit(snapshot(2))
    hub.close()
    assert seen == [0, 2]


def test_a_sink_that_fails_on_the_last_late_number_is_closed_all_the_same() -> None:
    class Closing(Recording):
        def alert(self, alert: Alert) -> None:
            hub.close()

        def record(self, snapshot: TrainingSnapshot) -> None:
            raise ValueError("no")

    sink = Closing()
    hub = MetricsHub([sink], strict=True)
    hub.emit(late(0))
    with pytest.raises(ValueError, match="no"):
        hub.alert(Alert(0, "rule", "words"))
    assert sink.log == [("start", "Training"), ("flush", None), ("close", None)]


def test_late_numbers_that_are_logged_count_their_steps(hubs: Make) -> None:
    seen: list[int] = []
    hub = hubs([lambda s: seen.append(s.step)], strict=True)
    for _ in range(3):
        hub.log({"train_loss": OnDevice(0.5)})
    hub.flush()
    assert seen == [0, 1, 2]


def test_a_late_number_inside_track_is_that_steps_number(hubs: Make) -> None:
    """The snapshot had not been counted when ``track`` looked, which added an empty one for the same step."""
    seen: list[Any] = []
    hub = hubs([lambda s: seen.append((s.step, s.train_loss))], strict=True)
    for step in hub.track(range(3)):
        hub.emit(late(step, 0.1 * step))
    hub.flush()
    assert seen == [(0, 0.0), (1, 0.1), (2, 0.2)]


def test_who_leaves_still_gets_the_late_number_of_its_last_step_and_who_comes_does_not(hubs: Make) -> None:
    early: list[int] = []
    later: list[int] = []

    def leaves(snapshot: TrainingSnapshot) -> None:
        early.append(snapshot.step)

    hub = hubs([leaves])
    hub.start()
    hub.emit(late(0))
    hub.subscribe(lambda snapshot: later.append(snapshot.step))
    hub.emit(late(1))
    hub.unsubscribe(leaves)
    hub.emit(late(2))
    hub.flush()
    assert (early, later) == ([0, 1], [1, 2])
