"""The fixed input of all benchmarks: one step of a Mixture of Experts that reports twelve numbers."""

from __future__ import annotations

import random
from typing import Any

from m.metrics.snapshot import TrainingSnapshot

_RANDOM = random.Random(0)
VALUES = [[_RANDOM.random() for _ in range(12)] for _ in range(1024)]

NAMES = (
    "train_loss",
    "val_loss",
    "learning_rate",
    "aux_loss",
    "gpu_memory_mb",
    "gradient_norm",
    "position_error",
    "velocity_error",
    "accuracy",
    "routing_entropy",
    "load_balance",
    "grad_scale",
)


def snapshot(step: int) -> TrainingSnapshot:
    """Twelve metrics, six as fields and six custom ones, as a training loop would write it."""
    a, b, c, d, e, f, g, h, i, j, k, l = VALUES[step & 1023]  # noqa: E741
    return TrainingSnapshot(
        step=step,
        train_loss=a,
        val_loss=b,
        learning_rate=c,
        aux_loss=d,
        gpu_memory_mb=e,
        gradient_norm=f,
        custom_metrics={
            "position_error": g,
            "velocity_error": h,
            "accuracy": i,
            "routing_entropy": j,
            "load_balance": k,
            "grad_scale": l,
        },
    )


def moe_snapshot(step: int, experts: int = 8) -> TrainingSnapshot:
    """The same with the utilization of each expert, a batch size and a sequence length."""
    values = VALUES[step & 1023]
    base = snapshot(step)
    return TrainingSnapshot(
        step=step,
        train_loss=base.train_loss,
        val_loss=base.val_loss,
        learning_rate=base.learning_rate,
        aux_loss=base.aux_loss,
        expert_utilization={expert: values[expert % 12] for expert in range(experts)},
        batch_size=32,
        sequence_length=512,
        gpu_memory_mb=base.gpu_memory_mb,
        gradient_norm=base.gradient_norm,
        custom_metrics=base.custom_metrics,
    )


def as_dict(step: int) -> dict[str, Any]:
    """The twelve metrics as trackers take them."""
    return dict(zip(NAMES, VALUES[step & 1023], strict=True))
