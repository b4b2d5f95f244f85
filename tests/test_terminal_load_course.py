"""The course of loads from table to table: bounded, with boundaries that stay, and no bad moment averaged away."""

from __future__ import annotations

from m.metrics.snapshot import TrainingSnapshot
from sinks.terminal.load_course import MOST_ROWS, MOST_SLOTS, LoadCourse
from sinks.terminal.strips import DEAD, FAIR, MISSING
from sinks.terminal.trends import Direction


def test_a_moment_without_load_stays_visible_however_long_the_run_gets() -> None:
    course = LoadCourse()
    for table in range(5000):
        course.see({0: 1.0, 1: 0.0 if table == 777 else 1.0})
    (_, first), (_, second) = course.rows(1000, 10)
    assert len(second) <= MOST_SLOTS
    assert list(second).count(DEAD) == 1
    assert DEAD not in first
    (_, narrow) = course.rows(10, 10)[1]
    assert len(narrow) <= 10
    assert list(narrow).count(DEAD) == 1


def test_what_was_shown_of_the_past_does_not_change_until_slots_are_put_together() -> None:
    course = LoadCourse()
    before: list[bytes] = []
    for table in range(MOST_SLOTS):
        course.see({0: 1.0 + table % 3, 1: 1.0})
        now = [codes for _, codes in course.rows(MOST_SLOTS, 2)]
        assert all(new.startswith(old) for old, new in zip(before, now, strict=False))
        before = now
    course.see({0: 1.0, 1: 1.0})
    assert len(course.rows(MOST_SLOTS, 2)[0][1]) == MOST_SLOTS // 2 + 1


def test_rows_are_experts_or_layers_and_of_many_the_worst_of_neighbours() -> None:
    course = LoadCourse()
    loads = dict.fromkeys(range(1000), 1.0)
    loads[999] = 0.0
    course.see(loads)
    assert len(course.rows(10, MOST_ROWS)) <= MOST_ROWS
    label, codes = course.rows(10, 4)[-1]
    assert list(codes) == [DEAD]
    assert label.startswith("768-")
    layers = LoadCourse()
    given = {"a": [1, 1], "b": [1, 0], "c": [0, 0]}
    layers.see(TrainingSnapshot(0, 1.0, expert_utilization=given).expert_utilization)
    assert layers.rows(10, 10) == [("a", bytes([FAIR])), ("b", bytes([DEAD])), ("c", bytes([DEAD]))]


def test_an_expert_that_comes_later_is_missing_before() -> None:
    course = LoadCourse()
    course.see({0: 1.0})
    course.see({0: 1.0, 1: 1.0})
    assert course.rows(10, 10) == [("0", bytes([FAIR, FAIR])), ("1", bytes([MISSING, FAIR]))]


def test_the_same_table_again_and_an_empty_one_are_no_news() -> None:
    course = LoadCourse()
    loads = {0: 1.0, 1: 3.0}
    course.see(loads)
    course.see(loads)
    course.see({})
    assert len(course.rows(10, 10)[0][1]) == 1
    assert (course.change, course.way) == (None, Direction.UNKNOWN)
    course.see({0: 1.0, 1: 1.0})
    assert (course.change, course.way) == (0.25, Direction.DOWN)
