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
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Final, TextIO

MOST_WAITING: Final = 1_000_000
"""Characters that may wait to be shown; past it, whoever prints waits for room, ..."""
LINE_WITHIN_S: Final = 0.25
"""How long a block of text waits for the end of a line that was begun."""
TURN_WITHIN_S: Final = 0.1
"""How long a print into a file waits while the display writes there what was kept back meanwhile."""
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

    def __init__(self, real: TextIO, prints: PrintQueue, turn: threading.RLock | None = None) -> None:
        self.real = real
        self._prints = prints
        self._turn = turn
        self._bytes: BytesAbove | None = None
        self._pid = os.getpid()
        self.released = False
        self.in_line = False
        """What went to the real stream last has not ended its line."""

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text and self._prints.full:
            self._wait_for_room()
        if self._turn is None or os.getpid() != self._pid:
            self._write(text, not self.passes_through)
            return len(text)
        locked = self._turn.acquire(timeout=TURN_WITHIN_S)
        try:
            self._write(text, not (locked and self.released))
        finally:
            if locked:
                self._turn.release()
        return len(text)

    def _write(self, text: str, later: bool) -> None:
        if later:
            self._prints.put(text)
        elif text:
            self.in_line = True  # what raises may have written a part
            self.real.write(text)
            self.in_line = not text.endswith("\n")

    def flush(self) -> None:
        if self.passes_through:
            self.real.flush()

    @property
    def passes_through(self) -> bool:
        """What is written goes to the real stream directly."""
        return self.released or os.getpid() != self._pid

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
        """For a terminal bytes go the way of the text; in a file they may be anything, and stay as they are."""
        if self._turn is not None:
            return self.real.buffer
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
        self._handlers: list[tuple[logging.StreamHandler[Any], PrintAbove]] = []
        self._kept = ""  # taken from the queue while lines are held
        self._turn = threading.RLock()  # waited for by nobody for longer than `TURN_WITHIN_S`

    def install(self, device: int) -> None:
        """Redirect each of the two streams that is the terminal ``device``, unless that was done."""
        if not self._stand_ins:
            self._install(lambda stream: _device_of(stream) == device, passing=False)
            if self._stand_ins:
                self._input, builtins.input = builtins.input, self._own_input

    def install_on_file(self, descriptor: int) -> None:
        """Stand between each of the two streams and the file ``descriptor``, and let text pass but for moments."""
        self._install(lambda stream: _is_file(stream, descriptor), passing=True)

    def _ask(self, prompt: object = "", /) -> str:
        """``input``, and with it the prompt of ``breakpoint()``, while the display is there."""
        if not self._stand_ins:  # somebody has kept it
            return self._input(prompt)
        try:
            self._asking(True)
            return self._input(prompt)
        finally:
            self._asking(False)

    def _install(self, ours: Callable[[Any], bool], passing: bool) -> None:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if ours(stream):
                stand_in = PrintAbove(stream, self._prints, self._turn if passing else None)
                self._stand_ins[name] = stand_in
                stand_in.released = passing
                if not passing:
                    stream.flush()
                setattr(sys, name, stand_in)
        for handler in _stream_handlers():
            for stand_in in self._stand_ins.values():
                if handler.stream is stand_in.real:
                    handler.setStream(stand_in)
                    self._handlers.append((handler, stand_in))

    def pass_through(self, wanted: bool) -> None:
        """Let the stand-ins write to the real streams directly, or queue again."""
        for stand_in in self._stand_ins.values():
            stand_in.released = wanted

    def write_through(self, text: str) -> None:
        """Write ``text`` to the real standard output; a stream that takes nothing any more is no error."""
        stand_in = self._stand_ins.get("stdout") or self._stand_ins.get("stderr")
        stream = stand_in.real if stand_in is not None else sys.stdout
        try:
            stream.write(text)
            stream.flush()
        except (OSError, ValueError, AttributeError):  # hung up, closed, None
            pass

    def hold_lines(self) -> None:
        """Keep what is printed from now on back until `let_go`, but for the rest of a line that was begun, which passes
        if its end comes within `LINE_WITHIN_S`."""
        self._pass_in_turn(False)
        until = time.monotonic() + LINE_WITHIN_S
        while self.in_line and time.monotonic() < until:
            line, newline, self._kept = (self._kept + self._prints.take()).rpartition("\n")
            if newline:
                self.write_through(line + newline)
                self.end_line()
            else:
                time.sleep(0.002)

    @property
    def in_line(self) -> bool:
        """Whether what went to the real streams ends within a line."""
        return any(stand_in.in_line for stand_in in self._stand_ins.values())

    def end_line(self) -> None:
        """Note that somebody has written a newline past the stand-ins."""
        for stand_in in self._stand_ins.values():
            stand_in.in_line = False

    def let_go(self) -> None:
        """Let text pass again, after that which was kept back."""
        self._pass_in_turn(True)

    def _pass_in_turn(self, wanted: bool) -> None:
        locked = self._turn.acquire(timeout=TURN_WITHIN_S)
        try:
            while wanted and (self._kept or self._prints):
                kept, self._kept = self._kept + self._prints.take(), ""
                self.write_through(kept)
                for stand_in in list(self._stand_ins.values())[:1]:
                    stand_in.in_line = not kept.endswith("\n")
            self.pass_through(wanted)
        finally:
            if locked:
                self._turn.release()

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

    def hand_back(self) -> None:
        """`remove`, where text may still be kept back since a block could not be written to its end."""
        streams = [stand_in.real for stand_in in self._stand_ins.values()]
        self.remove()
        kept, self._kept = self._kept + self._prints.take(), ""
        try:
            if kept and streams:
                streams[0].write(kept)
        except (OSError, ValueError):
            pass


def _device_of(stream: Any) -> int | None:
    """The terminal that ``stream`` writes to, or None."""
    try:
        descriptor = stream.fileno()
        return os.fstat(descriptor).st_rdev if os.isatty(descriptor) else None
    except Exception:  # replaced by the user, closed, or None
        return None


def _is_file(stream: Any, descriptor: int) -> bool:
    """Whether ``stream`` writes to the same file as ``descriptor``, and nobody's stand-in is in its place."""
    try:
        return (
            not hasattr(stream, "rich_proxied_file")
            and not isinstance(stream, PrintAbove)
            and os.path.sameopenfile(stream.fileno(), descriptor)
        )
    except Exception:  # replaced by the user, closed, or None
        return False


def _stream_handlers() -> list[logging.StreamHandler[Any]]:
    loggers: list[Any] = [logging.root, *logging.root.manager.loggerDict.values()]
    return [
        handler
        for logger in loggers
        for handler in getattr(logger, "handlers", ())
        if isinstance(handler, logging.StreamHandler)
    ]
