"""Rules that need not hear of a snapshot at once: what they say takes many snapshots anyway.

They are told of many at a time. One after the other, each with little to do, the first touch of what it works on would
be most of what it costs: a training step leaves nothing of it in the caches of the processor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from m.metrics.alerts import Alert
from m.metrics.snapshot import TrainingSnapshot

Row: TypeAlias = tuple[float, int, float | None, float | None, int | None, int | None]
"""What such rules hear of a snapshot: when it came, in monotonic seconds, its step, its ``train_loss``,
``learning_rate``, ``batch_size`` and ``sequence_length``."""


class PatientRule(ABC):
    """A rule that may be told of several snapshots at a time, in order, as rows."""

    says_once: Final = True
    _clock: Callable[[], float] | None = None
    """What it has the time from; None where it does not matter."""

    def watch(self, snapshot: TrainingSnapshot) -> Alert | None:
        """What is wrong at ``snapshot``."""
        said = self.watch_rows((row_of(snapshot, 0.0 if self._clock is None else self._clock()),))
        return said[0] if said else None

    @abstractmethod
    def watch_rows(self, rows: Sequence[Row]) -> Sequence[Alert]:
        """What is wrong at the snapshots of ``rows``, one alert for a row at most."""


def row_of(snapshot: TrainingSnapshot, came: float) -> Row:
    """What is told of ``snapshot``, which came at ``came``."""
    return (
        came,
        snapshot.step,
        snapshot.train_loss,
        snapshot.learning_rate,
        snapshot.batch_size,
        snapshot.sequence_length,
    )


def is_patient(rule: Any, clock: Callable[[], float]) -> bool:
    """Whether ``rule`` is such a rule, and goes by ``clock`` if by any: one with a ``watch`` of its own is not."""
    return (
        isinstance(rule, PatientRule)
        and getattr(type(rule), "watch", None) is PatientRule.watch
        and "watch" not in vars(rule)
        and rule._clock in (None, clock)
    )
