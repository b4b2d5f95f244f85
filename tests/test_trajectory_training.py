"""Short runs of the real thing: it learns, its experts specialise, and equal seeds tell equal stories."""

from __future__ import annotations

import ast
import itertools
import math
import sys
from pathlib import Path

import pytest

from m.examples import trajectory_3d
from m.examples.trajectory_3d.training import StepResult, TrajectoryTrainer


def make_trainer(
    *,
    n_experts: int = 8,
    batch_size: int = 256,
    seed: int = 0,
    total_steps: int = 10,
    eval_every: int = 25,
    n_train: int = 1024,
    n_hidden: int = 16,
) -> TrajectoryTrainer:
    return TrajectoryTrainer(
        n_experts=n_experts,
        batch_size=batch_size,
        seed=seed,
        total_steps=total_steps,
        eval_every=eval_every,
        n_train=n_train,
        n_val=512,
        n_hidden=n_hidden,
    )


@pytest.fixture(scope="module")
def run() -> list[StepResult]:
    """One run that is long enough to learn something, shared by the tests that only look at it."""
    return list(make_trainer(total_steps=250, n_train=8192, n_hidden=64).train())


def test_loss_falls_fiftyfold_and_the_errors_with_it(run: list[StepResult]) -> None:
    first, last = run[0], run[-1]
    assert 0.7 < first.train_loss < 1.4
    assert last.train_loss < first.train_loss / 50
    assert last.position_error < first.position_error / 5
    assert last.velocity_error < first.velocity_error / 5


def test_validation_follows_the_training_loss(run: list[StepResult]) -> None:
    assert run[-1].val_loss is not None
    assert run[-1].val_loss < 2.0 * run[-1].train_loss


def test_experts_specialise(run: list[StepResult]) -> None:
    course = [r.specialization for r in run if r.specialization is not None]
    assert course[0] < 0.1
    assert course[-1] > 0.35


def test_no_expert_dies(run: list[StepResult]) -> None:
    for expert in range(8):
        assert sum(r.expert_utilization[expert] for r in run[-20:]) / 20 > 0.02


def test_every_step_tells_consistent_things(run: list[StepResult]) -> None:
    for number, result in enumerate(run):
        assert result.step == number
        assert result.batch_size == 256
        assert list(result.expert_utilization) == list(range(8))
        assert sum(result.expert_utilization.values()) == pytest.approx(1.0, abs=1e-12)
        assert 0.0 <= result.routing_entropy <= math.log(8) + 1e-6
        assert 0.9 < result.aux_loss <= 8.0
        assert result.gradient_norm > 0.0
        assert result.learning_rate > 0.0


def test_numbers_are_plain_python(run: list[StepResult]) -> None:
    last = run[-1]
    for name in StepResult.__slots__:
        assert type(getattr(last, name)) in (int, float, dict), name
    assert {type(v) for v in last.expert_utilization.values()} == {float}


def test_held_out_flights_are_looked_at_when_due_and_at_the_end(run: list[StepResult]) -> None:
    due = [r.step for r in run if r.val_loss is not None]
    assert due == [*range(0, 250, 25), 249]
    assert due == [r.step for r in run if r.specialization is not None]


def test_equal_seeds_give_equal_results_and_others_do_not() -> None:
    first, again = list(make_trainer(seed=5).train()), list(make_trainer(seed=5).train())
    assert first == again
    assert next(make_trainer(seed=6).train()).train_loss != first[0].train_loss


def test_looking_at_the_held_out_flights_changes_nothing() -> None:
    often, seldom = make_trainer(eval_every=1), make_trainer(eval_every=1000)
    assert often.evaluate() == often.evaluate()
    assert [r.train_loss for r in often.train()] == [r.train_loss for r in seldom.train()]


def test_a_run_left_early_goes_on_where_it_stopped() -> None:
    whole, parts = make_trainer(), make_trainer()
    begun = list(itertools.islice(parts.train(), 4))
    assert parts.step == 4
    assert [*begun, *parts.train()] == list(whole.train())
    assert list(parts.train()) == []


@pytest.mark.parametrize("n_experts", [2, 3, 64])
@pytest.mark.parametrize("total_steps", [1, 10])
def test_any_number_of_experts_and_any_short_run_work(n_experts: int, total_steps: int) -> None:
    results = list(make_trainer(n_experts=n_experts, total_steps=total_steps).train())
    assert len(results) == total_steps
    assert len(results[-1].expert_utilization) == n_experts
    assert all(math.isfinite(r.train_loss) for r in results)
    if total_steps > 1:
        assert results[-1].train_loss < results[0].train_loss


def test_impossible_arguments_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="total_steps must be at least 1, got 0"):
        make_trainer(total_steps=0)
    with pytest.raises(ValueError, match="batch_size must be at most n_train = 1024, got 2000"):
        make_trainer(batch_size=2000)
    with pytest.raises(ValueError, match="top_k must be between 1 and n_experts = 1, got 2"):
        make_trainer(n_experts=1)


def test_the_model_knows_nothing_of_the_library_around_it() -> None:
    """The modules below `training` import numpy, the standard library and each other, nothing else."""
    own = "m.examples.trajectory_3d"
    modules = "arrays matmul regimes physics dataset layers router moe optimizer schedule specialization training"
    for name in modules.split():
        tree = ast.parse((Path(trajectory_3d.__path__[0]) / f"{name}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                imported = [node.module or ""]
            elif isinstance(node, ast.Import):
                imported = [alias.name for alias in node.names]
            else:
                continue
            for target in imported:
                root = target.split(".")[0]
                foreign = root != "numpy" and root not in sys.stdlib_module_names
                assert not foreign or target.startswith(own), f"{name} imports {target}"
