"""The lock that keeps a journal to one writer. Knows nothing of what is in the file."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

from m.journal.descriptors import Opened

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

OPEN_TO_APPEND: Final = (
    os.O_WRONLY
    | os.O_APPEND
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)  # to open a named pipe that nobody reads must fail, not wait; nothing for files
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)

closers: Final[list[Callable[[], object]]] = []
"""Each closes what its owner has let go of without closing it, as far as a collection of garbage has found it."""

_held_here: set[tuple[int, tuple[int, int]]] = set()  # process, device and number of each file that is a lock


def is_held_here(path: Path) -> bool:
    """Whether it is this very process that holds the lock of the journal at ``path``."""
    try:
        status = os.stat(path if fcntl is not None else _beside(path))
    except OSError:
        return False
    return (os.getpid(), (status.st_dev, status.st_ino)) in _held_here


def close_what_was_let_go_of() -> None:
    """Collect garbage and have the `closers` close what it held; takes as long as that takes."""
    gc.collect()
    for close in closers:
        close()


def forget_variables_of_the_last_error() -> bool:
    """Empty the functions that the last error came out of; False when there was none.

    An interactive Python keeps them for its debugger, and with them a hub that one of them, interrupted, was training
    with.
    """
    error: BaseException | None = getattr(sys, "last_value", None)
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        traceback.clear_frames(error.__traceback__)
        for frame, _ in traceback.walk_tb(error.__traceback__):
            len(frame.f_locals)  # before Python 3.13 this empties what somebody has seen of them
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return bool(seen)


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


class WriterLock:
    """What the one writer of a journal holds on its first file, from `take` to `release` or the end of the process.

    Where there is no ``flock``, it is a file beside it, ``run.jsonl.lock``, that is kept open: there, an open file
    cannot be removed, so that one that can be was left by a process that died.
    """

    def __init__(self) -> None:
        self._held: Opened | None = None
        self._beside: Path | None = None
        self._process = 0

    def take(self, path: Path) -> bool:
        """Make the file at ``path`` where there is none, and lock it; False when another writer has it.

        Raises ``OSError`` when the file cannot be opened. A file system without locks is as good as locked.
        """
        self._process = os.getpid()
        if fcntl is None:
            return self._take_beside(path)
        held = Opened.of(os.open(path, OPEN_TO_APPEND | os.O_CREAT, 0o666))
        try:
            fcntl.flock(held.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.close()
            return False
        except OSError:
            pass
        self._hold(held)
        return True

    def _hold(self, held: Opened) -> None:
        self._held = held
        _held_here.add((self._process, held.file))

    def _take_beside(self, path: Path) -> bool:
        Opened.of(os.open(path, OPEN_TO_APPEND | os.O_CREAT, 0o666)).close()
        beside = _beside(path)
        try:
            beside.unlink(missing_ok=True)
            self._hold(Opened.of(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY)))
        except OSError:
            return False
        self._beside = beside
        return True

    def release(self) -> None:
        """Leave the journal to the next writer. Idempotent; never raises. A forked child only closes its copy."""
        held, self._held = self._held, None
        beside, self._beside = self._beside, None
        if held is not None:
            _held_here.discard((self._process, held.file))
            held.close()
        if beside is not None and self._process == os.getpid():
            try:
                beside.unlink()
            except OSError:
                pass  # the next writer removes it
