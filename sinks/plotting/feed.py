"""The training process's side of a live picture: a thread that tells another process what is new. Nothing is drawn
here, and matplotlib is not loaded.

The thread makes the other process, a fresh interpreter, and writes to its stdin without ever waiting for it: what the
pipe does not take is told the next time, from the histories, so nothing piles up. Should the other process end, by
itself or by force, that is one line in the log, and training goes on as if nothing were shown.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from sinks.plotting.news import News
from sinks.plotting.protocol import COMPLAINT, END, HELLO, LAST_WORDS, words
from sinks.plotting.shown import Shown

logger = logging.getLogger(__name__)

EVERY_S: Final = 0.5
"""Between two looks at the histories."""
SHARE_OF_A_CORE: Final = 0.04
"""Of a core, drawing what is new takes the other process no more than this; reading and the user come on top."""
TO_CLOSE_S: Final = 2.0
"""So long `Feed.close` may take."""
TO_FINISH_S: Final = 30.0
"""So long the last image may take in the background, once everything has been told."""

_TO_GO_S: Final = 0.5  # from the end of the pipe to the end of the process
_SHORTLY_S: Final = 0.01
_PIPE_BYTES: Final = 1 << 20
_MOST_COMPLAINTS: Final = 4096
_BOOTSTRAP: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from sinks.plotting.viewer import main; sys.exit(main())"
)
_HERE: Final = str(Path(__file__).resolve().parents[2])

_feeds: weakref.WeakSet[Feed] = weakref.WeakSet()


class Feed:
    """A place of `sinks.plotting.appearance` in a process of its own, which is started with the first point.

    ``shows`` is ``"window"`` or ``"image"``; ``hello`` is what `sinks.plotting.viewer` needs to know besides.
    ``source`` gives what there is to show, or None when there is nothing any more; it is called on the thread.
    """

    def __init__(
        self, shows: str, source: Callable[[], Shown | None], *, keep_open: bool = False, **hello: Any
    ) -> None:
        self._shows = shows
        self._source = source
        self._keep = keep_open and shows == "window"
        self._lasts = self._keep or shows == "image"  # whether there is something to see when all is over
        self._hello = {"display": shows, **hello}
        self._due = 0
        self._pid = os.getpid()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._news = News()
        self._unsent = memoryview(b"")
        self._complaints = b""
        self._warned = False

    # -- on the thread that trains ------------------------------------------------------------------------------------

    def first_point(self) -> None:
        """There is something to show: from now on a thread sees to it."""
        self._due += 1
        if self._thread is not None or self._closing or os.getpid() != self._pid:
            return
        self._thread = threading.Thread(target=self._run, name=f"plot {self._shows}", daemon=True)
        _feeds.add(self)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._thread = None
            self._closing = True
            logger.warning("the plot %s cannot be shown: %s; training goes on without it", self._shows, error)

    def redraw_due(self, step: int) -> None:
        """What has come up to now should be shown at the next look."""
        self._due += 1

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
        try:
            if self._lasts or not self._closing:
                self._show()
        finally:
            _feeds.discard(self)

    def _show(self) -> None:
        try:
            process = self._start()
        except Exception as error:
            self._gone(f"could not be started: {error}")
            return
        try:
            self._tell(process)
        except Exception:
            logger.warning("the plot %s is gone; training goes on without it", self._shows, exc_info=True)
        finally:
            self._end(process)

    def _start(self) -> subprocess.Popen[bytes]:
        if not sys.executable:
            raise OSError("it is not known which Python this is (sys.executable is empty)")
        path = json.dumps([*(entry or os.getcwd() for entry in sys.path if isinstance(entry, str)), _HERE])
        self._hello.update(backend=_chosen_backend(), share=SHARE_OF_A_CORE)
        self._unsent = memoryview(words(HELLO, self._hello))
        process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-c", _BOOTSTRAP, path],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_environment(os.environ),
            start_new_session=True,  # Ctrl-C in the terminal is for the training
        )
        self._process = process
        assert process.stdin is not None  # as both are pipes
        assert process.stderr is not None
        for pipe in (process.stdin, process.stderr):
            try:
                os.set_blocking(pipe.fileno(), False)
            except (OSError, AttributeError):
                pass  # not to be had for a pipe on every Windows: then this thread waits, and no other
        _enlarge(process.stdin.fileno())
        return process

    def _tell(self, process: subprocess.Popen[bytes]) -> None:
        told, reading = 0, True
        while True:
            closing = self._wake.wait(EVERY_S)
            shown = self._source()
            if closing or shown is None:
                break
            self._listen(process)
            if process.poll() is not None:
                self._report_end(process)
                return
            self._warn()
            due = self._due
            if due == told and not self._unsent:
                continue
            told = due
            before = self._unsent
            if self._send(process, shown, time.monotonic() + (EVERY_S / 2 if reading else 0.0)):
                reading = True
            else:
                told = -1  # the rest at the next look
                reading = self._unsent is not before  # who takes nothing, as when stopped, is not waited for again
        self._finish(process, shown, time.monotonic() + TO_CLOSE_S - 0.2)

    def _finish(self, process: subprocess.Popen[bytes], shown: Shown | None, deadline: float) -> None:
        """Nothing comes any more: tell the rest, where somebody is to see it, and let the process end."""
        if process.poll() is not None:
            self._report_end(process)
            return
        if not self._lasts:
            process.kill()  # a window that goes has nothing to save, and may be busy drawing
            return
        complete = shown is None or self._send(process, shown, deadline)
        if complete:
            self._unsent = memoryview(bytes(self._unsent) + words(END, {"keep": self._keep}))
            complete = self._write(process, deadline)
        if process.poll() is not None:
            self._report_end(process)
            return
        if not complete:
            process.kill()
            self._gone("did not take the newest points in time and was ended")
            return
        self._hang_up(process)
        if self._keep:
            process.wait()  # this is a daemon thread: whoever keeps the window open keeps nothing else waiting
        elif not _ends(process, deadline):
            self._last_image(process)

    def _last_image(self, process: subprocess.Popen[bytes]) -> None:
        if _is_stopped(process.pid):
            process.kill()
            self._gone("is stopped and was ended; the file lacks the newest points")
            return
        logger.warning("the last plot image is still being drawn; it will be there in a moment")
        if not _ends(process, time.monotonic() + TO_FINISH_S):
            process.kill()
            self._gone("took too long to draw the last time and was ended")

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Leave nothing behind: no process, no descriptor."""
        self._hang_up(process)
        if process.poll() is None and not _ends(process, time.monotonic() + _SHORTLY_S):
            process.kill()
        process.wait()
        self._listen(process)
        if self._closing:
            self._warn()
        if process.stderr is not None:
            process.stderr.close()

    # -- the pipes ----------------------------------------------------------------------------------------------------

    def _send(self, process: subprocess.Popen[bytes], shown: Shown, deadline: float) -> bool:
        """Whether everything new has been told by ``deadline``, on the clock of ``time.monotonic``."""
        if not self._write(process, deadline):
            return False
        for frame in self._news.frames(shown):
            self._unsent = memoryview(frame)
            if not self._write(process, deadline):
                return False
        return True

    def _write(self, process: subprocess.Popen[bytes], deadline: float) -> bool:
        """Whether the pipe took all of what is unsent by ``deadline``."""
        assert process.stdin is not None
        while self._unsent:
            try:
                if self._pid != os.getpid():
                    return False
                self._unsent = self._unsent[os.write(process.stdin.fileno(), self._unsent) :]
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(_SHORTLY_S)
            except OSError:  # nobody reads any more; poll() will tell why
                _ends(process, time.monotonic() + _TO_GO_S)
                return False
        return True

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        """Keep the last words that the process wrote to stderr; they are for the log, not for this terminal."""
        assert process.stderr is not None
        try:
            while said := os.read(process.stderr.fileno(), 1 << 16):
                self._complaints = (self._complaints + said)[-_MOST_COMPLAINTS:]
        except OSError:
            pass  # nothing more by now

    def _hang_up(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdin is not None:
            process.stdin.close()

    def _last_complaint(self) -> str:
        """The last line, that of our own code before those of toolkits; empty without any."""
        lines = [line.strip() for line in self._complaints.decode("utf-8", "replace").strip().splitlines()]
        begin = (COMPLAINT, LAST_WORDS)
        own = [line.partition(": ")[2] for line in lines if line.startswith(begin)]
        return (own or lines or [""])[-1][:300]

    # -- the log ------------------------------------------------------------------------------------------------------

    def _report_end(self, process: subprocess.Popen[bytes]) -> None:
        self._listen(process)
        status = process.returncode
        if status == 0 and self._shows == "window":
            logger.info("the plot window was closed; training goes on without it")
            return
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        reason = self._last_complaint()
        self._warned = True
        self._gone(f"ended by itself ({how}{': ' if reason else ''}{reason})")

    def _warn(self) -> None:
        """Once, that drawing goes wrong in a process that goes on."""
        if not self._warned and COMPLAINT.encode() in self._complaints:
            self._warned = True
            logger.warning("the plot %s is not up to date: %s", self._shows, self._last_complaint())

    def _gone(self, what: str) -> None:
        logger.warning("the process of the plot %s %s; training goes on without it", self._shows, what)

    def _forget(self) -> None:
        """In a fork: the process and the pipes are the parent's."""
        process, self._process = self._process, None
        self._thread, self._closing = None, True
        if process is not None:
            process.returncode = 0  # not ours to wait for
            for pipe in (process.stdin, process.stderr):
                if pipe is not None:
                    pipe.close()


def _forget_all() -> None:
    for feed in list(_feeds):
        feed._forget()
    _feeds.clear()


if hasattr(os, "register_at_fork"):
    # a worker that outlives the training must not keep the pipe, and with it the window, open
    os.register_at_fork(after_in_child=_forget_all)


def _ends(process: subprocess.Popen[bytes], deadline: float) -> bool:
    """Whether the process has ended by ``deadline``."""
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def _is_stopped(pid: int) -> bool:
    if not hasattr(os, "waitid"):
        return False
    try:
        return os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
    except OSError:
        return False


def _enlarge(file: int) -> None:
    """Give the pipe room for some seconds of points, where that can be had."""
    try:
        import fcntl

        fcntl.fcntl(file, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        pass


def _chosen_backend() -> str | None:
    """The backend that this process was told to use, without making matplotlib choose one."""
    matplotlib = sys.modules.get("matplotlib")
    settings = getattr(matplotlib, "rcParams", None)
    backend = dict.get(settings, "backend") if isinstance(settings, dict) else None
    return backend if isinstance(backend, str) else None


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """That of this process, less what would change how Python runs there, and without threads for linear algebra."""
    left_out = ("PYTHONWARNINGS", "PYTHONINSPECT", "PYTHONSTARTUP", "PYTHONDEVMODE", "PYTHONPROFILEIMPORTTIME")
    environment = {name: value for name, value in own.items() if name not in left_out}
    return {**environment, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
