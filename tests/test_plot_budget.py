"""Drawing in the training process is measured, and what nobody asked for stays within its share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.plotting.budget import APART_S, DrawBudget


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def draw(budget: DrawBudget, clock: Clock, seconds: float) -> None:
    with budget.measured():
        clock.now += seconds


def test_the_first_picture_is_on_credit_and_the_next_waits_until_both_are_paid_for() -> None:
    clock = Clock()
    budget = DrawBudget(0.05, clock)
    assert budget.allows()
    draw(budget, clock, 0.1)
    clock.now = 103.8
    assert not budget.allows()
    clock.now = 104.0
    assert budget.allows()


def test_pictures_that_cost_nothing_are_half_a_second_apart() -> None:
    clock = Clock()
    budget = DrawBudget(0.05, clock)
    draw(budget, clock, 0.0)
    clock.now += APART_S - 0.01
    assert not budget.allows()
    clock.now += 0.02
    assert budget.allows()


def test_a_long_pause_does_not_pay_for_many_pictures_at_once() -> None:
    clock = Clock()
    budget = DrawBudget(0.05, clock)
    draw(budget, clock, 0.1)
    clock.now += 3600.0
    assert budget.allows()
    draw(budget, clock, 0.1)
    clock.now += 1.8
    assert not budget.allows()
    clock.now += 0.2
    assert budget.allows()


@given(
    st.floats(0.01, 1.0),
    st.lists(st.tuples(st.floats(0.001, 10.0), st.floats(0.0, 2.0)), min_size=1, max_size=200),
)
def test_whatever_a_picture_costs_all_but_the_newest_stay_within_the_share(
    share: float, steps: list[tuple[float, float]]
) -> None:
    clock = Clock()
    budget = DrawBudget(share, clock)
    for takes, step in steps:
        clock.now += step
        if budget.allows():
            if budget.drawn:
                assert budget.spent_s <= share * (clock.now - 100.0) + 1e-9
            draw(budget, clock, takes)


def test_a_picture_that_fails_counts_too() -> None:
    clock = Clock()
    budget = DrawBudget(0.05, clock)

    def fail() -> None:
        clock.now += 0.4
        raise ValueError("no picture")

    with pytest.raises(ValueError, match="no picture"), budget.measured():
        fail()
    assert (budget.drawn, budget.spent_s) == (1, pytest.approx(0.4))


def test_it_reports_what_drawing_came_to_in_this_run() -> None:
    clock = Clock()
    budget = DrawBudget(0.05, clock)
    assert budget.report() == ""
    draw(budget, clock, 0.5)
    clock.now += 49.5
    assert budget.report() == "figure drawn once in this process: 0.5 s, 1.0 % of the time"
    draw(budget, clock, 1.0)
    assert budget.report() == "figure drawn 2 times in this process: 1.5 s, 2.9 % of the time"
    budget.begin()
    assert budget.report() == ""
