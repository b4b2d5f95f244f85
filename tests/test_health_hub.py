"""The rules of a hub: on by default, heard by every sink that takes alerts, and never in the way of the loop."""

from __future__ import annotations

import gc
import logging
import math
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from health_doubles import noisy
from hub_doubles import PATIENCE_S, Make, Recording, snapshot

from m import Alert, MetricsHub, Plateau, Stall, TrainingSnapshot, default_rules
from m.journal import read
from m.rich_trainer_viz import RichTrainerVisualizer
from m.training_viz import create_loss_visualizer
from sinks import JsonlSink

NAN = math.nan


def too_high(given: TrainingSnapshot) -> str | None:
    return "the loss is above 1" if given.train_loss > 1 else None


# -- who hears of an alert -------------------------------------------------------------------------------------------


def test_the_default_rules_are_on_and_every_sink_hears_of_it_right_after_the_snapshot(hubs: Make) -> None:
    one, other = Recording(), Recording()
    hub = hubs([one, other], strict=True)
    hub.subscribe(lambda given: None, background=True)
    for step in range(3):
        hub.emit(snapshot(step, NAN if step == 1 else 0.5))
    assert one.log == other.log
    assert one.log[1:] == [("record", 0), ("record", 1), ("alert", "non_finite_loss"), ("record", 2)]


def test_no_rules_no_alerts(hubs: Make) -> None:
    sink = Recording()
    hub = hubs([sink], rules=(), strict=True)
    hub.emit(snapshot(0, NAN))
    assert hub.alerts == ()
    assert [what for what, _ in sink.log] == ["start", "record"]


def test_rules_of_ones_own_stand_in_place_of_the_default_ones_or_beside_them(hubs: Make) -> None:
    seen: list[Any] = []
    alone, beside = hubs([seen.append], rules=[too_high]), hubs([seen.append], rules=(*default_rules(), too_high))
    for hub in (alone, beside):
        hub.emit(snapshot(0, math.inf))
    assert [alert.rule for alert in alone.alerts] == ["too_high"]
    assert [alert.rule for alert in beside.alerts] == ["non_finite_loss", "too_high"]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("loss_spike", "rules must be a list of rules"),
        (3, "rules must be a list of rules"),
        ([3], "a rule must be a function"),
    ],
)
def test_what_is_no_list_of_rules_is_refused(rules: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        MetricsHub(rules=rules)


def test_without_anybody_who_hears_no_rule_is_asked(hubs: Make) -> None:
    asked: list[int] = []
    hub = hubs(rules=[lambda given: asked.append(given.step)])
    hub.emit(snapshot(0))
    assert asked == []
    hub.on_alert(lambda alert: None)
    hub.emit(snapshot(1))
    assert asked == [1]


def test_a_receiver_of_snapshots_has_the_rules_asked_beside_sinks_and_alone(hubs: Make) -> None:
    for sinks in ([], [Recording()], [Recording(), Recording()]):
        hub = hubs(sinks, strict=True)
        hub.snapshot_emitted.connect(lambda hub, snapshot: None, weak=False)
        hub.emit(snapshot(0, NAN))
        assert [alert.rule for alert in hub.alerts] == ["non_finite_loss"]


def test_numbers_that_were_still_on_a_device_are_looked_at_when_they_are_delivered(hubs: Make) -> None:
    class OnDevice:
        device = "cuda"

        def item(self) -> float:
            return NAN

    hub = hubs([lambda given: None])
    hub.emit(TrainingSnapshot(0, OnDevice()))  # type: ignore[arg-type]
    hub.flush()
    assert [alert.step for alert in hub.alerts] == [0]


def test_a_callback_hears_of_alerts_and_what_it_raises_is_said_once(
    hubs: Make, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Alert] = []
    hub = hubs([lambda given: None], rules=[too_high])

    @hub.on_alert
    def broken(alert: Alert) -> None:
        heard.append(alert)
        raise ZeroDivisionError

    hub.emit(snapshot(0, 2.0))
    hub.alert(Alert(0, "mine", "by hand"))
    assert [alert.rule for alert in heard] == ["too_high", "mine"]
    assert [record.getMessage() for record in caplog.records] == ["a receiver failed: broken: ZeroDivisionError: "]
    assert callable(broken)
    with pytest.raises(TypeError, match="takes a function of one alert"):
        hub.on_alert("loss_spike")


def test_plain_blinker_hears_of_it_too(hubs: Make) -> None:
    heard: list[tuple[MetricsHub, Alert]] = []

    def receive(hub: MetricsHub, alert: Alert) -> None:
        heard.append((hub, alert))

    hub = hubs(rules=[too_high])
    hub.alert_raised.connect(receive)
    hub.emit(snapshot(0, 2.0))
    assert heard == [(hub, Alert(0, "too_high", "the loss is above 1"))]


def test_a_rule_that_fails_is_said_once_and_set_aside(hubs: Make, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def broken(given: TrainingSnapshot) -> None:
        calls.append(given.step)
        raise ZeroDivisionError("no")

    sink = Recording()
    hub = hubs([sink], rules=[broken, too_high])
    for step in range(3):
        hub.emit(snapshot(step, 2.0))
    assert calls == [0]
    (said,) = caplog.records
    assert said.getMessage().startswith("rule broken failed and is set aside; training goes on\nTraceback")
    assert [what for what, _ in sink.log] == ["start", "record", "alert", "record", "record"]


def test_a_rule_that_fails_raises_in_a_strict_hub(hubs: Make) -> None:
    def broken(given: TrainingSnapshot) -> None:
        raise ZeroDivisionError("no")

    hub = hubs(strict=True, rules=[broken])
    hub.subscribe(Recording())
    with pytest.raises(ZeroDivisionError):
        hub.emit(snapshot())


def test_an_interrupt_inside_a_rule_passes_and_the_rule_stays(hubs: Make) -> None:
    interrupts = [KeyboardInterrupt()]

    def rule(given: TrainingSnapshot) -> str | None:
        if interrupts:
            raise interrupts.pop()
        return "well"

    hub = hubs([lambda given: None], rules=[rule])
    with pytest.raises(KeyboardInterrupt):
        hub.emit(snapshot(0))
    hub.emit(snapshot(1))
    assert [alert.message for alert in hub.alerts] == ["well"]


@pytest.mark.parametrize("receives", [False, True])
def test_rules_are_asked_about_a_snapshot_at_which_a_sink_was_interrupted(hubs: Make, receives: bool) -> None:
    def interrupted(given: TrainingSnapshot) -> None:
        raise KeyboardInterrupt

    asked: list[int] = []
    hub = hubs([interrupted], rules=[lambda given: asked.append(given.step)])
    if receives:
        hub.snapshot_emitted.connect(lambda hub, snapshot: None, weak=False)
    with pytest.raises(KeyboardInterrupt):
        hub.emit(snapshot(0))
    assert asked == [0]


def test_a_callback_that_emits_what_is_alarming_comes_to_an_end(hubs: Make) -> None:
    hub = hubs([lambda given: None], rules=[lambda given: Alert(given.step, f"rule {given.step}", "again")])
    hub.on_alert(lambda alert: hub.emit(snapshot(alert.step + 1)))
    hub.emit(snapshot(0))
    assert 1 < len(hub.alerts) < 50


def test_the_documented_visualizers_have_the_rules_too(hubs: Make) -> None:
    for visualizer in (create_loss_visualizer(display="off"), RichTrainerVisualizer(hub=hubs())):
        visualizer.update(snapshot(0, NAN))
        assert [alert.rule for alert in visualizer.hub.alerts] == ["non_finite_loss"]
        visualizer.close()


def test_the_journal_has_the_alert_between_its_snapshots(hubs: Make, tmp_path: Path) -> None:
    with MetricsHub([JsonlSink(tmp_path / "run.jsonl")]) as hub:
        for step in range(3):
            hub.emit(snapshot(step, NAN if step == 1 else 0.5))
    (attempt,) = read(tmp_path / "run.jsonl").attempts
    assert repr(attempt.alerts) == repr(list(hub.alerts))  # not by ==, since NaN is not NaN
    kinds = [line.split('"type":"')[1].split('"')[0] for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert kinds.index("alert") == kinds.index("snapshot") + 2


# -- the end ---------------------------------------------------------------------------------------------------------


def test_the_alerts_are_those_of_this_run_and_the_end_counts_them_all(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), MetricsHub([lambda given: None]) as hub:
        hub.emit(snapshot(0, NAN))
        hub.alert(Alert(0, "mine", "by hand"))
        assert [alert.rule for alert in hub.alerts] == ["non_finite_loss", "mine"]
        hub.start()
        assert hub.alerts == ()
        hub.emit(snapshot(0, NAN))
        assert len(hub.alerts) == 1
        assert hub.stats().alerts == {"non_finite_loss": 2, "mine": 1}
    first, *_ = caplog.records
    assert (first.levelno, first.getMessage()) == (logging.WARNING, "alerts: 2 non finite loss, 1 mine")
    assert str(hub.stats()).splitlines()[0] == "2 snapshots emitted, 3 alerts"


def test_the_end_counts_the_alerts_of_rules_that_it_does_not_name(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), MetricsHub([lambda given: None]) as hub:
        for number in range(25):
            hub.alert(Alert(0, f"{number:02}" * 40, "words"))
            hub.alert(Alert(0, f"{max(number, 5):02}" * 40, "words"))
    said = caplog.records[0].getMessage()
    assert said.startswith(f"alerts: 7 {'05' * 30}, 2 {'06' * 30}, ")
    assert said.endswith(f", 2 {'24' * 30}, 5 others")


def test_where_a_sink_sums_the_run_up_the_alerts_are_no_second_warning(caplog: pytest.LogCaptureFixture) -> None:
    class SumsUp:
        def record(self, given: TrainingSnapshot) -> None: ...

        def wrote(self, *paths: str) -> None: ...

    with caplog.at_level(logging.INFO), MetricsHub([SumsUp(), lambda given: None]) as hub:
        hub.alert(Alert(0, "mi\x1bne", "by hand"))
    first, *_ = caplog.records
    assert first.levelno == logging.INFO
    assert first.getMessage() == "alerts: 1 mi\N{SYMBOL FOR ESCAPE}ne"


def test_without_alerts_the_end_says_nothing_of_them(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), MetricsHub([lambda given: None]) as hub:
        hub.emit(snapshot(0))
    assert len(caplog.records) == 1


def test_alerts_that_are_raised_by_hand_for_ever_do_not_fill_the_memory(hubs: Make) -> None:
    hub = hubs()
    for step in range(3000):
        hub.alert(Alert(step, f"rule {step}", "words"))
    assert [hub.alerts[0].step, hub.alerts[-1].step, len(hub.alerts)] == [2000, 2999, 1000]
    hub.alert(Alert(3000, "rule 0", "words"))
    assert len(hub.stats().alerts) == 1000
    assert hub.stats().alerts["rule 0"] == 2


# -- stopping a run ---------------------------------------------------------------------------------------------------


def test_a_callback_can_stop_the_run(hubs: Make, caplog: pytest.LogCaptureFixture) -> None:
    hub = hubs([lambda given: None])
    hub.on_alert(lambda alert: hub.stop(alert.message))
    done = []
    for step in hub.track(range(100)):
        hub.emit(snapshot(step, NAN if step == 3 else 0.5))
        done.append(step)
    assert done == [0, 1, 2, 3]
    assert (hub.should_stop, hub.stop_reason) == (True, "train_loss is nan")
    assert [each.getMessage() for each in caplog.records] == ["the run was asked to stop: train_loss is nan"]


def test_the_first_reason_counts_and_the_next_run_forgets_it(hubs: Make) -> None:
    hub = hubs()
    assert (hub.should_stop, hub.stop_reason) == (False, None)
    hub.stop()
    hub.stop("late")
    assert (hub.should_stop, hub.stop_reason) == (True, "")
    hub.start()
    assert not hub.should_stop


# -- rules that hear of many snapshots at a time ----------------------------------------------------------------------


def diverging() -> list[float]:
    return noisy(lambda step: 1.0 if step < 200 else 9.0, 230)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but what happens to the hub makes a patient rule hear of a snapshot."""
    monkeypatch.setattr("m.health.watcher.PATIENCE_S", 1e9)
    monkeypatch.setattr("m.health.watcher.MOST_ROWS", 10**9)


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("end", ["flush", "close", "start"])
def test_the_end_of_what_was_emitted_brings_alerts_that_waited(hubs: Make, end: str) -> None:
    sink, heard = Recording(), list[tuple[str, int]]()
    hub = hubs([sink], strict=True)
    hub.on_alert(lambda alert: heard.append((alert.rule, threading.get_ident())))
    for step, loss in enumerate(diverging()):
        hub.emit(snapshot(step, loss))
    assert ("alert", "divergence") not in sink.log
    getattr(hub, end)()
    at = sink.log.index(("alert", "divergence"))
    assert [what for what, _ in sink.log[at + 1 :]] == {
        "flush": ["flush"],
        "close": ["flush", "close"],
        "start": ["start"],
    }[end]
    assert heard[-1] == ("divergence", threading.get_ident())
    assert ("divergence" in [alert.rule for alert in hub.alerts]) == (end != "start")  # it was of the run before
    assert hub.stats().alerts["divergence"] == 1


@pytest.mark.usefixtures("patience")
def test_the_end_of_a_tracked_loop_brings_alerts_that_waited(hubs: Make) -> None:
    hub = hubs([lambda given: None], strict=True)
    for loss in hub.track(diverging()):
        hub.log({"train_loss": loss})
    assert "divergence" in [alert.rule for alert in hub.alerts]


def test_a_rule_that_fails_when_it_is_told_of_many_does_not_keep_a_run_from_beginning_or_ending() -> None:
    class Broken(Plateau):
        def watch_rows(self, rows: Any) -> Any:
            if rows[-1][1]:
                raise ZeroDivisionError
            return ()

    for end in ("start", "close"):
        sink = Recording()
        hub = MetricsHub([sink], rules=[Broken()], strict=True)
        hub.emit(snapshot(0))
        hub.emit(snapshot(1))
        with pytest.raises(ZeroDivisionError):
            getattr(hub, end)()
        assert sink.log[-1][0] == end
        hub.close()


# -- a stall, which no snapshot shows ---------------------------------------------------------------------------------


def stalling() -> Stall:
    return Stall(at_least_s=0.2, times=2.0)


def train(hub: MetricsHub, seconds: float = 1.3) -> None:
    """Emit every few milliseconds, so that a stall could be noticed afterwards."""
    until = time.monotonic() + seconds
    step = 0
    while time.monotonic() < until:
        hub.emit(snapshot(step))
        step += 1
        time.sleep(0.005)


def lookouts() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "metrics-hub lookout"]


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def test_a_stall_is_noticed_without_a_snapshot_and_told_once(hubs: Make) -> None:
    sink = Recording()
    hub = hubs([sink], rules=[stalling()])
    train(hub)
    wait_for(lambda: hub.alerts)
    time.sleep(1.0)
    assert [alert.rule for alert in hub.alerts] == ["stall"]
    assert sink.log[-1] == ("alert", "stall")


@pytest.mark.fault("C6")
def test_no_thread_before_it_is_needed_and_none_after_the_close() -> None:
    hub = MetricsHub([lambda given: None])
    for step in range(1000):
        hub.emit(snapshot(step))
    assert lookouts() == []
    hub.start()
    train(hub)
    assert len(lookouts()) == 1
    assert lookouts()[0].daemon
    hub.close()
    assert lookouts() == []


def test_the_thread_that_looks_does_not_keep_its_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m.hub.lookout.LONGEST_WAIT_S", 0.05)
    hub = MetricsHub([lambda given: None])
    train(hub)
    assert len(lookouts()) == 1
    del hub
    gc.collect()
    MetricsHub().close()  # closes what was let go of
    wait_for(lambda: lookouts() == [])


def test_a_loop_that_track_has_ended_expects_no_snapshot(hubs: Make) -> None:
    hub = hubs([lambda given: None], rules=[stalling()])
    until = time.monotonic() + 1.3
    for step in hub.track(iter(int, 1)):
        hub.emit(snapshot(step))
        time.sleep(0.005)
        if time.monotonic() > until:
            hub.stop("enough")
    assert hub.next_look() == math.inf
    assert hub.alerts == ()


def test_a_callback_may_close_the_hub_when_it_has_stalled() -> None:
    closed = threading.Event()
    hub = MetricsHub([lambda given: None], rules=[stalling()])

    @hub.on_alert
    def close(alert: Alert) -> None:
        hub.close()
        closed.set()

    train(hub)
    assert closed.wait(PATIENCE_S)
    wait_for(lambda: lookouts() == [])


def test_a_loop_that_hangs_in_a_sink_is_asked_for_once_and_costs_no_backlog(hubs: Make) -> None:
    go_on = threading.Event()
    hang: list[bool] = []

    def sink(given: TrainingSnapshot) -> None:
        if hang:
            go_on.wait(PATIENCE_S)

    hub = hubs([sink], rules=[stalling()])
    train(hub)
    hang.append(True)
    thread = threading.Thread(target=lambda: hub.emit(snapshot(10_000)), daemon=True)
    thread.start()
    time.sleep(2.5)
    waiting = len(hub._turns.left())
    go_on.set()
    thread.join(PATIENCE_S)
    assert waiting <= 1


def test_a_healthy_run_of_the_usual_numbers_raises_nothing(hubs: Make) -> None:
    hub = hubs([lambda given: None], strict=True)
    for step, loss in enumerate(noisy(lambda step: 0.1 + 2 / (1 + step / 50), 1500)):
        hub.log({"train_loss": loss, "gradient_norm": 1.0, "expert_utilization": {0: 0.5, 1: 0.5}}, step)
    assert hub.alerts == ()
