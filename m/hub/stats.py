"""The hub's accounts, as its owner sees them. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field


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

    def with_more(self, other: SinkStats) -> SinkStats:
        """This and ``other``, which is newer, as one account."""
        return SinkStats(
            emitted=self.emitted + other.emitted,
            delivered=self.delivered + other.delivered,
            dropped=self.dropped + other.dropped,
            failed=self.failed + other.failed,
            waiting=self.waiting + other.waiting,
            seconds=self.seconds + other.seconds,
            last_error=other.last_error or self.last_error,
        )


@dataclass(slots=True, frozen=True)
class HubStats:
    """What a hub has done so far."""

    emitted: int
    """Snapshots given to ``emit`` and accepted."""
    refused: int
    """Emits that were no snapshot, came after ``close``, or were nested too deep."""
    unconvertible: int
    """Values that were not one number and were left out of their snapshot, in this process since the hub was made."""
    sinks: dict[str, SinkStats]
    """By name of the subscription; those that were taken away are in ``taken_away``."""
    alerts: dict[str, int] = field(default_factory=dict)
    """By rule, how many alerts were raised."""
    taken_away: dict[str, SinkStats] = field(default_factory=dict)
    """By name, sinks that were taken away after they had missed snapshots or failed; those past the first 100 names
    together as ``"others"``."""

    def __str__(self) -> str:
        """The accounts as a table, a line for each sink."""
        extra = [
            f"{count} {what}"
            for count, what in ((self.refused, "refused"), (self.unconvertible, "values left out"))
            if count
        ]
        raised = sum(self.alerts.values())
        if raised:
            extra.append(f"{raised} alert{'' if raised == 1 else 's'}")
        lines = [", ".join([f"{self.emitted} snapshot{'' if self.emitted == 1 else 's'} emitted", *extra])]
        if not self.sinks and not self.taken_away:
            return lines[0]
        rows: list[tuple[str, ...]] = [("", "delivered", "dropped", "failed", "waiting", "seconds", "")]
        gone = ((f"{name} (taken away)", sink) for name, sink in self.taken_away.items())
        for name, sink in (*self.sinks.items(), *gone):
            counts = (sink.delivered, sink.dropped, sink.failed, sink.waiting)
            rows.append((name, *map(str, counts), f"{sink.seconds:.3f}", sink.last_error or ""))
        widths = [max(len(row[column]) for row in rows) for column in range(6)]
        for name, *numbers, error in rows:
            cells = [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True)]
            lines.append(f"  {name.ljust(widths[0])}  {'  '.join(cells)}  {error}".rstrip())
        return "\n".join(lines)
