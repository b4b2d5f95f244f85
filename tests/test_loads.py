"""The loads of experts at the door of a snapshot: single, by layer, as mappings, lists, arrays and tensors."""

from __future__ import annotations

import copy
import math
import pickle
from array import array
from typing import Any

import numpy as np
import pytest

from m.metrics.loads import NoLoads, is_by_layer, layers_of, numbers_in
from m.metrics.snapshot import PendingSnapshot, TrainingSnapshot
from m.metrics.values import unconvertible_count


def utilization(given: Any) -> Any:
    return TrainingSnapshot(0, 1.0, expert_utilization=given).expert_utilization


@pytest.mark.parametrize(
    "layer",
    [
        {0: 3, 1: 1.5, 2: 0},
        [3, 1.5, 0],
        (3, 1.5, 0.0),
        array("d", [3, 1.5, 0]),
        array("f", [3, 1.5, 0]),
        np.array([3.0, 1.5, 0.0]),
        np.array([3.0, 1.5, 0.0], np.float16),
        {"0": np.float32(3), np.int64(1): np.array([1.5]), 2: 0},
    ],
)
def test_a_layer_is_given_as_a_mapping_a_list_or_an_array(layer: Any) -> None:
    found = utilization({"encoder": layer})
    assert found == {"encoder": {0: 3.0, 1: 1.5, 2: 0.0}}
    assert list(found["encoder"].numbers) == [3.0, 1.5, 0.0]
    assert list(found["encoder"].ids) == [0, 1, 2]
    assert {type(load) for load in found["encoder"].values()} <= {float, int}
    assert len(found["encoder"]) == 3


def test_layers_by_experts_are_given_as_one_array() -> None:
    assert utilization(np.arange(6.0).reshape(2, 3)) == {0: {0: 0.0, 1: 1.0, 2: 2.0}, 1: {0: 3.0, 1: 4.0, 2: 5.0}}
    assert utilization([[1, 2], [3, 4]]) == {0: {0: 1, 1: 2}, 1: {0: 3, 1: 4}}


def test_one_list_or_array_is_the_loads_of_its_positions() -> None:
    assert utilization([0.25, 0.75]) == {0: 0.25, 1: 0.75}
    assert utilization(np.array([1.0, 2.0])) == {0: 1.0, 1: 2.0}


def test_what_was_given_may_be_changed_afterwards() -> None:
    mapping, column = {0: 1.0}, np.array([1.0, 2.0])
    rows = [1.0, 2.0]
    found = utilization({0: mapping, 1: column, 2: rows})
    mapping[0] = 9.0
    column[0] = 9.0
    rows[0] = 9.0
    assert found == {0: {0: 1.0}, 1: {0: 1.0, 1: 2.0}, 2: {0: 1.0, 1: 2.0}}


def test_labels_are_texts_or_numbers_where_they_spell_one() -> None:
    found = utilization({"0": {0: 1.0}, np.int64(7): {0: 1.0}, "07": {0: 1.0}, "blocks.3": {0: 1.0}, "٣": {0: 1.0}})
    assert [label for label, _ in layers_of(found)] == [0, 7, "07", "blocks.3", "٣"]
    found = utilization({key: [1.0] for key in ["-3", "-", "--3", "-0", " 3", "3.0", "1_0", "9" * 20, "9" * 21, ""]})
    assert list(found) == [-3, "-", "--3", "-0", " 3", "3.0", "1_0", int("9" * 20), "9" * 21, ""]


def test_what_is_no_layer_and_no_label_is_left_out_and_counted() -> None:
    before = unconvertible_count()
    found = utilization({0: {0: 1.0}, "0": {0: 2.0}, 1: 0.5, 2.5: {0: 1.0}, None: {0: 1.0}, 3: "x", 4: np.eye(2)})
    assert found == {0: {0: 1.0}}
    assert unconvertible_count() - before == 6


def test_what_is_no_load_is_left_out_when_it_is_read() -> None:
    class Broken:
        def __float__(self) -> float:
            raise RuntimeError("no")

    found = utilization(
        {"a": {0: 1.0, 1: None, 2: "x", "y": 1.0, 3: Broken(), 4: 10**400, 5: math.nan}, "b": [1, None]}
    )
    before = unconvertible_count()
    assert list(found["a"]) == [0, 5]
    assert math.isnan(found["a"][5])
    assert found["b"] == {0: 1}
    assert unconvertible_count() - before == 4  # None is no number, and nothing to complain of


def test_complex_masked_and_many_dimensional_arrays_are_left_out() -> None:
    masked = np.ma.masked_array([1.0, 2.0], [True, False])
    assert utilization({0: [1.0], 1: np.array([1j, 2j]), 2: masked, 3: np.ones((2, 2)), 4: np.array(["a", "b"])}) == {
        0: {0: 1.0}
    }


def test_arrays_of_one_number_are_numbers_unless_there_is_a_layer() -> None:
    assert utilization({0: np.array([0.25]), 1: np.array([0.75])}) == {0: 0.25, 1: 0.75}
    assert utilization({0: np.array([0.25]), 1: {0: 1.0}}) == {0: {0: 0.25}, 1: {0: 1.0}}


@pytest.mark.parametrize("given", [5, "text", object(), np.ones((2, 2, 2)), iter([])])
def test_what_is_nothing_of_the_kind_is_no_utilization(given: Any) -> None:
    assert utilization(given) == {}


@pytest.mark.parametrize("given", [{}, 5, [], NoLoads()])
def test_loads_that_are_missing_are_told_from_a_model_without_experts(given: Any) -> None:
    found = TrainingSnapshot(0, 1.0, expert_utilization=given)
    assert found.expert_utilization == {}
    assert type(found.expert_utilization) is NoLoads
    assert type(pickle.loads(pickle.dumps(found)).expert_utilization) is NoLoads
    assert type(TrainingSnapshot(0, 1.0).expert_utilization) is dict


def test_counts_stay_whole_numbers() -> None:
    found = utilization({0: 3, 1: 5})
    assert found == {0: 3, 1: 5}
    assert {type(load) for load in found.values()} == {int}


def test_layers_of_takes_both_forms_and_raw_mappings() -> None:
    assert layers_of({}) == []
    assert layers_of({0: 0.5, 1: 0.5}) == [(None, {0: 0.5, 1: 0.5})]
    assert layers_of({"a": {0: 1.0}, "b": {1: 2.0}}) == [("a", {0: 1.0}), ("b", {1: 2.0})]
    assert not is_by_layer({0: 1.0})
    assert is_by_layer(utilization([[1.0], [2.0]]))
    assert numbers_in(utilization([[1.0, 2.0], [2.0]])) == 3
    assert numbers_in({0: 1.0, 1: 1.0}) == 2


def test_loads_are_copied_and_pickled_as_what_they_are() -> None:
    found = utilization({0: {3: 1.0}, 1: np.array([1.0, 2.0])})
    assert pickle.loads(pickle.dumps(found)) == found
    assert copy.deepcopy(found) == found
    assert repr(found) == "{0: {3: 1.0}, 1: {0: 1.0, 1: 2.0}}"
    assert list(found[0].ids) == [3]


torch = pytest.importorskip("torch")


@pytest.mark.parametrize("kind", [torch.int64, torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_tensors_of_counts_by_layer(kind: Any) -> None:
    counts = torch.tensor([[3, 0, 5], [1, 1, 6]]).to(kind)
    assert utilization(counts) == {0: {0: 3.0, 1: 0.0, 2: 5.0}, 1: {0: 1.0, 1: 1.0, 2: 6.0}}
    assert utilization({"a": counts[1]}) == {"a": {0: 1.0, 1: 1.0, 2: 6.0}}


def test_a_tensor_that_needs_a_gradient_is_read_without_its_graph() -> None:
    assert utilization({0: torch.ones(2, requires_grad=True) * 2}) == {0: {0: 2.0, 1: 2.0}}


class _OnDevice:
    """Looks like a tensor on a device whose copies are made by ``clone``."""

    ndim = 1

    def __init__(self, numbers: Any) -> None:
        self.numbers = numbers
        self.device = type("device", (), {"type": "xpu"})()
        self.reads = 0

    def numel(self) -> int:
        return len(self.numbers)

    def detach(self) -> _OnDevice:
        return self

    def clone(self) -> _OnDevice:
        return _OnDevice(self.numbers.clone())

    def is_complex(self) -> bool:
        return False

    def double(self) -> Any:
        return self.numbers.double()


def test_a_column_on_a_device_makes_the_snapshot_a_pending_one() -> None:
    device = _OnDevice(torch.tensor([1.0, 2.0]))
    snapshot = TrainingSnapshot(3, 1.0, expert_utilization={0: [1.0, 1.0], 1: device})
    assert isinstance(snapshot, PendingSnapshot)
    assert snapshot.is_ready()
    device.numbers[0] = 9.0  # the next step overwrites it in place
    resolved = snapshot.resolve()
    assert type(resolved) is TrainingSnapshot
    assert resolved.expert_utilization == {0: {0: 1.0, 1: 1.0}, 1: {0: 1.0, 1: 2.0}}


def test_numbers_on_a_device_within_a_mapping_make_the_snapshot_a_pending_one() -> None:
    class Scalar(_OnDevice):
        ndim = 0

        def detach(self) -> Scalar:
            return self

        def clone(self) -> Any:
            return self.numbers.clone()

        def item(self) -> float:
            raise AssertionError("read in the loop")

    snapshot = TrainingSnapshot(3, 1.0, expert_utilization={0: {0: np.float32(1), 1: Scalar(torch.tensor([2.0]))}})
    assert isinstance(snapshot, PendingSnapshot)
    assert snapshot.resolve().expert_utilization == {0: {0: 1.0, 1: 2.0}}
