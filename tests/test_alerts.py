"""An alert is a sentence for a person, with the step and the rule that it comes from."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from m.metrics.alerts import Alert


def test_it_reads_as_one_line() -> None:
    assert str(Alert(120, "non_finite_loss", "train_loss is nan")) == "step 120  non finite loss: train_loss is nan"


def test_the_number_is_optional() -> None:
    assert Alert(1, "rule", "text").value is None
    assert Alert(1, "rule", "text", 2.5).value == 2.5


def test_it_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Alert(1, "rule", "text").step = 2  # type: ignore[misc]


@pytest.mark.parametrize("rule", ["", None, 3])
def test_a_rule_needs_a_name(rule: Any) -> None:
    with pytest.raises(TypeError, match=r"Alert\.rule must be a short name"):
        Alert(1, rule, "text")


def test_a_value_is_a_number() -> None:
    with pytest.raises(TypeError, match=r"Alert\.value must be a number or None"):
        Alert(1, "rule", "text", "high")  # type: ignore[arg-type]


@pytest.mark.parametrize("message", [None, 0.5, b"words", object()])
def test_a_message_is_text(message: Any) -> None:
    """One that was not ended the display, which draws alerts on a thread of its own."""
    with pytest.raises(TypeError, match="message"):
        Alert(3, "loss_spike", message)


def test_its_step_is_a_plain_whole_number() -> None:
    assert type(Alert(np.int64(3), "loss_spike", "words").step) is int  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="step must be a whole number"):
        Alert("\x1b[2J", "loss_spike", "words")  # type: ignore[arg-type]
