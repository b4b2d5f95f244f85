"""A step is a whole number of any kind that has room on an axis and in a line of text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from m import MetricsHub
from m.journal.decoding import decode
from m.metrics.alerts import Alert
from m.metrics.snapshot import TrainingSnapshot
from m.metrics.steps import FARTHEST, whole_step


@pytest.mark.fault("F13")
@pytest.mark.parametrize(
    "step",
    [0, -1, True, 2**70, FARTHEST - 1, 1 - FARTHEST, 1e299, 7.0, np.uint64(2**63), np.array([7])],
    ids=lambda step: type(step).__name__,
)
def test_whole_numbers_of_any_kind_become_plain_ones(step: Any) -> None:
    assert whole_step(step) == int(step.item() if isinstance(step, np.ndarray) else step)
    assert type(whole_step(step)) is int


@pytest.mark.fault("F13")
@pytest.mark.parametrize(
    "step",
    [FARTHEST, -FARTHEST, 10**5000, -(10**5000), 1e301, 1e308],
    ids=lambda step: f"{step > 0}-{type(step).__name__}",
)
def test_a_number_too_far_from_0_is_an_error_before_anything_is_emitted(step: Any) -> None:
    """Python does not write a number of over 4,300 digits: emit itself raised where a sink had failed at that step."""
    for make in (lambda: TrainingSnapshot(step, 0.5), lambda: Alert(step, "rule", "words")):
        with pytest.raises(TypeError, match="step must be a whole number, not so far from 0"):
            make()
    with MetricsHub([lambda snapshot: None]) as hub:
        hub.log({"train_loss": 0.5}, step=step)
        assert hub.stats().refused == 1


def test_a_step_too_far_from_0_in_a_journal_is_no_record() -> None:
    with pytest.raises(ValueError, match="step must be a whole number"):
        decode(b'{"type":"snapshot","seq":1,"time":0,"step":1%s}' % (b"0" * 400))
