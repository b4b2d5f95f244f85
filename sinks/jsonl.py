"""The journal: every snapshot as one line of a file, in the file before ``record`` returns.

What it survives, and what not. A record whose ``emit`` returned is with the operating system: it survives any death
of the process, ``kill -9`` included. A power cut or a crash of the system can take the last seconds with it, unless
``fsync_every`` is set. Appending is atomic on local file systems; on NFS it is not, and a server that hangs holds up
the training loop: there, write to a local disk and copy. A file that somebody deletes while it is written is gone.

What a line contains, the format alone knows (`m.journal.records`), and how the file is claimed and kept from others,
`m.journal.file`; nothing here draws or computes.
"""

from __future__ import annotations

import logging
import math
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from m.journal.encoding import SnapshotEncoder, encode
from m.journal.file import JournalFile, checked_path
from m.journal.records import End, Gap
from m.metrics.alerts import Alert
from m.metrics.run import Run, run_begun_by
from m.metrics.snapshot import TrainingSnapshot
from m.metrics.text import harmless

logger = logging.getLogger(__name__)

RETRY_EVERY_S: Final = 5.0
"""After a failed write nothing is tried for so long; what is recorded meanwhile is lost and counted."""

_UNWRITABLE: Final = (ValueError, TypeError, OverflowError, RecursionError)

_monotonic = time.monotonic


class JsonlSink:
    """Append everything that is emitted to the journal ``path``, one JSON object a line, unbuffered.

    The file and missing folders are made when a run starts, or with the first record, not here. Each start begins an
    *attempt* with a header of its own, and snapshots are numbered from 1 within it. In a file that holds a journal
    already, the first start of this sink goes on with the run that was started last: it keeps that run's id, and its
    attempt is one more. Each further start of the same sink is a new run, with its own id. Readers decide what is
    current; nothing is ever deleted or rewritten.

    A file has one writer. When another process, or another sink in this one, is writing to ``path``, or when the file
    there is no journal, the sink writes beside it, to ``name-<pid>-<hex>.jsonl``, says so once in the log, and has that
    as its `path`. When it is a sink of this process whose hub nobody has closed and nobody can reach any more, as after
    a cell of a notebook was run again, the start of a run closes that hub and goes on in its file. So it does when only
    the functions that the last error came out of still have that hub, as after a cell was interrupted; a debugger does
    not find their variables any more then. A forked child writes nothing, and neither does a copy or pickle of this
    sink go on where it was: it is a new one for the same path.

    A write that fails (full disk, quota, lost mount) never raises. It is logged once and counted in `lost`, like all
    that comes after it until the next try, `RETRY_EVERY_S` later; when writing works again, a ``gap`` record says what
    is missing. What comes after ``close``, from a second hub with the same sink say, is lost and counted as well.

    ``fsync_every`` forces the file to the disk at most every so many seconds, from ``record``, and at ``flush`` and
    ``close``; one such call takes milliseconds on the training thread. None, the default, never does: see the top of
    this module for what that means.

    ``rotate_mb`` begins another segment of the journal, ``run.jsonl.002``, then ``.003``, with a record that would
    make the file larger than so many MB (10^6 bytes). Nothing is renamed or deleted, each segment begins with a header
    of its own, and `m.journal` reads them as one. Where no further segment can be begun, the journal goes on in the
    same file. None, the default, keeps everything in one.

    ``rank`` is the number of this process among those that train together, and stands in the header. None, the default,
    leaves it to the run, which has it from the launcher (`m.metrics.rank`). Each rank needs a path of its own. One
    thread at a time may call the sink, which the hub sees to.

    Raises at once, for what cannot ever work: ``TypeError`` when ``path`` is no path, ``ValueError`` for a bad
    ``fsync_every``, ``rotate_mb`` or ``rank``, ``IsADirectoryError``, ``NotADirectoryError``, ``PermissionError`` or
    ``FileNotFoundError`` for a path at which no file can be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fsync_every: float | None = None,
        rotate_mb: float | None = None,
        rank: int | None = None,
    ) -> None:
        if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 0):
            raise ValueError(f"rank must be a whole number of 0 or more, or None for the run's; got {rank!r:.80}")
        seconds = _checked_amount(fsync_every, "fsync_every", "seconds, or None for never")
        megabytes = _checked_amount(rotate_mb, "rotate_mb", "MB, or None for one file")
        self._set_up(checked_path(path), seconds, megabytes, rank)

    def _set_up(self, path: Path, fsync_every: float | None, rotate_mb: float | None, rank: int | None) -> None:
        segment_bytes = None if rotate_mb is None else max(int(rotate_mb * 1_000_000), 1)
        self._file = JournalFile(path, segment_bytes=segment_bytes, durable=fsync_every is not None)
        self._fsync_every = fsync_every
        self._rotate_mb = rotate_mb
        self._rank = rank
        self._encoder = SnapshotEncoder()
        self._is_new = True  # neither started nor closed: the first record starts a run
        self._closed_in = 0  # the process that closed it, until it is started again
        self._header: Run | None = None  # of the attempt that is going on, once it is written
        self._file_header: Run | None = None  # the newest in the file
        self._has_written = False
        self._seq = 0
        self._due: list[Run | Gap | End] = []  # to be written before the next record
        self._gap = Gap(0)  # lost since the newest record
        self._in_trouble = False  # something must be done before the next record can be written
        self._retry_at = -math.inf
        self._fsync_at = -math.inf
        self._reported: set[str] = set()  # what was said in the log, each once
        self._lost = 0
        self._lost_before = 0  # this attempt

    # -- what it did ----------------------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The journal that is written, absolute, by its first file. Known for certain once a run has started."""
        return self._file.path

    @property
    def written(self) -> list[str]:
        """The journal, once something was written to it; for the closing summary."""
        return [str(self._file.path)] if self._has_written else []

    @property
    def lost(self) -> int:
        """Records that could not be written, or came after ``close``."""
        return self._lost

    @property
    def unrepresentable(self) -> int:
        """Custom metrics that were no number, bool or text, or that were too long for a line; a marker with their type
        was written in their place, or nothing where it was the name that was too long."""
        return self._encoder.unrepresentable

    def __repr__(self) -> str:
        state = "writing" if self._file.writer == os.getpid() else "not writing"
        return f"<JsonlSink {self._shown()}: {state}{f', {self._lost} records lost' if self._lost else ''}>"

    def __reduce__(self) -> tuple[Any, ...]:
        settings = (self._file.wanted, self._fsync_every, self._rotate_mb, self._rank)
        return (_sink_of, settings)  # two owners of one descriptor would close it twice

    # -- what the hub calls ---------------------------------------------------------------------------------------

    def start(self, run: Run) -> None:
        """Begin an attempt; one that is going on ends first. After ``close`` this opens the file again."""
        encode(run)  # raises for a run that cannot be written, before anything changes
        if self._file.writer == os.getpid():
            self._end_attempt()
        else:
            self._let_go()  # a forked child that starts a run of its own needs a descriptor of its own
            self._file.hold()
        self._is_new = False
        self._closed_in = 0
        self._header = None
        self._seq = 0
        self._lost_before = self._lost
        self._due.append(run)
        self._in_trouble = True
        self._get_ready(insist=True)

    def record(self, snapshot: TrainingSnapshot) -> None:
        """Write ``snapshot`` as one line. After ``close`` it is counted as lost; a forked child writes nothing.

        Never raises ``OSError``.
        """
        if self._file.writer != os.getpid() and not self._started_by(snapshot.step):
            return
        self._seq = seq = self._seq + 1
        if self._in_trouble and not self._get_ready():
            self._lose(seq)
            return
        try:
            line = self._encoder.encode(snapshot, seq, time.time())
        except _UNWRITABLE as error:
            self._report(error)
            self._lose(seq)
            return
        try:
            self._file.append(line)
        except OSError as error:
            self._failed(error)
            self._lose(seq)
            return
        if self._fsync_every is not None and _monotonic() >= self._fsync_at:
            self._fsync()

    def alert(self, alert: Alert) -> None:
        """Write ``alert`` as one line; otherwise like ``record``."""
        if self._file.writer != os.getpid() and not self._started_by(alert.step):
            return
        try:
            line = encode(alert)
        except _UNWRITABLE as error:
            self._report(error)
            self._lose(None)
            return
        if self._in_trouble and not self._get_ready():
            self._lose(None)
            return
        try:
            self._file.append(line)
        except OSError as error:
            self._failed(error)
            self._lose(None)

    def flush(self) -> None:
        """With ``fsync_every``, force what is written to the disk. Without, there is nothing to do: no buffer."""
        if self._file.writer != os.getpid():
            return
        self._get_ready()
        if self._fsync_every is not None:
            self._fsync()

    def close(self) -> None:
        """Write the ``end`` record, with ``fsync_every`` force it to the disk, let go of the file. Idempotent."""
        is_ours = self._file.writer == os.getpid()
        if is_ours or self._is_new:
            self._closed_in = os.getpid()
        self._is_new = False
        if not is_ours:
            return
        self._end_attempt()
        self._get_ready(at_once=True)
        if self._fsync_every is not None:
            self._fsync()
        self._let_go()
        if self._lost:
            logger.warning("journal %s lacks %d records that could not be written", self._shown(), self._lost)

    # -- attempts -------------------------------------------------------------------------------------------------

    def _started_by(self, step: int) -> bool:
        """Begin a run of unknown length if none was ever begun; False after ``close``, which is a loss, and in a forked
        child."""
        if not self._is_new:
            if self._closed_in == os.getpid():
                self._lost += 1
                self._say_closed()
            return False
        self.start(run_begun_by(int(step)))
        return True

    def _end_attempt(self) -> None:
        if self._gap.lost:
            self._due.append(self._gap)
            self._gap = Gap(0)
        self._due.append(End(self._seq, self._lost - self._lost_before, time.time()))

    def _numbered(self, run: Run) -> Run:
        """``run`` as it goes into the file: under the id of the run that it resumes, with the attempt that it is."""
        if run is self._header:
            return run  # once more, in another file
        if self._rank is not None:
            run = replace(run, rank=self._rank)
        last = self._file_header
        if last is None:
            return run
        resumes = run.run_id == last.run_id or (run.attempt == 1 and not self._has_written)
        return replace(run, run_id=last.run_id, attempt=max(run.attempt, last.attempt + 1)) if resumes else run

    # -- writing --------------------------------------------------------------------------------------------------

    def _get_ready(self, *, at_once: bool = False, insist: bool = False) -> bool:
        """Do what must be done before the next record; False when that failed, or failed less than 5 s ago.

        ``insist``, which takes time, is for the start of a run: see `JournalFile.open`.
        """
        if not at_once and _monotonic() < self._retry_at:
            return False
        try:
            if not self._file.is_open:
                self._open(insist)
            while self._due:
                record = self._due[0]
                if isinstance(record, Run):
                    record = self._numbered(record)
                    self._file.begin(encode(record))
                    self._header = self._file_header = record
                    self._has_written = True
                else:
                    self._file.append(encode(record))
                del self._due[0]
            if self._gap.lost:
                self._file.append(encode(self._gap))
                self._gap = Gap(0)
        except OSError as error:
            self._failed(error)
            return False
        self._in_trouble = False
        self._retry_at = -math.inf
        return True

    def _open(self, insist: bool) -> None:
        refusal = self._file.open(insist=insist)
        if refusal is not None:
            logger.warning("%s %s; this journal goes to %s", harmless(str(self._file.wanted)), refusal, self._shown())
        self._file_header = self._file.last_header
        if self._header is not None:
            self._due.insert(0, self._header)  # the attempt goes on in what may be another file

    def _let_go(self) -> None:
        """Forget the file, and what was to be written to it."""
        self._file.let_go()
        self._header = None
        self._due.clear()
        self._gap = Gap(0)

    def _lose(self, seq: int | None) -> None:
        """Count one record that is not in the file; ``seq`` None when it was no snapshot."""
        self._lost += 1
        gap = self._gap
        first = seq if gap.from_seq is None else gap.from_seq
        self._gap = Gap(gap.lost + 1, first, gap.to_seq if seq is None else seq)
        self._in_trouble = True

    def _failed(self, error: OSError) -> None:
        self._retry_at = _monotonic() + RETRY_EVERY_S
        self._report(error)

    def _report(self, error: Exception, what: str = "a record cannot be written") -> None:
        if what in self._reported:
            return
        self._reported.add(what)
        logger.warning(
            "journal %s: %s (%s: %s); training goes on, further losses are only counted, and what can be tried again "
            "is tried every %.0f s",
            self._shown(),
            what,
            type(error).__name__,
            error,
            RETRY_EVERY_S,
        )

    def _say_closed(self) -> None:
        if "closed" not in self._reported:
            self._reported.add("closed")
            logger.warning(
                "journal %s was closed, maybe by another hub that had the same sink; records that still come are lost "
                "and only counted",
                self._shown(),
            )

    def _shown(self) -> str:
        return harmless(str(self.path))

    def _fsync(self) -> None:
        assert self._fsync_every is not None  # or nobody asks for it
        self._fsync_at = _monotonic() + self._fsync_every
        try:
            self._file.sync()
        except OSError as error:
            self._report(error, "what was written cannot be forced to the disk")


def _sink_of(path: Path, fsync_every: float | None, rotate_mb: float | None, rank: int | None) -> JsonlSink:
    sink = JsonlSink.__new__(JsonlSink)
    sink._set_up(path, fsync_every, rotate_mb, rank)  # unchecked: unpickling must not fail for a folder not here
    return sink


def _checked_amount(value: object, name: str, unit: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive number of {unit}; got {value!r:.80}")
    return float(value)
