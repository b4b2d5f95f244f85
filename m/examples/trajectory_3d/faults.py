"""The training of `training` with something going wrong in it, to see what that looks like on the displays.

Each fault is planted where it arises in real runs: in the data, the optimizer or the router. What follows from it is
training's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from m.examples.trajectory_3d.arrays import Floats
from m.examples.trajectory_3d.training import StepResult, TrajectoryTrainer

DEAD: Final = 3
"""The expert that dies; of fewer, the last."""
_NEVER: Final = -100.0  # added to the router's logit: no token goes there any more
_OUTLIER: Final = 6.0  # standard deviations by which the targets of a bad batch are off
_GROWTH: Final = 1.1
_TOO_FAST: Final = 100.0


class FaultyTrainer(TrajectoryTrainer):
    """Trains like `TrajectoryTrainer` until step ``at``, when ``fault``, one of `FAULTS`, happens.

    ``options`` are those of `TrajectoryTrainer`. Raises ``ValueError`` for an unknown fault.
    """

    def __init__(self, fault: str, at: int, **options: Any) -> None:
        if fault not in FAULTS:
            raise ValueError(f"fault must be one of {', '.join(FAULTS)}; got {fault!r:.80}")
        super().__init__(**options)
        self._happen = FAULTS[fault]
        #: The step at which it happens.
        self.at = at
        #: The learning rates of a run without it.
        self.planned = self.schedule

    def _train_step(self) -> StepResult:
        if self.step >= self.at:
            self._happen(self, self.step == self.at)
        return super()._train_step()

    def _next_batch(self) -> tuple[Floats, Floats]:
        inputs, targets = super()._next_batch()
        disturb, self._disturb = self._disturb, None
        return (inputs, targets) if disturb is None else disturb(inputs, targets)

    _disturb: Callable[[Floats, Floats], tuple[Floats, Floats]] | None = None


def _expert_dies(trainer: FaultyTrainer, begins: bool) -> None:
    """Its router logit falls for good: nothing is routed to it, so nothing teaches it, and nothing brings it back."""
    trainer.model.parameters["router_bias"][min(DEAD, trainer.n_experts - 1)] = _NEVER


def _bad_batch(trainer: FaultyTrainer, begins: bool) -> None:
    """One batch of corrupt targets."""
    if begins:
        trainer._disturb = lambda inputs, targets: (inputs, targets + np.float32(_OUTLIER))


def _not_a_number(trainer: FaultyTrainer, begins: bool) -> None:
    """One batch holds a NaN; the gradient carries it into every weight, and the loss never comes back."""
    if begins:
        trainer._disturb = lambda inputs, targets: (np.full_like(inputs, np.nan), targets)


def _diverges(trainer: FaultyTrainer, begins: bool) -> None:
    """The learning rate, which should fall by now, grows by a tenth at every step, up to `_TOO_FAST` times."""
    grown = min(_GROWTH ** (trainer.step - trainer.at), _TOO_FAST)
    trainer.schedule = replace(trainer.planned, peak=trainer.planned.peak * grown)


FAULTS: Final[dict[str, Callable[[FaultyTrainer, bool], None]]] = {
    "dead_expert": _expert_dies,
    "loss_spike": _bad_batch,
    "nan": _not_a_number,
    "divergence": _diverges,
}
"""What can go wrong, by name."""
