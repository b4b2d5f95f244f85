import itertools
import math
import sys
from typing import Any

import pytest

from m.metrics.history import AMPLE, NARROW, Folded, History
from m.metrics.named import MAX_METRICS, MOST_AMPLE, NamedHistories, expert_name, expert_of
from m.metrics.snapshot import TrainingSnapshot, snapshot_of


def recorded(*snapshots: TrainingSnapshot, **options: Any) -> dict[str, list[tuple[float, float]]]:
    numbers = NamedHistories(**options)
    for snapshot in snapshots:
        numbers.record(snapshot)
    return {name: list(zip(*history.columns(), strict=True)) for name, history in numbers.histories().items()}


def ticking() -> Any:
    now = [0.0]

    def clock() -> float:
        now[0] += 0.5
        return now[0]

    return clock


def test_fields_customs_and_experts_by_name_in_this_order() -> None:
    snapshot = TrainingSnapshot(
        3, 0.5, learning_rate=1e-3, expert_utilization={10: 0.5, 2: 0.5}, custom_metrics={"accuracy": 0.9}
    )
    found = recorded(snapshot)
    assert list(found) == [
        *("train_loss", "learning_rate", "accuracy", "expert_entropy", "load_balance", "expert_2", "expert_10"),
    ]
    assert found["accuracy"] == [(3.0, 0.9)]


@pytest.mark.parametrize("name", ["train_loss", "accuracy"])
@pytest.mark.parametrize("calls", [0, 1])
def test_a_ctrl_c_between_a_value_and_its_step_mixes_up_no_later_one(name: str, calls: int) -> None:
    numbers = NamedHistories()
    numbers.record(snapshot_of({"train_loss": 0.25, "accuracy": 0.5}, 1))
    interrupted = numbers.histories()[name]
    left = [calls]

    def append(number: float) -> None:
        if not left.pop():
            raise KeyboardInterrupt
        left.append(0)
        interrupted.appender(number)

    fields, customs = numbers._field_appenders, numbers._custom_appenders.copy()
    if name == "accuracy":
        numbers._custom_appenders["accuracy"] = append
    else:
        numbers._field_appenders = (append, *numbers._field_appenders[1:])
    with pytest.raises(KeyboardInterrupt):
        numbers.record(snapshot_of({"train_loss": 0.125, "accuracy": 0.75}, 2))
    numbers._field_appenders, numbers._custom_appenders = fields, customs
    numbers.record(snapshot_of({"train_loss": 0.0625, "accuracy": 1.0}, 3))
    points = {name: list(zip(*history.columns(), strict=True)) for name, history in numbers.histories().items()}
    assert [point for point in points["train_loss"] if point[0] != 2] == [(1.0, 0.25), (3.0, 0.0625)]
    assert points["accuracy"] == [(1.0, 0.5), (3.0, 1.0)]


def assert_goes_on(numbers: NamedHistories) -> None:
    """Later points are whole, whatever became of those of step 2; and points are still folded."""
    for step in (3, 4):
        numbers.record(snapshot_of({"train_loss": 0.5, "val_loss": 0.25, "accuracy": 0.75}, step))
    for name, value in (("train_loss", 0.5), ("val_loss", 0.25), ("accuracy", 0.75)):
        steps, values = numbers.histories()[name].columns()
        found = [point for point in zip(steps, values, strict=True) if point[0] != 2.0]
        assert found == [(1.0, value), (3.0, value), (4.0, value)]
    assert numbers._until_fold > 0


@pytest.mark.parametrize("folds", [False, True])
def test_a_ctrl_c_at_any_line_mixes_up_no_later_point(folds: bool) -> None:
    struck = 0
    for lines in itertools.count():
        numbers = NamedHistories()
        numbers.record(snapshot_of({"train_loss": 0.5, "val_loss": 0.25, "accuracy": 0.75}, 1))
        if folds:
            numbers._until_fold = 1
        left = [lines]

        def trace(frame: Any, event: str, _: Any, left: list[int] = left) -> Any:
            if not frame.f_code.co_filename.endswith(("named.py", "history.py")):
                return None
            if event == "line":
                left[0] -= 1
                if left[0] < 0:
                    raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            numbers.record(snapshot_of({"train_loss": 0.125, "val_loss": 0.125, "accuracy": 0.125}, 2))
        except KeyboardInterrupt:
            struck += 1
        finally:
            sys.settrace(before)
        assert_goes_on(numbers)
        if left[0] >= 0:
            break
    assert struck > 30


@pytest.mark.parametrize("mended", range(12))
def test_a_second_ctrl_c_while_the_first_is_mended_mixes_up_no_later_point(
    mended: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = NamedHistories()
    numbers.record(snapshot_of({"train_loss": 0.5, "val_loss": 0.25, "accuracy": 0.75}, 1))
    value_alone = numbers.histories()["val_loss"]
    appenders = numbers._field_appenders

    def struck(number: float) -> None:
        value_alone.appender(number)
        raise KeyboardInterrupt

    mend, left = History.mend, [mended]

    def struck_again(history: History) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        mend(history)

    numbers._field_appenders = (appenders[0], struck, *appenders[2:])
    with monkeypatch.context() as patch:
        patch.setattr(History, "mend", struck_again)
        with pytest.raises(KeyboardInterrupt):
            numbers.record(snapshot_of({"train_loss": 0.125, "val_loss": 0.125, "accuracy": 0.125}, 2))
    numbers._field_appenders = appenders
    assert_goes_on(numbers)


@pytest.mark.fault("F12")
def test_none_and_what_was_never_given_leave_no_trace() -> None:
    assert recorded(snapshot_of({"val_loss": None, "accuracy": None}, 0)) == {}


@pytest.mark.fault("E11")
def test_what_is_no_number_is_left_out_and_a_bool_counts() -> None:
    custom = {"phase": "warmup", "done": True, "count": 3, "list": [1.0], "size": 0.5}
    found = recorded(TrainingSnapshot(0, math.nan, custom_metrics=custom))
    assert found["done"] == [(0.0, 1.0)]
    assert found["count"] == [(0.0, 3.0)]
    assert set(found) == {"train_loss", "done", "count", "size"}
    assert math.isnan(found["train_loss"][0][1])


def test_a_field_stands_before_a_custom_metric_of_its_name() -> None:
    assert recorded(TrainingSnapshot(0, 1.0, custom_metrics={"train_loss": 9.0})) == {"train_loss": [(0.0, 1.0)]}
    given = TrainingSnapshot(0, 1.0, custom_metrics={"learning_rate": 0.1})
    assert recorded(given)["learning_rate"] == [(0.0, 0.1)]
    experts = TrainingSnapshot(0, 1.0, expert_utilization={0: 1.0}, custom_metrics={"expert_0": 9.0})
    assert recorded(experts)["expert_0"] == [(0.0, 1.0)]


def test_settings_are_kept_only_for_who_asks() -> None:
    snapshot = TrainingSnapshot(0, 1.0, batch_size=32, sequence_length=512, custom_metrics={"batch_size": 7})
    assert set(recorded(snapshot)) == {"train_loss"}
    assert recorded(snapshot, settings={"batch_size"})["batch_size"] == [(0.0, 32.0)]


def test_throughput_is_derived_from_the_second_step_on() -> None:
    snapshots = [TrainingSnapshot(step, 1.0, batch_size=32, sequence_length=10) for step in range(3)]
    found = recorded(*snapshots, clock=ticking())
    assert found["samples_per_sec"] == [(1.0, 64.0), (2.0, 64.0)]
    assert found["tokens_per_sec"] == [(1.0, 640.0), (2.0, 640.0)]


def test_what_is_given_takes_the_place_of_what_was_derived() -> None:
    before = [TrainingSnapshot(step, 1.0, batch_size=32) for step in range(3)]
    given = TrainingSnapshot(3, 1.0, batch_size=32, custom_metrics={"samples_per_sec": 5.0})
    assert recorded(*before, given, clock=ticking())["samples_per_sec"] == [(3.0, 5.0)]
    utilization = TrainingSnapshot(0, 1.0, expert_utilization={0: 0.5, 1: 0.5}, custom_metrics={"expert_entropy": 0.1})
    found = recorded(utilization)
    assert found["expert_entropy"] == [(0.0, 0.1)]
    assert found["load_balance"] == [(0.0, 1.0)]


def test_nothing_is_derived_any_more_once_both_are_given() -> None:
    calls = []

    def clock() -> float:
        calls.append(1)
        return 0.0

    given = {"samples_per_sec": 5.0, "tokens_per_sec": 50.0}
    recorded(*[TrainingSnapshot(step, 1.0, batch_size=2, custom_metrics=given) for step in range(5)], clock=clock)
    assert calls == []


@pytest.mark.fault("F17")
def test_a_run_that_makes_up_names_forever_stays_bounded() -> None:
    numbers = NamedHistories()
    for step in range(3):
        numbers.record(TrainingSnapshot(step, 1.0, custom_metrics={f"m{step}_{i}": 1.0 for i in range(MAX_METRICS)}))
    assert len(numbers.histories()) == MAX_METRICS + 1
    assert numbers.left_out == 2 * MAX_METRICS


@pytest.mark.parametrize("name", ["expert_", "expert_01", "expert_-1", "expert_1x", "expert_entropy", "expert_٣"])
def test_names_that_are_no_expert(name: str) -> None:
    assert expert_of(name) is None


def test_an_experts_name_says_which() -> None:
    assert expert_of(expert_name(17)) == 17


@pytest.mark.fault("H1")
def test_raw_points_are_bounded_for_every_kind_of_number() -> None:
    """Each history has its turn to fold, also one that begins late, and none is folded before it has to be."""
    numbers = NamedHistories(settings={"batch_size"}, clock=ticking())
    longest = 0
    for step in range(40_000):
        custom = {f"late_{index}": 1.0 for index in range(step // 8000)}
        numbers.record(
            TrainingSnapshot(
                step, 1.0, batch_size=4, sequence_length=2, expert_utilization={0: 0.5, 1: 0.5}, custom_metrics=custom
            )
        )
        if step % 500 == 0:
            longest = max(longest, *(len(history.columns()[0]) for history in numbers.histories().values()))
    found = numbers.histories()
    assert {len(found[name]) for name in ("train_loss", "batch_size", "expert_1", "load_balance")} == {40_000}
    assert len(found["late_0"]) == 32_000
    assert AMPLE.raw + AMPLE.fold <= longest < 2 * AMPLE.raw
    assert min(len(history.columns()[0]) for history in found.values() if len(history) > AMPLE.raw) >= AMPLE.raw


@pytest.mark.fault("H1")
@pytest.mark.parametrize("kind", ["custom metrics", "experts", "layers"])
def test_each_of_hundreds_gets_narrow_room_and_the_fields_keep_theirs(kind: str) -> None:
    numbers = NamedHistories(settings={"batch_size"}, clock=ticking())
    names = [f"name_{index}" for index in range(MOST_AMPLE + 1)]

    def record(step: int, many: int) -> None:
        given: dict[str, Any] = {"custom_metrics": dict.fromkeys(names[:many], 1.0)}
        if kind == "experts":
            given = {"expert_utilization": dict.fromkeys(range(many), 1.0)}
        elif kind == "layers":  # of which each has two indicators
            given = {"expert_utilization": {name: {0: 0.5, 1: 0.5} for name in names[: many // 2]}}
        numbers.record(TrainingSnapshot(step, 1.0, batch_size=4, **given))

    for step in range(10_000):
        record(step, MOST_AMPLE)
    before = numbers.histories()
    assert {history.room for history in before.values()} == {AMPLE}
    for step in range(10_000, 20_000):
        record(step, MOST_AMPLE + 2)
    now = numbers.histories()
    always_ample = {"train_loss", "batch_size", "samples_per_sec", "expert_entropy", "load_balance"}
    always_ample |= {"load_balance_worst", "dead_experts"}
    for name, history in now.items():
        assert history.room == (AMPLE if name in always_ample else NARROW), name
        assert len(history.columns()[0]) < history.room.raw + history.room.fold + 2048, name
    assert all(now[name] is history for name, history in before.items())  # none began anew


def test_one_snapshot_in_a_thousand_waits_for_folds_and_for_a_dozen_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    original, folds = Folded.with_points, [0]

    def counting(*arguments: Any) -> Folded:
        folds[0] += 1
        return original(*arguments)

    monkeypatch.setattr(Folded, "with_points", counting)
    numbers = NamedHistories()
    custom = {f"metric_{index}": 1.0 for index in range(40)}
    waits = []
    for step in range(40_000):
        folds[0] = 0
        numbers.record(TrainingSnapshot(step, 1.0, custom_metrics=custom))
        waits.append(folds[0])
    assert 0 < sum(wait > 0 for wait in waits) <= 40
    assert max(waits) <= 13
    assert sum(waits) >= 41 * 4


def test_thousands_of_metrics_are_folded_too() -> None:
    numbers = NamedHistories()
    for history in numbers._all:
        for step in range(AMPLE.raw + AMPLE.fold):
            history.append(step, 1.0)
    numbers._all.extend(numbers._all[:1] * 10_000)
    for step in range(3000):
        numbers.record(TrainingSnapshot(20_000 + step, None))
    assert max(len(history.columns()[0]) for history in numbers._all) == AMPLE.raw
