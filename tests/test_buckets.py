"""Tables of buckets against the plainest way to say what a bucket is, one point after the other."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m.metrics import buckets

VALUES = st.one_of(
    st.floats(-5, 5),
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1.0, 1.7e308, -1.7e308, 5e-324]),
)
POINTS = st.lists(st.tuples(st.sampled_from([1, 1, 1, 1, 0, 3, -7]), VALUES), min_size=1, max_size=120)


def columns(points: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.cumsum([float(gap) for gap, _ in points]), np.array([value for _, value in points])


def plainly(steps: np.ndarray, values: np.ndarray, start: int, size: int) -> np.ndarray:
    begins = [at for at in range(steps.size) if not at or (at + start) % size == 0 or steps[at] < steps[at - 1]]
    table = []
    for first, end in pairwise([*begins, steps.size]):
        at = range(first, end)
        finite = [i for i in at if math.isfinite(values[i])]
        broken = [i for i in at if not math.isfinite(values[i])]
        positive = [i for i in finite if values[i] > 0.0]
        row = [float(start + first), len(at), np.isnan(values[first:end]).sum(), np.isinf(values[first:end]).sum()]
        row += [len(finite) - len(positive), math.fsum(values[i] / len(finite) for i in finite)]
        row += [first > 0 and steps[first] < steps[first - 1], 0.0, steps[first], steps[end - 1]]
        kept = [finite[0], finite[-1], min(finite, key=values.item), max(finite, key=values.item)] if finite else []
        for i in (*(kept or [None] * 4), min(positive, key=values.item) if positive else None):
            row += [math.nan] * 3 if i is None else [start + i, steps[i], values[i]]
        row += [start + broken[0], steps[broken[0]], steps[broken[-1]]] if broken else [math.nan] * 3
        table.append(row)
    return np.array(table, dtype=float).T


@given(POINTS, st.integers(0, 40), st.sampled_from([1, 2, 8, 32]))
@settings(max_examples=200, deadline=None)
def test_buckets_say_what_their_points_say(points: list[tuple[int, float]], start: int, size: int) -> None:
    steps, values = columns(points)
    table = buckets.bucketed(steps, values, start, size)
    np.testing.assert_allclose(
        table,
        plainly(steps, values, start, size),
        rtol=1e-12,
        atol=1e-12 * np.nanmax(np.abs(values), where=np.isfinite(values), initial=1.0),
    )


@given(POINTS, st.integers(0, 40), st.sampled_from([(1, 2), (2, 8), (8, 16), (4, 64)]))
@settings(max_examples=200, deadline=None)
def test_merged_buckets_are_those_of_all_their_points(
    points: list[tuple[int, float]], start: int, sizes: tuple[int, int]
) -> None:
    steps, values = columns(points)
    small, large = sizes
    table = buckets.merged(buckets.bucketed(steps, values, start, small), large)
    whole = buckets.bucketed(steps, values, start, large)
    largest = np.abs(values[np.isfinite(values)]).max(initial=1.0)
    np.testing.assert_allclose(table[buckets.MEAN], whole[buckets.MEAN], rtol=1e-12, atol=1e-12 * largest)
    table[buckets.MEAN] = whole[buckets.MEAN] = 0.0
    np.testing.assert_array_equal(table, whole)


def test_what_is_merged_across_a_step_back_is_marked() -> None:
    steps = np.array([5.0, 6.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    table = buckets.merged(buckets.bucketed(steps, np.arange(8.0), 0, 4), 4, across=True)
    assert table[buckets.CROSSED].tolist() == [1.0, 0.0]
    assert table[buckets.BORDER].tolist() == [0.0, 0.0]
    assert (table[buckets.EARLIEST].tolist(), table[buckets.LATEST].tolist()) == ([1.0, 3.0], [6.0, 6.0])
    again = buckets.merged(table, 8)
    assert (again.shape[1], again[buckets.CROSSED].tolist()) == (1, [1.0])


@pytest.mark.parametrize(("before", "border"), [(None, 0.0), (1.0, 0.0), (2.0, 0.0), (3.0, 1.0)])
def test_a_step_back_from_the_points_before_is_a_border(before: float | None, border: float) -> None:
    table = buckets.bucketed(np.array([2.0, 3.0]), np.zeros(2), 8, 8, before)
    assert table[buckets.BORDER].tolist() == [border]


@pytest.mark.parametrize("borders", [0, 5, 50, 51, 10_000])
def test_cells_are_as_small_as_they_may_be(borders: int) -> None:
    size, across = buckets.cell_size(10_000, borders, 4, 100)
    assert across is (borders > 50)
    room = 100 if across else 100 - borders
    assert 10_000 / size <= room < 2 * 10_000 / size
