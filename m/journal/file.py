"""The file of a journal as its one writer has it: opened for appending, claimed, let go of again.

Appends lines and does not know what is in them; whether a file is a journal, and how its last header reads, it asks
`m.journal.reader`.
"""

from __future__ import annotations

import errno
import os
import stat
import weakref
from pathlib import Path
from typing import Final

from m.journal.reader import is_journal, last_run
from m.metrics.run import Run

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

# O_NONBLOCK: to open a named pipe that nobody reads must fail, not wait; it means nothing for files
_APPEND: Final = (
    os.O_WRONLY
    | os.O_APPEND
    | os.O_CREAT
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)
_DESCRIPTOR_IS_DEAD: Final = frozenset((errno.EBADF, errno.ESTALE))
_NOT_OPEN: Final = -1  # what is written to it is refused with EBADF
_NOBODY: Final = 0


class JournalFile:
    """The journal file at ``wanted``, an absolute path, for one process to append to. Making one opens nothing.

    A file has one writer. When another process, or another `JournalFile` in this one, has the file at ``wanted``, or
    when the file there is no journal, `open` takes a new one beside it, ``name-<pid>-<hex>.jsonl``. After a fork it
    stays with the parent: the child's copy is let go of by itself.

    One thread at a time may call it. What the system refuses is an ``OSError``, from `open`, `append` and `sync`.
    """

    def __init__(self, wanted: Path) -> None:
        self.wanted = wanted
        """The path that was asked for."""
        self.path = wanted
        """The file that is written to; known for certain once it was opened."""
        self.writer = _NOBODY
        """The process that may append to it, from `hold` to `let_go`; 0: none. Compare it with ``os.getpid()``: a
        forked child finds 0 here, or the number of its parent."""
        self.last_header: Run | None = None
        """The newest header that was in the file when it was opened."""
        self._descriptor = _NOT_OPEN
        self._torn = False  # the file ends in a part of a line
        self._side_lock: tuple[Path, int] | None = None

    @property
    def is_open(self) -> bool:
        """False before `open`, after `let_go`, and after an error that says that the descriptor is of no more use."""
        return self._descriptor != _NOT_OPEN

    def hold(self) -> None:
        """Make this process the `writer`, which may come long before the file can be opened."""
        self.writer = os.getpid()

    def open(self) -> str | None:
        """Make missing folders, open the file and claim it; None when it is the one that was asked for.

        Otherwise says why the file there could not be had, such as ``"exists and is no journal"``.
        """
        self.wanted.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.wanted, _APPEND, 0o666)
        try:
            refusal = self._claim(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        if refusal is None:
            self.path = self.wanted
        else:
            os.close(descriptor)
            descriptor = self._open_beside()
        self._descriptor = descriptor
        _let_go_in_children(self)
        return refusal

    def append(self, line: bytes) -> None:
        """Write one whole line, in one write where the system takes it. Closes off a torn line before it.

        After an ``OSError`` the line is not in the file, or only a part of it.
        """
        try:
            if self._torn:
                self._write_some(b"\n")
                self._torn = False
            written = os.write(self._descriptor, line)
            while written < len(line):  # the disk was full in the middle of it: no error comes before the next write
                self._torn = True
                written += self._write_some(line[written:])
            self._torn = False
        except OSError as error:
            if error.errno in _DESCRIPTOR_IS_DEAD:
                if error.errno != errno.EBADF:  # that number may be somebody else's file by now
                    _close_quietly(self._descriptor)
                self._descriptor = _NOT_OPEN
            raise

    def _write_some(self, data: bytes) -> int:
        written = os.write(self._descriptor, data)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written

    def sync(self) -> None:
        """Force what was written to the disk; nothing to do where it is not open, or is a pipe or device."""
        if self._descriptor == _NOT_OPEN:
            return
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a pipe or device, which has nothing to force
                raise

    def let_go(self) -> None:
        """Close the file without a word in it, and leave it to the next writer. Idempotent; never raises."""
        descriptor, self._descriptor = self._descriptor, _NOT_OPEN
        self.writer = _NOBODY
        if descriptor != _NOT_OPEN:
            _close_quietly(descriptor)
        self._unlock()
        _open_files.discard(self)

    # -- one writer -----------------------------------------------------------------------------------------------

    def _claim(self, descriptor: int) -> str | None:
        """Make the file ours and see how it ends; else say why it cannot be ours."""
        self._torn, self.last_header = False, None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None  # a pipe or device has neither an end nor a past
        if not self._lock(descriptor):
            return "is being written by another sink or process"
        if not is_journal(self.wanted):
            self._unlock()
            return "exists and is no journal"
        if os.fstat(descriptor).st_size:
            with open(self.wanted, "rb") as file:
                file.seek(-1, os.SEEK_END)
                self._torn = file.read(1) != b"\n"
            self.last_header = last_run(self.wanted)
        return None

    def _open_beside(self) -> int:
        stem, suffix = self.wanted.stem[:40], self.wanted.suffix[:10]  # a name may have 255 bytes
        name = f"{stem}-{os.getpid()}-{os.urandom(4).hex()}{suffix}"
        path = self.wanted.with_name(name)
        descriptor = os.open(path, _APPEND | os.O_EXCL, 0o666)
        self.path = path
        self._torn, self.last_header = False, None
        if fcntl is not None:
            self._lock(descriptor)
        return descriptor

    def _lock(self, descriptor: int) -> bool:
        """Take the lock that a file's one writer holds, which ends with the process; False when somebody has it."""
        if fcntl is None:
            return self._lock_beside()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # a file system without locks
        return True

    def _lock_beside(self) -> bool:
        """The same with a file beside it, where an open file cannot be removed: one that can be was left by a crash."""
        path = self.wanted.with_name(self.wanted.name + ".lock")
        try:
            path.unlink(missing_ok=True)
            self._side_lock = (path, os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except OSError:
            return False
        return True

    def _unlock(self) -> None:
        """The lock of a descriptor ends when that is closed; the file beside it must be removed."""
        if self._side_lock is None:
            return
        path, descriptor = self._side_lock
        self._side_lock = None
        _close_quietly(descriptor)
        try:
            path.unlink(missing_ok=True)
        except OSError:
            pass  # the next writer removes it


_open_files: weakref.WeakSet[JournalFile] = weakref.WeakSet()
_hooked = False


def _let_go_in_children(file: JournalFile) -> None:
    """A forked child shares the descriptor, and so the lock: it must not keep either for as long as it lives."""
    global _hooked
    _open_files.add(file)
    if not _hooked and hasattr(os, "register_at_fork"):
        _hooked = True
        os.register_at_fork(after_in_child=_let_go_of_all)


def _let_go_of_all() -> None:
    for file in list(_open_files):
        file.let_go()


def _close_quietly(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        pass  # what it complains about was in the file's hands already, or it is closed


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
