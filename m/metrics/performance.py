"""The documented containers for speed and hardware figures. Data only: who measures is in throughput and system."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class ThroughputMetrics:
    """How fast training goes, per second of wall time. None: not known (yet)."""

    steps_per_second: float | None = None
    """Steps that finished."""
    batches_per_second: float | None = None
    """Batches that were consumed; one per step."""
    samples_per_second: float | None = None
    """Samples; known when the snapshot has a batch size."""
    tokens_per_second: float | None = None
    """Tokens; known when the snapshot has a batch size and a sequence length."""


@dataclass(slots=True, frozen=True)
class SystemMetrics:
    """The state of the hardware and of the gradient. None: not measured, or not measurable here."""

    gpu_memory_used_mb: float | None = None
    """GPU memory in use, MB (10^6 bytes)."""
    gpu_memory_total_mb: float | None = None
    """GPU memory there is, MB."""
    gpu_utilization_percent: float | None = None
    """Share of time in which a kernel ran, 0 to 100."""
    gradient_norm: float | None = None
    """Global norm of the gradient."""
