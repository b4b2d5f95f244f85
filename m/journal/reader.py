"""A journal file read back: its attempts in order, and how they make up runs. Follows no file that still grows.

What a reader gets is data from whoever wrote the file: lines that are no record are skipped and counted, never
raised, and no line makes it read another file or run anything.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from m.journal.decoding import NewerVersionError, decode
from m.journal.records import HEADER_START, MAX_LINE, End, Gap, Record, Recorded, Unknown
from m.metrics.alerts import Alert
from m.metrics.run import Run

_BLOCK: Final = 1 << 20


class Records:
    """The records of a journal, read one at a time: for files that are better not kept in memory.

    Iterating opens the file (``OSError`` when it cannot) and raises `NewerVersionError` at a header of a version that
    this library cannot read. ``bad_lines`` and ``torn`` speak of the newest iteration, as far as it came.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.bad_lines = 0
        """Lines that were no record: torn by a crash, too long, or not written by this library."""
        self.torn = False
        """Whether the last line lacks its newline: it is being written, or its writer died in it. It counts as a
        record when it is a whole one, and never as a bad line."""

    def __iter__(self) -> Iterator[Record]:
        self.bad_lines = 0
        self.torn = False
        with open(self.path, "rb") as file:
            while line := file.readline(MAX_LINE + 1):
                if len(line) > MAX_LINE:
                    while line and not line.endswith(b"\n"):
                        line = file.readline(_BLOCK)
                    self.torn = not line
                    self.bad_lines += not self.torn
                    continue
                self.torn = not line.endswith(b"\n")
                if line.isspace():
                    continue
                try:
                    yield decode(line)
                except NewerVersionError:
                    raise
                except ValueError:
                    self.bad_lines += not self.torn


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
        """Records that its writer could not write, as far as it could say so."""
        return self.end.lost if self.end is not None else sum(gap.lost for gap in self.gaps)


@dataclass(slots=True, frozen=True)
class Journal:
    """A journal file as it was when it was read."""

    path: Path
    attempts: tuple[Attempt, ...]
    """In the order of the file."""
    bad_lines: int
    """Lines that were no record and were skipped."""
    torn: bool
    """Whether the last line lacks its newline, see `Records`."""

    @property
    def runs(self) -> dict[str, tuple[Attempt, ...]]:
        """Run id -> its attempts, the run that was started last at the end."""
        runs: dict[str, tuple[Attempt, ...]] = {}
        for attempt in self.attempts:
            runs[attempt.run.run_id] = (*runs.pop(attempt.run.run_id, ()), attempt)
        return runs

    def merged(self, run_id: str | None = None) -> list[Recorded]:
        """The snapshots of one run as one sequence, where the latest attempt wins; see `merged`.

        ``run_id`` None means the run that was started last; an empty list when there is none. Raises ``KeyError``
        for an id that is not in the journal.
        """
        runs = self.runs
        if run_id is None:
            return merged(next(reversed(runs.values()), ()))
        if run_id not in runs:
            raise KeyError(f"no run {run_id!r} in {self.path}; it has {', '.join(runs) or 'none'}")
        return merged(runs[run_id])


def read(path: str | os.PathLike[str]) -> Journal:
    """Read a whole journal into memory, about 1 kB a snapshot; `Records` reads one at a time.

    Raises ``OSError`` when the file cannot be opened and `NewerVersionError` when it is of a version above ours.
    Anything else that is wrong with it is skipped and counted.
    """
    records = Records(path)
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
    return Journal(records.path, tuple(attempts), records.bad_lines, records.torn)


def merged(attempts: tuple[Attempt, ...]) -> list[Recorded]:
    """The snapshots of a run's attempts as one sequence: an attempt holds from the first step that it recorded.

    What earlier attempts recorded at that step and past it is left out, even where the later attempt did not get as
    far: those steps were computed from a state that has been given up. Within an attempt nothing is left out.
    """
    kept: list[list[Recorded]] = []
    holds_from: float = math.inf
    for attempt in reversed(attempts):
        kept.append([recorded for recorded in attempt.snapshots if recorded.snapshot.step < holds_from])
        if attempt.snapshots:
            holds_from = min(holds_from, attempt.snapshots[0].snapshot.step)
    return [recorded for part in reversed(kept) for recorded in part]


def is_journal(path: str | os.PathLike[str]) -> bool:
    """Whether a file is empty or begins like a journal, perhaps with a torn first line; reads 64 kB at most."""
    with open(path, "rb") as file:
        start = file.read(1 << 16)
    return HEADER_START in start or HEADER_START.startswith(start.strip())


def last_run(path: str | os.PathLike[str]) -> Run | None:
    """The newest header in a journal; None when there is none. Reads backwards from the end, in bounded memory.

    That is the whole last attempt: 0.2 s for 300 MB that are in the page cache, longer from a disk.
    """
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        after = b""  # the first bytes of the block after, lest a header begins in one and its start ends in the next
        while end > 0:
            begin = max(end - _BLOCK, 0)
            file.seek(begin)
            block = file.read(end - begin) + after
            at = len(block)
            while (at := block.rfind(HEADER_START, 0, at)) >= 0:
                file.seek(begin + at)
                try:
                    header = decode(file.readline(MAX_LINE + 1))
                except ValueError:
                    continue  # torn, or of a newer version; the one before will do
                if isinstance(header, Run):
                    return header
            after = block[: len(HEADER_START) - 1]
            end = begin
    return None
