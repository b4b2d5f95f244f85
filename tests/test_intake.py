"""Snapshots that wait are taken in order, once, by one thread at a time, and by whoever wants to see them."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from m import TrainingSnapshot
from m.metrics.intake import MOST_TOGETHER, MOST_WAITING, NUMBERS_TOGETHER, Intake, how_many_like

QUARTER = {f"name {each}": 1.0 for each in range(NUMBERS_TOGETHER // 4 - 6)}
"""Four snapshots with these are as many numbers as are taken together."""


class Taking:
    """What an intake hands its snapshots to."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.times: list[float] = []

    def __call__(self, snapshot: TrainingSnapshot, came: float) -> None:
        self.steps.append(snapshot.step)
        self.times.append(came)


def put(intake: Intake, *steps: int) -> None:
    for step in steps:
        intake.put(TrainingSnapshot(step, 1.0, custom_metrics=QUARTER), step / 10)


def test_the_first_is_taken_at_once_and_later_ones_together_each_with_the_time_at_which_it_came() -> None:
    taking = Taking()
    intake = Intake(taking)
    put(intake, 1)
    assert taking.steps == [1]
    put(intake, 2, 3, 4)
    assert taking.steps == [1]
    put(intake, 5, 6)
    assert taking.steps == [1, 2, 3, 4, 5]
    assert taking.times == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_whoever_wants_to_see_them_sees_them_all() -> None:
    taking = Taking()
    intake = Intake(taking)
    put(intake, 1, 2, 3)
    intake.catch_up()
    assert taking.steps == [1, 2, 3]
    intake.catch_up()
    put(intake, 4, 5, 6, 7)
    assert taking.steps == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    "heavy",
    [
        {"custom_metrics": {f"name {each}": 1.0 for each in range(NUMBERS_TOGETHER)}},
        {"expert_utilization": dict.fromkeys(range(NUMBERS_TOGETHER), 1.0)},
        {"expert_utilization": {"layer": {0: 0.5, 1: 0.5}}},
    ],
    ids=["many metrics", "many experts", "layers"],
)
def test_what_is_heavy_does_not_wait_for_its_like(heavy: dict[str, Any]) -> None:
    taking = Taking()
    intake = Intake(taking)
    for step in range(3):
        intake.put(TrainingSnapshot(step, 1.0, **heavy), 0.0)
        assert taking.steps == list(range(step + 1))


@pytest.mark.parametrize(
    ("given", "together"),
    [
        ({}, MOST_TOGETHER),
        ({"custom_metrics": dict.fromkeys("abcdef", 1.0)}, MOST_TOGETHER),
        ({"custom_metrics": dict.fromkeys("abcdef", 1.0), "expert_utilization": dict.fromkeys(range(8), 0.125)}, 9),
        ({"expert_utilization": dict.fromkeys(range(64), 1 / 64)}, 2),
    ],
)
def test_how_many_are_taken_together_goes_by_their_numbers(given: dict[str, Any], together: int) -> None:
    assert how_many_like(TrainingSnapshot(0, 1.0, **given)) == together


def test_threads_that_look_take_each_snapshot_once_in_order_and_never_two_at_a_time() -> None:
    taking = Taking()
    inside: list[int] = []
    worst = [0]

    def take(snapshot: TrainingSnapshot, came: float) -> None:
        inside.append(0)
        worst[0] = max(worst[0], len(inside))
        taking(snapshot, came)
        inside.pop()

    intake = Intake(take)
    over = threading.Event()
    unseen: list[int] = []

    def look() -> None:
        while not over.is_set():
            before = newest[0]
            intake.catch_up()
            if before >= 0 and before not in taking.steps[-2000:]:
                unseen.append(before)

    newest = [-1]
    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for step in range(5000):
        put(intake, step)
        newest[0] = step
        if step % 100 == 0:
            time.sleep(0.0001)
    over.set()
    for thread in threads:
        thread.join()
    intake.catch_up()
    assert taking.steps == list(range(5000))
    assert worst == [1]
    assert unseen == []


def test_what_waits_behind_one_that_is_interrupted_is_taken_the_next_time() -> None:
    taking = Taking()

    def take(snapshot: TrainingSnapshot, came: float) -> None:
        taking(snapshot, came)
        if snapshot.step == 2:
            raise KeyboardInterrupt

    intake = Intake(take)
    with pytest.raises(KeyboardInterrupt):
        put(intake, 0, 1, 2, 3, 4)
    assert taking.steps == [0, 1, 2]
    put(intake, 5)
    intake.catch_up()
    assert taking.steps == [0, 1, 2, 3, 4, 5]


def test_looking_in_the_middle_of_a_taking_as_the_handler_of_a_signal_does_returns_at_once() -> None:
    taking = Taking()

    def take(snapshot: TrainingSnapshot, came: float) -> None:
        intake.catch_up()
        taking(snapshot, came)

    intake = Intake(take)
    before = time.monotonic()
    put(intake, 0, 1, 2, 3, 4)
    assert taking.steps == [0, 1, 2, 3, 4]
    assert time.monotonic() - before < 0.5


def test_whoever_waits_for_another_thread_that_takes_gives_up_in_time() -> None:
    taking, go_on, has_begun = Taking(), threading.Event(), threading.Event()

    def take(snapshot: TrainingSnapshot, came: float) -> None:
        has_begun.set()
        go_on.wait(30.0)
        taking(snapshot, came)

    intake = Intake(take)
    thread = threading.Thread(target=put, args=(intake, 1))
    thread.start()
    assert has_begun.wait(30.0)
    put(intake, 2, 3, 4, 5, 6)  # does not wait at all
    intake.catch_up(patience_s=0.01)
    assert taking.steps == []
    go_on.set()
    thread.join()
    intake.catch_up()
    assert taking.steps == [1, 2, 3, 4, 5, 6]


def test_one_that_never_ends_its_taking_is_given_up_when_too_many_wait() -> None:
    """As a thread that a fork left behind, or one that was interrupted twice."""
    taking = Taking()
    intake = Intake(taking)
    intake._taker["taker"] = (-1, object())
    put(intake, *range(MOST_WAITING))
    assert taking.steps == []
    put(intake, MOST_WAITING)
    assert taking.steps == list(range(MOST_WAITING + 1))
