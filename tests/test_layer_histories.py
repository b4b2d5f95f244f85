"""What is kept of loads by layer: indicators of each and of all, as often as a thousandth of the time pays for."""

from __future__ import annotations

import math
from typing import Any

import pytest

from m.metrics.layers import AT_ONCE, MOST_LAYERS, SHARE, LayerHistories, layer_of, told_apart
from m.metrics.named import NamedHistories
from m.metrics.snapshot import TrainingSnapshot


class Clock:
    """A clock on which each look takes ``per_look`` seconds."""

    def __init__(self, per_look: float = 0.0) -> None:
        self.now = 0.0
        self.per_look = per_look

    def __call__(self) -> float:
        self.now += self.per_look
        return self.now


def layers_of(*loads: Any) -> Any:
    return TrainingSnapshot(0, 1.0, expert_utilization=list(loads)).expert_utilization


def values(history: Any) -> list[tuple[float, float]]:
    steps, found = history.columns()
    return list(zip(steps, found, strict=True))


def test_a_few_loads_are_read_at_every_step() -> None:
    numbers = NamedHistories(clock=Clock(1.0))
    for step in range(5):
        numbers.record(
            TrainingSnapshot(step, 1.0, expert_utilization={"a": [1, 1, 1, 1], "b": [step, 0, 0, 0], "c": [4, 2, 1, 1]})
        )
    found = numbers.histories()
    assert [step for step, _ in values(found["load_cv/a"])] == [0, 1, 2, 3, 4]
    assert values(found["dead_experts/b"]) == [(0, 4), (1, 3), (2, 3), (3, 3), (4, 3)]  # at step 0 all of them
    assert values(found["dead_experts"]) == [(0, 4), (1, 3), (2, 3), (3, 3), (4, 3)]
    assert values(found["load_balance_worst"])[1:] == [(step, 0.25) for step in (1, 2, 3, 4)]
    assert found["load_balance"].summary().current == pytest.approx((1 + 0.25 + 0.5) / 3)
    assert found["expert_entropy"].summary().max <= math.log(4)
    assert not [name for name in found if name.startswith("expert_") and name != "expert_entropy"]


def test_many_loads_are_read_layer_by_layer_and_all_as_of_one_step() -> None:
    """The steps after it carry other loads; the layers that waited still speak of the step they were given at."""
    histories = LayerHistories(Clock())
    even, skewed = [1.0] * AT_ONCE, [1.0, 3.0] * (AT_ONCE // 2)
    histories.record(10.0, layers_of(even, even, even))
    assert [name for name in histories.by_layer if name.startswith("load_cv")] == ["load_cv/0"]
    assert not len(histories.overall["load_balance"])
    for step in (11.0, 12.0):
        histories.record(step, layers_of(skewed, skewed, skewed))
    for layer in (0, 1, 2):
        assert values(histories.by_layer[f"load_cv/{layer}"]) == [(10.0, 0.0)]
    assert values(histories.overall["load_balance"]) == [(10.0, 1.0)]


def test_reading_takes_a_thousandth_of_the_time() -> None:
    """Each step takes a tenth of a second and reading a layer a look at the clock, a hundredth."""
    clock = Clock()
    histories = LayerHistories(clock)
    loads = layers_of(*[[1.0] * AT_ONCE] * 4)
    for step in range(2000):
        clock.now += 0.1
        clock.per_look = 0.01
        histories.record(float(step), loads)
    points = len(histories.overall["load_balance"])
    spent = points * 4 * 0.01
    assert points >= 3
    assert spent <= 2 * SHARE * clock.now


def test_slow_steps_pay_for_all_layers_at_once() -> None:
    clock = Clock()
    histories = LayerHistories(clock)
    clock.now = 60.0
    histories.record(0.0, layers_of(*[[1.0] * AT_ONCE] * 20))
    assert len(histories.overall["load_balance"]) == 1


def test_layers_without_end_are_counted_and_left_out() -> None:
    numbers = NamedHistories(clock=Clock())
    for step in range(MOST_LAYERS + 7):
        numbers.record(TrainingSnapshot(step, 1.0, expert_utilization={f"layer {step}": {0: 1.0, 1: 2.0}}))
    assert len([name for name in numbers.histories() if layer_of(name)]) == 2 * MOST_LAYERS
    assert numbers.left_out == 7


def test_given_metrics_stand_before_derived_ones() -> None:
    numbers = NamedHistories(clock=Clock())
    numbers.record(
        TrainingSnapshot(
            0, 1.0, expert_utilization=[[1, 0], [1, 1]], custom_metrics={"dead_experts": 7, "load_cv/1": 9}
        )
    )
    found = numbers.histories()
    assert values(found["dead_experts"]) == [(0, 7)]
    assert values(found["load_cv/1"]) == [(0, 9)]
    assert values(found["load_cv/0"]) == [(0, 1.0)]


def test_the_layer_is_read_off_a_name() -> None:
    assert layer_of("load_cv/12") == ("load_cv", "12")
    assert layer_of("dead_experts/blocks/3") == ("dead_experts", "blocks/3")
    assert layer_of("dead_experts") is None
    assert layer_of("my_load_cv/3") is None


@pytest.mark.parametrize(
    ("names", "apart"),
    [
        (["a.0.b", "a.1.b"], ["0", "1"]),
        (["a.0.b", "a.0"], ["0.b", "0"]),
        (["a.0", "b.0"], ["a", "b"]),
        (["a.0", "a.0"], ["0", "0"]),
        (["a.0"], ["a.0"]),
        (["0", "head", ""], ["0", "head", ""]),
        ([], []),
    ],
)
def test_names_are_told_apart(names: list[str], apart: list[str]) -> None:
    assert told_apart(names) == apart
