"""The model's hand-written gradients against finite differences, and the routing they flow through."""

from __future__ import annotations

import numpy as np
import pytest

from m.examples.trajectory_3d.arrays import Floats
from m.examples.trajectory_3d.layers import softmax
from m.examples.trajectory_3d.matmul import SINGLE_THREAD_LIMIT, matmul
from m.examples.trajectory_3d.moe import MixtureOfExperts, Parameters
from m.examples.trajectory_3d.router import route
from m.examples.trajectory_3d.specialization import normalized_mutual_information

N_EXAMPLES, N_INPUTS, N_OUTPUTS = 30, 5, 3
NAMES = ["router_weight", "router_bias", "hidden_weight", "hidden_bias", "output_weight", "output_bias"]


def make_model(*, n_experts: int = 4, top_k: int = 2) -> MixtureOfExperts:
    """A small double-precision model away from its symmetric start, so that every gradient has a size."""
    rng = np.random.default_rng(7)
    model = MixtureOfExperts(
        N_INPUTS, N_OUTPUTS, n_experts=n_experts, top_k=top_k, n_hidden=6, rng=rng, dtype=np.float64
    )
    for parameter in model.parameters.values():
        parameter += rng.normal(scale=0.5, size=parameter.shape)
    return model


def make_batch() -> tuple[Floats, Floats]:
    rng = np.random.default_rng(8)
    return rng.normal(size=(N_EXAMPLES, N_INPUTS)), rng.normal(size=(N_EXAMPLES, N_OUTPUTS))


def loss(model: MixtureOfExperts, *, task_weight: float, balance_weight: float) -> float:
    inputs, targets = make_batch()
    done = model.forward(inputs)
    task = float(np.mean((done.outputs - targets) ** 2))
    return task_weight * task + balance_weight * done.routing.balance_loss()


def gradients(model: MixtureOfExperts, *, task_weight: float, balance_weight: float) -> Parameters:
    inputs, targets = make_batch()
    done = model.forward(inputs)
    grad_outputs = task_weight * 2.0 / targets.size * (done.outputs - targets)
    return model.backward(done, grad_outputs, balance_weight=balance_weight)


def finite_differences(model: MixtureOfExperts, name: str, *, task_weight: float, balance_weight: float) -> Floats:
    step = 1e-6
    parameter = model.parameters[name]
    result = np.empty_like(parameter)
    for index in np.ndindex(parameter.shape):
        kept = parameter[index]
        parameter[index] = kept + step
        above = loss(model, task_weight=task_weight, balance_weight=balance_weight)
        parameter[index] = kept - step
        below = loss(model, task_weight=task_weight, balance_weight=balance_weight)
        parameter[index] = kept
        result[index] = (above - below) / (2.0 * step)
    return result


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_gradient_of_the_whole_loss_matches_finite_differences(name: str, top_k: int) -> None:
    model = make_model(top_k=top_k)
    exact = gradients(model, task_weight=1.0, balance_weight=0.3)[name]
    measured = finite_differences(model, name, task_weight=1.0, balance_weight=0.3)
    assert np.abs(measured).max() > 1e-3
    np.testing.assert_allclose(exact, measured, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", ["router_weight", "router_bias"])
@pytest.mark.parametrize(("task_weight", "balance_weight"), [(1.0, 0.0), (0.0, 1.0)], ids=["gates", "balance"])
def test_each_path_into_the_router_matches_on_its_own(name: str, task_weight: float, balance_weight: float) -> None:
    model = make_model()
    exact = gradients(model, task_weight=task_weight, balance_weight=balance_weight)[name]
    measured = finite_differences(model, name, task_weight=task_weight, balance_weight=balance_weight)
    assert np.abs(measured).max() > 1e-3
    np.testing.assert_allclose(exact, measured, rtol=1e-5, atol=1e-8)


def test_gradients_are_complete_and_in_the_dtype_of_the_model() -> None:
    model = MixtureOfExperts(4, 2, n_experts=3, top_k=2, n_hidden=5, rng=np.random.default_rng(0))
    inputs = np.random.default_rng(1).normal(size=(9, 4)).astype(np.float32)
    done = model.forward(inputs)
    assert done.outputs.dtype == np.float32
    found = model.backward(done, done.outputs, balance_weight=0.01)
    assert list(found) == list(model.parameters) == NAMES
    for name, gradient in found.items():
        assert gradient.shape == model.parameters[name].shape
        assert gradient.dtype == np.float32, name


def test_output_is_the_gated_sum_of_the_chosen_experts() -> None:
    """The sorted and grouped computation against one example and one expert at a time."""
    model = make_model()
    p = model.parameters
    inputs, _ = make_batch()
    done = model.forward(inputs)
    for i, x in enumerate(inputs):
        expected = np.zeros(N_OUTPUTS)
        for expert, gate in zip(done.routing.experts[i], done.routing.gates[i], strict=True):
            hidden = np.tanh(x @ p["hidden_weight"][expert] + p["hidden_bias"][expert])
            expected += gate * (hidden @ p["output_weight"][expert] + p["output_bias"][expert])
        np.testing.assert_allclose(done.outputs[i], expected, rtol=1e-12)


def test_an_expert_without_examples_gets_no_gradient() -> None:
    model = make_model()
    model.parameters["router_bias"][2] = -1e3
    found = gradients(model, task_weight=1.0, balance_weight=0.0)
    assert make_model().forward(make_batch()[0]).routing.dispatch_share()[2] > 0.0
    for name in NAMES[2:]:
        assert not found[name][2].any()
        assert found[name][0].any()


def test_noise_on_the_logits_changes_the_route_and_zero_noise_does_not() -> None:
    model = make_model()
    inputs, _ = make_batch()
    quiet = model.forward(inputs).routing.experts
    still = model.forward(inputs, logit_noise=np.zeros((N_EXAMPLES, 4))).routing.experts
    noise = np.random.default_rng(0).normal(scale=5.0, size=(N_EXAMPLES, 4))
    np.testing.assert_array_equal(quiet, still)
    assert not np.array_equal(quiet, model.forward(inputs, logit_noise=noise).routing.experts)


@pytest.mark.parametrize("top_k", [0, 5])
def test_top_k_outside_the_experts_is_refused(top_k: int) -> None:
    with pytest.raises(ValueError, match="top_k must be between 1 and n_experts = 4"):
        make_model(top_k=top_k)


def test_routes_to_the_most_probable_experts_with_gates_that_sum_to_one() -> None:
    logits = np.array([[0.0, 3.0, 1.0], [2.0, 2.0, 2.0]])
    routing = route(logits, top_k=2)
    np.testing.assert_array_equal(routing.experts, [[1, 2], [0, 1]])
    np.testing.assert_allclose(routing.gates.sum(axis=1), 1.0)
    chosen = np.take_along_axis(routing.probabilities, routing.experts, axis=1)
    np.testing.assert_allclose(routing.gates, chosen / chosen.sum(axis=1, keepdims=True))


def test_balance_loss_is_one_when_balanced_and_n_experts_when_collapsed() -> None:
    assert route(100.0 * np.eye(4), top_k=1).balance_loss() == pytest.approx(1.0)
    assert route(np.tile([100.0, 0.0, 0.0, 0.0], (9, 1)), top_k=1).balance_loss() == pytest.approx(4.0)


def test_entropy_of_the_router_is_zero_when_certain_and_ln_n_experts_when_undecided() -> None:
    assert route(np.zeros((5, 8)), top_k=2).entropy() == pytest.approx(np.log(8.0))
    assert route(1e4 * np.eye(8), top_k=2).entropy() == 0.0


def test_softmax_survives_large_logits() -> None:
    np.testing.assert_allclose(softmax(np.array([[1e4, 1e4, -1e4]])), [[0.5, 0.5, 0.0]])


@pytest.mark.parametrize("shapes", [(0, 3, 2), (5, 0, 2), (700, 40, 300), (3, 2, SINGLE_THREAD_LIMIT)])
def test_blocked_product_equals_the_plain_one(shapes: tuple[int, int, int]) -> None:
    n, k, m = shapes
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(n, k)), rng.normal(size=(k, m))
    np.testing.assert_allclose(matmul(left, right), left @ right, rtol=1e-10, atol=1e-12)


def test_mutual_information_is_one_for_renamed_labels_and_zero_for_independent_ones() -> None:
    regime = np.repeat(np.arange(6), 40)
    assert normalized_mutual_information(regime, (regime + 2) % 6) == pytest.approx(1.0)
    assert normalized_mutual_information(regime, np.tile(np.arange(8), 30)) == pytest.approx(0.0, abs=1e-12)
    assert normalized_mutual_information(regime, np.full(240, 3)) == 0.0


def test_mutual_information_of_a_refinement_is_known_in_closed_form() -> None:
    """Two experts for each of four regimes: the information is ln 4, the entropies are ln 4 and ln 8."""
    expert = np.repeat(np.arange(8), 10)
    assert normalized_mutual_information(expert // 2, expert) == pytest.approx(0.8)
