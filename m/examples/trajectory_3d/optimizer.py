"""Adam, and gradient clipping by the global norm.

Knows no model and no schedule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from m.examples.trajectory_3d.arrays import Floats


def clip_by_global_norm(gradients: Mapping[str, Floats], *, max_norm: float) -> float:
    """Scale all gradients in place so that their joint Euclidean norm is at most `max_norm`.

    Returns the norm before clipping. If that is not finite nothing is scaled: there is no sensible scale, and
    the caller sees it in the returned value (Pascanu, Mikolov and Bengio, 2013).
    """
    norm = math.sqrt(sum(float(np.square(g).sum()) for g in gradients.values()))
    if math.isfinite(norm) and norm > max_norm:
        for gradient in gradients.values():
            gradient *= max_norm / norm
    return norm


class Adam:
    """Adam with bias correction (Kingma and Ba, 2015, algorithm 1), updating `parameters` in place.

    `rate_scales` multiplies the learning rate of the parameters it names; None names none.
    """

    def __init__(
        self,
        parameters: Mapping[str, Floats],
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        rate_scales: Mapping[str, float] | None = None,
    ) -> None:
        self.parameters = parameters
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.rate_scales = {} if rate_scales is None else dict(rate_scales)
        #: Updates made so far.
        self.count = 0
        self._mean = {name: np.zeros_like(p) for name, p in parameters.items()}
        self._square = {name: np.zeros_like(p) for name, p in parameters.items()}

    def update(self, gradients: Mapping[str, Floats], *, learning_rate: float) -> None:
        """Make one update; `gradients` has the names and shapes of the parameters and is left as it is."""
        self.count += 1
        # The two bias corrections folded into scalars (end of section 2 of the paper), so that no corrected
        # copies of the moments are made.
        root = math.sqrt(1.0 - self.beta2**self.count)
        step_size = learning_rate * root / (1.0 - self.beta1**self.count)
        for name, parameter in self.parameters.items():
            gradient, mean, square = gradients[name], self._mean[name], self._square[name]
            mean *= self.beta1
            mean += (1.0 - self.beta1) * gradient
            square *= self.beta2
            square += (1.0 - self.beta2) * gradient * gradient
            denominator = np.sqrt(square)
            denominator += self.epsilon * root
            np.divide(mean, denominator, out=denominator)
            denominator *= step_size * self.rate_scales.get(name, 1.0)
            parameter -= denominator
