"""Training that has become slow is told; pauses, compilation and rare logging are not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from health_doubles import Clock, raised

from m import ThroughputDrop, TrainingSnapshot
from m.metrics.alerts import Alert


def paced(durations: Iterable[float], every: int = 1, **others: int) -> list[Alert]:
    """What is raised when each snapshot, every so many steps, comes so long after the one before."""
    clock = Clock()

    def snapshots() -> Iterable[TrainingSnapshot]:
        for place, duration in enumerate(durations):
            clock.now += duration
            yield TrainingSnapshot(place * every, 1.0, **others)

    return raised(ThroughputDrop(clock=clock), snapshots())


def test_a_drop_is_told_once_within_fifty_steps() -> None:
    (alert,) = paced([0.1] * 300 + [0.6] * 2000)
    assert 300 < alert.step < 350
    assert alert.message == "a step takes 6.0 times as long as it did"
    assert alert.value == pytest.approx(1 / 6)


def test_a_further_drop_is_told_against_the_new_pace() -> None:
    assert len(paced([0.1] * 300 + [0.5] * 500 + [2.5] * 300)) == 2


def test_compilation_validation_and_checkpoints_are_no_drop() -> None:
    assert paced([60.0] * 3 + ([0.1] * 24 + [30.0]) * 100) == []


def test_a_slow_moment_is_no_drop() -> None:
    assert paced(([0.01] * 300 + [0.05] * 60) * 5) == []


def test_logging_every_hundredth_step_is_a_pace_like_any_other() -> None:
    assert len(paced([10.0] * 200 + [50.0] * 60, every=100)) == 1


def test_steps_that_repeat_or_go_back_are_left_out() -> None:
    clock = Clock()
    rule = ThroughputDrop(clock=clock)
    steps = [step for round_ in range(30) for step in (*range(20), 19, 19, 3)]

    def snapshots() -> Iterable[TrainingSnapshot]:
        for step in steps:
            clock.now += 0.1 if step % 20 else 100.0
            yield TrainingSnapshot(step, 1.0)

    assert raised(rule, snapshots()) == []


def test_twice_the_tokens_may_take_twice_as_long() -> None:
    clock = Clock()

    def snapshots() -> Iterable[TrainingSnapshot]:
        for step in range(1000):
            length = 1024 if step < 500 else 4096
            clock.now += 0.1 * length / 1024
            yield TrainingSnapshot(step, 1.0, batch_size=8, sequence_length=length)

    assert raised(ThroughputDrop(clock=clock), snapshots()) == []


def test_a_pause_among_a_few_slow_steps_is_not_slowness_for_seconds() -> None:
    for every in (500, 777, 938, 1007, 1563):
        course = ([0.01] * (every - 16) + [30.0] + [0.03] * 15) * 5
        assert paced(course) == []


def test_sizes_that_are_given_now_and_then_go_on_in_between() -> None:
    clock = Clock()

    def snapshots(**sizes: Any) -> Iterable[TrainingSnapshot]:
        for step in range(1500):
            clock.now += 0.05
            given = {name: value for name, value in sizes.items() if step < 500 or step % 100 == 0}
            yield TrainingSnapshot(step, 1.0, **given)

    assert raised(ThroughputDrop(clock=clock), snapshots(batch_size=64)) == []
    assert raised(ThroughputDrop(clock=clock), snapshots(batch_size=8, sequence_length=1024)) == []


def test_the_alert_says_of_what() -> None:
    def told(**change: int) -> str:
        clock = Clock()
        sizes = {"batch_size": 64, "sequence_length": 1024, **change}

        def snapshots() -> Iterable[TrainingSnapshot]:
            for step in range(1500):
                clock.now += 0.05
                now = {name: size // 4 if step >= 500 else size for name, size in sizes.items() if size}
                yield TrainingSnapshot(step, 1.0, **now)

        return " ".join(alert.message for alert in raised(ThroughputDrop(clock=clock), snapshots()))

    assert told() == "a token takes 16.0 times as long as it did"
    assert told(sequence_length=0) == "a sample takes 4.0 times as long as it did"
    assert told(batch_size=0) == ""  # a length alone says nothing of the work of a step


def test_a_size_that_becomes_known_is_no_change_of_pace() -> None:
    clock = Clock()

    def snapshots() -> Iterable[TrainingSnapshot]:
        for step in range(2000):
            clock.now += 0.05 if step < 1500 else 0.5
            yield TrainingSnapshot(step, 1.0, batch_size=64 if step >= 500 else None)

    (alert,) = raised(ThroughputDrop(clock=clock), snapshots())
    assert 1500 < alert.step < 1550
    assert alert.message == "a sample takes 10.0 times as long as it did"
