"""Training that has become slow is told; pauses, compilation and rare logging are not."""

from __future__ import annotations

from collections.abc import Iterable

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
