"""The snapshot is the documented data class, owns its values, and holds plain Python numbers only."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from m.metrics.snapshot import FIELDS, NUMBER_FIELDS, PendingSnapshot, TrainingSnapshot, snapshot_of
from m.metrics.values import unconvertible_count

DOCUMENTED = [
    ("step", dataclasses.MISSING),
    ("train_loss", dataclasses.MISSING),
    ("val_loss", None),
    ("learning_rate", None),
    ("aux_loss", None),
    ("expert_utilization", dict),
    ("batch_size", None),
    ("sequence_length", None),
    ("gpu_memory_mb", None),
    ("gradient_norm", None),
    ("custom_metrics", dict),
]


def test_the_fields_their_order_and_defaults_are_the_documented_ones() -> None:
    fields = dataclasses.fields(TrainingSnapshot)
    found = [(f.name, f.default_factory if f.default_factory is not dataclasses.MISSING else f.default) for f in fields]
    assert found == DOCUMENTED
    assert tuple(name for name, _ in DOCUMENTED) == FIELDS


def test_it_can_be_made_by_position_in_the_documented_order() -> None:
    values: list[Any] = [3, 0.5, 0.4, 1e-3, 0.01, {0: 0.5, 1: 0.5}, 32, 128, 900.0, 1.5, {"accuracy": 0.9}]
    snapshot = TrainingSnapshot(*values)
    assert [getattr(snapshot, name) for name in FIELDS] == values
    assert list(inspect.signature(TrainingSnapshot).parameters) == list(FIELDS)


def test_step_and_loss_are_enough() -> None:
    snapshot = TrainingSnapshot(step=1, train_loss=0.5)
    assert snapshot.expert_utilization == {}
    assert snapshot.custom_metrics == {}
    assert all(getattr(snapshot, name) is None for name in NUMBER_FIELDS if name != "train_loss")
    with pytest.raises(TypeError):
        TrainingSnapshot(step=1)  # type: ignore[call-arg]


def test_it_is_frozen_and_has_slots() -> None:
    snapshot = TrainingSnapshot(step=1, train_loss=0.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        snapshot.step = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del snapshot.train_loss
    assert not hasattr(snapshot, "__dict__")


@pytest.mark.fault("A20")
def test_two_of_the_same_values_are_equal_and_none_can_be_hashed() -> None:
    """A frozen data class looks hashable, but the dictionaries in it are not."""
    assert TrainingSnapshot(1, 0.5, custom_metrics={"a": 1.0}) == TrainingSnapshot(1, 0.5, custom_metrics={"a": 1.0})
    assert TrainingSnapshot(1, 0.5) != TrainingSnapshot(2, 0.5)
    with pytest.raises(TypeError):
        hash(TrainingSnapshot(1, 0.5))


def test_it_survives_copy_pickle_replace_and_asdict() -> None:
    snapshot = TrainingSnapshot(1, 0.5, expert_utilization={0: 1.0}, custom_metrics={"a": 1.0})
    assert copy.deepcopy(snapshot) == snapshot
    assert pickle.loads(pickle.dumps(snapshot)) == snapshot
    assert dataclasses.replace(snapshot, step=2).step == 2
    assert dataclasses.asdict(snapshot)["custom_metrics"] == {"a": 1.0}


@pytest.mark.fault("A19")
def test_it_owns_its_dictionaries() -> None:
    """A loop that reuses one dictionary for every step must not change the snapshots of the steps before."""
    metrics: dict[str, Any] = {"accuracy": 0.5}
    mixed: dict[str, Any] = {"accuracy": 0.5, "phase": "warm-up"}
    experts = {0: 0.5, 1: 0.5}
    first = TrainingSnapshot(1, 0.5, expert_utilization=experts, custom_metrics=metrics)
    second = TrainingSnapshot(1, 0.5, custom_metrics=mixed)
    metrics["accuracy"], mixed["accuracy"], experts[0] = 0.9, 0.9, 0.9
    assert first.custom_metrics == {"accuracy": 0.5}
    assert first.expert_utilization == {0: 0.5, 1: 0.5}
    assert second.custom_metrics == {"accuracy": 0.5, "phase": "warm-up"}


@pytest.mark.fault("A19", "F4")
def test_an_array_changed_afterwards_does_not_change_what_was_measured() -> None:
    loss = np.array(0.5)
    snapshot = TrainingSnapshot(1, loss)  # type: ignore[arg-type]
    loss[...] = 9.9
    assert snapshot.train_loss == 0.5


@pytest.mark.fault("A20", "F13")
@pytest.mark.parametrize("step", [7, np.int64(7), np.uint8(7), np.array(7), 7.0, np.float32(7.0)])
def test_a_whole_number_of_any_kind_is_a_step(step: Any) -> None:
    snapshot = TrainingSnapshot(step, 0.5)
    assert snapshot.step == 7
    assert type(snapshot.step) is int


@pytest.mark.fault("F13")
def test_a_step_may_be_negative_or_a_bool() -> None:
    assert TrainingSnapshot(-1, 0.5).step == -1
    assert type(TrainingSnapshot(True, 0.5).step) is int


class Grumpy:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.fault("A20")
@pytest.mark.parametrize("step", ["7", 7.5, None, float("nan"), float("inf"), [7], np.array([1, 2]), 1j, Grumpy()])
def test_what_is_no_whole_number_is_no_step(step: Any) -> None:
    with pytest.raises(TypeError, match="step must be a whole number"):
        TrainingSnapshot(step, 0.5)


@pytest.mark.parametrize("name", NUMBER_FIELDS)
def test_every_number_field_takes_foreign_numbers(name: str) -> None:
    for value, expected in [(np.float32(0.5), 0.5), (np.array([2.0]), 2.0), (np.int64(3), 3), (Decimal("0.25"), 0.25)]:
        values: dict[str, Any] = {"train_loss": 0.0, name: value}
        got = getattr(TrainingSnapshot(1, **values), name)
        assert got == expected
        assert type(got) in (int, float)


@pytest.mark.parametrize("name", NUMBER_FIELDS)
def test_what_is_no_number_becomes_none_and_is_counted(name: str) -> None:
    for value in ("0.5", np.array([1.0, 2.0]), 1j, object(), [0.5]):
        before = unconvertible_count()
        values: dict[str, Any] = {"train_loss": 0.0, name: value}
        assert getattr(TrainingSnapshot(1, **values), name) is None
        assert unconvertible_count() == before + 1


def test_nan_and_infinity_are_measurements() -> None:
    snapshot = TrainingSnapshot(1, float("inf"), val_loss=float("-inf"), gradient_norm=float("nan"))
    assert snapshot.train_loss == float("inf")
    assert snapshot.val_loss == float("-inf")
    assert snapshot.gradient_norm != snapshot.gradient_norm


@pytest.mark.fault("F15")
def test_experts_may_be_numbered_by_anything_that_is_a_number() -> None:
    utilization: Any = {np.int64(0): np.float32(0.25), "1": 0.25, 2.0: np.array([0.5])}
    snapshot = TrainingSnapshot(1, 0.5, expert_utilization=utilization)
    assert snapshot.expert_utilization == {0: 0.25, 1: 0.25, 2: 0.5}
    assert all(type(expert) is int for expert in snapshot.expert_utilization)


@pytest.mark.fault("F15")
def test_an_expert_without_a_number_or_given_twice_is_left_out_and_counted() -> None:
    """``int(inf)`` raises OverflowError, which is neither TypeError nor ValueError; 1.5 is not expert 1."""
    before = unconvertible_count()
    utilization: Any = {0: 0.5, "0": 0.4, "first": 0.1, float("inf"): 0.1, 1.5: 0.1, (1,): 0.1, 3: None}
    assert TrainingSnapshot(1, 0.5, expert_utilization=utilization).expert_utilization == {0: 0.5}
    assert unconvertible_count() == before + 5


@pytest.mark.parametrize("given", [[0.5, 0.5], np.array([0.5, 0.5])])
def test_shares_in_a_list_or_array_are_those_of_its_positions(given: Any) -> None:
    """``if utilization`` on an array of two raises; the shares of a router often come as one."""
    before = unconvertible_count()
    snapshot = TrainingSnapshot(1, 0.5, expert_utilization=given, custom_metrics=given)
    assert snapshot.expert_utilization == {0: 0.5, 1: 0.5}
    assert snapshot.custom_metrics == {}
    assert unconvertible_count() == before + 1


@pytest.mark.parametrize("given", [0.5, "even"])
def test_what_is_no_mapping_makes_no_dictionary_and_no_exception(given: Any) -> None:
    before = unconvertible_count()
    snapshot = TrainingSnapshot(1, 0.5, expert_utilization=given, custom_metrics=given)
    assert snapshot.expert_utilization == {}
    assert snapshot.custom_metrics == {}
    assert unconvertible_count() == before + 2


def test_custom_metrics_keep_text_flags_and_the_users_own_objects() -> None:
    class Own:
        pass

    own = Own()
    given = {"phase": "warm-up", "flag": True, "count": 3, "own": own, "none": None, "list": [1, 2]}
    kept = TrainingSnapshot(1, 0.5, custom_metrics=given).custom_metrics
    assert kept == {"phase": "warm-up", "flag": True, "count": 3, "own": own, "list": [1, 2]}


@pytest.mark.fault("F3")
def test_custom_metrics_give_up_arrays_that_are_not_one_number() -> None:
    given = {"one": np.array([1.5]), "many": np.zeros(3), "text": np.str_("eval")}
    kept = TrainingSnapshot(1, 0.5, custom_metrics=given).custom_metrics
    assert kept == {"one": 1.5, "text": "eval"}
    assert type(kept["one"]) is float
    assert type(kept["text"]) is str


@pytest.mark.fault("F14")
def test_names_that_are_no_text_become_text_and_stay_apart() -> None:
    given: Any = {0: 1.0, "0": 2.0, (1, 2): 3.0, Grumpy: 4.0}
    kept = TrainingSnapshot(1, 0.5, custom_metrics=given).custom_metrics
    assert list(kept.values()) == [1.0, 2.0, 3.0, 4.0]
    assert list(kept)[:3] == ["0", "0_2", "(1, 2)"]
    assert all(type(name) is str for name in kept)


@pytest.mark.fault("F14")
def test_a_name_whose_text_cannot_be_had_is_left_out() -> None:
    assert TrainingSnapshot(1, 0.5, custom_metrics={Grumpy(): 1.0, "a": 2.0}).custom_metrics == {"a": 2.0}  # type: ignore[dict-item]


def test_a_mapping_that_fails_while_it_is_read_raises_nothing() -> None:
    """Another thread may be filling the dictionary: "dictionary changed size during iteration" is a RuntimeError."""

    class Torn(dict[str, float]):
        def keys(self) -> Any:
            raise RuntimeError("dictionary changed size during iteration")

    assert TrainingSnapshot(1, 0.5, custom_metrics=Torn(a=1.0)).custom_metrics in ({}, {"a": 1.0})


def test_a_subclass_stays_itself_even_with_a_number_on_a_device() -> None:
    class Device:
        type = "mps"

    class Tensor:
        device = Device()

        def numel(self) -> int:
            return 1

        def detach(self) -> Tensor:
            return self

        def clone(self) -> Tensor:
            return self

        def item(self) -> float:
            return 0.25

    class Mine(TrainingSnapshot):
        pass

    assert Mine(1, Tensor()).train_loss == 0.25  # type: ignore[arg-type]
    assert type(TrainingSnapshot(1, Tensor())) is PendingSnapshot  # type: ignore[arg-type]


def test_metrics_by_name_find_their_fields() -> None:
    snapshot = snapshot_of(
        {"train_loss": 0.5, "val_loss": None, "accuracy": 0.9, "expert_utilization": {0: 1.0}, "note": None}, 7
    )
    assert snapshot == TrainingSnapshot(7, 0.5, expert_utilization={0: 1.0}, custom_metrics={"accuracy": 0.9})


def test_metrics_by_name_do_not_invent_a_loss() -> None:
    assert snapshot_of({"accuracy": 0.9}, 7).train_loss is None


def test_metrics_by_name_may_hold_a_whole_dictionary_of_custom_metrics_and_a_step() -> None:
    snapshot = snapshot_of({"step": 9, "custom_metrics": {"a": 1.0}, "b": 2.0}, 7)
    assert snapshot.step == 7
    assert snapshot.custom_metrics == {"a": 1.0, "b": 2.0}
