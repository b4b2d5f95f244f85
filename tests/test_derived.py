import math

import pytest

from m.metrics.derived import RecentRate, entropy_and_balance
from m.metrics.experts import expert_balance


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    "loads", [{0: 0.5, 1: 0.5}, {0: 0.7, 3: 0.2, 9: 0.1}, {0: 12.0, 1: 0.0}, {0: -1.0, 1: 2.0, 2: math.nan}]
)
def test_entropy_and_balance_are_those_of_expert_balance(loads: dict[int, float]) -> None:
    whole = expert_balance(loads)
    assert whole is not None
    assert entropy_and_balance(loads) == pytest.approx((whole.entropy, whole.load_balance))


@pytest.mark.parametrize("loads", [{}, {0: 0.0}, {0: math.nan}, {0: math.inf}, {0: 1.7e308, 1: 1.7e308}])
def test_without_a_load_there_is_no_balance(loads: dict[int, float]) -> None:
    assert entropy_and_balance(loads) is None


def test_the_first_step_has_no_rate_and_the_second_has() -> None:
    clock = Clock()
    rate = RecentRate(clock)
    assert rate.at(0) is None
    clock.now += 0.5
    assert rate.at(1) == pytest.approx(2.0)


def test_the_rate_follows_and_a_pause_does_not_count() -> None:
    clock = Clock()
    rate = RecentRate(clock)
    for step in range(200):
        clock.now += 60.0 if step == 150 else 0.1
        newest = rate.at(step)
    assert newest == pytest.approx(10.0, rel=0.01)


def test_steps_that_skip_count_as_many() -> None:
    clock = Clock()
    rate = RecentRate(clock)
    for step in range(0, 500, 10):
        newest = rate.at(step)
        clock.now += 1.0
    assert newest == pytest.approx(10.0)


def test_most_steps_of_a_fast_loop_only_look_at_the_clock() -> None:
    clock = Clock()
    rate = RecentRate(clock)
    observed = []
    rate._meter.observe = lambda time_s, step: observed.append(step)  # type: ignore[method-assign]
    for step in range(10_000):
        rate.at(step)
        clock.now += 0.0001
    assert len(observed) < 40
