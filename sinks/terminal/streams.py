"""The user's own output while a dashboard is on the screen: ``print``, ``warnings`` and ``logging`` go above it.

The stand-ins for ``sys.stdout`` and ``sys.stderr`` only put text into a queue: whoever prints - a finaliser in the
middle of a frame, a logging handler under its lock - never waits for a lock of ours. Who prints faster than the
terminal takes it waits for that, see `MOST_WAITING`.
"""

from __future__ import annotations

import builtins
import codecs
import io
import logging
import os
import sys
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Final, TextIO

MOST_WAITING: Final = 1_000_000
"""Characters that may wait to be shown; past it, whoever prints waits for room, ..."""
HELD_UP_S: Final = 1.0
"""... but no text for longer than this: a stopped terminal slows those that print, and hangs nobody."""


class PrintQueue:
    """Text that was printed and is not on the screen yet, in the order in which it was printed."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self._texts: SimpleQueue[str] = SimpleQueue()
        self._waiting = 0
        self.wake = wake

    @property
    def full(self) -> bool:
        """So much is waiting that whoever prints should wait a moment."""
        return self._waiting > MOST_WAITING

    def put(self, text: str) -> None:
        self._waiting += len(text)
        self._texts.put(text)
        self.wake()

    def __bool__(self) -> bool:
        return not self._texts.empty()

    def take(self) -> str:
        """Everything that is waiting."""
        texts = []
        try:
            while True:
                texts.append(self._texts.get_nowait())
        except Empty:
            pass
        self._waiting = 0  # threads that print at once may miscount; from here on it is right again
        return "".join(texts)


class PrintAbove(io.TextIOBase):
    """Stands in for ``sys.stdout`` or ``sys.stderr``. Everything but writing is the real stream's."""

    def __init__(self, real: TextIO, prints: PrintQueue) -> None:
        self.real = real
        self._prints = prints
        self._bytes: BytesAbove | None = None
        self._pid = os.getpid()
        self._device = _number_of_device(real)
        self.released = False

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text and self._prints.full:
            self._wait_for_room()
        if self.passes_through:
            self.real.write(text)
        elif text:
            self._prints.put(text)
        return len(text)

    def flush(self) -> None:
        if self.passes_through:
            self.real.flush()

    @property
    def passes_through(self) -> bool:
        """What is written goes to the real stream directly."""
        return self.released or os.getpid() != self._pid or self._is_redirected

    @property
    def _is_redirected(self) -> bool:
        """Somebody has put another file in the terminal's place, by ``os.dup2`` onto its descriptor."""
        there = _number_of_device(self.real)
        return there is not None and there != self._device

    def _wait_for_room(self) -> None:
        until = time.monotonic() + HELD_UP_S
        while self._prints.full and not self.passes_through and time.monotonic() < until:
            self._prints.wake()
            time.sleep(0.005)

    def isatty(self) -> bool:
        return self.real.isatty()

    def fileno(self) -> int:
        return self.real.fileno()

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """The real stream is not ours to close."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.real.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self.real.errors

    @property
    def buffer(self) -> Any:
        """Bytes go the way of the text."""
        if self._bytes is None:
            self._bytes = BytesAbove(self)
        return self._bytes

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class BytesAbove(io.BufferedIOBase):
    """Stands in for ``sys.stdout.buffer`` on a terminal. Where text passes to the real stream, so do bytes."""

    def __init__(self, text: PrintAbove) -> None:
        self._text = text
        self._decoder = codecs.getincrementaldecoder(text.encoding or "utf-8")("backslashreplace")

    def write(self, data: Any) -> int:
        if self._text.passes_through:
            return self._text.real.buffer.write(data)
        given = memoryview(data).tobytes()
        self._text.write(self._decoder.decode(given))
        return len(given)

    def flush(self) -> None:
        self._text.flush()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._text.fileno()

    def isatty(self) -> bool:
        return self._text.isatty()

    def close(self) -> None:
        """The real stream is not ours to close."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._text.real.buffer, name)


class Redirection:
    """Puts the stand-ins in place and takes them away, in ``sys`` and in logging handlers made before.

    ``asking`` is told when ``input`` begins to wait for an answer on a terminal, and when that is over.
    """

    def __init__(self, prints: PrintQueue, asking: Callable[[bool], object] = bool) -> None:
        self._prints = prints
        self._asking = asking
        self._input = builtins.input
        self._own_input = self._ask
        self._stand_ins: dict[str, PrintAbove] = {}
        self._theirs: TextIO | None = None
        self._handlers: list[tuple[logging.StreamHandler[Any], PrintAbove]] = []

    def install(self, device: int) -> None:
        """Redirect each of the two streams that is the terminal ``device``, unless that was done."""
        if self._stand_ins:
            return
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if _device_of(stream) == device:
                stand_in = PrintAbove(stream, self._prints)
                self._stand_ins[name] = stand_in
                if self._theirs is None and not is_own(stream):
                    self._theirs = stream
                stream.flush()
                setattr(sys, name, stand_in)
        if self._stand_ins:
            self._input, builtins.input = builtins.input, self._own_input
        for handler in _stream_handlers():
            for stand_in in self._stand_ins.values():
                if handler.stream is stand_in.real:
                    handler.setStream(stand_in)
                    self._handlers.append((handler, stand_in))

    @property
    def has_theirs(self) -> bool:
        """What is printed must go through a stream of somebody else's, who keeps it: a tee, a tracker's capture."""
        return self._theirs is not None

    def pass_through(self, wanted: bool) -> None:
        """Let the stand-ins write to the real streams directly, or queue again."""
        for stand_in in self._stand_ins.values():
            stand_in.released = wanted

    def write_through(self, text: str) -> None:
        """Write ``text`` to the real standard output, or to what somebody has put in place of one of the streams.

        A stream that takes nothing any more is no error.
        """
        stand_in = self._stand_ins.get("stdout") or self._stand_ins.get("stderr")
        stream = self._theirs or (stand_in.real if stand_in is not None else sys.stdout)
        try:
            stream.write(text)
            stream.flush()
        except Exception:  # hung up, closed, None, or whatever somebody else's raises
            pass

    def _ask(self, prompt: object = "", /) -> str:
        """``input``, and with it the prompt of ``breakpoint()``, while the display is there."""
        if not self._stand_ins:  # somebody has kept it
            return self._input(prompt)
        try:
            self._asking(True)
            return self._input(prompt)
        finally:
            self._asking(False)

    def remove(self) -> None:
        """Put the real streams back, unless somebody else has replaced ours meanwhile."""
        if builtins.input is self._own_input:
            builtins.input = self._input
        for name, stand_in in self._stand_ins.items():
            stand_in.released = True  # whoever kept it writes to the real stream from now on
            if getattr(sys, name) is stand_in:
                setattr(sys, name, stand_in.real)
        for handler, stand_in in self._handlers:
            if handler.stream is stand_in:
                handler.stream = stand_in.real  # not setStream: its lock may be held by a thread a fork left behind
        self._stand_ins.clear()
        self._handlers.clear()
        self._theirs = None


def is_own(stream: Any) -> bool:
    """Whether ``stream`` is Python's own: writing to its descriptor is the same as writing to it.

    It is not where somebody has put an object, or a ``write``, of his own in its place, to keep what is printed.
    """
    return getattr(type(stream), "write", None) is io.TextIOWrapper.write and "write" not in vars(stream)


def _device_of(stream: Any) -> int | None:
    """The terminal that ``stream`` writes to, or None."""
    try:
        return _number_of_device(stream) if os.isatty(stream.fileno()) else None
    except Exception:  # replaced by the user, closed, or None
        return None


def _number_of_device(stream: Any) -> int | None:
    """The number of the device that ``stream`` writes to, 0 for files, also when it has hung up; None without one."""
    try:
        return os.fstat(stream.fileno()).st_rdev
    except Exception:  # as `_device_of`
        return None


def _stream_handlers() -> list[logging.StreamHandler[Any]]:
    loggers: list[Any] = [logging.root, *logging.root.manager.loggerDict.values()]
    return [
        handler
        for logger in loggers
        for handler in getattr(logger, "handlers", ())
        if isinstance(handler, logging.StreamHandler)
    ]
