"""The hub's signals behave as any blinker user expects, in a definite order, and one receiver cannot stop another."""

from __future__ import annotations

import gc
import logging
import threading
from typing import Any

import pytest

from m import Alert, MetricsHub, Run, TrainingSnapshot
from m.hub.signals import HubSignal


def snapshot(step: int = 0) -> TrainingSnapshot:
    return TrainingSnapshot(step=step, train_loss=0.5)


def test_a_connected_function_gets_the_hub_and_the_snapshot() -> None:
    seen: list[Any] = []

    def receive(hub: MetricsHub, snapshot: TrainingSnapshot) -> None:
        seen.append((hub, snapshot.step))

    with MetricsHub(strict=True) as hub:
        hub.snapshot_emitted.connect(receive)
        hub.emit(snapshot(3))
    assert seen == [(hub, 3)]


def test_every_signal_says_what_happened() -> None:
    seen: list[Any] = []

    def started(hub: object, run: Run) -> None:
        seen.append(("started", run.description))

    def alerted(hub: object, alert: Alert) -> None:
        seen.append(("alert", alert.rule))

    def closed(hub: object, run: Run) -> None:
        seen.append(("closed", run.description))

    hub = MetricsHub(strict=True)
    hub.run_started.connect(started)
    hub.alert_raised.connect(alerted)
    hub.run_closed.connect(closed)
    hub.start(description="first")
    hub.alert(Alert(1, "loss_spike", "it jumped"))
    hub.start(description="second")
    hub.close()
    assert seen == [
        ("started", "first"),
        ("alert", "loss_spike"),
        ("closed", "first"),
        ("started", "second"),
        ("closed", "second"),
    ]


def test_a_hub_that_never_ran_closes_without_a_run() -> None:
    seen: list[Any] = []
    hub = MetricsHub(strict=True)
    hub.run_closed.connect(lambda hub, run: seen.append(run), weak=False)
    hub.close()
    assert seen == []


@pytest.mark.fault("A17")
def test_receivers_are_called_in_the_order_of_connection() -> None:
    """Blinker keeps receivers in a set of ids, so their order differs between two identical programs."""
    seen: list[int] = []
    hub = MetricsHub(strict=True)
    receivers = [lambda hub, snapshot, number=number: seen.append(number) for number in range(100)]
    for receiver in receivers:
        hub.snapshot_emitted.connect(receiver)
    hub.emit(snapshot())
    assert seen == list(range(100))


def test_the_order_holds_between_receivers_of_this_hub_and_of_any() -> None:
    seen: list[str] = []
    hub = MetricsHub(strict=True)
    hub.snapshot_emitted.connect(lambda *_, **__: seen.append("first"), sender=hub, weak=False)
    hub.snapshot_emitted.connect(lambda *_, **__: seen.append("second"), weak=False)
    hub.subscribe(lambda snapshot: seen.append("sink"))
    hub.snapshot_emitted.connect(lambda *_, **__: seen.append("last"), sender=hub, weak=False)
    hub.emit(snapshot())
    assert seen == ["first", "second", "sink", "last"]


def test_a_receiver_connected_for_another_sender_is_not_called() -> None:
    seen: list[Any] = []
    other = MetricsHub()
    hub = MetricsHub([lambda snapshot: seen.append("sink")], strict=True)
    hub.snapshot_emitted.connect(lambda *_, **__: seen.append("other"), sender=other, weak=False)
    hub.emit(snapshot())
    assert seen == ["sink"]
    other.close()


def test_a_disconnected_receiver_is_not_called_and_the_sinks_stay() -> None:
    seen: list[Any] = []

    def receive(hub: object, snapshot: TrainingSnapshot) -> None:
        seen.append("receiver")

    hub = MetricsHub([lambda snapshot: seen.append("sink")], strict=True)
    hub.snapshot_emitted.connect(receive)
    hub.snapshot_emitted.disconnect(receive)
    with hub.snapshot_emitted.connected_to(receive):
        hub.emit(snapshot())
    hub.emit(snapshot())
    assert seen == ["sink", "receiver", "sink"]


def test_a_weakly_connected_lambda_is_gone_as_in_blinker() -> None:
    seen: list[Any] = []
    hub = MetricsHub(strict=True)
    hub.snapshot_emitted.connect(lambda hub, snapshot: seen.append(snapshot))
    gc.collect()
    hub.emit(snapshot())
    assert seen == []


def test_a_muted_signal_reaches_neither_receivers_nor_sinks_and_the_sinks_account_for_it() -> None:
    seen: list[Any] = []
    with MetricsHub([lambda snapshot: seen.append(snapshot.step)], strict=True) as hub:
        with hub.snapshot_emitted.muted():
            hub.emit(snapshot(1))
        hub.emit(snapshot(2))
    stats = hub.subscriptions[0].stats()
    assert seen == [2]
    assert (stats.emitted, stats.delivered, stats.dropped) == (2, 1, 1)


def test_a_receiver_that_raises_stops_nobody_and_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Any] = []

    def broken(hub: object, snapshot: TrainingSnapshot) -> None:
        raise SystemExit("broken pipe")

    hub = MetricsHub()
    hub.snapshot_emitted.connect(broken)
    hub.subscribe(lambda snapshot: seen.append("sink"))
    hub.snapshot_emitted.connect(lambda *_, **__: seen.append("receiver"), weak=False)
    hub.emit(snapshot())
    hub.emit(snapshot())
    assert seen == ["sink", "receiver"] * 2
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "broken: SystemExit: broken pipe" in caplog.text


def test_an_interrupt_in_a_receiver_passes_once_all_were_called() -> None:
    seen: list[Any] = []

    def interrupted(hub: object, snapshot: TrainingSnapshot) -> None:
        raise KeyboardInterrupt

    hub = MetricsHub()
    hub.snapshot_emitted.connect(interrupted)
    hub.subscribe(lambda snapshot: seen.append("sink"))
    with pytest.raises(KeyboardInterrupt):
        hub.emit(snapshot())
    assert seen == ["sink"]


def test_a_strict_hub_raises_what_a_receiver_raises() -> None:
    def broken(hub: object, snapshot: TrainingSnapshot) -> None:
        raise ValueError("broken")

    hub = MetricsHub(strict=True)
    hub.snapshot_emitted.connect(broken)
    with pytest.raises(ValueError, match="broken"):
        hub.emit(snapshot())


@pytest.mark.fault("A16")
def test_a_coroutine_function_is_refused_when_it_is_connected() -> None:
    """Blinker says so at the first send, in the middle of the training loop."""

    async def receive(hub: object, snapshot: TrainingSnapshot) -> None: ...

    with pytest.raises(TypeError, match="snapshot_emitted must be a plain function, receive is a coroutine"):
        MetricsHub().snapshot_emitted.connect(receive)


def test_connecting_in_one_thread_while_sending_in_another_raises_nothing() -> None:
    """A copy of an ordered set made item by item fails with "dictionary changed size during iteration"."""
    signal = HubSignal("test")
    errors: list[BaseException] = []
    stop = threading.Event()

    def churn() -> None:
        try:
            while not stop.is_set():
                receivers = [lambda sender, number=number: None for number in range(20)]
                for receiver in receivers:
                    signal.connect(receiver)
                for receiver in receivers:
                    signal.disconnect(receiver)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=churn)
    thread.start()
    for _ in range(2000):
        signal.send_guarded(None, lambda receiver, error: True)
    stop.set()
    thread.join()
    assert errors == []
