"""The balance indicators are what their formulas say, computed another way with NumPy."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from m.metrics.experts import DEAD_BELOW, entropy_of, expert_balance


@pytest.mark.parametrize("n", [1, 2, 8, 64, 128])
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
