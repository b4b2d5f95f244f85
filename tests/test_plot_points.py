"""What is drawn of long runs: all that matters of them, the same as long as it can be, and never more than fits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import grow

from m import TrainingSnapshot
from m.metrics.history import AMPLE, FIRST_BUCKET, NARROW, History, Room
from m.metrics.named import NamedHistories, expert_name
from sinks.plotting.heatmap import MOST_COLUMNS, load_table
from sinks.plotting.points import MOST_POINTS, Points, points_of


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=count)


def drawn(points: Points) -> set[tuple[float, float]]:
    there = ~np.isnan(points.y)
    return set(zip(points.x[there].tolist(), points.y[there].tolist(), strict=True))


@pytest.mark.fault("E16")
@pytest.mark.parametrize("count", [3_000, 100_000, 3_000_000])
def test_every_planted_spike_is_drawn(count: int) -> None:
    values = noise(count)
    # of two spikes to one side within a cell, a few pixels wide at most, the larger is drawn: so one to a stretch
    at = np.arange(40) * (count // 40) + np.random.default_rng(1).integers(0, count // 40, 40)
    values[at] = np.tile([1.0, -1.0], 20) * np.linspace(50.0, 60.0, 40)
    points = points_of(grow(History(), values))
    assert {(float(i), float(values[i])) for i in at} <= drawn(points)
    assert points.values == (values.min(), values.max())
    assert (points.steps, points.count) == ((0.0, count - 1.0), count)
    assert points.x.size <= MOST_POINTS + 10


@pytest.mark.parametrize("seed", range(5))
def test_spikes_anywhere_are_seen_where_they_are(seed: int) -> None:
    """Of two that are nearer to each other than a pixel or two, the larger covers the other."""
    rng = np.random.default_rng(seed)
    values = noise(1_000_000, seed)
    at = rng.choice(values.size, 300, replace=False)
    values[at] = rng.choice([-1.0, 1.0], 300) * rng.uniform(20.0, 60.0, 300)
    points = points_of(grow(History(), values))
    for place in at:
        near = np.abs(points.x - place) < points.together
        value = values[place]
        assert points.y[near].max() >= value if value > 0 else points.y[near].min() <= value


@pytest.mark.fault("E16")
def test_however_long_the_run_the_line_is_as_fine_and_no_longer() -> None:
    history = History()
    values = noise(200_000)
    for _ in range(30):
        grow(history, values)
        cells = len(history) / points_of(history).together
        assert MOST_POINTS / 4 <= cells <= MOST_POINTS / 2


@given(st.integers(2_001, 150_000), st.integers(1, 60_000), st.integers(0, 2**32), st.booleans())
@settings(max_examples=40, deadline=None)
def test_what_is_drawn_stays_while_the_run_grows(length: int, more: int, seed: int, log: bool) -> None:
    """A curve that changes in its past, only since points were added to its end, flickers."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=length + more)
    values[rng.integers(0, length, 30)] = np.nan
    values[rng.integers(0, length, 3)] = np.inf
    steps = np.cumsum(rng.integers(0, 3, length + more))
    steps[rng.integers(0, length) :] -= 500  # once the steps go back
    history = grow(History(), values[:length], steps[:length])
    earlier = points_of(history, log=log)
    later = points_of(grow(history, values[length:], steps[length:]), log=log)
    if later.together == earlier.together:
        finished = earlier.x.size - 14  # at most so many stand for a cell that is not full yet
        np.testing.assert_array_equal(earlier.x[:finished], later.x[:finished])
        np.testing.assert_array_equal(earlier.y[:finished], later.y[:finished])
    low, high = (np.nanmin(earlier.y), np.nanmax(earlier.y))
    for extreme in (low, high):
        assert any(y == extreme for _, y in drawn(later)) or later.values != earlier.values
    assert drawn(later) <= set(zip(steps.astype(float).tolist(), values.tolist(), strict=True))


def test_pairs_of_cells_keep_what_stands_out_in_them() -> None:
    values = noise(60_000)
    history = grow(History(), values[:31_000])
    earlier = points_of(history)
    later = points_of(grow(history, values[31_000:]))
    assert later.together == 2 * earlier.together
    cells = values[: 31_000 // later.together * later.together].reshape(-1, later.together)
    heights = {y for _, y in drawn(later)}
    assert set(cells.min(axis=1).tolist()) | set(cells.max(axis=1).tolist()) <= heights


def test_looking_changes_nothing() -> None:
    values = noise(90_000)
    watched, alone = History(), History()
    for start in range(0, 90_000, 1_000):
        grow(watched, values[start : start + 1_000])
        grow(alone, values[start : start + 1_000])
        points_of(watched, newest=None if start % 2 else 20_000)
    for newest in (None, 500, 20_000):
        one, other = points_of(watched, newest=newest), points_of(alone, newest=newest)
        np.testing.assert_array_equal(one.x, other.x)
        np.testing.assert_array_equal(one.y, other.y)


@pytest.mark.parametrize("newest", [1, 2_000, 5_000, AMPLE.raw])
def test_a_window_within_the_raw_points_has_exactly_its_points(newest: int) -> None:
    values = noise(200_000)
    points = points_of(grow(History(), values), newest=newest)
    assert (points.count, points.steps) == (newest, (200_000.0 - newest, 199_999.0))
    assert points.values == (values[-newest:].min(), values[-newest:].max())
    if newest <= MOST_POINTS:
        assert points.y.tolist() == values[-newest:].tolist()


@pytest.mark.parametrize("newest", [17_000, 40_000, 123_456, 900_000])
def test_a_longer_window_is_as_fine_as_a_run_of_its_length(newest: int) -> None:
    history = grow(History(), noise(1_000_000))
    sizes = set()
    for _ in range(20):
        points = points_of(grow(history, noise(AMPLE.fold // 3)), newest=newest)
        sizes.add(points.together)
        assert newest * 0.99 - FIRST_BUCKET <= points.count <= newest
    assert len(sizes) == 1
    assert MOST_POINTS / 4 <= newest / sizes.pop() <= MOST_POINTS / 2


@pytest.mark.parametrize("newest", [1_025, 2_000, 5_000, 20_000, 100_000])
def test_in_narrow_room_a_longer_window_is_coarser_and_hardly_shorter(newest: int) -> None:
    history = grow(History(NARROW), noise(3_000_000))
    for _ in range(20):
        coarsest = history.kept().folded.coarsest
        points = points_of(grow(history, noise(NARROW.fold // 3)), newest=newest, smoothing=0.9)
        assert newest * 15 / 16 <= points.count <= newest + coarsest
        assert points.average is not None
        assert points.average.x[0] >= points.x[0]


def test_what_cannot_be_drawn_is_counted_over_the_whole_run() -> None:
    values = np.abs(noise(500_000)) + 0.1
    values[[7, 70_000, 499_999]] = np.nan
    values[[8, 250_000]] = [math.inf, -math.inf]
    values[[9, 300_000, 300_001, 300_002]] = [-3.0, 0.0, -4.0, 0.0]
    history = grow(History(), values)
    log, linear = points_of(history, log=True), points_of(history)
    assert (log.nan, log.infinite, log.not_positive) == (3, 2, 4)
    assert (linear.nan, linear.infinite, linear.not_positive) == (3, 2, 0)
    assert log.values == (values[values > 0].min(), values[np.isfinite(values)].max())
    assert linear.values == (-4.0, values[np.isfinite(values)].max())
    assert {7.0, 8.0, 70_000.0, 250_000.0, 499_999.0} == set(linear.broken.tolist())
    for points, holes in ((log, [7, 9, 70_000, 250_000, 300_000]), (linear, [7, 70_000, 250_000])):
        for hole in holes:
            assert np.isnan(points.y[np.abs(points.x - hole) <= points.together]).any()


def test_the_smallest_positive_value_is_drawn_on_a_log_axis_beside_smaller_ones() -> None:
    values = np.ones(100_000)
    values[50_000:50_004] = [1e-6, -1.0, 0.0, 1e6]
    points = points_of(grow(History(), values), log=True)
    assert {(50_000.0, 1e-6), (50_003.0, 1e6)} <= drawn(points)


def test_a_line_never_joins_two_passes_over_the_same_steps() -> None:
    """Ten passes: the line ends where the steps go back and begins again."""
    length = 20_000
    points = points_of(grow(History(), noise(10 * length), np.tile(np.arange(length), 10)))
    back = np.flatnonzero(np.diff(points.x) < 0)
    assert back.size == 9
    assert np.isnan(points.y[back + 1]).all() or np.isnan(points.y[back]).all()
    assert (points.x == length - 1.0).sum() >= 10


@pytest.mark.parametrize("length", [1, 3, 40, 700])
def test_a_run_of_countless_passes_is_drawn_as_points_and_stays_small(length: int) -> None:
    values = noise(120_000)
    values[60_000] = 99.0
    steps = np.arange(120_000) % length if length > 1 else -np.arange(120_000)
    points = points_of(grow(History(), values, steps))
    assert (float(steps[60_000]), 99.0) in drawn(points)
    assert points.x.size <= 2 * MOST_POINTS + 10
    joined = ~np.isnan(points.y[1:]) & ~np.isnan(points.y[:-1])
    assert (np.diff(points.x)[joined] >= 0).all()


# -- heat map


def test_the_heat_map_of_a_long_run_has_no_holes_and_the_loads_of_its_time() -> None:
    count = 400_000
    first = np.linspace(0.2, 0.8, count)
    histories = [grow(History(), first), grow(History(), 1.0 - first)]
    table = load_table(histories, 2)
    assert table is not None
    assert 300 < table.loads.shape[1] <= MOST_COLUMNS + 1
    assert not np.isnan(table.loads).any()
    expected = np.interp(table.first + table.per_column * np.arange(table.loads.shape[1]), np.arange(count), first)
    np.testing.assert_allclose(table.loads[0] / 2, expected, atol=0.005)
    np.testing.assert_allclose(table.loads.sum(axis=0), 2.0)


def test_the_heat_map_shows_where_nothing_was_given_also_in_a_long_run() -> None:
    loads = np.full(200_000, 0.5)
    loads[50_000:100_000] = np.nan
    table = load_table([grow(History(), loads), grow(History(), np.full(200_000, 0.5))], 2)
    assert table is not None
    missing = np.isnan(table.loads[0]).mean()
    assert 0.23 < missing < 0.26
    assert not np.isnan(table.loads[1]).any()


@pytest.mark.parametrize("room", [AMPLE, NARROW])
@pytest.mark.parametrize("after", [300, 20_000, 100_000, 400_000])
def test_a_stretch_without_loads_stays_grey_in_the_heat_map(room: Room, after: int) -> None:
    """Whether its ends are raw or in a bucket, which is not the same for experts that fold in turn."""
    steps = np.concatenate((np.arange(90_000), np.arange(90_000 + after, 90_000 + 2 * after)))
    histories = [grow(History(room), np.ones(steps.size), steps) for _ in range(2)]
    histories[1].room = Room(room.raw, 512, room.levels, room.buckets)
    histories[1].fold()
    table = load_table(histories, 2)
    assert table is not None
    columns = table.first + table.per_column * np.arange(table.loads.shape[1])
    near = 0.005 * steps[-1] + table.per_column
    given = (columns < 90_000 - near) | (columns > 90_000 + after + near)
    np.testing.assert_allclose(table.loads[:, given], 1.0)
    assert np.isnan(table.loads[:, (columns > 90_000 + near) & (columns < 90_000 + after - near)]).all()


def test_a_window_of_the_heat_map_is_made_of_raw_points() -> None:
    history = grow(History(), np.linspace(0.0, 1.0, 100_000))
    table = load_table([history], 1, newest=700)
    assert table is not None
    assert (table.first, table.last, table.together) == (99_300.0, 99_999.0, 1)


@pytest.mark.parametrize(("experts", "newest", "length"), [(16, 20_000, 60_000), (96, 2_000, 30_000)])
def test_a_window_of_the_heat_map_is_fair_to_equal_experts_that_fold_in_turn(
    experts: int, newest: int, length: int
) -> None:
    """The window of each begins with another bucket; one that came late was not given before, and stays grey."""
    numbers = NamedHistories()
    late = length - newest // 4
    for step in range(length):
        given = experts - (step < late)
        numbers.record(TrainingSnapshot(step, 1.0, expert_utilization=dict.fromkeys(range(given), 1.0)))
        if step % 1_900 == 0 and newest < step < late:
            histories = numbers.histories()
            table = load_table([histories[expert_name(i)] for i in range(given)], given, newest)
            assert table is not None
            assert table.last - table.first >= 0.8 * newest
            np.testing.assert_allclose(table.loads, 1.0)
    histories = numbers.histories()
    table = load_table([histories[expert_name(i)] for i in range(experts)], experts, newest)
    assert table is not None
    assert not np.isnan(table.loads[:-1]).any()
    columns = table.first + table.per_column * np.arange(table.loads.shape[1])
    np.testing.assert_array_equal(np.isnan(table.loads[-1]), columns < late - table.per_column / 2)
