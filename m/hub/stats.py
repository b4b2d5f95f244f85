"""The hub's accounts, as its owner sees them. Data only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class SinkStats:
    """What became of every snapshot that was emitted while a sink was subscribed.

    emitted = delivered + dropped + waiting, always.
    """

    emitted: int
    """Snapshots emitted while it was subscribed."""
    delivered: int
    """Snapshots that it took."""
    dropped: int
    """Snapshots that it did not get or failed on: ``failed``, queue overflow, set aside, abandoned at close."""
    failed: int
    """Of the dropped, those on which it raised."""
    waiting: int
    """Snapshots on their way to it, in its queue or in the hands of its thread; as a rule 0 for an inline sink."""
    seconds: float
    """Time that the training thread spent in it, or in queueing for it."""
    last_error: str | None
    """The newest exception as one line; None if it never raised."""


@dataclass(slots=True, frozen=True)
class HubStats:
    """What a hub has done so far."""

    emitted: int
    """Snapshots given to ``emit`` and accepted."""
    refused: int
    """Emits that were no snapshot, came after ``close``, or were nested too deep."""
    unconvertible: int
    """Values in this process that were not one number and were left out of their snapshot."""
    sinks: dict[str, SinkStats]
    """By name of the subscription; sinks that were taken away are no longer listed."""
