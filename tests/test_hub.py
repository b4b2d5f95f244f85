"""One emit reaches every sink, in order and once, whatever a sink does, and nothing comes back."""

from __future__ import annotations

import copy
import gc
import logging
import multiprocessing
import pickle
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hub_doubles import Make, Raising, Recording, accounts, snapshot

from m import Alert, MetricsHub, Run, TrainingSnapshot

# -- a run -----------------------------------------------------------------------------------------------------------


def test_a_sink_hears_of_the_run_its_snapshots_and_its_end_in_that_order() -> None:
    sink = Recording()
    with MetricsHub([sink], strict=True) as hub:
        run = hub.start(total_steps=2, description="Training MoE")
        hub.emit(snapshot(0))
        hub.alert(Alert(0, "loss_spike", "it jumped"))
        hub.emit(snapshot(1))
        hub.flush()
    assert run is not None
    assert (run.total_steps, run.initial_step) == (2, 0)
    assert hub.run is run
    assert sink.log == [
        ("start", "Training MoE"),
        ("record", 0),
        ("alert", "loss_spike"),
        ("record", 1),
        ("flush", None),
        ("flush", None),
        ("close", None),
    ]


@pytest.mark.fault("A17")
def test_every_sink_gets_the_same_object_in_the_order_of_subscription(hubs: Make) -> None:
    seen: list[Any] = []
    hub = hubs([lambda s: seen.append(("first", s)), lambda s: seen.append(("second", s))], strict=True)
    hub.subscribe(lambda s: seen.append(("third", s)))
    one = snapshot()
    hub.emit(one)
    assert [name for name, _ in seen] == ["first", "second", "third"]
    assert all(got is one for _, got in seen)


@pytest.mark.fault("A10")
def test_sinks_are_closed_in_reverse() -> None:
    log: list[Any] = []
    MetricsHub([Recording(log, "a"), Recording(log, "b")], strict=True).close()
    assert log == [("b", "flush", None), ("b", "close", None), ("a", "flush", None), ("a", "close", None)]


@pytest.mark.fault("A7")
def test_an_emit_before_start_begins_a_run_of_unknown_length_at_its_step(hubs: Make) -> None:
    sink = Recording()
    hub = hubs([sink], strict=True)
    assert hub.run is None
    hub.emit(snapshot(7))
    assert hub.run is not None
    assert (hub.run.total_steps, hub.run.initial_step) == (None, 7)
    assert sink.log == [("start", "Training"), ("record", 7)]


def test_an_emit_before_start_begins_a_run_even_when_nobody_listens_yet(hubs: Make) -> None:
    hub = hubs(strict=True)
    hub.emit(snapshot(-3))
    assert hub.run is not None
    assert hub.run.initial_step == 0
    sink = Recording()
    hub.subscribe(sink)
    assert sink.log == [("start", "Training")]


@pytest.mark.fault("C7")
def test_a_run_at_the_top_of_a_script_that_a_worker_imports_again_begins_once_the_worker_emits(
    hubs: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink, hub = Recording(), hubs()
    hub.subscribe(sink)
    with monkeypatch.context() as importing:
        importing.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
        run = hub.start(total_steps=2, description="Training MoE")
    assert (hub.run, sink.log) == (run, [])
    hub.emit(snapshot(0))
    hub.start(description="another")
    assert sink.log == [("start", "Training MoE"), ("record", 0), ("start", "another")]


def test_starting_again_begins_another_run_on_the_same_sinks(hubs: Make) -> None:
    sink = Recording()
    hub = hubs([sink], strict=True)
    first = hub.start(description="trial 1")
    hub.emit(snapshot(0))
    second = hub.start(description="trial 2", initial_step=100)
    hub.log({"train_loss": 0.5})
    assert first is not None
    assert second is not None
    assert first.run_id != second.run_id
    assert sink.log == [("start", "trial 1"), ("record", 0), ("start", "trial 2"), ("record", 100)]


def test_an_alert_that_is_interrupted_in_a_sink_is_heard_by_all(hubs: Make) -> None:
    class Interrupted(Recording):
        def alert(self, alert: Alert) -> None:
            raise KeyboardInterrupt

    heard: list[str] = []
    sink = Recording()
    hub = hubs([Interrupted(), sink])
    hub.on_alert(lambda alert: heard.append(alert.rule))
    with pytest.raises(KeyboardInterrupt):
        hub.alert(Alert(0, "rule", "words"))
    assert heard == ["rule"]
    assert sink.log == [("alert", "rule")]


def test_a_start_that_is_interrupted_in_a_sink_is_heard_by_all_and_looked_after(hubs: Make) -> None:
    class Interrupted(Recording):
        def start(self, run: Run) -> None:
            raise KeyboardInterrupt

    heard: list[Run] = []
    sink = Recording()
    hub = hubs([Interrupted(), sink], rules=[lambda given: "too high" if given.train_loss > 1 else None])
    hub.run_started.connect(lambda hub, run: heard.append(run), weak=False)
    with pytest.raises(KeyboardInterrupt):
        hub.start(description="interrupted")
    assert heard == [hub.run]
    hub.emit(snapshot(0, 2.0))
    assert sink.log == [("start", "interrupted"), ("record", 0), ("alert", hub.alerts[0].rule)]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"total_steps": "1000"}, TypeError, "total_steps must be a whole number"),
        ({"total_steps": -1}, ValueError, "total_steps must be 0 or more"),
        ({"initial_step": 1.5}, TypeError, r"initial_step must be a whole number; got 1\.5"),
        ({"initial_step": -1}, ValueError, "initial_step must be 0 or more; got -1"),
    ],
)
def test_a_start_that_cannot_be_is_refused(hubs: Make, arguments: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        hubs().start(**arguments)


@pytest.mark.fault("A22")
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"close_timeout": "3"}, TypeError),
        ({"close_timeout": True}, TypeError),
        ({"close_timeout": -1}, ValueError),
        ({"close_timeout": float("inf")}, ValueError),
        ({"close_timeout": float("nan")}, ValueError),
        ({"sinks": "run.jsonl"}, TypeError),
        ({"sinks": Recording()}, TypeError),
        ({"sinks": [3]}, TypeError),
        ({"close_timout": 3}, TypeError),
    ],
)
def test_a_hub_that_cannot_work_is_not_made(arguments: Any, error: type, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    with pytest.raises(error):
        MetricsHub(**arguments)
    gc.collect()
    assert said == []


@pytest.mark.parametrize("timeout", ["x", True, [1]])
def test_a_flush_says_what_a_timeout_may_be(hubs: Make, timeout: Any) -> None:
    with pytest.raises(TypeError, match="timeout must be a number of seconds, or None for the close budget; got"):
        hubs().flush(timeout)


def test_a_name_that_is_no_text_is_refused_before_anything_changes(hubs: Make) -> None:
    hub = hubs()
    with pytest.raises(TypeError, match=r"name must be a str, or None for the sink's own; got 5 \(int\)"):
        hub.subscribe(Recording(), name=5)  # type: ignore[arg-type]
    assert hub.stats().sinks == {}
    assert str(hub.stats()) == "0 snapshots emitted"


@pytest.mark.parametrize("metrics", [3, [("train_loss", 1.0)], TrainingSnapshot(0, 1.0), None])
def test_logging_what_is_no_mapping_says_what_is_taken(
    hubs: Make, caplog: pytest.LogCaptureFixture, metrics: Any
) -> None:
    hubs().log(metrics)
    assert [record.getMessage() for record in caplog.records] == [
        f"log() takes a mapping of names to numbers; got {type(metrics).__name__}. "
        "For a TrainingSnapshot there is hub.emit(snapshot)"
    ]


def test_an_alert_after_close_and_what_is_no_alert_are_told_apart(hubs: Make, caplog: pytest.LogCaptureFixture) -> None:
    hub = hubs()
    hub.alert("jumped")  # type: ignore[arg-type]
    hub.close()
    hub.alert(Alert(0, "loss_spike", "it jumped"))
    assert [record.getMessage() for record in caplog.records] == [
        "alert() takes an Alert; got str",
        "alert() after close() does nothing",
    ]


def test_a_hub_that_was_not_made_closes_nobodys_sink() -> None:
    """The first sink of a faulty list is its owner's still, who will put it into the next hub."""
    sink = Recording()
    with pytest.raises(TypeError):
        MetricsHub([sink, 3])  # type: ignore[list-item]
    gc.collect()
    with MetricsHub([sink]) as hub:
        hub.emit(snapshot())
        assert sink.log == [("start", "Training"), ("record", 0)]


# -- log and track ---------------------------------------------------------------------------------------------------


def test_log_takes_metrics_by_name_and_counts_the_steps_itself(hubs: Make) -> None:
    seen: list[TrainingSnapshot] = []
    hub = hubs([seen.append], strict=True)
    hub.log({"train_loss": 0.5, "val_loss": None, "accuracy": 0.9})
    hub.log({"train_loss": 0.4})
    hub.log({"train_loss": 0.3}, step=10)
    hub.log({"train_loss": 0.2})
    hub.log({"train_loss": 0.1, "step": 20})
    assert [one.step for one in seen] == [0, 1, 10, 11, 20]
    assert seen[0] == TrainingSnapshot(0, 0.5, custom_metrics={"accuracy": 0.9})
    assert seen[4].custom_metrics == {}


@pytest.mark.parametrize("metrics", [None, 3, [], "loss", {"train_loss": 0.5, "step": "x"}, object()])
def test_log_of_anything_raises_nothing(hubs: Make, metrics: Any, caplog: pytest.LogCaptureFixture) -> None:
    hub = hubs()
    hub.log(metrics)
    hub.log(metrics)
    assert hub.stats().refused == 2
    assert len(caplog.records) == 1
    with pytest.raises((TypeError, AttributeError)):
        hubs(strict=True).log(metrics)


def test_track_yields_the_items_and_counts_those_without_metrics(hubs: Make) -> None:
    seen: list[TrainingSnapshot] = []
    hub = hubs([seen.append], strict=True)
    items = []
    for item in hub.track("abc", description="letters"):
        items.append(item)
        if item == "b":
            hub.log({"train_loss": 0.5})
    assert items == ["a", "b", "c"]
    assert hub.run is not None
    assert (hub.run.total_steps, hub.run.description) == (3, "letters")
    assert [(one.step, one.train_loss) for one in seen] == [(0, None), (1, 0.5), (2, None)]


def test_two_logs_in_one_item_belong_to_the_same_step(hubs: Make) -> None:
    """The second one used to be labelled with the next step, and so did the first of the next item."""
    seen: list[int] = []
    hub = hubs([lambda s: seen.append(s.step)], strict=True)
    for _ in hub.track(range(2)):
        hub.log({"train_loss": 0.5})
        hub.log({"val_loss": 0.5})
    assert seen == [0, 0, 1, 1]


def test_track_of_a_stream_has_no_length(hubs: Make) -> None:
    class BrokenLength:
        def __len__(self) -> int:
            raise NotImplementedError("an iterable data set has no length")

        def __iter__(self) -> Iterator[int]:
            return iter([1, 2])

    hub = hubs(strict=True)
    for iterable in (iter([1, 2]), BrokenLength(), (number for number in [1, 2])):
        assert list(hub.track(iterable)) == [1, 2]
        assert hub.run is not None
        assert hub.run.total_steps is None
    assert list(hub.track(iter([1, 2]), total=5)) == [1, 2]
    assert hub.run is not None
    assert hub.run.total_steps == 5


def test_track_goes_on_from_a_checkpoint(hubs: Make) -> None:
    seen: list[int] = []
    hub = hubs([lambda s: seen.append(s.step)], strict=True)
    list(hub.track(range(3), initial_step=100))
    assert hub.run is not None
    assert (hub.run.total_steps, hub.run.initial_step) == (103, 100)
    assert seen == [100, 101, 102]


def test_track_may_be_left_early_and_the_steps_go_on(hubs: Make) -> None:
    seen: list[int] = []
    hub = hubs([lambda s: seen.append(s.step)], strict=True)
    for item in hub.track(range(10)):
        hub.log({"train_loss": 0.5})
        if item == 2:
            break
    hub.log({"val_loss": 0.5})
    assert seen == [0, 1, 2, 3]


def test_an_exception_in_the_body_of_track_is_the_users(hubs: Make) -> None:
    hub = hubs([Recording()], strict=True)

    def train() -> None:
        for item in hub.track(range(10)):
            item / 0

    with pytest.raises(ZeroDivisionError):
        train()
    hub.log({"train_loss": 0.5})
    assert hub.stats().emitted == 1


def test_one_track_inside_another_labels_each_with_its_own_steps(hubs: Make) -> None:
    seen: list[Any] = []
    hub = hubs([lambda s: seen.append((s.step, s.custom_metrics))], strict=True)
    for epoch in hub.track(range(2), description="epochs"):
        for _ in hub.track(range(2), description="batches"):
            hub.log({"inner": epoch})
        hub.log({"outer": epoch})
    assert seen == [
        (0, {"inner": 0}),
        (1, {"inner": 0}),
        (0, {"outer": 0}),
        (0, {"inner": 1}),
        (1, {"inner": 1}),
        (1, {"outer": 1}),
    ]


def test_a_forgotten_track_does_not_label_the_next_run(hubs: Make) -> None:
    seen: list[int] = []
    hub = hubs([lambda s: seen.append(s.step)], strict=True)
    kept = hub.track(range(100, 200))
    next(kept)
    hub.start()
    hub.log({"train_loss": 0.5})
    hub.log({"train_loss": 0.5})
    assert seen == [0, 1]


@pytest.mark.parametrize(
    "arguments", [{"iterable": 3}, {"iterable": [1], "total": "3"}, {"iterable": [1], "total": -3}]
)
def test_track_says_at_once_what_is_wrong(hubs: Make, arguments: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        hubs().track(**arguments)


def test_track_on_a_closed_hub_still_yields_everything(hubs: Make) -> None:
    hub = hubs()
    hub.close()
    assert list(hub.track(range(3))) == [0, 1, 2]


# -- failing sinks ---------------------------------------------------------------------------------------------------

ERRORS = [ValueError("broken"), SystemExit(1), MemoryError(), RecursionError(), GeneratorExit()]


@pytest.mark.fault("A1", "A3")
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_sink_that_raises_stops_nobody(hubs: Make, error: BaseException) -> None:
    """Rich turns a broken pipe into SystemExit, which ``except Exception`` lets through: the run died at step 140."""
    before, after = Recording(), Recording()
    hub = hubs([before, Raising(error), after])
    hub.start()
    hub.emit(snapshot(0))
    hub.alert(Alert(0, "loss_spike", "it jumped"))
    assert not hub.flush()
    hub.emit(snapshot(1))
    assert (
        before.log
        == after.log
        == [
            ("start", "Training"),
            ("record", 0),
            ("alert", "loss_spike"),
            ("flush", None),
            ("record", 1),
        ]
    )
    healthy, failing, _ = accounts(hub)
    assert (healthy.delivered, healthy.dropped) == (2, 0)
    assert (failing.delivered, failing.dropped, failing.failed) == (0, 2, 2)
    assert failing.last_error is not None
    assert failing.last_error.startswith(type(error).__name__)
    hub.close()
    assert after.log[-1] == before.log[-1] == ("close", None)


@pytest.mark.fault("A1")
def test_a_failing_sink_is_reported_once_with_name_step_and_traceback(
    hubs: Make, caplog: pytest.LogCaptureFixture
) -> None:
    def to_wandb(snapshot: TrainingSnapshot) -> None:
        raise ValueError("no network")

    hub = hubs([to_wandb])
    for step in range(3, 6):
        hub.emit(snapshot(step))
    assert len(caplog.records) == 1
    assert "sink to_wandb failed at step 3 and training goes on" in caplog.text
    assert 'raise ValueError("no network")' in caplog.text
    caplog.clear()
    hub.close()
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith(
        "sink to_wandb: missed 3 of 3 snapshots, 3 of them by failing; last error at step 5: ValueError: no network; "
        "0 of 3 snapshots delivered, 0.0"
    )


def test_a_strict_hub_raises_after_every_sink_has_the_snapshot(hubs: Make) -> None:
    after = Recording()
    hub = hubs(strict=True)
    hub.subscribe(Raising(ValueError("broken")).record)
    hub.subscribe(after)
    with pytest.raises(ValueError, match="broken"):
        hub.emit(snapshot())
    assert after.log == [("start", "Training"), ("record", 0)]


@pytest.mark.fault("A10")
def test_a_strict_hub_closes_every_sink_before_it_raises() -> None:
    first = Recording()
    hub = MetricsHub([first, Raising(ValueError("broken"))], strict=True)
    with pytest.raises(ValueError, match="broken"):
        hub.close()
    assert first.log == [("flush", None), ("close", None)]
    hub.close()


@pytest.mark.fault("A1", "A18")
def test_an_exception_without_a_text_and_a_broken_log_reach_nobody(hubs: Make) -> None:
    """What reports a failure runs foreign code too: the exception's ``__str__``, a logging filter of the user's."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    class Broken(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("broken filter")

    broken = Broken()
    hub = hubs([Raising(Mute())])
    logging.getLogger("m.hub").addFilter(broken)
    try:
        hub.emit(snapshot())
        hub.close()
    finally:
        logging.getLogger("m.hub").removeFilter(broken)
    assert accounts(hub)[0].last_error == "Mute: (its text cannot be had)"


@pytest.mark.parametrize("not_a_snapshot", [None, 3, {"train_loss": 0.5}, "snapshot", Recording()])
def test_what_is_no_snapshot_is_refused_and_said_once(
    hubs: Make, not_a_snapshot: Any, caplog: pytest.LogCaptureFixture
) -> None:
    hub = hubs([Recording()])
    hub.emit(not_a_snapshot)
    hub.emit(not_a_snapshot)
    assert hub.stats().refused == 2
    assert hub.stats().emitted == 0
    assert len(caplog.records) == 1
    with pytest.raises(TypeError, match="emit\\(\\) takes a TrainingSnapshot"):
        hubs(strict=True).emit(not_a_snapshot)


def test_a_users_subclass_reaches_the_sinks_as_the_class_they_know(hubs: Make) -> None:
    class Mine(TrainingSnapshot):
        pass

    class Torn(TrainingSnapshot):
        @property
        def val_loss(self) -> float:
            raise RuntimeError("torn")

        @val_loss.setter
        def val_loss(self, value: object) -> None: ...

    seen: list[TrainingSnapshot] = []
    hub = hubs([seen.append])
    hub.emit(Mine(1, 0.5))
    hub.emit(Torn(2, 0.5))
    assert seen == [snapshot(1)]
    assert type(seen[0]) is TrainingSnapshot
    assert hub.stats().refused == 1


# -- copies ----------------------------------------------------------------------------------------------------------


@pytest.mark.fault("A21")
def test_a_model_that_holds_its_hub_can_be_copied_and_pickled(
    caplog: pytest.LogCaptureFixture, nothing_was_pickled: None
) -> None:
    """An EMA deep-copies the model, a spawned data loader pickles the data set; neither may trip over our locks."""
    seen: list[int] = []
    with MetricsHub([lambda s: seen.append(s.step)], strict=True) as hub:
        model = {"weights": [1.0], "hub": hub}
        assert copy.deepcopy(model)["hub"] is hub
        assert copy.copy(hub) is hub
        elsewhere: MetricsHub = pickle.loads(pickle.dumps(model))["hub"]
        assert caplog.records == []
        elsewhere.emit(snapshot(1))
        elsewhere.start()
        elsewhere.subscribe(print).cancel()
        assert list(elsewhere.track([1, 2])) == [1, 2]
        elsewhere.close()
    assert elsewhere.stats().emitted == 0
    assert seen == []
    (said,) = caplog.records
    assert (said.levelname, said.getMessage()) == (
        "WARNING",
        "this hub came in a pickle and shows and writes nothing: it does not travel to another process. Make one in "
        "the process that trains",
    )


@pytest.mark.parametrize(
    "use",
    [
        lambda hub: hub.log({"train_loss": 1.0}),
        lambda hub: hub.start(),
        lambda hub: hub.alert(Alert(0, "mine", "")),
        lambda hub: list(hub.track([1])),
    ],
)
def test_whoever_goes_on_with_a_hub_that_was_pickled_is_told_once(
    use: Callable[[MetricsHub], object], hubs: Make, caplog: pytest.LogCaptureFixture, nothing_was_pickled: None
) -> None:
    elsewhere = pickle.loads(pickle.dumps(hubs()))
    use(elsewhere)
    use(pickle.loads(pickle.dumps(elsewhere)))
    assert [each.getMessage()[:23] for each in caplog.records] == ["this hub came in a pick"]


def test_a_hub_names_its_sinks(hubs: Make) -> None:
    assert repr(hubs()) == "<MetricsHub no sinks; 0 emitted>"
    hub = hubs([Recording(), Recording()])
    hub.emit(snapshot())
    assert repr(hub) == "<MetricsHub Recording, Recording-2; 1 emitted>"
    assert list(hub.stats().sinks) == ["Recording", "Recording-2"]
