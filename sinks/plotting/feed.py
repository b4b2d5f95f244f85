"""The training process's side of a live picture: a thread that tells another process what is new. Nothing is drawn
here, and matplotlib is not loaded.

The thread writes without ever waiting for whoever reads: what the pipe does not take is told the next time, from the
histories, so nothing piles up. Should the other process end, by itself or by force, that is one line in the log, and
training goes on as if nothing were shown.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Final

from m.metrics.text import harmless
from sinks.plotting.drawing_process import DrawingProcess
from sinks.plotting.news import News, together
from sinks.plotting.protocol import END, HELLO, words
from sinks.plotting.shown import Shown

logger = logging.getLogger(__name__)

EVERY_S: Final = 1.0
"""Between two looks at the histories; for an image as long as between two of its replacements, if that is longer ..."""
LONGEST_S: Final = 2.0
"""... but no longer than this, so that little is lost when the training is killed."""
SELDOM_S: Final = 5.0
"""The same while nothing will be drawn for longer anyway ..."""
BEFORE_S: Final = 0.25
"""... and so long before something will."""
SHARE_OF_A_CORE: Final = 0.04
"""Of a core, drawing what is new takes the other process no more than this, the user's own zooming aside."""
SHARE_WHEN_CROWDED: Final = 0.00125
"""The same where no core is free. On a screen its server works about as much again."""
TO_CLOSE_S: Final = 2.0
"""So long `Feed.close` may take."""
TO_FINISH_S: Final = 30.0
"""So long the last image may take in the background, once everything has been told."""

_QT_CANNOT: Final = "platform plugin"
"""Where its part for the screen lacks a library, Qt says so with these words and ends the process."""

_feeds: weakref.WeakSet[Feed] = weakref.WeakSet()


class Feed:
    """A place of `sinks.plotting.appearance` in a process of its own, which is started with the first point.

    ``shows`` is ``"window"`` or ``"image"``; an image, the file at ``path``, is replaced every ``every_s`` seconds at
    most. ``source`` gives what there is to show, or None when there is nothing any more; it is called on the thread.
    """

    def __init__(
        self,
        shows: str,
        source: Callable[[], Shown | None],
        *,
        keep_open: bool = False,
        path: str = "",
        every_s: float = 0.0,
    ) -> None:
        self.shows = True
        self._what = shows
        self._source = source
        self._keep = keep_open and shows == "window"
        self._lasts = self._keep or shows == "image"  # whether there is something to see when all is over
        self._look_s = max(EVERY_S, min(every_s, LONGEST_S))
        self._hello = {"display": shows, "path": path, "every_s": every_s}
        self._due = 0
        self._pid = os.getpid()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._process: DrawingProcess | None = None
        self._news = News()
        self._warned = False
        self._again = True  # whether there is another way to try
        self._qt = True  # whether the window may be one of Qt

    # -- on the thread that trains ------------------------------------------------------------------------------------

    def first_point(self) -> None:
        """There is something to show: from now on a thread sees to it."""
        self._due += 1
        if self._thread is not None or self._closing or os.getpid() != self._pid:
            return
        self._thread = threading.Thread(target=self._run, name=f"plot {self._what}", daemon=True)
        _feeds.add(self)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._thread = None
            self._closing, self.shows = True, False
            reason = harmless(str(error))
            logger.warning("the plot %s cannot be shown: %s; training goes on without it", self._what, reason)

    def redraw_due(self) -> None:
        """What has come up to now should be shown at the next look."""
        self._due += 1

    def run_ended(self) -> None:
        """The next run takes the place of this one."""

    def close(self) -> None:
        """Tell the rest and end the other process; takes two seconds at most. Again, or in a fork: nothing."""
        if self._closing or os.getpid() != self._pid:
            return
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(TO_CLOSE_S)

    # -- on the thread of its own -------------------------------------------------------------------------------------

    def _run(self) -> None:
        if hasattr(signal, "pthread_sigmask"):
            # many scripts let a broken pipe end them; ours must not be the one
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
        try:
            while self._again and (self._lasts or not self._closing):
                self._again = False
                self._show()
        finally:
            _feeds.discard(self)

    def _show(self) -> None:
        self._news = News()
        try:
            shares = [SHARE_OF_A_CORE, SHARE_WHEN_CROWDED]
            hello = {**self._hello, "backend": _chosen_backend(), "qt": self._qt, "shares": shares}
            process = self._process = DrawingProcess(words(HELLO, hello))
        except Exception as error:
            self._gone(f"could not be started: {error}")
            return
        try:
            self._tell(process)
        except Exception:
            self.shows = False
            logger.warning("the plot %s is gone; training goes on without it", self._what, exc_info=True)
        finally:
            process.end()
            if self._closing:
                self._warn(process)

    def _tell(self, process: DrawingProcess) -> None:
        told, reading = 0, True
        while True:
            closing = self._wake.wait(self._until_next_look(process))
            shown = self._source()
            if closing or shown is None:
                break
            process.listen()
            if process.has_ended():
                self._report_end(process)
                return
            self._warn(process)
            due = self._due
            if due == told and not process.unsent:
                continue
            told = due
            before = process.unsent
            if self._send(process, shown, time.monotonic() + (self._look_s / 2 if reading else 0.0)):
                reading = True
            else:
                told = -1  # the rest at the next look
                reading = process.unsent is not before  # who takes nothing, as when stopped, is not waited for again
        self._finish(process, shown, time.monotonic() + TO_CLOSE_S - 0.2)

    def _until_next_look(self, process: DrawingProcess) -> float:
        """Seconds; so many that what is drawn next will be new."""
        rest_s = process.rests_until - time.monotonic() - BEFORE_S
        return max(self._look_s, min(rest_s, SELDOM_S))

    def _send(self, process: DrawingProcess, shown: Shown, deadline: float) -> bool:
        """Whether everything new has been told by ``deadline``, on the clock of ``time.monotonic``."""
        if not process.write(deadline):
            return False
        return all(process.write(deadline, frames) for frames in together(self._news.frames(shown)))

    def _finish(self, process: DrawingProcess, shown: Shown | None, deadline: float) -> None:
        """Nothing comes any more: tell the rest, where somebody is to see it, and let the process end."""
        if process.has_ended():
            self._report_end(process)
            return
        if not self._lasts:
            process.kill()  # a window that goes has nothing to save, and may be busy drawing
            return
        complete = shown is None or self._send(process, shown, deadline)
        complete = complete and process.write(deadline, words(END, {"keep": self._keep}))
        if process.has_ended():
            self._report_end(process)
        elif not complete:
            process.kill()
            self._gone("did not take the newest points in time and was ended")
        else:
            process.hang_up()
            # of a window that is kept: this is a daemon thread, which keeps nothing else waiting
            if not process.ends(None if self._keep else deadline) and not self._last_image(process):
                return
            process.listen()
            if process.status and not process.complains():
                self._report_end(process)

    def _last_image(self, process: DrawingProcess) -> bool:
        """Whether the process has ended by itself, once it has had time for what takes long."""
        if process.is_stopped():
            process.kill()
            self._gone("is stopped and was ended; the file lacks the newest points")
            return False
        path = harmless(str(self._hello["path"]))
        logger.warning("the last plot image is still being drawn; %s will be there in a moment", path)
        if not process.ends(time.monotonic() + TO_FINISH_S):
            process.kill()
            self._gone("took too long to draw the last time and was ended")
            return False
        return True

    # -- the log ------------------------------------------------------------------------------------------------------

    def _report_end(self, process: DrawingProcess) -> None:
        process.listen()
        if self._qt and process.status == -signal.SIGABRT and (why := process.line_with(_QT_CANNOT)):
            self._again, self._qt = True, False
            logger.warning("the plot window cannot be one of Qt (%s); another toolkit is tried", harmless(why))
            return
        self._warned = True
        if process.status == 0 and self._what == "window":
            logger.info("the plot window was closed; training goes on without it")
            return
        how = f"signal {-process.status}" if process.status < 0 else f"exit status {process.status}"
        reason = process.last_words()
        self._gone(f"ended by itself ({how}{': ' if reason else ''}{reason})")

    def _warn(self, process: DrawingProcess) -> None:
        """Once, that drawing goes wrong in a process that goes on."""
        if not self._warned and process.complains():
            self._warned, self.shows = True, False
            logger.warning("the plot %s is not up to date: %s", self._what, harmless(process.last_words()))

    def _gone(self, what: str) -> None:
        self.shows = False
        logger.warning("the process of the plot %s %s; training goes on without it", self._what, harmless(what))

    def _forget(self) -> None:
        """In a fork: the process and the pipes are the parent's."""
        process, self._process = self._process, None
        self._thread, self._closing = None, True
        if process is not None:
            process.forget()


def _forget_all() -> None:
    for feed in list(_feeds):
        feed._forget()
    _feeds.clear()


if hasattr(os, "register_at_fork"):
    # a worker that outlives the training must not keep the pipe, and with it the window, open
    os.register_at_fork(after_in_child=_forget_all)


def _chosen_backend() -> str | None:
    """The backend that this process was told to use, without making matplotlib choose one."""
    matplotlib = sys.modules.get("matplotlib")
    settings = getattr(matplotlib, "rcParams", None)
    backend = dict.get(settings, "backend") if isinstance(settings, dict) else None
    return backend if isinstance(backend, str) else None
