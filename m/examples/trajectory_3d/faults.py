"""The training of `training` with something going wrong in the middle of it, to see who notices.

This file does not know who that might be. Runs that go wrong are not reproduced exactly: some faults take real time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from m.examples.trajectory_3d.training import StepResult, TrajectoryTrainer

#: Added to the router's bias of an expert: nobody chooses it any more, or everybody does.
_OUT_OF_REACH: Final = 1000.0
#: A batch whose targets were multiplied by this has about its square times the loss.
_SPOILED: Final = 10.0
#: From one step to the next, and in all, the learning rate grows by these.
_GROWTH: Final = 1.25
_TOO_HIGH_RATE: Final = 300.0


def _spoil_batch(trainer: TrajectoryTrainer) -> None:
    trainer._train_targets = trainer._train_targets * np.float32(_SPOILED)


def _mend_batch(trainer: TrajectoryTrainer) -> None:
    trainer._train_targets = trainer._train_targets / np.float32(_SPOILED)


def _break_number(trainer: TrajectoryTrainer) -> None:
    trainer.model.parameters["output_bias"][:] = np.nan


def _kill_expert(trainer: TrajectoryTrainer) -> None:
    trainer.model.parameters["router_bias"][3 % trainer.n_experts] -= _OUT_OF_REACH


def _prefer_few(trainer: TrajectoryTrainer) -> None:
    trainer.model.parameters["router_bias"][: trainer.model.top_k] += _OUT_OF_REACH


def _nothing(trainer: TrajectoryTrainer) -> None:
    pass


#: By the name of the rule in `m.health` that is to notice: what happens to the trainer.
FAULTS: Final[dict[str, Callable[[TrajectoryTrainer], None]]] = {
    "non_finite_loss": _break_number,
    "loss_spike": _spoil_batch,
    "divergence": _nothing,
    "dead_experts": _kill_expert,
    "collapsed_routing": _prefer_few,
    "throughput_drop": _nothing,
    "stall": _nothing,
}


def train_with(
    fault: str, trainer: TrajectoryTrainer, *, at: int, slow_s: float = 0.6, stall_s: float = 10.0
) -> Iterator[StepResult]:
    """As ``trainer.train()``, with the `FAULTS` entry ``fault`` from step ``at`` on.

    ``loss_spike`` is one spoiled batch; ``divergence`` follows from a learning rate that grows; ``throughput_drop``
    makes each step ``slow_s`` seconds longer; ``stall`` is a pause of ``stall_s`` seconds before step ``at``. Raises
    ``ValueError`` for an unknown fault.
    """
    if fault not in FAULTS:
        raise ValueError(f"fault must be one of {', '.join(FAULTS)}; got {fault!r}")
    results, planned = trainer.train(), trainer.schedule
    while True:
        if trainer.step == at:
            FAULTS[fault](trainer)
            time.sleep(stall_s if fault == "stall" else 0.0)
        elif fault == "loss_spike" and trainer.step == at + 1:
            _mend_batch(trainer)
        if fault == "divergence" and trainer.step >= at:
            grown = min(_GROWTH ** (trainer.step - at), _TOO_HIGH_RATE)
            trainer.schedule = replace(planned, peak=planned.peak * grown)
        if fault == "throughput_drop" and trainer.step >= at:
            time.sleep(slow_s)
        with np.errstate(over="ignore", invalid="ignore"):
            result = next(results, None)
        if result is None:
            return
        yield result
