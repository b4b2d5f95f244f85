import copy
import math
import pickle
import random
import statistics
import subprocess
import sys
import threading
from array import array
from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m.metrics import buckets
from m.metrics.history import AMPLE, CHUNK_POINTS, FIRST_BUCKET, NARROW, History, Room
from m.metrics.running import Running


def history_of(*values: float) -> History:
    history = History()
    for step, value in enumerate(values):
        history.append(step, value)
    return history


def test_columns_are_the_points_in_order_and_copies() -> None:
    history = history_of(1.0, 2.0, 3.0)
    steps, values = history.columns()
    history.append(3, 4.0)
    assert list(steps) == [0.0, 1.0, 2.0]
    assert list(values) == [1.0, 2.0, 3.0]
    assert list(history.columns(newest=2)[1]) == [3.0, 4.0]
    assert list(history.columns(newest=9)[1]) == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("count", [1, CHUNK_POINTS - 1, CHUNK_POINTS, 3 * CHUNK_POINTS + 7])
def test_any_number_of_the_newest_are_the_end_of_all_points(count: int) -> None:
    values = [float(value) for value in range(count)]
    history = long_history(values)
    for newest in {0, 1, 6, 7, 8, CHUNK_POINTS, CHUNK_POINTS + 7, CHUNK_POINTS + 8, count - 1, count, count + 5}:
        kept = history.kept(newest)
        wanted = values[max(count - newest, 0) :]
        assert (kept.start, list(kept.steps), list(kept.values)) == (count - len(wanted), wanted, wanted)


def test_summary_goes_on_where_it_stopped() -> None:
    history = history_of(4.0, 2.0)
    assert history.summary().mean == 3.0
    history.append(2, 9.0)
    summary = history.summary()
    assert (summary.current, summary.min, summary.max, summary.mean, summary.count) == (9.0, 2.0, 9.0, 5.0, 3)


@pytest.mark.fault("F18")
def test_nan_and_inf_count_apart() -> None:
    summary = history_of(1.0, math.nan, 3.0, math.inf).summary()
    assert (summary.min, summary.max, summary.mean, summary.count, summary.nonfinite) == (1.0, 3.0, 2.0, 4, 2)
    assert summary.current == math.inf


def test_an_empty_history_and_one_of_nan_have_no_figures() -> None:
    for history in (History(), history_of(math.nan)):
        summary = history.summary()
        assert math.isnan(summary.min)
        assert math.isnan(summary.mean)
        assert math.isnan(summary.current)


@pytest.mark.fault("F18")
@pytest.mark.parametrize("values", [(1.7e308, -1.7e308, 1.7e308), (sys.float_info.max,) * 7])
def test_the_mean_of_the_largest_floats_does_not_overflow(values: tuple[float, ...]) -> None:
    history = history_of(*values)
    assert min(values) <= history.summary().mean <= max(values)
    history.append(9, values[0])
    assert math.isfinite(history.summary().mean)


def test_a_step_no_float_can_hold_leaves_the_columns_as_they_were() -> None:
    """The value used to be appended first: from then on every value stood at the step of another."""
    history = history_of(1.0)
    with pytest.raises(OverflowError):
        history.append(10**400, 2.0)
    history.append(1, 3.0)
    assert [list(column) for column in history.columns()] == [[0.0, 1.0], [1.0, 3.0]]


def test_a_value_without_its_step_is_no_point_and_can_be_taken_away() -> None:
    """Left there, it would make a step of every later value and a value of every later step."""
    history = history_of(1.0)
    history.appender(2.0)
    assert len(history) == 1
    assert [list(column) for column in history.columns()] == [[0.0], [1.0]]
    history.mend()
    history.mend()
    history.append(1, 3.0)
    assert [list(column) for column in history.columns()] == [[0.0, 1.0], [1.0, 3.0]]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda history: pickle.loads(pickle.dumps(history))])
def test_a_copy_has_columns_of_its_own(duplicate) -> None:  # type: ignore[no-untyped-def]
    """The appender is a method of the array, which a deepcopy would share: the copy would write into the original."""
    history = history_of(1.0, 2.0)
    copied = duplicate(history)
    copied.append(2, 5.0)
    assert len(history) == 2
    assert list(copied.columns()[1]) == [1.0, 2.0, 5.0]


# -- long runs


ROOMS = [pytest.param(AMPLE, id="ample"), pytest.param(NARROW, id="narrow")]


def long_history(
    values: list[float], steps: list[float] | None = None, every: int = 2048, room: Room = AMPLE
) -> History:
    """A history that folds as `NamedHistories` has it fold."""
    history = History(room)
    for at, (step, value) in enumerate(zip(range(len(values)) if steps is None else steps, values, strict=True)):
        history.append(step, value)
        if at % every == every - 1:
            history.fold()
    return history


def table_of(history: History) -> np.ndarray:
    """All buckets, old to new."""
    return np.concatenate(history.kept().folded.levels[::-1], axis=1)


def alternating(steps: Sequence[float], values: Sequence[float]) -> list[float]:
    """Points as they stand in a history that has not folded them yet."""
    return [each for step, value in zip(steps, values, strict=True) for each in (value, step)]


def bytes_of(history: History) -> int:
    kept = history.kept()
    columns = (history._newest, *(column for chunk in history._chunks for column in chunk))
    raw = sum(sys.getsizeof(column) for column in columns)
    return raw + sum(level.base.nbytes if level.base is not None else level.nbytes for level in kept.folded.levels)


def test_a_short_run_is_raw_and_loads_no_numpy() -> None:
    code = (
        "import sys; from m.metrics.history import AMPLE, History; history = History()\n"
        "for step in range(AMPLE.raw + AMPLE.fold - 1): history.append(step, 1.0)\n"
        "history.fold(); history.summary(); loaded = 'numpy' in sys.modules\n"
        "history.append(step, 1.0); history.fold(); sys.exit(loaded or 'numpy' not in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_are_made_of_whole_chunks(room: Room) -> None:
    assert room.raw % CHUNK_POINTS == room.fold % CHUNK_POINTS == 0


@pytest.mark.parametrize("room", ROOMS)
def test_a_long_run_keeps_its_newest_points_raw(room: Room) -> None:
    values = [float(value) for value in range(100_000)]
    history = long_history(values, room=room)
    assert len(history) == 100_000
    steps, kept = history.columns()
    assert room.raw <= len(kept) < room.raw + room.fold + 2048
    assert list(kept) == list(steps) == values[-len(kept) :]
    assert list(history.columns(newest=3)[1]) == values[-3:]
    assert history.kept(3).start == 99_997


@pytest.mark.parametrize("room", ROOMS)
def test_buckets_and_raw_points_are_the_whole_run_without_a_gap(room: Room) -> None:
    history = long_history([0.0] * 100_000, room=room)
    table = table_of(history)
    assert table[buckets.START, 0] == 0
    ends = table[buckets.START] + table[buckets.COUNT]
    assert (table[buckets.START, 1:] == ends[:-1]).all()
    assert ends[-1] == history.kept().start
    assert (table[buckets.START] % table[buckets.COUNT] == 0).all()  # a bucket lies where its size says


@pytest.mark.fault("H1")
@pytest.mark.parametrize(("room", "most_bytes"), [(AMPLE, 1_200_000), (NARROW, 200_000)], ids=["ample", "narrow"])
def test_memory_does_not_grow_with_the_run(room: Room, most_bytes: int) -> None:
    """Three million points, in folds of many at once: the last level has doubled its buckets several times."""
    history = History(room)
    most = 0
    fresh = array("d", np.random.default_rng(0).normal(size=60 * 3072))
    for turn in range(17):
        start = turn * len(fresh)
        history._newest.extend(alternating(range(start, start + len(fresh)), fresh))
        history.fold()
        most = max(most, max(level.shape[1] for level in history.kept().folded.levels))
        assert table_of(history)[buckets.COUNT].max() <= len(history) / room.buckets  # and no coarser than it must be
    assert len(history) > 3_000_000
    assert history.kept().folded.coarsest > FIRST_BUCKET << (room.levels - 1)
    assert len(history.kept().folded.levels) == room.levels
    assert most <= 2 * room.buckets
    assert bytes_of(history) < most_bytes


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("length", [1, 2, 3, 17, 100])
def test_memory_is_bounded_however_often_steps_go_back(length: int, room: Room) -> None:
    values = [float(at % 7) for at in range(120_000)]
    steps = [float(at % length) if length > 1 else -float(at) for at in range(120_000)]
    history = long_history(values, steps, room=room)
    table = table_of(history)
    assert max(level.shape[1] for level in history.kept().folded.levels) <= 3 * room.buckets
    assert table[buckets.COUNT].sum() == history.kept().start
    within = table[buckets.CROSSED] == 0.0  # only marked buckets hold a step that goes back
    spans = table[buckets.LATEST, within] - table[buckets.EARLIEST, within]
    assert (spans == table[buckets.COUNT, within] - 1).all()


@pytest.mark.parametrize("before", [3_000, 16_000, 60_000, 700_000])
def test_room_that_is_taken_away_is_given_up_and_nothing_is_lost(before: int) -> None:
    """What stood out stays, figures stay exact, and the run is as fine as if there had been no more room before."""
    values = np.random.default_rng(before).normal(size=before + 20_000).tolist()
    spikes = {at: 100.0 + at for at in (before // 3, before - 1, before + 9_000)}
    for at, value in spikes.items():
        values[at] = value
    history = long_history(values[:before])
    history.room = NARROW
    for step in range(before, len(values)):
        history.append(step, values[step])
        if step % 2048 == 2047:
            history.fold()
    assert bytes_of(history) < 200_000
    table, kept = table_of(history), history.kept()
    assert len(kept.folded.levels) == 1
    assert (table[buckets.START, 1:] == (table[buckets.START] + table[buckets.COUNT])[:-1]).all()
    assert table[buckets.COUNT].sum() == kept.start
    always_narrow = table_of(long_history(values, room=NARROW))
    assert table[buckets.COUNT].max() <= 2 * always_narrow[buckets.COUNT].max()
    tops = set(table[buckets.GREATEST + 2].tolist()) | set(kept.values)
    assert all(value in tops for value in spikes.values())
    summary = history.summary()
    assert (summary.count, summary.max, summary.min) == (len(values), max(values), min(values))
    assert summary.mean == pytest.approx(statistics.fmean(values))


def test_room_that_is_given_back_is_used_again() -> None:
    values = np.random.default_rng(0).normal(size=200_000).tolist()
    history = long_history(values[:100_000], room=NARROW)
    coarse = table_of(history)[buckets.COUNT].max()
    history.room = AMPLE
    for step in range(100_000, len(values)):
        history.append(step, values[step])
        if step % 2048 == 2047:
            history.fold()
    table = table_of(history)
    assert table[buckets.COUNT].sum() == history.kept().start
    assert table[buckets.COUNT].max() == coarse
    assert len(history.columns()[0]) >= AMPLE.raw


def test_a_copy_has_the_same_room() -> None:
    history = long_history([1.0] * 30_000, room=NARROW)
    for copied in (copy.deepcopy(history), pickle.loads(pickle.dumps(history))):
        assert copied.room == NARROW
        assert copied.columns() == history.columns()


def test_few_segments_are_never_put_together() -> None:
    lengths = [5_000, 2, 3, 30_000, 7, 20_000, 33]
    steps = [float(step) for length in lengths for step in range(length)]
    table = table_of(long_history([1.0] * (len(steps) + 40_000), [*steps, *map(float, range(40_000))]))
    assert not table[buckets.CROSSED].any()
    borders = table[buckets.START, table[buckets.BORDER] > 0.0]
    assert borders.tolist() == [float(end) for end in accumulate(lengths)]


@given(
    st.lists(st.tuples(st.integers(0, 59_999), st.sampled_from([math.nan, math.inf, 1e9, -1e9, 7e8])), max_size=12),
    st.integers(1, 60_000),
)
@settings(max_examples=15, deadline=None)
def test_every_spike_and_every_hole_is_in_a_bucket(spikes: list[tuple[int, float]], length: int) -> None:
    values = [random.Random(1).random()] * length
    for at, spike in spikes:
        if at < length:
            values[at] = spike
    history = long_history(values)
    if not history.kept().start:
        return
    folded = values[: history.kept().start]
    table = table_of(history)
    starts = table[buckets.START].astype(int).tolist()
    for column, (first, end) in enumerate(pairwise([*starts, len(folded)])):
        finite = [value for value in folded[first:end] if math.isfinite(value)]
        if finite:
            assert table[buckets.LEAST + 2, column] == min(finite)
            assert table[buckets.GREATEST + 2, column] == max(finite)
        assert table[buckets.NAN, column] == sum(map(math.isnan, folded[first:end]))
        assert math.isnan(table[buckets.BREAK, column]) is (len(finite) == end - first)


def test_the_summary_is_exact_whenever_it_is_asked_for() -> None:
    rng = random.Random(2)
    values = [rng.lognormvariate(0.0, 3.0) for _ in range(50_000)]
    values[30_000] = math.nan
    values[100] = -math.inf
    finite = [value for value in values if math.isfinite(value)]
    history = History()
    for at, value in enumerate(values):
        history.append(at, value)
        if at % 2048 == 2047:
            history.fold()
        if at in (5, 15_000, 15_001, 40_000):
            assert history.summary().count == at + 1
    summary = history.summary()
    assert (summary.min, summary.max, summary.count, summary.nonfinite) == (min(finite), max(finite), 50_000, 2)
    assert summary.mean == pytest.approx(statistics.fmean(finite), rel=1e-15)
    assert summary.current == values[-1]


def test_the_mean_keeps_its_digits_beside_large_values() -> None:
    """A running mean in one float forgets the ones: 1e17 + 1 == 1e17."""
    running = Running().with_values([1e17])
    for _ in range(10_000):
        running = running.with_values([1.0])
    assert running.with_values([-1e17]).mean == 10_000 / 10_002


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda history: pickle.loads(pickle.dumps(history))])
def test_a_copy_of_a_long_history_goes_its_own_way(duplicate) -> None:  # type: ignore[no-untyped-def]
    history = long_history([float(value % 100) for value in range(50_000)])
    copied = duplicate(history)
    assert len(copied) == 50_000
    assert copied.summary() == history.summary()
    before = len(history.kept().steps)
    for step in range(2 * AMPLE.fold):
        copied.append(50_000 + step, 1000.0)
    copied.fold()
    assert len(copied) == 50_000 + 2 * AMPLE.fold
    assert copied.summary().max == 1000.0
    assert (len(history), len(history.kept().steps), history.summary().max) == (50_000, before, 99.0)


def test_a_reader_in_the_middle_of_a_fold_waits_for_its_end() -> None:
    history = History()
    seen: list[tuple[float, ...]] = []

    def read() -> None:
        kept = history.kept()
        seen.append((len(history), kept.start, kept.steps[0], kept.values[0]))

    reader = threading.Thread(target=read)

    class SlowColumn(array):  # type: ignore[type-arg]
        def __delitem__(self, which) -> None:  # type: ignore[no-untyped-def]
            super().__delitem__(which)
            reader.start()
            reader.join(timeout=0.05)

    history._newest = SlowColumn("d", alternating(range(CHUNK_POINTS + 1), range(CHUNK_POINTS + 1)))
    history.fold()
    reader.join()
    assert seen == [(CHUNK_POINTS + 1, 0, 0.0, 0.0)]


def test_a_reader_never_sees_chunks_that_are_half_moved_into_buckets() -> None:
    history = History()
    seen = []

    def read() -> None:
        kept = history.kept()
        seen.append((len(history), kept.start, kept.steps[0], kept.values[0]))

    reader = threading.Thread(target=read)

    class SlowList(list):  # type: ignore[type-arg]
        def __delitem__(self, which) -> None:  # type: ignore[no-untyped-def]
            reader.start()
            reader.join(timeout=0.05)
            super().__delitem__(which)

    history._chunks = SlowList()
    length = AMPLE.raw + AMPLE.fold
    history._newest.extend(alternating(range(length), range(length)))
    history.fold()
    reader.join()
    assert seen == [(length, AMPLE.fold, AMPLE.fold, AMPLE.fold)]


def test_the_newest_points_are_had_wherever_they_stand() -> None:
    values = [float(value) for value in range(3 * CHUNK_POINTS + 100)]
    history = long_history(values)
    history.fold()
    assert len(history._chunks) == 3
    for newest in (0, 1, 99, 100, 101, CHUNK_POINTS, CHUNK_POINTS + 100, 3 * CHUNK_POINTS, 5 * CHUNK_POINTS):
        wanted = values[len(values) - newest :] if 0 < newest < len(values) else values if newest else []
        assert list(history.columns(newest)[1]) == list(history.columns(newest)[0]) == wanted
        assert history.kept(newest).start == len(values) - len(wanted)


def test_a_reader_beside_the_loop_sees_all_points_once_and_in_order() -> None:
    """Points move from the columns into buckets while others read: none may be seen twice, missing, or half moved."""
    history = History()
    done = threading.Event()
    faults: list[str] = []
    reads = [0]

    def read() -> None:
        longest = 0
        while not done.is_set():
            reads[0] += 1
            length = len(history)
            kept = history.kept()
            total = kept.start + len(kept.steps)
            if not longest <= length <= total:
                faults.append(f"{length} points after {longest}, of {total}")
            longest = total
            if len(kept.steps) != len(kept.values):
                faults.append("columns of different length")
            if kept.steps and (kept.steps[0] != kept.start or kept.values[0] != kept.start):
                faults.append(f"{kept.steps[0]} at {kept.start}")
            if kept.steps and kept.steps[-1] != total - 1:
                faults.append(f"{kept.steps[-1]} is the last of {total}")

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    reader = threading.Thread(target=read)
    reader.start()
    try:
        for at in range(300_000):
            history.append(at, at)
            if at % 2048 == 2047:
                history.fold()
    finally:
        done.set()
        reader.join()
        sys.setswitchinterval(interval)
    assert faults == []
    assert reads[0] > 10


def test_many_points_at_once_are_the_same_as_one_by_one() -> None:
    steps = array("d", range(60_000))
    values = array("d", (math.sin(step) for step in steps))
    one_by_one, at_once = History(), History()
    for step, value in zip(steps, values, strict=True):
        one_by_one.append(step, value)
        if step % 2048 == 2047:
            one_by_one.fold()
    for start in (0, 50_000):
        at_once.extend(steps[start : start + 50_000], values[start : start + 50_000])
    at_once.fold()
    one_by_one.fold()
    assert one_by_one.summary() == at_once.summary()
    assert one_by_one.columns() == at_once.columns()
    np.testing.assert_array_equal(table_of(one_by_one), table_of(at_once))
    with pytest.raises(ValueError, match="not 3 and 2"):
        at_once.extend(steps[:3], values[:2])
