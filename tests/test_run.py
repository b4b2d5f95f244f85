"""A run can be told from every other, and a length that cannot be one is refused."""

from __future__ import annotations

import dataclasses
import random
import time
from typing import Any

import numpy as np
import pytest

from m.metrics.run import Run, check_total_steps, run_begun_by


def test_by_default_a_run_has_no_length_and_begins_at_nothing() -> None:
    before = time.time()
    run = Run()
    assert (run.description, run.total_steps, run.initial_step, run.attempt) == ("Training", None, 0, 1)
    assert before <= run.started_at <= time.time()
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.description = "other"  # type: ignore[misc]


@pytest.mark.fault("C8")
def test_ids_differ_even_after_the_same_seed() -> None:
    """An id from a seeded generator repeats with the seed, and the generator's state is copied by fork."""
    ids = set()
    for _ in range(100):
        random.seed(0)
        ids.add(Run().run_id)
    assert len(ids) == 100
    assert all(len(run_id) == 12 and int(run_id, 16) >= 0 for run_id in ids)


@pytest.mark.parametrize(("given", "expected"), [(None, None), (0, 0), (1000, 1000), (np.int64(7), 7)])
def test_a_whole_number_or_none_is_a_length(given: Any, expected: int | None) -> None:
    got = check_total_steps(given)
    assert got == expected
    assert got is None or type(got) is int


@pytest.mark.parametrize("given", ["1000", 10.0, True, [1], float("nan")])
def test_what_is_no_whole_number_is_no_length(given: Any) -> None:
    with pytest.raises(TypeError, match="total_steps must be a whole number, or None"):
        check_total_steps(given)


def test_a_negative_length_is_refused_under_its_own_name() -> None:
    with pytest.raises(ValueError, match="total must be 0 or more, or None"):
        check_total_steps(-1, "total")


@pytest.mark.parametrize(("step", "initial"), [(0, 0), (1, 0), (-3, 0), (2, 2), (5000, 5000)])
def test_a_run_that_nobody_started_begins_where_its_first_snapshot_says(step: int, initial: int) -> None:
    run = run_begun_by(step)
    assert (run.total_steps, run.initial_step) == (None, initial)
