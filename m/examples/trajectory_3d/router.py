"""Which experts see which example: top-k routing with renormalised gates, and its balance loss.

Works on router logits; it does not know what the experts compute.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from m.examples.trajectory_3d.arrays import Floats, Integers
from m.examples.trajectory_3d.layers import softmax, softmax_backward


@dataclass(frozen=True, slots=True)
class Routing:
    """The router's decision for a batch of ``n`` examples."""

    #: Softmax over all experts, shape ``(n, n_experts)``.
    probabilities: Floats
    #: The chosen experts, most probable first, shape ``(n, top_k)``.
    experts: Integers
    #: Weights of the chosen experts, summing to 1 for each example, shape ``(n, top_k)``.
    gates: Floats

    def dispatch_share(self) -> Floats:
        """Share of the ``n * top_k`` assignments that went to each expert; sums to 1; ``(n_experts,)``."""
        n_experts = self.probabilities.shape[1]
        counts = np.bincount(self.experts.ravel(), minlength=n_experts)
        return np.asarray(counts / self.experts.size)

    def balance_loss(self) -> float:
        """Load-balancing loss, before its weight: about 1 if balanced, ``n_experts`` if one gets everything.

        ``n_experts * sum_i f_i P_i`` with ``f_i`` the share dispatched to expert ``i`` and ``P_i`` its mean
        probability (Fedus, Zoph and Shazeer, Switch Transformers, 2021, equations 4 to 6). The paper routes
        to one expert; for more, ``f_i`` is the share of assignments, so that it still sums to 1.
        """
        share, mean_probability = self.dispatch_share(), self.probabilities.mean(axis=0)
        return float(len(share) * (share @ mean_probability))

    def entropy(self) -> float:
        """Mean of the entropies of the examples' softmax, nats: 0 if certain, ln n_experts if undecided."""
        tiny = np.finfo(self.probabilities.dtype).tiny
        log_p = np.log(np.maximum(self.probabilities, tiny))
        return float(-(self.probabilities * log_p).sum(axis=1).mean())


def route(logits: Floats, *, top_k: int) -> Routing:
    """Choose for each row of `logits`, shape ``(n, n_experts)``, the `top_k` most probable experts."""
    probabilities = softmax(logits)
    # Stable, so that ties go to the lower index and not to whatever the sort happens to do.
    experts = np.argsort(-logits, axis=1, kind="stable")[:, :top_k]
    chosen = np.take_along_axis(logits, experts, axis=1)
    # Equal to renormalising the chosen probabilities, without dividing two tiny numbers.
    return Routing(probabilities=probabilities, experts=experts, gates=softmax(chosen))


def route_backward(routing: Routing, grad_gates: Floats, *, balance_weight: float) -> Floats:
    """Gradient for the logits of `route`, shape ``(n, n_experts)``.

    Two paths meet here: `grad_gates` comes from the task loss, and the balance loss enters with its weight.
    The choice of experts and the dispatched share are piecewise constant and carry no gradient.
    """
    n, n_experts = routing.probabilities.shape
    scale = balance_weight * n_experts / n
    share = routing.dispatch_share().astype(grad_gates.dtype)
    grad_probabilities = np.broadcast_to(scale * share, routing.probabilities.shape)
    grad_logits = softmax_backward(routing.probabilities, grad_probabilities)
    rows = np.arange(n)[:, None]
    # The experts of one example differ, so no cell is added to twice.
    grad_logits[rows, routing.experts] += softmax_backward(routing.gates, grad_gates)
    return grad_logits
