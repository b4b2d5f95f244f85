"""Adam against its printed algorithm, clipping by the norm, and the learning rate over runs of any length."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from m.examples.trajectory_3d.arrays import Floats
from m.examples.trajectory_3d.optimizer import Adam, clip_by_global_norm
from m.examples.trajectory_3d.schedule import WarmupCosine


def test_adam_follows_the_algorithm_as_printed() -> None:
    rng = np.random.default_rng(0)
    start = rng.normal(size=(3, 4))
    parameters = {"a_weight": start.copy()}
    adam = Adam(parameters, beta1=0.8, beta2=0.95, epsilon=1e-3)
    theta, mean, square = start.copy(), np.zeros((3, 4)), np.zeros((3, 4))
    for t in range(1, 8):
        gradient = rng.normal(size=(3, 4))
        adam.update({"a_weight": gradient}, learning_rate=0.1 / t)
        mean = 0.8 * mean + 0.2 * gradient
        square = 0.95 * square + 0.05 * gradient**2
        theta -= 0.1 / t * (mean / (1 - 0.8**t)) / (np.sqrt(square / (1 - 0.95**t)) + 1e-3)
    assert adam.count == 7
    np.testing.assert_allclose(parameters["a_weight"], theta, rtol=1e-10)


def test_adam_updates_in_place_and_leaves_the_gradients() -> None:
    parameter = np.zeros(2, dtype=np.float32)
    gradient = np.array([3.0, -0.01], dtype=np.float32)
    Adam({"a": parameter}).update({"a": gradient}, learning_rate=0.1)
    # The first step has the size of the rate, whatever the size of the gradient.
    np.testing.assert_allclose(parameter, [-0.1, 0.1], rtol=1e-4)
    np.testing.assert_array_equal(gradient, np.array([3.0, -0.01], dtype=np.float32))


def test_rate_scale_multiplies_the_step_of_the_parameter_it_names() -> None:
    parameters = {"fast": np.zeros(1), "plain": np.zeros(1)}
    adam = Adam(parameters, rate_scales={"fast": 5.0})
    adam.update({name: np.ones(1) for name in parameters}, learning_rate=0.01)
    assert parameters["fast"][0] == pytest.approx(5.0 * parameters["plain"][0])


def test_adam_finds_the_minimum_of_a_badly_scaled_bowl() -> None:
    parameters: dict[str, Floats] = {"x": np.array([3.0, -2.0])}
    adam, schedule = Adam(parameters), WarmupCosine(peak=0.1, total_steps=400)
    for step in range(400):
        gradient = np.array([100.0, 0.01]) * parameters["x"]
        adam.update({"x": gradient}, learning_rate=schedule.learning_rate(step))
    np.testing.assert_allclose(parameters["x"], 0.0, atol=0.02)


def test_clipping_scales_to_the_limit_and_returns_the_norm_before() -> None:
    gradients = {"a": np.array([3.0, 0.0]), "b": np.array([[4.0]])}
    assert clip_by_global_norm(gradients, max_norm=1.0) == pytest.approx(5.0)
    np.testing.assert_allclose(gradients["a"], [0.6, 0.0])
    np.testing.assert_allclose(gradients["b"], [[0.8]])


def test_clipping_leaves_small_gradients_alone() -> None:
    gradients = {"a": np.array([0.3, 0.4])}
    assert clip_by_global_norm(gradients, max_norm=1.0) == pytest.approx(0.5)
    np.testing.assert_array_equal(gradients["a"], [0.3, 0.4])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_norm_that_is_not_finite_is_returned_and_nothing_scaled(bad: float) -> None:
    gradients = {"a": np.array([bad]), "b": np.array([7.0])}
    assert not np.isfinite(clip_by_global_norm(gradients, max_norm=1.0))
    assert gradients["b"][0] == 7.0


def test_rate_rises_in_a_line_and_falls_to_its_final_share() -> None:
    schedule = WarmupCosine(peak=1.0, total_steps=100, warmup_share=0.2, final_share=0.05)
    rates = [schedule.learning_rate(step) for step in range(100)]
    np.testing.assert_allclose(rates[:20], np.arange(1, 21) / 20)
    assert max(rates) == rates[19] == 1.0
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[19:]))
    assert rates[59] == pytest.approx(0.05 + 0.95 / 2)
    assert rates[99] == pytest.approx(0.05)
    assert schedule.learning_rate(500) == pytest.approx(0.05)


@pytest.mark.parametrize("total_steps", [1, 2, 3, 10, 11, 999])
def test_any_run_length_warms_up_peaks_and_ends_low(total_steps: int) -> None:
    schedule = WarmupCosine(peak=0.01, total_steps=total_steps, final_share=0.1)
    rates = [schedule.learning_rate(step) for step in range(total_steps)]
    assert 1 <= schedule.warmup_steps <= total_steps
    assert max(rates) == pytest.approx(0.01)
    assert all(rate > 0.0 for rate in rates)
    if total_steps > 1:
        assert rates[-1] == pytest.approx(0.001)


def test_a_run_of_no_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="total_steps must be at least 1, got 0"):
        WarmupCosine(peak=1.0, total_steps=0)
