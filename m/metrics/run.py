"""What is announced before the first snapshot of a run: its name, its length and how to tell it from others."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

from m.metrics.rank import rank


def _new_run_id() -> str:
    return os.urandom(6).hex()  # not from a seeded generator: a fork or a fixed seed must not repeat an id


@dataclass(slots=True, frozen=True)
class Run:
    """One run of training, as every sink is told of it at its start."""

    description: str = "Training"
    """What is being trained, in the user's words."""
    total_steps: int | None = None
    """Steps in the whole run, those before a resume included. None: unknown."""
    initial_step: int = 0
    """The step at which this session starts; above 0 after resuming from a checkpoint."""
    run_id: str = field(default_factory=_new_run_id)
    """12 hexadecimal digits, random."""
    attempt: int = 1
    """1 for the first start of this run, one more with each resume that says so."""
    started_at: float = field(default_factory=time.time)
    """Wall-clock time of the start, seconds since the epoch."""
    rank: int = field(default_factory=rank)
    """Number of this process among those that train together, from 0; unless given what the launcher says."""


def check_initial_step(initial_step: object) -> int:
    """``initial_step`` as an int; None is 0. Raises ``ValueError``/``TypeError`` that says what it may be."""
    return check_total_steps(initial_step, "initial_step", "") or 0


def check_total_steps(
    total_steps: object, name: str = "total_steps", or_none: str = ", or None for an unknown length"
) -> int | None:
    """``total_steps`` as an int or None. Raises ``ValueError``/``TypeError`` that says what ``name`` may be."""
    if total_steps is None:
        return None
    if isinstance(total_steps, bool) or not hasattr(total_steps, "__index__"):
        raise TypeError(
            f"{name} must be a whole number{or_none}; got {total_steps!r:.80} ({type(total_steps).__name__})"
        )
    total = total_steps.__index__()
    if total < 0:
        raise ValueError(f"{name} must be 0 or more{or_none}; got {total}")
    return int(total)


def run_begun_by(step: int) -> Run:
    """The run of unknown length that a snapshot at ``step`` begins when nobody started one.

    A session that begins at 0 or 1 begins a run; any other first step says that it goes on from there.
    """
    return Run(initial_step=step if step > 1 else 0)
