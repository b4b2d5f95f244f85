"""Where a metric is going."""

from __future__ import annotations

import math

import pytest

from sinks.terminal.look import DEFAULT
from sinks.terminal.rows import arrow
from sinks.terminal.trends import Direction, better, direction, tendency


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


def test_a_noisy_loss_is_judged_by_its_means() -> None:
    noisy = [1.0 + (0.5 if step % 2 else -0.5) for step in range(800)]
    assert tendency(noisy) is Direction.SAME
    falling = [value - step / 200 for step, value in enumerate(noisy)]
    assert falling[-1] > falling[-2]  # and yet:
    assert tendency(falling) is Direction.DOWN


def test_a_metric_measured_now_and_then_goes_where_its_last_two_values_go() -> None:
    assert tendency([1.0, None, None, None, None, None, None, None, 2.0, *[None] * 40]) is Direction.UP
    assert tendency([None, 1.0, None]) is Direction.UNKNOWN
    assert tendency([]) is Direction.UNKNOWN


@pytest.mark.parametrize(("value", "sign"), [(1.0, "↑"), (3, "↑"), (math.nan, " "), (math.inf, " "), (None, "↑")])
def test_no_arrow_stands_beside_a_value_that_is_not_finite(value: object, sign: str) -> None:
    assert arrow("loss", Direction.UP, DEFAULT, value)[0] == sign
