"""The model: a linear router and two-layer experts, with exact gradients.

``output(x) = sum over the chosen experts e of gate_e(x) * (tanh(x A_e + a_e) B_e + b_e)``. This file knows
nothing of what the numbers mean, nor how the parameters are updated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from m.examples.trajectory_3d.arrays import Floats, Integers
from m.examples.trajectory_3d.layers import (
    grouped_linear,
    grouped_linear_backward,
    grouped_linear_backward_rows,
)
from m.examples.trajectory_3d.matmul import matmul
from m.examples.trajectory_3d.router import Routing, route, route_backward

#: Parameters, or their gradients, by name.
Parameters = dict[str, Floats]


@dataclass(frozen=True, slots=True)
class ForwardPass:
    """The outputs for a batch of ``n`` examples, and what the gradient needs of the way there.

    The assignments, ``n * top_k`` of them, are sorted by expert.
    """

    #: Shape ``(n, n_outputs)``.
    outputs: Floats
    routing: Routing
    inputs: Floats
    #: Position of each sorted assignment in the flattened ``(n, top_k)``.
    order: Integers
    #: Expert ``e`` has the sorted assignments from ``bounds[e]`` up to ``bounds[e + 1]``.
    bounds: Integers
    #: Inputs of the assignments, shape ``(n * top_k, n_inputs)``.
    rows: Floats
    #: After tanh, shape ``(n * top_k, n_hidden)``.
    hidden: Floats
    #: Before the gates, shape ``(n * top_k, n_outputs)``.
    expert_outputs: Floats


class MixtureOfExperts:
    """Sparse mixture of two-layer experts: each example is seen by the `top_k` experts its router finds best.

    With `top_k` = 1 the only gate is always 1, so the router learns from the balance loss alone.
    `parameters` is public and updated in place by an optimizer: ``router_weight`` ``(n_inputs, n_experts)``,
    ``router_bias`` ``(n_experts,)``, ``hidden_weight`` ``(n_experts, n_inputs, n_hidden)``, ``hidden_bias``,
    ``output_weight`` ``(n_experts, n_hidden, n_outputs)``, ``output_bias``. Raises `ValueError` unless
    ``1 <= top_k <= n_experts``. `dtype` defaults to float32.
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        *,
        n_experts: int,
        top_k: int,
        n_hidden: int,
        rng: np.random.Generator,
        dtype: type[np.floating[Any]] = np.float32,
    ) -> None:
        if not 1 <= top_k <= n_experts:
            raise ValueError(f"top_k must be between 1 and n_experts = {n_experts}, got {top_k}")
        self.n_experts = n_experts
        self.top_k = top_k

        def normal(*shape: int, std: float) -> Floats:
            return rng.normal(scale=std, size=shape).astype(dtype)

        # A nearly flat router leaves the first steps to the data and not to its random start; experts begin
        # small at the output, so that the first predictions are close to the mean of the targets.
        self.parameters: Parameters = {
            "router_weight": normal(n_inputs, n_experts, std=0.005),
            "router_bias": np.zeros(n_experts, dtype=dtype),
            "hidden_weight": normal(n_experts, n_inputs, n_hidden, std=n_inputs**-0.5),
            "hidden_bias": np.zeros((n_experts, n_hidden), dtype=dtype),
            "output_weight": normal(n_experts, n_hidden, n_outputs, std=0.1 * n_hidden**-0.5),
            "output_bias": np.zeros((n_experts, n_outputs), dtype=dtype),
        }

    def forward(self, inputs: Floats, *, logit_noise: Floats | None = None) -> ForwardPass:
        """Predict for `inputs`, shape ``(n, n_inputs)``, of the model's dtype.

        `logit_noise`, shape ``(n, n_experts)``, is added to the router's logits: it lets examples visit
        experts that the router does not prefer yet (noisy top-k gating, Shazeer et al. 2017, with a noise
        that is not learned).
        """
        p = self.parameters
        logits = matmul(inputs, p["router_weight"])
        logits += p["router_bias"]
        if logit_noise is not None:
            logits += logit_noise
        routing = route(logits, top_k=self.top_k)
        assigned = routing.experts.ravel()
        order = np.argsort(assigned, kind="stable")
        bounds = np.searchsorted(assigned[order], np.arange(self.n_experts + 1))
        rows = inputs[order // self.top_k]
        hidden = grouped_linear(rows, p["hidden_weight"], p["hidden_bias"], bounds)
        np.tanh(hidden, out=hidden)
        expert_outputs = grouped_linear(hidden, p["output_weight"], p["output_bias"], bounds)
        by_example = np.empty_like(expert_outputs)
        by_example[order] = expert_outputs * routing.gates.ravel()[order, None]
        return ForwardPass(
            outputs=by_example.reshape(len(inputs), self.top_k, -1).sum(axis=1),
            routing=routing,
            inputs=inputs,
            order=order,
            bounds=bounds,
            rows=rows,
            hidden=hidden,
            expert_outputs=expert_outputs,
        )

    def backward(self, done: ForwardPass, grad_outputs: Floats, *, balance_weight: float) -> Parameters:
        """Gradients of ``task loss + balance_weight * balance loss`` for all parameters.

        `grad_outputs` is the gradient of the task loss for ``done.outputs``, and has its shape.
        """
        p = self.parameters
        grad_rows = grad_outputs[done.order // self.top_k]
        grad_gates = np.empty(done.order.size, dtype=grad_outputs.dtype)
        grad_gates[done.order] = np.einsum("no,no->n", grad_rows, done.expert_outputs)
        grad_rows *= done.routing.gates.ravel()[done.order, None]
        grad_output_weight, grad_output_bias = grouped_linear_backward(
            done.hidden, p["output_weight"], done.bounds, grad_rows
        )
        grad_hidden = grouped_linear_backward_rows(p["output_weight"], done.bounds, grad_rows)
        grad_hidden *= 1.0 - done.hidden * done.hidden
        grad_hidden_weight, grad_hidden_bias = grouped_linear_backward(
            done.rows, p["hidden_weight"], done.bounds, grad_hidden
        )
        grad_logits = route_backward(done.routing, grad_gates.reshape(-1, self.top_k), balance_weight=balance_weight)
        return {
            "router_weight": matmul(done.inputs.T, grad_logits),
            "router_bias": grad_logits.sum(axis=0),
            "hidden_weight": grad_hidden_weight,
            "hidden_bias": grad_hidden_bias,
            "output_weight": grad_output_weight,
            "output_bias": grad_output_bias,
        }
