"""The faults that can be planted in the example's training: what each does, and that nothing happens before."""

from __future__ import annotations

import math

import pytest

from m.cli.demo import FAULTS as OFFERED
from m.examples.trajectory_3d.faults import FAULTS, train_with
from m.examples.trajectory_3d.training import StepResult, TrajectoryTrainer

AT = 30


def trainer(steps: int = 80, experts: int = 8) -> TrajectoryTrainer:
    top_k = min(2, experts - 1)
    return TrajectoryTrainer(
        n_experts=experts, top_k=top_k, n_hidden=32, batch_size=128, n_train=1024, n_val=128, total_steps=steps
    )


def trained(fault: str, **options: int) -> list[StepResult]:
    return list(train_with(fault, trainer(**options), at=AT, stall_s=0.0))


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "throughput_drop"])
def test_until_then_it_is_the_healthy_run(fault: str) -> None:
    healthy = trainer().train()
    assert trained(fault)[:AT] == [next(healthy) for _ in range(AT)]


def test_a_dead_expert_gets_nothing_any_more() -> None:
    loads = [result.expert_utilization[3] for result in trained("dead_experts")]
    assert min(loads[:AT]) > 0.0
    assert set(loads[AT:]) == {0.0}


def test_of_few_experts_another_dies() -> None:
    assert trained("dead_experts", experts=2)[-1].expert_utilization == {0: 1.0, 1: 0.0}


def test_after_a_spike_the_loss_comes_back() -> None:
    losses = [result.train_loss for result in trained("loss_spike")]
    assert losses[AT] > 20 * losses[AT - 1]
    assert losses[AT + 1] < losses[AT] / 5


def test_after_a_nan_everything_is_one() -> None:
    results = trained("non_finite_loss")
    assert math.isfinite(results[AT - 1].train_loss)
    assert all(math.isnan(result.train_loss) for result in results[AT:])


def test_a_diverging_loss_rises_with_the_learning_rate() -> None:
    results = trained("divergence", steps=200)
    rates = [result.learning_rate for result in results[AT : AT + 20]]
    assert rates == sorted(rates)
    assert max(result.train_loss for result in results[AT:]) > 10 * results[AT - 1].train_loss


def test_the_command_line_offers_them_all() -> None:
    assert tuple(FAULTS) == OFFERED
