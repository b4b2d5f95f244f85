"""The demo's training is healthy and nothing is said of it; whatever is planted in it is noticed within 50 steps."""

from __future__ import annotations

import pytest

from m import Alert, MetricsHub, Stall, ThroughputDrop, TrainingSnapshot, default_rules
from m.examples.trajectory_3d.demo import DEFAULT_STEPS, snapshot_of_step
from m.examples.trajectory_3d.faults import FAULTS, train_with
from m.examples.trajectory_3d.training import TrajectoryTrainer

AT = 220


def small(seed: int) -> TrajectoryTrainer:
    return TrajectoryTrainer(seed=seed, total_steps=1000, batch_size=256, n_train=8192, n_val=512, n_hidden=32)


def nobody(snapshot: TrainingSnapshot) -> None: ...


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_said_of_a_healthy_run(seed: int) -> None:
    with MetricsHub([nobody], strict=True) as hub:
        hub.start(total_steps=1000)
        for result in small(seed).train():
            hub.emit(snapshot_of_step(result))
        assert hub.alerts == ()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_noticed_within_fifty_steps(fault: str) -> None:
    first: list[Alert] = []
    rules = default_rules(stall=Stall(at_least_s=1.5, times=2.0), throughput_drop=ThroughputDrop(seconds=1.0))
    # a stall is looked for when a run has taken a second
    trainer = TrajectoryTrainer(seed=0) if fault == "stall" else small(0)
    with MetricsHub([nobody], rules=rules, strict=True) as hub:
        hub.start(total_steps=1000)
        for result in train_with(fault, trainer, at=AT, slow_s=0.1, stall_s=5.0):
            hub.emit(snapshot_of_step(result))
            first = [alert for alert in hub.alerts if alert.rule == fault]
            if first or result.step > AT + 50:
                break
    assert len(first) == 1
    assert AT - 1 <= first[0].step <= AT + 50, "a stall is told at the last step before it"


def test_a_fault_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="fault must be one of non_finite_loss, "):
        next(train_with("fire", small(0), at=AT))


@pytest.mark.storm
@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_said_of_twenty_whole_runs_of_the_demo(seed: int) -> None:
    with MetricsHub([nobody], strict=True) as hub:
        hub.start(total_steps=DEFAULT_STEPS)
        for result in TrajectoryTrainer(seed=seed, total_steps=DEFAULT_STEPS).train():
            hub.emit(snapshot_of_step(result))
        assert hub.alerts == ()
