"""The learning rate over a run: linear warm-up, then half a cosine down. A pure function of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupCosine:
    """Rises to `peak` over the warm-up, falls to ``peak * final_share`` at the last step.

    Steps count from 0. The warm-up is a share of the run and at least one step, so that runs of any length
    have one; its first step already learns at ``peak / warm-up steps``. After the last step the rate stays.
    (Loshchilov and Hutter, SGDR, 2017, without restarts.) Raises `ValueError` if `total_steps` is below 1.
    """

    peak: float
    total_steps: int
    warmup_share: float = 0.1
    final_share: float = 0.02

    def __post_init__(self) -> None:
        if self.total_steps < 1:
            raise ValueError(f"total_steps must be at least 1, got {self.total_steps}")

    @property
    def warmup_steps(self) -> int:
        """Number of steps up to and including the first at `peak`."""
        return max(1, round(self.warmup_share * self.total_steps))

    def learning_rate(self, step: int) -> float:
        """The rate to use at `step`."""
        if step < self.warmup_steps:
            return self.peak * (step + 1) / self.warmup_steps
        last = self.total_steps - 1
        progress = min(1.0, (step - self.warmup_steps + 1) / max(1, last - self.warmup_steps + 1))
        falling = 0.5 * (1.0 + math.cos(math.pi * progress))
        return self.peak * (self.final_share + (1.0 - self.final_share) * falling)
