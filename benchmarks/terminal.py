"""A pseudo-terminal whose other end is read by a process of its own, as a terminal window is."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator

_READER = "import os,sys\nwhile True:\n  try:\n    if not os.read(0, 65536): break\n  except OSError: break\n"


@contextlib.contextmanager
def on_terminal(columns: int = 120, lines: int = 40) -> Iterator[int]:
    """Standard output and error are a terminal of this size inside the block. Gives the real standard output."""
    sys.stdout.flush()
    sys.stderr.flush()
    master, slave = pty.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    reader = subprocess.Popen([sys.executable, "-S", "-c", _READER], stdin=master)
    os.close(master)
    kept = os.dup(1), os.dup(2)
    os.dup2(slave, 1)
    os.dup2(slave, 2)
    try:
        yield kept[0]
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for descriptor in (*kept, slave):
            os.close(descriptor)
        reader.wait(10)
