"""A journal read back: its attempts in order, and how they make up runs. Follows no file that still grows.

What a reader gets is data from whoever wrote the file: lines that are no record are skipped and counted, never
raised, and no line makes it read another file or run anything.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from m.journal.decoding import Decoder
from m.journal.records import MAX_NAMES, End, Gap, Record, Recorded, Unknown, Unrepresentable
from m.journal.tail import Tail
from m.metrics.alerts import Alert
from m.metrics.run import Run

Overlap: TypeAlias = Literal["latest", "all"]
"""What is taken where the attempts of a run overlap: what the latest recorded, or everything."""


class Records:
    """The records of a journal, read one at a time: for files that are better not kept in memory.

    Iterating reads all segments of the journal in order, from the first that is there (``FileNotFoundError`` when none
    is, another ``OSError`` when one cannot be read), and raises `NewerVersionError` at a header of a version that this
    library cannot read. ``max_names`` is the number of metric names that are taken, see `Decoder`. The counts speak of
    the newest iteration, as far as it came.
    """

    def __init__(self, path: str | os.PathLike[str], *, max_names: int = MAX_NAMES) -> None:
        self.path = Path(path)
        self._max_names = max_names
        self._begin()

    def _begin(self) -> None:
        self._tail = Tail(self.path)
        self._decoder = Decoder(self._max_names)

    @property
    def bad_lines(self) -> int:
        """Lines that were no record: torn by a crash, too long, or not written by this library."""
        return self._tail.too_long + self._decoder.bad_lines

    @property
    def left_out(self) -> int:
        """Values of metrics that were left out because of their names: more than ``max_names``, or too long."""
        return self._decoder.left_out

    @property
    def torn(self) -> bool:
        """Whether the last line lacks its newline: it is being written, or its writer died in it. It counts as a
        record when it is a whole one, and never as a bad line."""
        return self._tail.torn

    def __iter__(self) -> Iterator[Record]:
        self._begin()
        tail, decoder = self._tail, self._decoder
        yield from decoder.records(tail.look())
        if not tail.has_begun:
            open(self.path).close()  # raises what is wrong
        if tail.rest:
            before = decoder.bad_lines
            yield from decoder.records([tail.rest])
            decoder.bad_lines = before


@dataclass(slots=True)
class Attempt:
    """What one session of a run left in a journal."""

    run: Run
    """Its header, with its number as ``run.attempt``."""
    snapshots: list[Recorded] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)
    """Records of types that this version of the library does not know."""
    end: End | None = None
    """None while it is running, and when it was killed."""

    @property
    def lost(self) -> int:
        """Records, alerts included, that its writer could not write, as far as it could say so."""
        return self.end.lost if self.end is not None else sum(gap.lost for gap in self.gaps)

    @property
    def missing(self) -> int:
        """Snapshots that were numbered and are not here, though nothing says that they were lost.

        They stood on a bad line or in a segment that was taken away; or the attempt was killed while it was losing
        records, before it could say so. Those past the newest record that is here cannot be known.
        """
        newest = 0 if self.end is None else self.end.seq
        announced = 0
        for gap in self.gaps:
            if gap.from_seq is not None and gap.to_seq is not None:
                announced += gap.to_seq - gap.from_seq + 1
                newest = max(newest, gap.to_seq)
        newest = max(newest, max((recorded.seq for recorded in self.snapshots), default=0))
        return max(newest - announced - len(self.snapshots), 0)


@dataclass(slots=True, frozen=True)
class Journal:
    """A journal, all segments of it, as it was when it was read."""

    path: Path
    attempts: tuple[Attempt, ...]
    """In the order in which they were written."""
    bad_lines: int
    """Lines that were no record and were skipped."""
    torn: bool
    """Whether the last line lacks its newline, see `Records`."""
    left_out: int = 0
    """Values of metrics that were left out because of their names, see `Records`."""

    @property
    def marks(self) -> int:
        """Custom metrics that a journal cannot hold, with an `Unrepresentable` in their place."""
        return sum(
            isinstance(value, Unrepresentable)
            for attempt in self.attempts
            for recorded in attempt.snapshots
            for value in recorded.snapshot.custom_metrics.values()
        )

    @property
    def runs(self) -> dict[str, tuple[Attempt, ...]]:
        """Run id -> its attempts, the run that was started last at the end."""
        runs: dict[str, tuple[Attempt, ...]] = {}
        for attempt in self.attempts:
            runs[attempt.run.run_id] = (*runs.pop(attempt.run.run_id, ()), attempt)
        return runs

    def merged(self, run_id: str | None = None, *, overlap: Overlap = "latest") -> list[Recorded]:
        """The snapshots of one run as one sequence, where the latest attempt wins or all are kept; see `merged`.

        ``run_id`` None means the run that was started last; an empty list when there is none. Raises ``KeyError``
        for an id that is not in the journal.
        """
        runs = self.runs
        if run_id is None:
            return merged(next(reversed(runs.values()), ()), overlap=overlap)
        if run_id not in runs:
            raise KeyError(f"no run {run_id!r} in {self.path}; it has {', '.join(runs) or 'none'}")
        return merged(runs[run_id], overlap=overlap)

    def shortfall(self) -> str:
        """What is not in it, as far as that can be known, in words for a person; empty when nothing is missing.

        Loads by layer that were not due to be written are not counted; their snapshots say so.
        """
        counts = [
            (sum(attempt.lost for attempt in self.attempts), "record", "that could not be written"),
            (sum(attempt.missing for attempt in self.attempts), "snapshot", "missing"),
            (self.bad_lines, "bad line", "skipped"),
            (self.left_out, "value", "left out because of the limits on names"),
            (self.marks, "value", "of which only a mark was written"),
        ]
        return ", ".join(f"{count} {thing}{'s' * (count != 1)} {what}" for count, thing, what in counts if count)


def read(path: str | os.PathLike[str], *, max_names: int = MAX_NAMES) -> Journal:
    """Read a whole journal with all its segments into memory, about 1 kB a snapshot; `Records` reads one at a time.

    Raises ``OSError`` when a file cannot be opened and `NewerVersionError` when it is of a version above ours.
    Anything else that is wrong with it is skipped and counted. ``max_names`` is the number of metric names that are
    taken, see `Decoder`.
    """
    records = Records(path, max_names=max_names)
    attempts: list[Attempt] = []
    for record in records:
        if isinstance(record, Run):
            current = attempts[-1].run if attempts else None
            if current is None or (current.run_id, current.attempt) != (record.run_id, record.attempt):
                attempts.append(Attempt(record))
            continue
        if not attempts:  # somebody cut off the header
            started_at = record.time if isinstance(record, Recorded) else 0.0
            attempts.append(Attempt(Run(run_id="unknown", started_at=started_at)))
        attempt = attempts[-1]
        if isinstance(record, Recorded):
            attempt.snapshots.append(record)
        elif isinstance(record, Alert):
            attempt.alerts.append(record)
        elif isinstance(record, Gap):
            attempt.gaps.append(record)
        elif isinstance(record, End):
            attempt.end = record
        else:
            attempt.unknown.append(record)
    return Journal(records.path, tuple(attempts), records.bad_lines, records.torn, records.left_out)


def merged(attempts: Iterable[Attempt], *, overlap: Overlap = "latest") -> list[Recorded]:
    """The snapshots of a run's attempts, in the order in which they were written, as one sequence.

    ``"latest"``: an attempt holds from the step at which it began: the first that it recorded or, where that is less,
    the ``initial_step`` above 0 that it was started with. What earlier attempts recorded at that step and past it is
    left out, even where the later attempt did not get as far: those steps were computed from a state that has been
    given up. An attempt that recorded nothing takes nothing away, and within an attempt nothing is left out.

    ``"all"``: everything; steps repeat where attempts overlap. Raises ``ValueError`` for any other ``overlap``.
    """
    if overlap == "all":
        return [recorded for attempt in attempts for recorded in attempt.snapshots]
    if overlap != "latest":
        raise ValueError(f"overlap must be 'latest' or 'all'; got {overlap!r:.80}")
    kept: list[list[Recorded]] = []
    holds_from: float = math.inf
    for attempt in reversed(tuple(attempts)):
        kept.append([recorded for recorded in attempt.snapshots if recorded.snapshot.step < holds_from])
        if attempt.snapshots:
            began_at = attempt.snapshots[0].snapshot.step
            if attempt.run.initial_step > 0:
                began_at = min(began_at, attempt.run.initial_step)
            holds_from = min(holds_from, began_at)
    return [recorded for part in reversed(kept) for recorded in part]
