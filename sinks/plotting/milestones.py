"""How far a run was at which step, in time or in tokens: for a second axis. No matplotlib and no NumPy here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from m.metrics.snapshot import TrainingSnapshot

SECOND_AXES: Final = ("time", "tokens")
MOST_MILESTONES: Final = 256
"""So many are kept: between them whoever reads interpolates, over half a hundredth of the run at most."""


@dataclass(slots=True, frozen=True)
class SecondScale:
    """What a second axis measures, at some steps. Both columns rise."""

    kind: str
    """One of `SECOND_AXES`: seconds since the start of the run, or tokens since then."""
    steps: tuple[float, ...]
    values: tuple[float, ...]


class Milestones:
    """Takes snapshots; `scale` may be asked for on another thread.

    Where a step goes back, what was known of the later steps is forgotten: it belongs to what is done again.
    """

    def __init__(self, kind: str, clock: Callable[[], float]) -> None:
        self._kind = kind
        self._clock = clock
        self._began: float | None = None
        self._tokens = 0.0
        self._counted_to: int | None = None
        self._pairs: list[tuple[float, float]] = []
        self._newest: tuple[float, float] | None = None
        self._apart = 0.0
        """So many steps lie between two of the pairs, at least."""

    def start(self) -> None:
        """The run begins; without this its first snapshot is its beginning."""
        self._began = self._clock()

    def record(self, snapshot: TrainingSnapshot) -> None:
        """How far the run is at this snapshot, if that is known."""
        if self._kind == "time":
            now = self._clock()
            if self._began is None:
                self._began = now
            self._add(float(snapshot.step), now - self._began)
        elif snapshot.batch_size is not None and snapshot.sequence_length is not None:
            before = snapshot.step - 1 if self._counted_to is None else self._counted_to
            steps = snapshot.step - before if snapshot.step >= before else 1
            self._counted_to = snapshot.step
            self._tokens += float(snapshot.batch_size) * float(snapshot.sequence_length) * steps
            self._add(float(snapshot.step), self._tokens)

    def scale(self) -> SecondScale | None:
        """What is known; None while that is less than two steps."""
        pairs, newest = self._pairs[:], self._newest
        if newest is not None and (not pairs or newest[0] > pairs[-1][0]):
            pairs.append(newest)
        if len(pairs) < 2:
            return None
        return SecondScale(self._kind, tuple(step for step, _ in pairs), tuple(value for _, value in pairs))

    def _add(self, step: float, value: float) -> None:
        pairs = self._pairs
        if pairs and step <= pairs[-1][0]:
            self._pairs = pairs = [pair for pair in pairs if pair[0] < step]
        self._newest = (step, value)
        if pairs and step - pairs[-1][0] < self._apart:
            return
        pairs.append((step, value))
        if len(pairs) > MOST_MILESTONES:
            self._apart = 2.0 * (step - pairs[0][0]) / MOST_MILESTONES
            kept = pairs[:1]
            for pair in pairs[1:]:
                if pair[0] - kept[-1][0] >= self._apart:
                    kept.append(pair)
            self._pairs = kept
