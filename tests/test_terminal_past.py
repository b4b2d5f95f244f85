"""What is kept of every metric's past: bounded, nothing averaged away, averages by the formula."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m.metrics.snapshot import TrainingSnapshot
from sinks.terminal.past import EMA_DECAY, MANY_CELLS, MOST_CELLS, Average, Past


def put(past: Past, *snapshots: TrainingSnapshot) -> None:
    if snapshots:
        past.add(snapshots, [each.step for each in snapshots], None)


def past_of(values: list[float | None], folds: int = 1) -> Past:
    """The past of a run with these training losses, put into cells in ``folds`` portions."""
    past = Past()
    portion = max(len(values) // folds, 1)
    snapshots = [TrainingSnapshot(step=step, train_loss=value) for step, value in enumerate(values)]  # type: ignore[arg-type]
    for start in range(0, len(values), portion):
        put(past, *snapshots[start : start + portion])
    return past


@given(st.lists(st.sampled_from([None, 1.0, math.nan, math.inf, 5]), max_size=40), st.integers(1, 12))
def test_it_is_known_since_when_a_metric_is_not_finite(values: list[float | None], portion: int) -> None:
    past, since = Past(), None
    for start in range(0, len(values), portion):
        some = list(enumerate(values))[start : start + portion]
        put(past, *(TrainingSnapshot(step, 1.0, custom_metrics={"a": value}) for step, value in some))
        for step, value in some:
            if value is not None:
                since = None if value in (1.0, 5) else step if since is None else since
        assert past.nonfinite_since("a") == since


@pytest.mark.parametrize("folds", [1, 7, 1000])
@pytest.mark.parametrize("length", [1, 511, 512, 513, 1024, 1025, 5000])
def test_cells_hold_the_extremes_of_their_snapshots_however_they_came(length: int, folds: int) -> None:
    noise = random.Random(length)
    values = [noise.gauss(0.0, 1.0) for _ in range(length)]
    past = past_of(list(values), folds)
    series = past.series["train_loss"]

    assert len(series.low) == len(series.mean) == len(series.high) == len(past.steps) <= MOST_CELLS
    assert past.span * len(past.steps) >= length
    for cell, step in enumerate(past.steps):
        held = values[cell * past.span : (cell + 1) * past.span]
        assert step == cell * past.span
        assert series.low[cell] == min(held)
        assert series.high[cell] == max(held)
        assert series.mean[cell] == pytest.approx(sum(held) / len(held), abs=1e-9)


@pytest.mark.parametrize("before", [0, 1, 255, 256, 301, 512, 700, 1023, 3000])
def test_cells_are_longer_sooner_where_snapshots_come_fast(before: int) -> None:
    values = [float(step % 777) for step in range(before + 4000)]
    past = past_of(list(values[:before]), max(before, 1))
    for start in range(before, len(values), 500):
        put(past, *(TrainingSnapshot(step=step, train_loss=values[step]) for step in range(start, start + 500)))
    series = past.series["train_loss"]
    assert MANY_CELLS * past.span >= 500
    assert MOST_CELLS / 4 <= len(past.steps) <= MOST_CELLS
    for cell, step in enumerate(past.steps):
        held = values[step : step + past.span]
        assert (step, series.low[cell], series.high[cell]) == (cell * past.span, min(held), max(held))


@given(st.lists(st.one_of(st.none(), st.floats()), max_size=1200), st.integers(1, 50))
def test_whatever_the_values_the_lists_agree_and_what_is_not_finite_is_marked(
    values: list[float | None], folds: int
) -> None:
    past = past_of(values, folds)
    series = past.series.get("train_loss")
    if series is None:
        assert all(value is None for value in values)
        return
    assert len(series.low) == len(series.mean) == len(series.high) == len(past.steps)
    broken = {step // past.span for step, value in enumerate(values) if value is not None and not math.isfinite(value)}
    assert series.broken == broken
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if finite:
        assert min(value for value in series.low if value is not None) == min(finite)
        assert max(value for value in series.high if value is not None) == max(finite)


def test_a_spike_of_one_step_in_a_hundred_thousand_is_kept() -> None:
    values: list[float | None] = [1.0] * 100_000
    values[54_321] = 40.0
    series = past_of(values, 20).series["train_loss"]
    assert series.high.count(40.0) == 1


def test_all_metrics_share_one_axis_and_those_that_come_late_begin_late() -> None:
    past = Past()
    for step in range(100):
        customs = {"late": 1.0, "word": "warmup", "huge": 10**400} if step >= 60 else {}
        val_loss = 2.0 if step % 20 == 0 else None
        put(past, TrainingSnapshot(step=step, train_loss=1.0, val_loss=val_loss, custom_metrics=customs))
    assert past.series["late"].low == [None] * 60 + [1.0] * 40
    assert [at for at, value in enumerate(past.series["val_loss"].low) if value is not None] == [0, 20, 40, 60, 80]
    assert not past.series["word"].broken  # a word is no number that broke
    assert {len(series.low) for series in past.series.values()} == {100}


@given(st.lists(st.one_of(st.none(), st.floats()), max_size=300), st.integers(1, 50))
def test_the_newest_values_are_kept_as_they_were_measured_however_they_came(
    values: list[float | None], folds: int
) -> None:
    series = past_of(values, folds).series.get("train_loss")
    measured = [value for value in values if value is not None]
    if series is None:
        assert not measured
        return
    assert series.measured == len(measured)
    assert [repr(value) for value in series.newest] == [repr(value) for value in measured[-64:]]


def test_a_word_is_none_of_the_newest_values() -> None:
    past = Past()
    for step, phase in enumerate(["warmup", 1.0, "decay", None, True]):
        put(past, TrainingSnapshot(step=step, train_loss=1.0, custom_metrics={"phase": phase}))
    assert list(past.series["phase"].newest) == [1.0, True]
    assert past.series["phase"].measured == 2


def test_the_best_is_judged_by_the_name() -> None:
    past = Past()
    for step, value in enumerate([3.0, 1.0, math.nan, 2.0]):
        customs = {"accuracy": value, "error": value, "entropy": value}
        put(past, TrainingSnapshot(step=step, train_loss=1.0, custom_metrics=customs))
    assert (past.series["accuracy"].best, past.series["accuracy"].best_step) == (3.0, 0)
    assert (past.series["error"].best, past.series["error"].best_step) == (1.0, 1)
    assert past.series["entropy"].best is None


def test_the_average_is_adams_with_its_bias_taken_out() -> None:
    noise = random.Random(0)
    values = [noise.random() for _ in range(300)]
    average, m = Average(), 0.0
    for count, value in enumerate(values, 1):
        average.add([value])
        m = EMA_DECAY * m + (1 - EMA_DECAY) * value
        assert average.value == pytest.approx(m / (1 - EMA_DECAY**count))
    at_once = Average()
    at_once.add(values)
    assert at_once.value == pytest.approx(average.value)


def test_what_is_not_finite_leaves_the_average_as_it_is() -> None:
    past = past_of([1.0, 3.0])
    before = past.ema("train_loss")
    put(past, *(TrainingSnapshot(step=2, train_loss=value) for value in (math.nan, None, math.inf)))  # type: ignore[arg-type]
    assert past.ema("train_loss") == before == pytest.approx((EMA_DECAY + 3.0) / (EMA_DECAY + 1.0))


def test_the_first_average_is_the_first_value_and_before_there_is_none() -> None:
    average = Average()
    assert average.value is None
    average.add([2.5])
    assert average.value == pytest.approx(2.5)
