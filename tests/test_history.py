import copy
import math
import pickle
import sys

import pytest

from m.metrics.history import History


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


def test_summary_goes_on_where_it_stopped() -> None:
    history = history_of(4.0, 2.0)
    assert history.summary().mean == 3.0
    history.append(2, 9.0)
    summary = history.summary()
    assert (summary.current, summary.min, summary.max, summary.mean, summary.count) == (9.0, 2.0, 9.0, 5.0, 3)


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


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda history: pickle.loads(pickle.dumps(history))])
def test_a_copy_has_columns_of_its_own(duplicate) -> None:  # type: ignore[no-untyped-def]
    """The appenders are methods of the arrays, which a deepcopy would share: the copy would write into the original."""
    history = history_of(1.0, 2.0)
    copied = duplicate(history)
    copied.append(2, 5.0)
    assert len(history) == 2
    assert list(copied.columns()[1]) == [1.0, 2.0, 5.0]
