"""Where the dashboard comes out: pinned on a terminal, as plain text in a file or pipe, or in a console in memory."""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from collections.abc import Sequence
from typing import IO, Any, Final, Protocol

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment

from sinks.terminal.dashboard import Dashboard
from sinks.terminal.device import Device, FileDevice
from sinks.terminal.look import Row
from sinks.terminal.plain import WIDTH, PlainText
from sinks.terminal.screen import STOP_WITHIN_S, live_is_active, screen_on
from sinks.terminal.streams import is_own
from sinks.terminal.summary import Cost
from sinks.terminal.ticker import Ticker
from sinks.terminal.tty import Terminal

LINE_WITHIN_S: Final = 0.25
"""How long a block of text in a file waits for the end of a line that the user has begun."""
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class Output(Protocol):
    """One way for a dashboard to come out."""

    def end(self, files: Sequence[str] = (), /) -> None:
        """Show the last state and the summary, which names ``files``, and let go of everything. Bounded in time; never
        raises ``OSError``."""
        ...


def output_for(dashboard: Dashboard, console: Console) -> Output:
    """The output that suits what ``console`` writes to."""
    interval_s = 1.0 / dashboard.config.refresh_per_second
    if is_in_memory(console):
        return InMemory(dashboard, console)
    descriptor = _descriptor(console.file)
    if (
        descriptor is None
        or not os.isatty(descriptor)
        or not console.is_terminal
        or console.is_dumb_terminal
        or console.is_jupyter
        or live_is_active()
    ):
        return AsText(dashboard, console, interval_s)
    device: Device
    try:
        device = Terminal(descriptor)
    except (OSError, AttributeError):  # no ttyname here, or not allowed to open it
        device = FileDevice(console, os.fstat(descriptor).st_rdev)
    return Pinned(dashboard, console, device, interval_s)


def is_in_memory(console: Console) -> bool:
    """It is read by the program itself, which looks right after the call that wrote to it.

    A stream without a descriptor alone does not say so: a logger's stand-in for standard output has none either.
    """
    if console.record:
        return True
    return hasattr(console.file, "getvalue") and _descriptor(console.file) is None and not console.is_jupyter


def _descriptor(file: IO[str]) -> int | None:
    try:
        return file.fileno()
    except Exception:  # in memory, closed, None, or a stand-in of somebody else
        return None


class Nowhere:
    """The output of a process that shows nothing: another rank does."""

    def end(self, files: Sequence[str] = ()) -> None:
        """There is nothing to let go of."""


class Pinned:
    """A panel of the screen of a terminal."""

    def __init__(self, dashboard: Dashboard, console: Console, device: Device, interval_s: float) -> None:
        self._dashboard = dashboard
        self._console = console
        self._plain = PlainText(dashboard, console, on_terminal=True)
        self._screen = screen_on(device, console, interval_s)
        self._screen.attach(self)
        dashboard.state.wake = self._screen.wake

    def rows(self, width: int, height: int) -> list[Row]:
        return self._dashboard.rows(width, height, self._console, paced=True)

    def text_due(self) -> str:
        return self._plain.next()

    def text_of_the_end(self, closing: list[Row]) -> str:
        return self._plain.end(closing)

    def give_up_tables(self) -> None:
        self._plain.without_tables = True

    def end(self, files: Sequence[str] = ()) -> None:
        closing: list[Row] = []
        try:
            closing = self._dashboard.summary(max(self._console.width - 1, 20), files, self._cost)
        finally:
            self._screen.detach(self, closing)

    @property
    def _cost(self) -> Cost:
        return Cost(self._screen.drawing_s, self._dashboard.frames)


class AsText:
    """Plain blocks, written by a thread and flushed at once. A stream that is gone ends the output, nothing else; what
    a full disk refuses is lost, and the next block is tried again.

    The standard streams stay as they are. In a file a block begins on a line of its own, and a line that the user has
    begun is given `LINE_WITHIN_S` to end; where it ends in a pipe is not to be known.
    """

    def __init__(self, dashboard: Dashboard, console: Console, interval_s: float) -> None:
        self._dashboard = dashboard
        self._console = console
        self._file = console.file  # taken now: later a ``redirect_stdout`` of the user's may be in its place
        self._plain = PlainText(dashboard, console)
        self._gone = False
        self._ticker = Ticker(self._speak, interval_s, "metrics-hub text", self._speak_without_tables)
        self._ticker.start()
        dashboard.state.wake = self._ticker.wake

    def end(self, files: Sequence[str] = ()) -> None:
        if self._ticker.stop(STOP_WITHIN_S):
            self._write(self._plain.end(self._dashboard.summary(WIDTH, files, self._cost)))

    @property
    def _cost(self) -> Cost:
        return Cost(self._ticker.cpu_s, self._dashboard.frames)

    def _speak(self) -> None:
        self._write(self._plain.next())

    def _speak_without_tables(self) -> None:
        self._plain.without_tables = True
        self._speak()

    def _write(self, text: str) -> None:
        if not text or self._gone:
            return
        file = self._file
        proxy: Any = sys.stdout
        try:
            if getattr(proxy, "rich_proxied_file", None) is file:
                proxy.write(text)  # a Live of somebody else is running: through its own door, above it
                return
            data = text.encode(getattr(file, "encoding", None) or "utf-8", "replace")
            descriptor = _descriptor(file)
            if descriptor is None or not is_own(file):
                file.write(data.decode(getattr(file, "encoding", None) or "utf-8"))
                file.flush()
                return
            file.flush()  # what the user printed before comes before
            until = time.monotonic() + LINE_WITHIN_S
            while _ends_within_line(descriptor):
                if time.monotonic() > until:
                    data = b"\n" + data
                    break
                time.sleep(0.002)
                file.flush()
            while data:  # not through the file: what a full disk refuses would wait there and fail again at exit
                data = data[os.write(descriptor, data) :]
        except (OSError, ValueError) as error:  # closed pipe, full disk, closed file
            self._gone = getattr(error, "errno", None) not in _FULL


def _ends_within_line(descriptor: int) -> bool:
    """Whether the last line of the file ``descriptor`` has not ended. Of a pipe nobody knows."""
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            return False
        with open(f"/proc/self/fd/{descriptor}", "rb", buffering=0) as file:  # it may be open for writing only
            return os.pread(file.fileno(), 1, status.st_size - 1) != b"\n"
    except OSError:
        return False


class InMemory:
    """Written to at once, in the call, so that whoever reads the console right after an update sees what was due."""

    def __init__(self, dashboard: Dashboard, console: Console) -> None:
        self._dashboard = dashboard
        self._console = console

    def tables_due(self) -> None:
        width = max(self._console.width, 1)
        self._print(self._dashboard.rows(width, 200, self._console, curves=False))

    def end(self, files: Sequence[str] = ()) -> None:
        self.tables_due()
        self._print(self._dashboard.summary(self._console.width, files))

    def _print(self, rows: list[Row]) -> None:
        self._console.print(Rows(rows), markup=False, highlight=False, emoji=False, soft_wrap=False)


class Rows:
    """Rows as something that Rich can print."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for row in self._rows:
            for text, style in row:
                yield Segment(text, style)
            yield Segment.line()
