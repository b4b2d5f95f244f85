"""What the display remembers, and when its tables are due."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot
from sinks.terminal.course import Course
from sinks.terminal.past import MOST_SERIES
from sinks.terminal.state import MANY_ARRIVED, MAX_ALERTS, MAX_NAMES, MOST_ARRIVED, TOO_MANY_ARRIVED, State


def due_at(steps: list[int], interval: int) -> list[int]:
    state = State(interval=interval)
    return [step for step in steps if state.take(TrainingSnapshot(step=step, train_loss=1.0))]


def test_tables_are_due_at_multiples_of_the_interval() -> None:
    assert due_at(list(range(60)), 25) == [0, 25, 50]


@pytest.mark.fault("D17")
def test_a_loop_that_jumps_over_a_multiple_gets_its_table_at_the_first_step_past_it() -> None:
    assert due_at([1, 11, 21, 31, 41, 51, 61], 25) == [31, 51]


def test_steps_that_go_backwards_or_repeat_are_due_only_at_multiples() -> None:
    assert due_at([100, 101, 24, 25, 25, 26, 7], 25) == [100, 25, 25]


def test_a_loss_that_stops_being_finite_is_not_kept_back_until_the_next_interval() -> None:
    state = State(interval=25)
    losses = {1: 0.5, 2: math.nan, 3: math.nan, 4: 0.5, 5: math.inf}
    due = [step for step, loss in losses.items() if state.take(TrainingSnapshot(step=step, train_loss=loss))]
    assert due == [2, 5]


def test_neither_is_one_that_is_measured_now_and_then_nor_is_one_forgotten_while_others_are_finite() -> None:
    state = State(interval=100)
    losses = {1: 0.5, 2: None, 3: math.nan, 4: None, 5: math.inf, 6: 0.5, 7: None, 8: math.nan}
    due = []
    for step, loss in losses.items():
        aux = -math.inf if step in (4, 5) else 0.01
        if state.take(TrainingSnapshot(step=step, train_loss=1.0, val_loss=loss, aux_loss=aux)):
            due.append((step, dict(state.broken)))
    assert due == [(3, {"val_loss": 3}), (4, {"val_loss": 3, "aux_loss": 4}), (8, {"val_loss": 8})]


def test_a_course_keeps_first_best_and_newest_and_counts_what_is_not_finite() -> None:
    course = Course()
    for step, value in enumerate([3.0, math.nan, 1.0, -math.inf, 2.0]):
        course.add(step, value)
    assert (course.first, course.best, course.best_step, course.last, course.last_step) == (3.0, 1.0, 2, 2.0, 4)
    assert course.nonfinite == 2
    assert course.nonfinite_since is None


def test_the_view_stays_as_it_was_while_training_goes_on() -> None:
    state = State(interval=10)
    state.take(TrainingSnapshot(step=0, train_loss=2.0, custom_metrics={"a": 1.0}))
    view = state.view
    state.take(TrainingSnapshot(step=1, train_loss=1.0, custom_metrics={"a": 2.0}))
    assert view is state.view
    assert view is not None
    assert view.known == {"a": 1.0}
    assert view.courses["train_loss"].best == 2.0


def test_values_measured_now_and_then_stay_known() -> None:
    state = State(interval=1)
    state.take(TrainingSnapshot(step=0, train_loss=1.0, val_loss=0.7, learning_rate=0.1, custom_metrics={"rare": 5}))
    state.take(TrainingSnapshot(step=1, train_loss=1.0))
    assert state.courses["val_loss"].last == 0.7
    assert state.learning_rate == 0.1
    assert state.view is not None
    assert state.view.known == {"rare": 5}


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(-9, 9)), max_size=30), st.integers(1, 10))
def test_each_metric_is_known_as_it_was_measured_last_whatever_was_measured_when(
    customs: list[dict[str, int]], portion: int
) -> None:
    state, known = State(interval=10**9), {}
    for step, custom in enumerate(customs, 1):
        state.note(TrainingSnapshot(step=step, train_loss=1.0, custom_metrics=custom))
        known.update(custom)
        if step % portion == 0:
            state.catch_up(to_the_newest=True)
            assert state.known == known


def test_of_more_metrics_than_have_a_past_those_are_known_as_well_that_have_none() -> None:
    state = State(interval=10**9)
    for custom in ({"early": 1.0}, {f"at_{number}": float(number) for number in range(2 * MOST_SERIES)}):
        state.take(TrainingSnapshot(step=1, train_loss=1.0, custom_metrics=custom))
    for turn in (1.0, 2.0):
        custom = {f"at_{number}": turn for number in range(2 * MOST_SERIES - 1)}
        state.note(TrainingSnapshot(step=2, train_loss=1.0, custom_metrics={**custom, f"only_{turn}": turn}))
    state.catch_up(to_the_newest=True)
    assert (state.known["at_0"], state.known["only_1.0"], state.known["only_2.0"]) == (2.0, 1.0, 2.0)
    assert len(state.known) == 2 * MOST_SERIES + 3


@given(st.lists(st.one_of(st.none(), st.floats(), st.integers(-9, 9)), max_size=60), st.integers(1, 20))
def test_a_course_is_the_same_one_by_one_and_all_at_once(values: list[float | None], portion: int) -> None:
    one_by_one, at_once = Course(), Course()
    for step, value in enumerate(values):
        if value is not None:
            one_by_one.add(step, value)
    for start in range(0, len(values), portion):
        some = values[start : start + portion]
        at_once.extend(range(start, start + len(some)), some)
    for name in Course.__slots__:
        assert repr(getattr(one_by_one, name)) == repr(getattr(at_once, name)), name


def test_a_loss_that_was_never_given_is_not_invented() -> None:
    state = State(interval=1)
    state.take(TrainingSnapshot(step=0, train_loss=None))  # type: ignore[arg-type]
    assert state.courses["train_loss"].last is None


@pytest.mark.fault("F17")
def test_names_and_alerts_are_bounded() -> None:
    state = State(interval=1)
    for step in range(MAX_NAMES + 50):
        state.take(TrainingSnapshot(step=step, train_loss=1.0, custom_metrics={f"at_{step}": 1.0}))
        state.add_alert(Alert(step, "rule", "message"))
    assert len(state.known) == MAX_NAMES
    assert f"at_{MAX_NAMES + 49}" in state.known
    assert len(state.alerts) == MAX_ALERTS


@pytest.mark.parametrize(
    ("initial", "steps", "completed"),
    [
        (0, [0, 1, 2], 3),
        (0, [1, 2, 3], 3),
        (0, [10, 20], 20),
        (500, [500, 501], 502),
        (500, [501, 502], 502),
        (0, [], 0),
    ],
)
def test_loops_that_count_from_zero_and_from_one_end_at_their_total(
    initial: int, steps: list[int], completed: int
) -> None:
    state = State(interval=25, run=Run(initial_step=initial))
    for step in steps:
        state.take(TrainingSnapshot(step=step, train_loss=1.0))
    assert state.completed() == completed


@pytest.mark.parametrize(
    ("initial", "steps", "made"),
    [
        (0, [*range(100)] * 3, 300),
        (0, [*range(1, 101)] * 3, 300),
        (0, [*range(10, 101, 10)] * 3, 300),
        (0, [0, 0, 1, 1, 2, 2], 3),
        (0, [*range(500), *range(400, 600)], 700),
        (500, [*range(500, 601), *range(100)], 201),
        (500, [501, 502], 2),
        (0, [], 0),
    ],
)
def test_steps_that_begin_anew_with_each_epoch_or_at_a_checkpoint_were_made_all_the_same(
    initial: int, steps: list[int], made: int
) -> None:
    state = State(interval=25, run=Run(initial_step=initial))
    for step in steps:
        state.note(TrainingSnapshot(step=step, train_loss=1.0))
    assert state.made() == made


@pytest.mark.fault("F17")
def test_snapshots_do_not_pile_up_where_nobody_draws_and_neither_do_names() -> None:
    state = State(interval=10**9)
    for step in range(3 * MANY_ARRIVED):
        state.note(TrainingSnapshot(step=step, train_loss=1.0, custom_metrics={f"at_{step}": 1.0}))
        assert len(state.arrived) <= MANY_ARRIVED
    assert len(state.past.series) == MOST_SERIES
    state.take(TrainingSnapshot(step=0, train_loss=1.0, val_loss=2.0))
    assert "val_loss" in state.past.series  # a field finds its place however many names there were


def test_a_thread_that_draws_is_woken_first_and_not_relied_on() -> None:
    state, woken = State(interval=10**9), []
    state.wake = lambda: woken.append(len(state.arrived))
    for step in range(MOST_ARRIVED + 1):
        state.note(TrainingSnapshot(step=step, train_loss=1.0))
    assert woken == list(range(TOO_MANY_ARRIVED + 1, MOST_ARRIVED + 1))
    assert not state.arrived


@pytest.mark.fault("F17")
def test_a_thread_that_draws_is_let_run_for_moments_and_never_waited_for() -> None:
    state, patience = State(interval=10**9), []

    class Held:
        """The display is at it."""

        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
            patience.append(timeout)
            return False

        def _is_owned(self) -> bool:
            return False

    lock, state.past.lock = state.past.lock, Held()  # type: ignore[assignment]
    for step in range(MOST_ARRIVED + 200):
        state.note(TrainingSnapshot(step=step, train_loss=1.0))
    assert len(state.arrived) == MOST_ARRIVED + 200
    assert set(patience) == {0.0, 0.001}
    assert patience.count(0.001) <= len(patience) // 64 + 1
    state.past.lock = lock
    state.note(TrainingSnapshot(step=0, train_loss=1.0))
    assert not state.arrived


def test_catching_up_goes_to_where_a_table_became_due_and_says_so() -> None:
    state = State(interval=10)
    assert not state.catch_up()
    for step in range(1, 10):
        state.note(TrainingSnapshot(step=step, train_loss=float(step)))
    assert not state.catch_up()
    assert state.view is None
    for step in range(10, 14):
        state.note(TrainingSnapshot(step=step, train_loss=float(step)))
    assert state.latest is not None
    assert state.latest.step == 13
    assert state.catch_up()
    assert state.view is not None
    assert state.view.snapshot.step == 10
    assert state.view.courses["train_loss"].last == 10.0
    assert state.past.series["train_loss"].newest[-1] == 10.0
    assert [each.step for each in state.arrived] == [11, 12, 13]
    assert not state.catch_up()


def test_all_that_has_arrived_can_be_taken_in_without_losing_the_moment_that_is_due() -> None:
    state = State(interval=10)
    for step in range(1, 14):
        state.note(TrainingSnapshot(step=step, train_loss=float(step), custom_metrics={"at": step}))
    assert state.catch_up(to_the_newest=True)
    assert not state.arrived
    assert state.view is not None
    assert (state.view.snapshot.step, state.view.known, state.view.courses["train_loss"].last) == (10, {"at": 10}, 10.0)
    assert (state.courses["train_loss"].last, state.past.last_step) == (13.0, 13)
    assert not state.catch_up(to_the_newest=True)
    state.settle()
    assert (state.view.snapshot.step, state.view.known, state.view.courses["train_loss"].last) == (13, {"at": 13}, 13.0)
    state.note(TrainingSnapshot(step=14, train_loss=14.0))
    state.settle()
    assert state.view.snapshot.step == 13
    state.freeze()
    assert state.view.snapshot.step == 14


def test_a_moment_that_was_taken_in_has_the_loads_of_its_time() -> None:
    state = State(interval=10)
    for step in range(1, 14):
        state.note(layered(step))
    state.catch_up(to_the_newest=True)
    state.note(layered(14))
    state.settle()
    assert state.view is not None
    assert (state.view.snapshot.step, state.view.experts) == (13, {0: {0: 13.0, 1: 1.0}})


def test_of_several_moments_that_were_due_the_newest_is_shown() -> None:
    state = State(interval=10)
    for step in range(1, 45):
        state.note(TrainingSnapshot(step=step, train_loss=1.0))
    assert state.catch_up()
    assert state.view is not None
    assert state.view.snapshot.step == 40
    assert state.courses["train_loss"].last_step == 40


def layered(step: int, loss: float = 1.0) -> TrainingSnapshot:
    return TrainingSnapshot(step, loss, expert_utilization={0: {0: float(step), 1: 1.0}})


@pytest.mark.parametrize("interval", [1, 5])
def test_of_the_snapshots_that_wait_only_the_newest_keeps_loads_by_layer_and_the_due_one_beside_them(
    interval: int,
) -> None:
    state = State(interval)
    for step in range(13):
        state.note(layered(step))
        assert [each.step for each in state.arrived if each.expert_utilization] == [step]
    due = 12 - 12 % interval
    assert [each.step for each in state.arrived] == list(range(13))
    assert state.catch_up()
    assert state.view is not None
    assert state.view.snapshot.step == due
    assert state.view.experts == {0: {0: float(due), 1: 1.0}}
    state.freeze()
    assert state.view.experts == {0: {0: 12.0, 1: 1.0}}


def test_loads_at_the_step_at_which_the_loss_broke_are_shown() -> None:
    state = State(interval=100)
    for step in range(1, 9):
        state.note(layered(step, math.nan if step > 3 else 1.0))
    assert state.broken == {"train_loss": 4}
    state.catch_up()
    assert state.view is not None
    assert state.view.experts == {0: {0: 4.0, 1: 1.0}}
    state.note(layered(9))
    assert state.broken == {}


def test_loads_that_are_given_now_and_then_wait_for_the_table_after_them() -> None:
    state = State(interval=5)
    for step in range(1, 14):
        state.note(layered(step) if step % 4 == 0 else TrainingSnapshot(step, 1.0))
    state.catch_up()
    assert state.view is not None
    assert (state.view.snapshot.step, state.view.experts) == (10, {0: {0: 8.0, 1: 1.0}})


def test_a_snapshot_that_another_thread_has_taken_meanwhile_stays_whole() -> None:
    state = State(interval=5)
    state.note(layered(1))
    state.catch_up(to_the_newest=True)
    taken = state.latest
    state.note(layered(2))
    assert taken is not None
    assert taken.expert_utilization
    assert [each.step for each in state.arrived] == [2]


@pytest.mark.fault("B10")
def test_a_ctrl_c_right_after_the_lock_was_taken_leaves_it_free() -> None:
    """Kept, it held up the display for ever, and with it the end of the run."""
    state = State(interval=10**9)
    real = state.past.lock

    class Struck:
        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
            assert real.acquire(timeout=timeout)
            raise KeyboardInterrupt

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

    state.past.lock = Struck()  # type: ignore[assignment]
    for step in range(MANY_ARRIVED):
        state.note(TrainingSnapshot(step=step, train_loss=1.0))
    with pytest.raises(KeyboardInterrupt):
        state.note(TrainingSnapshot(step=MANY_ARRIVED, train_loss=1.0))
    free: list[bool] = []
    other = threading.Thread(target=lambda: free.append(real.acquire(blocking=False)))
    other.start()
    other.join()
    assert free == [True]
