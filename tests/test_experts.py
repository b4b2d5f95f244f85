"""The balance indicators are what their formulas say, computed another way with NumPy."""

from __future__ import annotations

import math
import random
from dataclasses import astuple
from itertools import chain

import numpy as np
import pytest

from m.metrics.experts import (
    DEAD_BELOW,
    OVERLOADED_FROM,
    ExpertBalance,
    balance_by_layer,
    entropy_of,
    expert_balance,
    load_change,
    relative_loads,
    share,
)
from m.metrics.snapshot import TrainingSnapshot


@pytest.mark.parametrize("n", [1, 2, 8, 64, 128, 1024])
@pytest.mark.parametrize("scale", [1.0, 1e-6, 4096.0])
def test_the_indicators_agree_with_their_definitions(n: int, scale: float) -> None:
    """p is the normalised load; entropy, Hill number, coefficient of variation and balance follow from it."""
    generator = random.Random(n)
    utilization = {expert: scale * generator.random() for expert in range(n)}
    loads = np.array(list(utilization.values()))
    p = loads / loads.sum()
    balance = expert_balance(utilization)
    assert balance is not None
    entropy = -np.sum(p * np.log(p))
    assert balance.n == n
    assert balance.entropy == pytest.approx(entropy, abs=1e-12)
    assert balance.effective == pytest.approx(np.exp(entropy))
    assert balance.cv == pytest.approx(np.std(p) / np.mean(p))
    assert balance.load_balance == pytest.approx(np.mean(p) / np.max(p))
    assert balance.heaviest == int(np.argmax(p))
    assert balance.dead == tuple(np.flatnonzero(p < DEAD_BELOW / n))


def test_an_even_load_is_perfect() -> None:
    balance = expert_balance(dict.fromkeys(range(8), 0.125))
    assert balance is not None
    assert balance.entropy == pytest.approx(math.log(8))
    assert balance.effective == pytest.approx(8.0)
    assert balance.cv == 0.0
    assert balance.load_balance == 1.0
    assert balance.dead == ()


def test_one_expert_for_everything_is_the_worst() -> None:
    balance = expert_balance({0: 0.0, 1: 1.0, 2: 0.0, 3: 0.0})
    assert balance is not None
    assert balance.entropy == 0.0
    assert balance.effective == 1.0
    assert balance.cv == pytest.approx(math.sqrt(3))
    assert balance.load_balance == 0.25
    assert balance.heaviest == 1
    assert balance.dead == (0, 2, 3)


def test_the_first_of_equals_is_the_heaviest() -> None:
    balance = expert_balance({5: 0.5, 2: 0.5})
    assert balance is not None
    assert balance.heaviest == 2


def test_counts_say_the_same_as_shares() -> None:
    assert expert_balance({0: 300, 1: 100}) == expert_balance({0: 3.0, 1: 1.0})


@pytest.mark.parametrize("load", [-1.0, math.nan, math.inf, -math.inf])
def test_a_load_that_is_none_counts_as_zero(load: float) -> None:
    balance = expert_balance({0: load, 1: 0.5, 2: 0.5})
    assert balance is not None
    assert balance.dead == (0,)
    assert balance.entropy == pytest.approx(math.log(2))


@pytest.mark.parametrize("utilization", [{}, {0: 0.0}, {0: math.nan, 1: -1.0}, {0: math.inf}])
def test_nothing_is_said_about_nothing(utilization: dict[int, float]) -> None:
    assert expert_balance(utilization) is None


@pytest.mark.parametrize("load", [1e308, 1e200, 5e-324])
def test_loads_near_the_end_of_the_number_range_raise_nothing(load: float) -> None:
    """``math.fsum`` and ``**`` raise OverflowError where ``+`` and ``*`` would give infinity."""
    balance = expert_balance({0: load, 1: load})
    assert balance is not None
    assert balance.load_balance == 1.0
    assert balance.entropy == pytest.approx(math.log(2))
    assert entropy_of([load, load]) == pytest.approx(math.log(2))


def test_entropy_of_nothing_is_zero() -> None:
    assert entropy_of([]) == 0.0
    assert entropy_of([0.0, 0.0]) == 0.0
    assert entropy_of([3.0]) == 0.0


@pytest.mark.parametrize("n", [8, 1024])
def test_peak_and_least_are_the_ends_over_the_fair_share(n: int) -> None:
    balance = expert_balance({expert: float(1 + expert % 4) for expert in range(n)})
    assert balance is not None
    assert balance.peak == pytest.approx(4 / 2.5)
    assert balance.least == pytest.approx(1 / 2.5)
    assert balance.max_over_min == pytest.approx(4.0)
    assert balance.peak == pytest.approx(1 / balance.load_balance)
    assert balance.total == pytest.approx(2.5 * n)
    assert balance.evenness == pytest.approx(balance.entropy / math.log(n))


@pytest.mark.parametrize("n", [10, 1000])
def test_dead_and_overloaded_experts_go_by_their_numbers(n: int) -> None:
    """Numbers need not count up, and neither threshold is met by being just on the even side of it."""
    loads = {7 * expert + 3: 1.0 for expert in range(n)}
    dead, overloaded = (73 - 70, 7 * (n - 1) + 3), 7 * 5 + 3
    for expert in dead:
        loads[expert] = 0.0
    loads[overloaded] = 1.2 * OVERLOADED_FROM
    balance = expert_balance(loads)
    assert balance is not None
    assert (balance.dead, balance.overloaded, balance.heaviest) == (dead, (overloaded,), overloaded)
    assert balance.max_over_min == math.inf


def test_few_and_many_experts_are_summed_up_alike() -> None:
    """Past a number of loads NumPy does it; both must say the same, whatever is among the loads."""
    generator = random.Random(5)
    few = {expert: generator.random() * 10 ** generator.randint(-3, 3) for expert in range(250)}
    few[10], few[11], few[12], few[13] = math.nan, math.inf, -1.0, 0.0
    many = {**few, **{1000 + expert: 0.0 for expert in range(10)}}
    without = expert_balance({**few, **dict.fromkeys(range(1000, 1006), 0.0)})
    by_numpy = expert_balance(many)
    assert without is not None
    assert by_numpy is not None
    assert by_numpy.entropy == pytest.approx(without.entropy)
    assert by_numpy.total == pytest.approx(without.total)
    assert by_numpy.heaviest == without.heaviest
    assert set(without.dead) <= set(by_numpy.dead)
    assert by_numpy.peak / by_numpy.n == pytest.approx(without.peak / without.n)


def test_layers_are_summed_up_each_and_together() -> None:
    layers = {"even": [1, 1, 1, 1], "skewed": [2, 1, 1, 0], "silent": [0, 0], "heavy": [0, 0, 0, 8]}
    whole = balance_by_layer(TrainingSnapshot(0, 1.0, expert_utilization=layers).expert_utilization)
    assert whole is not None
    by_label = dict(whole.layers)
    assert by_label["silent"] is None
    skewed = by_label["skewed"]
    assert isinstance(skewed, ExpertBalance)
    assert whole.dead == 0 + 1 + 2 + 3
    assert whole.overloaded == 0 + 1 + 1
    assert whole.load_balance == pytest.approx((1 + 0.5 + 0.25) / 3)
    assert whole.worst_load_balance == 0.25
    assert whole.cv == pytest.approx((0 + skewed.cv + math.sqrt(3)) / 3)
    assert [label for label, _ in whole.worst_first()] == ["silent", "heavy", "skewed", "even"]


def test_one_mapping_is_one_layer_without_a_label() -> None:
    loads = {0: 0.25, 1: 0.75}
    whole = balance_by_layer(loads)
    assert whole is not None
    assert whole.layers == ((None, expert_balance(loads)),)
    assert balance_by_layer({}) is None
    assert balance_by_layer({0: {0: 0.0}}) is None


def test_counts_are_shown_as_parts_of_their_sum_and_utilizations_as_given() -> None:
    assert share(0.5, 1.0) == 0.5
    assert share(0.5, 1.04) == 0.5  # shares that were rounded
    assert share(0.3, 0.6) == 0.3  # where tokens were dropped the shares sum up to less
    assert share(30.0, 120.0) == 0.25
    assert share(0.5, 2.0) == 0.25  # fractions of tokens that go to two experts each


@pytest.mark.parametrize("n", [4, 1000])
def test_relative_loads_are_multiples_of_the_fair_share(n: int) -> None:
    loads = dict.fromkeys(range(n), 3.0)
    loads[1], loads[2] = math.nan, 6.0
    relative = relative_loads(loads)
    assert math.fsum(relative) == pytest.approx(n)
    assert relative[1] == 0.0
    assert relative[2] == pytest.approx(2 * relative[0])
    assert list(relative_loads(dict.fromkeys(range(n), 0.0))) == [0.0] * n


@pytest.mark.parametrize("n", [4, 1000])
def test_the_change_of_loads_is_the_part_of_tokens_that_moved(n: int) -> None:
    even = dict.fromkeys(range(n), 1.0)
    half = {expert: 2.0 * (expert % 2) for expert in range(n)}
    assert load_change(even, {expert: 7 * load for expert, load in even.items()}) == pytest.approx(0.0, abs=1e-12)
    assert load_change(even, half) == pytest.approx(0.5)
    assert load_change({0: 1.0}, {1: 1.0}) == pytest.approx(1.0)
    assert load_change({0: 1.0, 1: 1.0}, {0: 1.0, 1: 1.0, 2: 2.0}) == pytest.approx(0.5)
    assert load_change(even, dict.fromkeys(range(n), 0.0)) is None


def test_the_change_over_layers_is_the_mean_of_those_in_both() -> None:
    before, now = {0: [1, 1], 1: [1, 0], 2: [1, 1]}, {0: [1, 1], 1: [0, 1], 3: [1, 1]}
    first, second = (TrainingSnapshot(0, 1.0, expert_utilization=each).expert_utilization for each in (before, now))
    assert load_change(first, second) == pytest.approx(0.5)
    assert load_change({}, second) is None


@pytest.mark.parametrize("times", [1, 60])
def test_rounding_does_not_decide_about_exactly_that_much(times: int) -> None:
    """Two fair shares are overloaded and a twentieth is not dead, in few loads and in many (by NumPy)."""
    loads = [8, 8, 0, 0, 7, 0, 0, 12, 5, 0] * times
    balance = expert_balance(dict(enumerate(map(float, loads))))
    assert balance is not None
    assert balance.overloaded == tuple(place for place, load in enumerate(loads) if load >= 8)
    loads = [2, 79, 61, 30, 60, 26, 45, 17] * times
    balance = expert_balance(dict(enumerate(map(float, loads))))
    assert balance is not None
    assert balance.dead == ()


def test_numpy_comes_to_the_same_as_plain_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for experts in any order, and layers of which some have no load."""
    draw = random.Random(0)
    for _ in range(40):
        ids, layers = draw.sample(range(9), 8), range(draw.choice([1, 3]))
        choices = draw.choice([[0.0, 1.0, 5.0, math.nan], [0.0, 1e308], [1.0, 1.0, -1.0, math.inf]])
        before, now = ({layer: {each: draw.choice(choices) for each in ids} for layer in layers} for _ in range(2))
        before[0] = dict.fromkeys(ids, draw.choice(choices))
        found = []
        for most in (1000, 0):
            monkeypatch.setattr("m.metrics.experts._PURE_UP_TO", most)
            balances = [astuple(balance) for loads in now.values() if (balance := expert_balance(loads)) is not None]
            relative = [list(relative_loads(loads)) for loads in now.values()]
            found.append([load_change(before, now), load_change(now, before), *chain(*relative), *chain(*balances)])
        assert found[0] == [pytest.approx(each, abs=1e-12) for each in found[1]]
