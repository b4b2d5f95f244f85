"""The runtime of a live display: one thread per terminal that draws the dashboards on it and lets prints pass above.

Rich makes the text; this file runs the terminal. Nothing here is ever waited for by the training loop, except at the
end, for a bounded time.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from typing import Final, Protocol

from rich.cells import cell_len
from rich.console import Console
from rich.file_proxy import FileProxy

from sinks.terminal.device import Device
from sinks.terminal.look import PLAIN, Row
from sinks.terminal.painter import Painter
from sinks.terminal.streams import PrintQueue, Redirection
from sinks.terminal.text import safe
from sinks.terminal.ticker import LONGEST, Ticker

STOP_WITHIN_S: Final = 1.0
"""How long the end waits for a frame that is being drawn."""
DRAIN_WITHIN_S: Final = 0.5
"""How long the end waits for a terminal that does not take its output."""
FRAME_WITHIN_S: Final = 0.1
"""How long a frame waits for a terminal that has taken the first part of it; the rest goes before the next frame."""
LEAST_LINES: Final = 8
"""The last frame keeps at least so many lines, however long the summary below it."""
AWAY_S: Final = 1.0
"""A frame that comes so much too late, in a process that was not computing meanwhile: it was stopped (Ctrl-Z)."""

MOST_UNFINISHED: Final = 10_000
"""Characters of a printed line without a newline that are kept: of a longer one only what can still be seen."""

_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")


class Panel(Protocol):
    """What a screen shows: something that can say its rows at any size."""

    def rows(self, width: int, height: int, /) -> list[Row]: ...

    def text_due(self) -> str:
        """Plain text for a display that cannot be pinned now; empty when nothing is due."""
        ...

    def text_of_the_end(self, closing: list[Row], /) -> str:
        """The last state and ``closing`` as plain text."""
        ...

    def give_up_tables(self) -> None:
        """They cannot be drawn: plain text is lines of progress from now on."""
        ...


class Screen:
    """All dashboards on one terminal, below each other. Made by `screen_on`."""

    def __init__(self, device: Device, console: Console, interval_s: float) -> None:
        self._device = device
        self._encoding = console.encoding
        self._painter = Painter(console)
        self._panels: list[Panel] = []
        self._ticker = Ticker(self.refresh, interval_s, "metrics-hub terminal", self._refresh_plainly)
        self._late_s = LONGEST * interval_s + AWAY_S
        self._prints = PrintQueue(self._ticker.wake)
        self._redirection = Redirection(self._prints, self._make_way)
        self._painting = threading.Lock()
        self._above = ""  # whole lines that were printed and have not been sent
        self._unfinished = ""  # a printed line that has no newline yet
        self._yielded = False
        self._is_job = False  # of a shell that moves it to the front and back
        self._behind = False
        self._asking = False  # ``input`` has the terminal
        self._asked = False
        self._prompting = False  # an interactive Python has it, for the next command
        self._fell_back = False
        self._looked_at = _clocks()

    def wake(self) -> None:
        """Draw soon. Never waits."""
        self._ticker.wake()

    @property
    def drawing_s(self) -> float:
        """CPU time that drawing has taken, in seconds."""
        return self._ticker.cpu_s

    def attach(self, panel: Panel) -> None:
        """Show ``panel``, below those that are shown already."""
        self._panels.append(panel)
        if not self._ticker.running:
            self._redirection.install(self._device.device)
            self._redirection.pass_through(not self._ticker.start())

    def detach(self, panel: Panel, closing: list[Row]) -> None:
        """Show ``panel`` a last time, leave it on the screen with ``closing`` below, and forget it.

        With the last panel the screen ends: real streams back, thread gone. Takes `STOP_WITHIN_S` and
        `DRAIN_WITHIN_S` at the most.
        """
        if panel not in self._panels:
            return
        last = len(self._panels) == 1
        locked = False
        try:
            stopped = self._ticker.stop(STOP_WITHIN_S) if last else True
            locked = self._painting.acquire(timeout=STOP_WITHIN_S)
            if locked and stopped and not self._device.gone:
                if self._fell_back or self._gives_way():
                    self._say_unseen_prints()
                    self._say(panel.text_of_the_end(closing))
                else:
                    self._paint_end(panel, closing, last)
        except BaseException:
            self._send(self._painter.leave())  # what comes now comes below the frame
            raise
        finally:
            self._panels.remove(panel)
            if last:
                _screens.pop(self._device.device, None)
                self._redirection.remove()
                if not self._device.busy:  # a terminal that is stopped would not take it either
                    self._say_unseen_prints()
                self._device.close()
            if locked:
                self._painting.release()

    def refresh(self) -> None:
        """Draw what changed. On the thread of the ticker."""
        if not self._painting.acquire(blocking=False):
            return
        try:
            self._device.push()
            if self._device.gone:
                self._say_unseen_prints()
                return
            stopped = self._was_stopped()
            if self._asking or self._leaves_the_prompt_alone() or self._gives_way():
                return
            if stopped or self._asked:
                self._asked = False
                self._send(self._painter.anew())
            if self._device.busy:
                return  # the terminal has not taken the last frame yet: this one is skipped
            columns, lines = self._device.size()
            self._take_prints()
            if not self._give_theirs():
                return
            self._send(self._painter.paint(self._rows(columns, lines), columns, self._above))
            self._above = ""
            if self._device.busy:  # as a rule because the frame is longer than what a terminal takes at once
                self._device.drain(FRAME_WITHIN_S)
        finally:
            self._looked_at = _clocks()  # however long it took
            self._painting.release()

    def _refresh_plainly(self) -> None:
        """What takes the place of `refresh` when frames cannot be drawn: lines below the last frame, real streams."""
        with self._painting:
            if not self._fell_back:
                self._fell_back = True
                self._send(self._painter.leave())
                self._device.drain(DRAIN_WITHIN_S)
            self._redirection.pass_through(True)
            self._say_unseen_prints()
            for panel in self._panels:
                panel.give_up_tables()
                self._say(panel.text_due())

    # -- drawing --------------------------------------------------------------------------------------------------

    def _rows(self, columns: int, lines: int) -> list[Row]:
        # One column stays free: a character in the last one leaves the cursor where terminals disagree.
        # One line stays free: a frame as tall as the screen would scroll with every change.
        width, room = max(columns - 1, 1), max(lines - 1, 1)
        rows: list[Row] = []
        if self._unfinished:
            line = safe(_ESCAPES.sub("", _still_seen(self._unfinished).rstrip("\r")))[-width:]
            while cell_len(line) > width:
                line = line[1:]
            rows.append(((line, PLAIN),))
        waiting = len(self._panels)
        for panel in self._panels:
            share = (room - len(rows)) // waiting
            waiting -= 1
            rows += panel.rows(width, max(share, 1))
        return rows[-room:]

    def _paint_end(self, panel: Panel, closing: list[Row], last: bool) -> None:
        columns, lines = self._device.size()
        self._take_prints()
        if last:
            if self._unfinished:
                self._above, self._unfinished = f"{self._above}{self._unfinished}\n", ""
            self._give_theirs()
            painter = self._painter
            rows = self._rows(columns, max(lines - len(closing), LEAST_LINES))  # both stay on the screen
            self._send(painter.paint(rows, columns, self._above) + painter.leave())
            self._above = ""
            self._send("".join(f"{painter.text(row)}\r\n" for row in closing))
            self._device.drain(DRAIN_WITHIN_S)
            return
        rows = panel.rows(max(columns - 1, 1), max(lines - 1, 1))
        left = "".join(f"{self._painter.text(row)}\n" for row in (*rows, *closing))
        others = [each for each in self._panels if each is not panel]
        self._panels = others
        self._send(self._painter.paint(self._rows(columns, lines), columns, self._above + left))
        self._above = ""
        self._panels = [*others, panel]

    def _take_prints(self) -> None:
        """Note what was printed; a line without an end is shown above the dashboard meanwhile."""
        if self._prints:
            whole, newline, self._unfinished = (self._unfinished + self._prints.take()).rpartition("\n")
            self._above += whole + newline
            if len(self._unfinished) > MOST_UNFINISHED:
                self._unfinished = _still_seen(self._unfinished)
            if len(self._unfinished) > MOST_UNFINISHED:  # a line that never ends is shown in pieces
                self._above, self._unfinished = f"{self._above}{self._unfinished}\n", ""

    def _give_theirs(self) -> bool:
        """Have a stream of somebody else's write what was printed, in place of the frame: he keeps it, in a log say.

        False when the terminal is stopped; then it has to wait.
        """
        if self._above and self._redirection.has_theirs:
            self._send(self._painter.erase())
            if not self._device.drain(FRAME_WITHIN_S):
                return False
            self._redirection.write_through(self._above)
            self._above = ""
        return True

    def _send(self, text: str) -> None:
        if text:
            self._device.write(text.encode(self._encoding, "replace"))

    # -- others on the same terminal ------------------------------------------------------------------------------

    def _gives_way(self) -> bool:
        """Whether the terminal is somebody else's now, a ``rich.live.Live`` or the shell; then ours is plain lines."""
        foreign, behind = live_is_active(), self._is_behind()
        if behind and not self._behind:
            self._painter.forget()
        elif self._behind and not behind:
            self._send(self._painter.anew())
        self._behind = behind
        away = foreign or behind
        if away and not self._yielded:
            self._send(self._painter.erase())
        self._yielded = away
        self._redirection.pass_through(away)
        if away:
            self._say_unseen_prints()
            self._say("".join(panel.text_due() for panel in self._panels))
        return away

    def _leaves_the_prompt_alone(self) -> bool:
        """Whether a person types a command: the frame stays above, as it was when the prompt came, and another follows
        below when the command runs."""
        prompting = self._device.prompting
        if prompting and not self._prompting:
            if self._prints:  # as from a debugger with a prompt of its own; Python's stands behind the frame by now
                self._send(self._painter.leave())
            self._painter.forget()
            self._redirection.pass_through(True)
            self._say_unseen_prints()
        elif self._prompting and not prompting:
            self._asked = True
        self._prompting = prompting
        return prompting

    def _make_way(self, asking: bool) -> None:
        """Erase the frame and hold still while ``input`` waits for an answer. On the thread that asks."""
        self._asking, self._asked = asking, True
        if not asking:
            # at once: a frame would be drawn over the part of a line that had gone to the terminal itself
            elsewhere = self._prompting or self._yielded or self._fell_back
            self._redirection.pass_through(elsewhere or not self._ticker.running)
            self.wake()
            return
        locked = False
        try:
            locked = self._painting.acquire(timeout=STOP_WITHIN_S)
            if locked:
                self._send(self._painter.erase())
                self._device.drain(DRAIN_WITHIN_S)
                self._redirection.pass_through(True)
                self._say_unseen_prints()
        finally:
            if locked:
                self._painting.release()

    def _is_behind(self) -> bool:
        """The shell has put the process into the background, or started it there.

        One that never was in front may draw while the shell is not there either: ``timeout`` in a script puts what it
        runs into a group of its own.
        """
        in_front = self._device.in_front
        self._is_job |= in_front or self._device.shell_in_front
        return self._is_job and not in_front

    def _was_stopped(self) -> bool:
        """Whether the process did not run since the last look (Ctrl-Z): others may have written to the terminal.

        There is no signal handler that could tell, since none is installed unasked.
        """
        away_s, busy_s = (now - then for now, then in zip(_clocks(), self._looked_at, strict=True))
        return away_s > self._late_s and busy_s < away_s / 2

    def _say(self, text: str) -> None:
        """Write ``text`` past the display: through the ``Live`` that has the terminal, else to the real stream."""
        if text and live_is_active():
            sys.stdout.write(text)
        elif text:
            self._redirection.write_through(text)

    def _say_unseen_prints(self) -> None:
        """What was printed and could not be shown goes to the real stream, if that still takes anything."""
        text = self._above + self._unfinished + self._prints.take()
        self._above = self._unfinished = ""
        self._say(text)

    def forget_in_child(self) -> None:
        """After a fork, in the child: real streams back; terminal and thread are the parent's."""
        self._redirection.remove()
        self._panels.clear()


def _still_seen(line: str) -> str:
    """What follows the last return to the beginning of ``line``; one at its end has nothing written over it yet."""
    return line[line.rstrip("\r").rfind("\r") + 1 :]


def _clocks() -> tuple[float, float]:
    """Seconds that passed, and seconds that this process computed."""
    return time.monotonic(), time.process_time()


_screens: dict[int, Screen] = {}
_fork_hook = False


def screen_on(device: Device, console: Console, interval_s: float) -> Screen:
    """The screen of this terminal: the one that is there, or a new one. ``interval_s`` counts for a new one."""
    global _fork_hook
    existing = _screens.get(device.device)
    if existing is not None:
        device.close()
        return existing
    if not _fork_hook and hasattr(os, "register_at_fork"):
        _fork_hook = True
        os.register_at_fork(after_in_child=_after_fork_in_child)
    screen = _screens[device.device] = Screen(device, console, interval_s)
    return screen


def live_is_active() -> bool:
    """Whether a ``rich.live.Live`` or ``Progress`` of somebody else has taken over the standard streams."""
    return isinstance(sys.stdout, FileProxy) or isinstance(sys.stderr, FileProxy)


def _after_fork_in_child() -> None:
    for screen in list(_screens.values()):
        screen.forget_in_child()
    _screens.clear()
