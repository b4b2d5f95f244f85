"""No snapshot for long is told; a run that is over, compiles, validates or was stopped is not."""

from __future__ import annotations

import math

import pytest
from health_doubles import Clock

from m import Run, Stall, TrainingSnapshot


def running(clock: Clock, rule: Stall, steps: int = 100, each_s: float = 0.1, first: int = 0) -> None:
    for step in range(first, first + steps):
        clock.now += each_s
        rule.watch(TrainingSnapshot(step, 1.0))


def test_it_asks_to_be_called_when_it_has_been_too_long_and_says_so_once() -> None:
    clock = Clock()
    rule = Stall(at_least_s=300.0, clock=clock)
    running(clock, rule)
    assert rule.next_look == clock.now + 300.0
    assert rule.look(clock.now + 299.0) is None
    alert = rule.look(clock.now + 300.5)
    assert alert is not None
    assert str(alert) == "step 99  stall: no snapshot for 5.01 min, after one every 0.1 s"
    assert rule.next_look == math.inf
    running(clock, rule, 1)
    assert rule.next_look < math.inf, "the next stall is another"


def test_slow_steps_may_take_longer() -> None:
    clock = Clock()
    rule = Stall(clock=clock)
    running(clock, rule, each_s=60.0)
    assert rule.next_look == clock.now + 20 * 60.0


def test_a_pause_may_be_twice_as_long_as_one_before() -> None:
    clock = Clock()
    rule = Stall(at_least_s=10.0, clock=clock)
    running(clock, rule)
    clock.now += 600.0
    running(clock, rule, 1)
    assert rule.next_look == clock.now + 2 * 600.1
    running(clock, rule, 100)
    assert rule.next_look == clock.now + 2 * 600.1


def test_a_pause_that_is_too_short_to_matter_changes_nothing() -> None:
    clock = Clock()
    rule = Stall(at_least_s=10.0, clock=clock)
    running(clock, rule)
    running(clock, rule, 1, each_s=4.0)
    assert rule.next_look == clock.now + 10.0


@pytest.mark.parametrize(
    ("each_s", "words"), [(2.0, "no snapshot for 5 min, after one every 2 s"), (360.0, "2 h, after one every 6 min")]
)
def test_the_words_count_in_seconds_minutes_or_hours(each_s: float, words: str) -> None:
    clock = Clock()
    rule = Stall(clock=clock)
    running(clock, rule, each_s=each_s)
    alert = rule.look(rule.next_look)
    assert alert is not None
    assert words in alert.message


def test_nothing_is_expected_before_there_was_something_to_go_by() -> None:
    clock = Clock()
    rule = Stall(at_least_s=0.5, clock=clock)
    running(clock, rule, 15)
    assert rule.next_look == math.inf
    fast = Stall(at_least_s=0.5, clock=clock)
    running(clock, fast, 500, each_s=0.001)
    assert fast.next_look == math.inf, "half a second is no run to watch the clock for"


def test_a_run_that_has_made_its_last_step_is_over() -> None:
    clock = Clock()
    rule = Stall(clock=clock)
    rule.start(Run(total_steps=100))
    running(clock, rule, 99)
    assert rule.next_look < math.inf
    running(clock, rule, 1, first=99)
    assert rule.next_look == math.inf


def test_a_process_that_was_stopped_as_a_whole_has_not_stalled() -> None:
    """After Ctrl-Z and fg the thread that looks comes late as well."""
    clock = Clock()
    rule = Stall(clock=clock)
    running(clock, rule)
    late = rule.next_look + 3600.0
    assert rule.look(late) is None
    assert rule.next_look == late + 300.0
    assert rule.look(late + 300.1) is not None


def test_a_new_run_knows_nothing_of_the_last() -> None:
    clock = Clock()
    rule = Stall(clock=clock)
    running(clock, rule)
    rule.start(Run())
    assert rule.next_look == math.inf
