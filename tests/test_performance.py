"""The documented containers hold what they are given and nothing by default."""

from __future__ import annotations

import dataclasses

import pytest

from m.metrics.performance import SystemMetrics, ThroughputMetrics


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (ThroughputMetrics, ["steps_per_second", "batches_per_second", "samples_per_second", "tokens_per_second"]),
        (SystemMetrics, ["gpu_memory_used_mb", "gpu_memory_total_mb", "gpu_utilization_percent", "gradient_norm"]),
    ],
)
def test_the_fields_are_the_documented_ones_and_unknown_by_default(kind: type, names: list[str]) -> None:
    assert [field.name for field in dataclasses.fields(kind)] == names
    empty = kind()
    assert all(getattr(empty, name) is None for name in names)
    assert dataclasses.astuple(kind(1.0, 2.0, 3.0, 4.0)) == (1.0, 2.0, 3.0, 4.0)
    assert not hasattr(empty, "__dict__")
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(empty, names[0], 1.0)
