"""Where a metric is going."""

from __future__ import annotations

import math

import pytest

from sinks.terminal.course import Course
from sinks.terminal.trends import Direction, Trends, better, direction


@pytest.mark.parametrize(
    ("before", "now", "way"),
    [
        (1.0, 2.0, Direction.UP),
        (2.0, 1.0, Direction.DOWN),
        (1.0, 1.001, Direction.SAME),
        (0.0, 0.0, Direction.SAME),
        (None, 1.0, Direction.UNKNOWN),
        (1.0, math.nan, Direction.UNKNOWN),
        (math.inf, 1.0, Direction.UNKNOWN),
    ],
)
def test_direction(before: float | None, now: float | None, way: Direction) -> None:
    assert direction(before, now) is way


def test_names_tell_which_way_is_better_and_unknown_ones_do_not() -> None:
    assert better("val_loss", Direction.DOWN) is True
    assert better("position_error", Direction.UP) is False
    assert better("val_accuracy", Direction.UP) is True
    assert better("routing_entropy", Direction.UP) is None
    assert better("train_loss", Direction.SAME) is None
    assert better("glossary", Direction.UP) is None  # a word, not a part of one


def test_a_noisy_loss_is_judged_by_its_mean_between_tables() -> None:
    course, trends = Course(), Trends()
    for step in range(100):
        course.add(step, 1.0 + (0.5 if step % 2 else -0.5))
    trends.see_course("train_loss", course)
    for step in range(100, 200):
        course.add(step, 0.9 + (0.5 if step % 2 else -0.5))
    trends.see_course("train_loss", course)
    assert course.last == 1.4  # higher than most steps before, and yet:
    assert trends.of("train_loss") is Direction.DOWN
