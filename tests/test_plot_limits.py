"""Limits hold the data, and those that need not move do not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.plotting.limits import Limits, calm, calm_log, padded, symlog_threshold
from sinks.plotting.points import FARTHEST, NEAREST

ROOM = 0.25


def test_the_first_limits_are_those_that_are_wanted() -> None:
    assert calm(None, (1.0, 2.0), ROOM) == (1.0, 2.0)
    assert calm_log(None, (1.0, 100.0), ROOM) == pytest.approx((1.0, 100.0))


def test_they_stay_while_they_hold_the_data_and_little_of_them_is_empty() -> None:
    now = (0.0, 100.0)
    assert calm(now, (0.0, 80.0), ROOM) is now
    assert calm(now, (10.0, 90.0), ROOM) is now
    assert calm(now, (0.0, 70.0), ROOM) == (0.0, 70.0), "too much would be empty"


def test_they_make_room_on_the_side_where_the_data_has_outgrown_them() -> None:
    assert calm((0.0, 100.0), (0.0, 104.0), ROOM) == (0.0, 117.0)
    assert calm((0.0, 100.0), (-8.0, 100.0), ROOM) == (-21.5, 100.0)
    assert calm((0.0, 100.0), (0.0, 104.0), 0.0) == (0.0, 104.0)


def test_a_growing_run_moves_them_as_often_as_it_grows_by_an_eighth() -> None:
    now: Limits | None = None
    moves = 0
    for last in range(1000, 100_000, 10):
        before, now = now, calm(now, (0.0, float(last)), ROOM)
        moves += now != before
    assert moves <= 2 + math.log(100.0) / math.log(1.125)


ends = st.floats(-1e290, 1e290)
positive = st.floats(NEAREST, FARTHEST)


@given(st.lists(st.tuples(ends, ends).map(sorted).filter(lambda pair: pair[0] < pair[1]), min_size=1, max_size=20))
def test_they_always_hold_what_is_wanted_and_are_never_much_larger(wanted: list[list[float]]) -> None:
    now: Limits | None = None
    for low, high in wanted:
        now = calm(now, (low, high), ROOM)
        assert now[0] <= low < high <= now[1]
        assert (high - low) >= 0.7 * (now[1] - now[0])


@given(st.lists(st.tuples(positive, positive).map(sorted).filter(lambda pair: pair[0] * 1.001 < pair[1]), max_size=20))
def test_so_they_do_on_a_logarithmic_axis(wanted: list[list[float]]) -> None:
    now: Limits | None = None
    for low, high in wanted:
        now = calm_log(now, (low, high), ROOM)
        assert NEAREST <= now[0] <= low < high <= now[1] <= FARTHEST
        assert (math.log(high) - math.log(low)) >= 0.7 * (math.log(now[1]) - math.log(now[0])) - 1e-9


TENTH_OF_A_DECADE = 10.0**0.1


@pytest.mark.parametrize(
    ("ranges", "scale", "options", "limits"),
    [
        ([], "linear", {}, (0.0, 1.0)),
        ([], "log", {}, (0.1, 1.0)),
        ([(1.0, 2.0), (0.0, 10.0)], "linear", {}, (-0.5, 10.5)),
        ([(0.0, 10.0)], "linear", {"headroom": 0.2}, (-0.5, 12.5)),
        ([(2.0, 2.0)], "linear", {}, (1.8, 2.2)),
        ([(-2.0, -2.0)], "linear", {}, (-2.2, -1.8)),
        ([(0.0, 0.0)], "linear", {}, (-1.0, 1.0)),
        ([(2.0, 10.0)], "linear", {"from_zero": True}, (0.0, 10.5)),
        ([(2.0, 10.0)], "linear", {"from_zero": True, "headroom": 0.5}, (0.0, 21.0)),
        ([(0.0, 0.0)], "linear", {"from_zero": True}, (0.0, 1.05)),
        ([(-10.0, 10.0)], "linear", {"from_zero": True}, (-11.0, 11.0)),
        ([(1.0, 100.0)], "log", {}, (1.0 / TENTH_OF_A_DECADE, 100.0 * TENTH_OF_A_DECADE)),
        ([(5.0, 5.0)], "log", {}, (2.5, 10.0)),
        ([(NEAREST, NEAREST)], "log", {}, (NEAREST / 2.0, NEAREST * 2.0)),
        ([(NEAREST, FARTHEST)], "log", {}, (NEAREST / 10.0, FARTHEST * 100.0)),
        ([(-2.0, 10.0)], "symlog", {}, (-3.0, 15.0)),
        ([(3.0, 10.0)], "symlog", {}, (2.0, 15.0)),
        ([(-10.0, -3.0)], "symlog", {}, (-15.0, -2.0)),
        ([(0.0, 0.0)], "symlog", {}, (0.0, 1.0)),
    ],
)
def test_there_is_some_room_around_whatever_is_drawn(
    ranges: list[Limits], scale: str, options: dict[str, Any], limits: Limits
) -> None:
    assert padded(ranges, scale, **options) == pytest.approx(limits, rel=1e-12, abs=0.0)


@pytest.mark.parametrize(
    ("values", "threshold"),
    [([], 1.0), ([0.0, math.nan, math.inf], 1.0), ([-0.5] * 20 + [1e-6], 0.1), ([1e-30] * 20 + [5e9], 10.0)],
)
def test_a_symlog_axis_is_linear_below_nearly_all_values_but_not_without_end(
    values: list[float], threshold: float
) -> None:
    assert symlog_threshold([np.array(values)]) == threshold
