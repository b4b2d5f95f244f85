"""The process that draws: reads what the training process tells, and ends when that does.

Started by `sinks.plotting.feed` as a fresh interpreter that runs `main`. It never writes to stdout; the last line that
it writes to stderr is its reason for ending.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import warnings
from typing import Any, Final

from sinks.plotting.answers import LAST_WORDS, complain, never_wait
from sinks.plotting.mirror import Mirror
from sinks.plotting.pace import Share
from sinks.plotting.protocol import END, HELLO, Frames, read_words

LOOK_FOR_PARENT_S: Final = 2.0
TO_FINISH_S: Final = {"window": 2.0, "image": 30.0}
"""So long after the end of the stream the last drawing may take. Then the process ends whatever it is doing."""
NICE: Final = {"window": 5, "image": 15}
"""The training goes first, and before an image that nobody may look at so does whoever waits for a window."""
LOST: Final = 3
"""Exit status of a process that could not show what it was told."""


class Stream:
    """Reads the frames from a file descriptor on a thread of its own."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._parent = os.getppid()
        self.mirror = Mirror()
        self.hello: dict[str, Any] | None = None
        self.begun = threading.Event()
        """The first frame has come, or the stream ended without one."""
        threading.Thread(target=self._read, name="reader", daemon=True).start()

    def _read(self) -> None:
        try:
            self._follow()
        except Exception as error:
            complain(error, LAST_WORDS)
        self.mirror.ended.set()
        self.begun.set()
        if not self.mirror.kept:
            shown = None if self.hello is None else self.hello["display"]
            threading.Event().wait(TO_FINISH_S.get(shown or "window", 2.0))
            os._exit(LOST)

    def _follow(self) -> None:
        frames = Frames()
        while piece := self._piece():
            for kind, body in frames.add(piece):
                if kind == HELLO:
                    self.hello = read_words(body)
                    self.begun.set()
                elif kind == END:
                    self.mirror.kept = bool(read_words(body)["keep"])
                    return
                else:
                    self.mirror.take(kind, body)

    def _piece(self) -> bytes:
        """What came; empty at the end of the stream, or when the parent is gone and somebody else holds the pipe."""
        while sys.platform != "win32":
            if select.select([self._file], [], [], LOOK_FOR_PARENT_S)[0]:
                break
            if os.getppid() != self._parent:
                return b""
        return os.read(self._file, 1 << 18)


def main() -> int:
    """Show what comes on stdin until it ends; gives the exit status."""
    warnings.simplefilter("ignore")
    never_wait()
    stream = Stream(0)
    stream.begun.wait()
    if stream.hello is None:
        return 0
    hello = stream.hello
    if hasattr(os, "nice"):
        os.nice(NICE[hello["display"]])
    share = Share(*hello["shares"])
    try:
        if hello["display"] == "window":
            from sinks.plotting.window import show_window

            return show_window(stream.mirror, hello["backend"], share, qt=hello["qt"])
        from sinks.plotting.live_image import keep_image

        return keep_image(stream.mirror, hello["path"], hello["every_s"], share)
    except Exception as error:
        complain(error, LAST_WORDS)
        return LOST
