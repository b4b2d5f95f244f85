"""The building blocks of the model, with their gradients: softmax, and a linear layer for each expert.

Rows arrive sorted by expert, so an expert's rows are one slice and its work is one small matrix product. This
file does not know who sorted them.
"""

from __future__ import annotations

import numpy as np

from m.examples.trajectory_3d.arrays import Floats, Integers
from m.examples.trajectory_3d.matmul import matmul_into


def softmax(logits: Floats) -> Floats:
    """Softmax over the last axis, shifted by the maximum so that no logit overflows."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def softmax_backward(probabilities: Floats, grad: Floats) -> Floats:
    """Gradient for the logits, given `grad` for the `probabilities` that `softmax` returned."""
    weighted = probabilities * grad
    return np.asarray(weighted - probabilities * weighted.sum(axis=-1, keepdims=True))


def grouped_linear(rows: Floats, weight: Floats, bias: Floats, bounds: Integers) -> Floats:
    """Apply ``rows @ weight[e] + bias[e]`` to the rows of each expert ``e``.

    Shapes: rows ``(n, n_in)``, weight ``(n_experts, n_in, n_out)``, bias ``(n_experts, n_out)``; expert ``e``
    has the rows from ``bounds[e]`` up to ``bounds[e + 1]``, possibly none. Returns ``(n, n_out)``.
    """
    out = np.empty((len(rows), weight.shape[2]), dtype=rows.dtype)
    for expert in range(len(weight)):
        part = slice(bounds[expert], bounds[expert + 1])
        matmul_into(rows[part], weight[expert], out[part])
        out[part] += bias[expert]
    return out


def grouped_linear_backward(rows: Floats, weight: Floats, bounds: Integers, grad: Floats) -> tuple[Floats, Floats]:
    """Gradients for the weight and the bias of `grouped_linear`, given `grad` for its result."""
    grad_weight = np.empty_like(weight)
    grad_bias = np.empty((len(weight), weight.shape[2]), dtype=weight.dtype)
    for expert in range(len(weight)):
        part = slice(bounds[expert], bounds[expert + 1])
        matmul_into(rows[part].T, grad[part], grad_weight[expert])
        np.sum(grad[part], axis=0, out=grad_bias[expert])
    return grad_weight, grad_bias


def grouped_linear_backward_rows(weight: Floats, bounds: Integers, grad: Floats) -> Floats:
    """Gradient for the rows of `grouped_linear`, given `grad` for its result.

    Apart from the other gradients, as a first layer does not need it.
    """
    grad_rows = np.empty((len(grad), weight.shape[1]), dtype=grad.dtype)
    for expert in range(len(weight)):
        part = slice(bounds[expert], bounds[expert + 1])
        matmul_into(grad[part], weight[expert].T, grad_rows[part])
    return grad_rows
