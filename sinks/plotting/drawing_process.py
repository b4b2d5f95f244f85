"""The process that draws, as the training process holds it: started, written to without waiting, heard, ended.

It is a fresh interpreter that runs `sinks.plotting.viewer`. What is written to it is not known here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

from m.journal.descriptors import beyond_standard_streams
from sinks.plotting.answers import COMPLAINT, LAST_WORDS, RESTS

_TO_GO_S: Final = 0.5  # from the end of the pipe to the end of the process
_SHORTLY_S: Final = 0.01
_PIPE_BYTES: Final = 1 << 20
_MOST_HEARD: Final = 4096
_RESTS: Final = re.compile(rb"^%b([0-9]+\.[0-9]+)\r?\n" % RESTS.encode(), re.MULTILINE)
_BOOTSTRAP: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from sinks.plotting.viewer import main; sys.exit(main())"
)
_FOR_ONE_PROCESS: Final = (
    "PYTHONPATH",  # is in sys.path by now, and relative to a folder that may be gone
    "PYTHONWARNINGS",
    "PYTHONINSPECT",
    "PYTHONSTARTUP",
    "PYTHONDEVMODE",
    "PYTHONPROFILEIMPORTTIME",
    "PYTHONVERBOSE",
    "PYTHONTRACEMALLOC",
    "PYTHONMALLOC",
)
_HERE: Final = str(Path(__file__).resolve().parents[2])


class DrawingProcess:
    """For one thread. Raises ``OSError`` or ``ValueError`` when it cannot be started."""

    def __init__(self, first: bytes) -> None:
        """``first`` is what it is told first."""
        if not sys.executable:
            raise OSError("it is not known which Python this is (sys.executable is empty)")
        if getattr(sys, "frozen", False):  # started again it would train again, and start itself again, without end
            raise OSError("in a frozen program, as PyInstaller makes it, sys.executable is that and no Python")
        path = json.dumps([*(entry for entry in sys.path if isinstance(entry, str)), _HERE])
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-c", _BOOTSTRAP, path],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_environment(os.environ),
            start_new_session=True,  # Ctrl-C in the terminal is for the training
        )
        assert self._process.stdin is not None  # as both are pipes
        assert self._process.stderr is not None
        self._told, self._said = _kept(self._process.stdin), _kept(self._process.stderr)
        for pipe in (self._told, self._said):
            try:
                os.set_blocking(pipe.fileno(), False)
            except (OSError, AttributeError):
                pass  # not to be had for a pipe on every Windows: then the thread waits that calls, and no other
        _enlarge(self._told.fileno())
        self._owner = os.getpid()
        self._heard = b""
        self.pid = self._process.pid
        self.unsent = memoryview(first)
        """The part of what was written that the pipe has not taken yet."""
        self.rests_until = 0.0
        """Before then, on the clock of ``time.monotonic``, it draws nothing; as of the last `listen`."""

    @property
    def status(self) -> int:
        """Exit status, or the negative number of the signal; 0 before the end."""
        return self._process.returncode or 0

    def write(self, deadline: float, frame: bytes = b"") -> bool:
        """Whether the pipe took all by ``deadline``, on the clock of ``time.monotonic``: ``frame``, after what is
        unsent. What it did not take remains unsent."""
        if frame:
            self.unsent = memoryview(bytes(self.unsent) + frame)
        while self.unsent:
            if os.getpid() != self._owner:
                return False
            try:
                self.unsent = self.unsent[os.write(self._told.fileno(), self.unsent) :]
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(_SHORTLY_S)
            except OSError:  # nobody reads any more; has_ended() will tell
                self.ends(time.monotonic() + _TO_GO_S)
                return False
        return True

    def listen(self) -> None:
        """Keep the end of what it has written to stderr; that is for the log, not for this terminal."""
        try:
            while said := os.read(self._said.fileno(), 1 << 16):
                self._heard = _RESTS.sub(self._rests, self._heard + said)[-_MOST_HEARD:]
        except OSError:
            pass  # nothing more by now

    def _rests(self, said: re.Match[bytes]) -> bytes:
        self.rests_until = float(said[1])
        return b""

    def complains(self) -> bool:
        """Whether it has said that it cannot draw, and goes on."""
        return COMPLAINT.encode() in self._heard

    def last_words(self) -> str:
        """The last line that it wrote, of our own code before those of toolkits; empty without any."""
        lines = [line.strip() for line in self._heard.decode("utf-8", "replace").strip().splitlines()]
        own = [line.partition(": ")[2] for line in lines if line.startswith((COMPLAINT, LAST_WORDS))]
        return (own or lines or [""])[-1][:300]

    def line_with(self, words: str) -> str:
        """The first line that it wrote with ``words`` in it; empty without any."""
        lines = self._heard.decode("utf-8", "replace").splitlines()
        return next((line.strip()[:300] for line in lines if words in line), "")

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def ends(self, deadline: float | None = None) -> bool:
        """Wait until it has ended, or until ``deadline``; gives whether it has."""
        try:
            self._process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True

    def is_stopped(self) -> bool:
        """Whether a signal has stopped it, where the system tells."""
        if not hasattr(os, "waitid"):
            return False
        try:
            return os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
        except OSError:
            return False

    def hang_up(self) -> None:
        """Nothing more will be written."""
        self._told.close()

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        """Leave nothing behind: no process, no descriptor."""
        self.hang_up()
        if not self.has_ended() and not self.ends(time.monotonic() + _SHORTLY_S):
            self.kill()
        self._process.wait()
        self.listen()
        self._said.close()

    def forget(self) -> None:
        """In a fork: it is the parent's."""
        self._process.returncode = 0  # not ours to wait for
        self._told.close()
        self._said.close()


def _kept(pipe: IO[bytes]) -> IO[bytes]:
    """``pipe``, beyond the standard streams."""
    with pipe:
        return os.fdopen(beyond_standard_streams(os.dup(pipe.fileno())), pipe.mode, 0)


def _enlarge(file: int) -> None:
    """Give the pipe room for some seconds of points, where that can be had."""
    try:
        import fcntl

        fcntl.fcntl(file, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        pass


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """That of this process, less what would change how Python runs there, and without threads for linear algebra."""
    environment = {name: value for name, value in own.items() if name not in _FOR_ONE_PROCESS}
    return {**environment, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
