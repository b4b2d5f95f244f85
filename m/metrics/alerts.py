"""Something about a run that a person should look at."""

from __future__ import annotations

from dataclasses import dataclass

from m.metrics.steps import whole_step


@dataclass(slots=True, frozen=True)
class Alert:
    """One notice: at which step, from which rule, in words."""

    step: int
    """The step that it speaks of."""
    rule: str
    """Short name of what noticed it, such as ``"non_finite_loss"``."""
    message: str
    """One sentence for a person."""
    value: float | None = None
    """The number that gave rise to it; None where there is none."""

    def __post_init__(self) -> None:
        if not isinstance(self.rule, str) or not self.rule:
            raise TypeError(f"Alert.rule must be a short name, such as 'loss_spike'; got {self.rule!r:.80}")
        if not isinstance(self.message, str):
            raise TypeError(f"Alert.message must be one sentence; got {self.message!r:.80}")
        object.__setattr__(self, "step", whole_step(self.step))
        if self.value is not None and not isinstance(self.value, (int, float)):
            raise TypeError(f"Alert.value must be a number or None; got {self.value!r:.80}")

    def __str__(self) -> str:
        return f"step {self.step}  {self.rule.replace('_', ' ')}: {self.message}"
