"""The file of a journal as its one writer has it: opened for appending, claimed, rotated, let go of again.

Appends lines and does not know what is in them, but for one: the header, with which each segment begins. What the
segments are called and whether a file is a journal stands in `m.journal.segments`.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import sys
import weakref
from pathlib import Path
from typing import Final

from m.journal.descriptors import Opened
from m.journal.lock import (
    OPEN_TO_APPEND,
    WriterLock,
    close_what_was_let_go_of,
    forget_variables_of_the_last_error,
    is_held_here,
)
from m.journal.segments import FIRST, is_journal, last_run, segment_numbers, segment_path
from m.metrics.run import Run

logger = logging.getLogger(__name__)

_CREATE: Final = OPEN_TO_APPEND | os.O_CREAT
_CREATE_NEW: Final = _CREATE | os.O_EXCL  # follows no link: for names that were made up here
_DESCRIPTOR_IS_DEAD: Final = frozenset((errno.EBADF, errno.ESTALE))
_NOT_OPEN: Final = -1  # what is written to it is refused with EBADF
_NOBODY: Final = 0
_RETRY_AFTER: Final = 1 / 16  # of a segment more, after a next one could not be begun


class JournalFile:
    """The journal at ``wanted``, an absolute path, for one process to append to. Making one opens nothing.

    A journal has one writer. When another process, or another `JournalFile` in this one, has that at ``wanted``, or
    when the file there is no journal, `open` takes a new one beside it, ``name-<pid>-<hex>.jsonl``. After a fork it
    stays with the parent: the child's copy is let go of by itself.

    With ``segment_bytes`` a line that would make the file longer than that goes to the journal's next segment; when
    none can be begun, to the same file, and it is tried again later. With ``durable`` a segment that is left is forced
    to the disk.

    One thread at a time may call it. What the system refuses is an ``OSError``, from `open`, `begin`, `append` and
    `sync`.
    """

    def __init__(self, wanted: Path, *, segment_bytes: int | None = None, durable: bool = False) -> None:
        self.wanted = wanted
        """The path that was asked for."""
        self.path = wanted
        """The journal that is written, by its first file; known for certain once it was opened."""
        self.writer = _NOBODY
        """The process that may append to it, from `hold` to `let_go`; 0: none. Compare it with ``os.getpid()``: a
        forked child finds 0 here, or the number of its parent."""
        self.last_header: Run | None = None
        """The newest header that was in the journal when it was opened."""
        self._segment_bytes = sys.maxsize if segment_bytes is None else segment_bytes
        self._durable = durable
        self._lock = WriterLock()
        self._segment: Opened | None = None
        self._number = FIRST
        self._is_listed = False  # the folder with the segment's name in it was forced to the disk
        self._descriptor = _NOT_OPEN  # the segment's
        self._size = 0  # the segment's, in bytes
        self._limit = sys.maxsize  # of the size
        self._torn = False  # the segment ends in a part of a line
        self._header = b""  # of the attempt that is going on
        self._has_complained = False

    @property
    def is_open(self) -> bool:
        """False before `open`, after `let_go`, and after an error that says that the descriptor is of no more use."""
        return self._descriptor != _NOT_OPEN

    def hold(self) -> None:
        """Make this process the `writer`, which may come long before the file can be opened."""
        self.writer = os.getpid()

    def open(self, *, insist: bool = False) -> str | None:
        """Make missing folders, claim the journal and open its newest segment; None when it is the wanted one.

        Otherwise says why that could not be had, such as ``"exists and is no journal"``. With ``insist``, a journal
        that this very process holds is tried once more when garbage was collected and what it held was closed.
        """
        _let_go_in_children(self)
        self.wanted.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.last_header = self.wanted, None
        self._torn, self._header, self._limit = False, b"", sys.maxsize
        refusal = None
        try:
            if self._is_special():
                self._use(os.open(self.wanted, _CREATE, 0o666), FIRST)
            else:
                refusal = self._claim(insist)
                if refusal is not None:
                    self._claim_beside()
                self._open_newest()
        except BaseException:
            self._drop()
            raise
        return refusal

    def begin(self, header: bytes) -> None:
        """Append the line with which an attempt begins; each segment that it comes to begins with that, too."""
        self._header = b""
        has_room = not self._size or self._size + len(header) <= self._limit
        if has_room or not self._rotate(header):
            self.append(header)
        self._header = header

    def append(self, line: bytes) -> None:
        """Write one whole line, in one write where the system takes it. Closes off a torn line before it.

        After an ``OSError`` the line is not in the file, or only a part of it.
        """
        try:
            if self._size + len(line) > self._limit and self._header:
                self._rotate(self._header)
            if self._torn:
                self._write_some(b"\n")
                self._torn = False
            written = os.write(self._descriptor, line)
            self._size += written
            if written < len(line):
                self._write_rest(line, written)
        except OSError as error:
            if error.errno in _DESCRIPTOR_IS_DEAD:
                self._drop()
            raise

    def _write_rest(self, line: bytes, written: int) -> None:
        """Go on after a short write: the disk was full in the middle of it, and no error comes before the next one."""
        self._torn = True
        try:
            while written < len(line):
                written += self._write_some(line[written:])
        except OSError:
            if written < len(line) - 1:
                raise
            return  # the record is whole, and its newline comes before the next one
        self._torn = False

    def _write_some(self, data: bytes) -> int:
        written = os.write(self._descriptor, data)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written
        return written

    def sync(self) -> None:
        """Force what was written to the disk; nothing to do where it is not open, or is a pipe or device."""
        if self._descriptor == _NOT_OPEN:
            return
        try:
            os.fsync(self._descriptor)
            if not self._is_listed:
                _sync_folder(self.path.parent)
                self._is_listed = True
        except OSError as error:
            if error.errno != errno.EINVAL:  # a pipe or device, which has nothing to force
                raise

    def let_go(self) -> None:
        """Close the file without a word in it, and leave it to the next writer. Idempotent; never raises."""
        self.writer = _NOBODY
        self._drop()
        _open_files.discard(self)

    def _drop(self) -> None:
        segment, self._segment = self._segment, None
        self._descriptor = _NOT_OPEN
        if segment is not None:
            segment.close()
        self._lock.release()

    # -- one writer -----------------------------------------------------------------------------------------------

    def _is_special(self) -> bool:
        """A pipe or device has neither an end nor a past, and whoever asked for it wants it as it is."""
        try:
            return not stat.S_ISREG(os.stat(self.wanted).st_mode)
        except FileNotFoundError:
            return False

    def _claim(self, insist: bool) -> str | None:
        """Make the wanted journal ours; else say why it cannot be ours."""
        is_ours = self._lock.take(self.wanted)
        if not is_ours and insist and is_held_here(self.wanted):
            close_what_was_let_go_of()
            is_ours = self._lock.take(self.wanted)
            if not is_ours and forget_variables_of_the_last_error():
                close_what_was_let_go_of()
                is_ours = self._lock.take(self.wanted)
        if not is_ours and is_held_here(self.wanted):
            return "is being written by another JsonlSink of this process (close its hub to go on in the same file)"
        if not is_ours:
            return "is being written by another process"
        if not is_journal(self.wanted):
            self._lock.release()
            return "exists and is no journal"
        return None

    def _claim_beside(self) -> None:
        stem, suffix = self.wanted.stem[:40], self.wanted.suffix[:10]  # a name may have 255 bytes
        name = f"{stem}-{os.getpid()}-{os.urandom(4).hex()}{suffix}"
        self.path = self.wanted.with_name(name)
        os.close(os.open(self.path, _CREATE_NEW, 0o666))
        self._lock.take(self.path)

    def _open_newest(self) -> None:
        """Open the last segment of what was claimed, and see how it ends."""
        numbers = [
            number
            for number in segment_numbers(self.path)
            if number == FIRST or is_journal(segment_path(self.path, number))
        ] or [FIRST]
        newest = numbers[-1]
        path = segment_path(self.path, newest)
        self._use(os.open(path, _CREATE if newest == FIRST else OPEN_TO_APPEND, 0o666), newest)
        self._size = os.fstat(self._descriptor).st_size
        self._limit = self._segment_bytes
        if self._size:
            with open(path, "rb") as file:
                file.seek(-1, os.SEEK_END)
                self._torn = file.read(1) != b"\n"
        headers = (last_run(segment_path(self.path, number)) for number in reversed(numbers))
        self.last_header = next((header for header in headers if header is not None), None)

    # -- segments -------------------------------------------------------------------------------------------------

    def _use(self, descriptor: int, number: int) -> None:
        self._segment = Opened.of(descriptor)
        self._descriptor = self._segment.number
        self._number = number
        self._size = 0
        self._is_listed = False

    def _rotate(self, header: bytes) -> bool:
        """Go on in a new segment that begins with ``header``; False when none can be begun, and it goes on in this one.

        Readers leave this segment for good as soon as a header stands in the next: so either that is there and we are
        in it as well, or it is taken away again and we stay.
        """
        try:
            number, begun = self._new_segment()
        except OSError as error:
            self._stay(error)
            return False
        failure: OSError | None = None
        try:
            os.write(begun.number, header)
        except OSError as error:
            failure = error
        finally:
            is_whole = os.fstat(begun.number).st_size == len(header)
            if is_whole:
                self._leave_for(begun, number)
                self._size = len(header)
            else:
                begun.close()
                self._take_away(segment_path(self.path, number))
        if not is_whole:
            self._stay(failure or OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        return is_whole

    def _new_segment(self) -> tuple[int, Opened]:
        number = self._number + 1
        while True:
            try:
                return number, Opened.of(os.open(segment_path(self.path, number), _CREATE_NEW, 0o666))
            except FileExistsError:
                number += 1  # somebody else's file by that name, or one that could not be taken away again

    def _take_away(self, unbegun: Path) -> None:
        try:
            os.unlink(unbegun)
        except OSError:
            pass  # without a header it is no segment to any reader

    def _leave_for(self, begun: Opened, number: int) -> None:
        left = self._segment
        self._segment, self._descriptor, self._number = begun, begun.number, number
        self._torn, self._is_listed = False, False
        self._limit = self._segment_bytes
        if left is None:
            return
        if self._durable:
            try:
                os.fsync(left.number)
            except OSError as error:
                self._complain("what was written to the segment before cannot be forced to the disk", error)
        left.close()

    def _stay(self, error: OSError) -> None:
        self._limit = self._size + int(self._segment_bytes * _RETRY_AFTER)
        self._complain("no further segment can be begun, and the journal goes on in the same file", error)

    def _complain(self, what: str, error: OSError) -> None:
        if not self._has_complained:
            self._has_complained = True
            logger.warning("journal %s: %s (%s: %s)", self.path, what, type(error).__name__, error)


def _sync_folder(folder: Path) -> None:
    """Force the names in ``folder`` to the disk; a file whose name is lost in a power cut is lost with it."""
    if not hasattr(os, "O_DIRECTORY"):
        return  # Windows, where folders cannot be opened
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_open_files: weakref.WeakSet[JournalFile] = weakref.WeakSet()
_hooked = False


def _let_go_in_children(file: JournalFile) -> None:
    """A forked child shares the descriptors, and so the lock: it must not keep either for as long as it lives."""
    global _hooked
    _open_files.add(file)
    if not _hooked and hasattr(os, "register_at_fork"):
        _hooked = True
        os.register_at_fork(after_in_child=_let_go_of_all)


def _let_go_of_all() -> None:
    for file in list(_open_files):
        file.let_go()


def checked_path(path: object) -> Path:
    """``path`` made absolute, so that a change of folder does not move it; raises for what can never be a journal."""
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        raise TypeError(f"path must be a str or a path, such as 'run.jsonl'; got {path!r:.80} ({type(path).__name__})")
    if not text or "\0" in text:
        raise ValueError(f"path must name a file, such as 'run.jsonl'; got {text!r:.80}")
    wanted = Path(os.path.abspath(text))
    if wanted.is_dir():
        raise IsADirectoryError(f"path must name a file, such as {wanted / 'run.jsonl'}; {wanted} is a folder")
    if wanted.exists():
        if not os.access(wanted, os.W_OK):
            raise PermissionError(f"the journal {wanted} cannot be written: no permission")
        return wanted
    folder = next((folder for folder in wanted.parents if folder.exists()), None)
    if folder is None:
        raise FileNotFoundError(f"the journal {wanted} cannot be made: {wanted.anchor} does not exist")
    if not folder.is_dir():
        raise NotADirectoryError(f"the journal {wanted} cannot be made: {folder} is no folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"the journal {wanted} cannot be made: no permission to write in {folder}")
    return wanted
