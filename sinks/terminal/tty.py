"""A terminal's own descriptor: writes never wait for a terminal that does not drain, and never raise."""

from __future__ import annotations

import errno
import os
import select
import sys
import time

from m.journal.descriptors import beyond_standard_streams

try:
    import termios
except ImportError:  # no terminals of this kind, and no `Terminal`
    pass


class Terminal:
    """Writes bytes to the terminal behind a file descriptor without ever blocking.

    The terminal is opened anew by its name, since O_NONBLOCK on the descriptor that we were given would be shared with
    the shell. What the terminal does not take at once is kept and goes first next time. When it has vanished
    (``gone``) everything is dropped.
    """

    def __init__(self, descriptor: int) -> None:
        """Raises ``OSError`` when ``descriptor`` is no terminal or cannot be opened anew."""
        name = os.ttyname(descriptor)
        flags = os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)
        self._descriptor: int | None = beyond_standard_streams(os.open(name, flags))
        self.device = os.fstat(self._descriptor).st_rdev
        """Tells terminals apart."""
        self._unsent = b""
        self.gone = False
        """The terminal has hung up."""

    @property
    def busy(self) -> bool:
        """Something is still unsent: the terminal is stopped or slow, and a new frame would only queue up."""
        return bool(self._unsent)

    def size(self) -> tuple[int, int]:
        """Columns and lines; 80 by 24 where the terminal does not say."""
        try:
            columns, lines = os.get_terminal_size(self._descriptor if self._descriptor is not None else 1)
        except (OSError, ValueError):
            return 80, 24
        return (columns or 80), (lines or 24)

    @property
    def in_front(self) -> bool:
        """The shell has this process in the foreground, or there is no shell that could say otherwise."""
        if self._descriptor is None:
            return True
        try:
            return os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:  # not the terminal of this session
            return True

    @property
    def prompting(self) -> bool:
        """An interactive Python waits for the next line. It has the terminal give it each key, not whole lines."""
        if not hasattr(sys, "ps1") or self._descriptor is None:
            return False
        try:
            return not termios.tcgetattr(self._descriptor)[3] & termios.ICANON
        except termios.error:  # hung up
            return False

    @property
    def shell_in_front(self) -> bool:
        """The shell itself has the terminal, the leader of this session: where it runs jobs, ours is none in front."""
        if self._descriptor is None:
            return False
        try:
            return os.tcgetpgrp(self._descriptor) == os.getsid(0)
        except OSError:  # not the terminal of this session
            return False

    def write(self, data: bytes) -> None:
        """Send what was unsent and then ``data``, as far as the terminal takes it now."""
        if not self.gone and self._descriptor is not None:
            self._unsent += data
            self.push()

    def push(self) -> None:
        """Send what is unsent, as far as the terminal takes it now."""
        while self._unsent and self._descriptor is not None and not self.gone:
            try:
                sent = os.write(self._descriptor, self._unsent)
            except BlockingIOError:
                return
            except InterruptedError:
                continue
            except OSError as error:
                if error.errno == errno.EAGAIN:
                    return
                self.gone = True  # EIO, EPIPE, ENXIO: hung up
                self._unsent = b""
                return
            self._unsent = self._unsent[sent:]

    def drain(self, within_s: float) -> bool:
        """Wait at most ``within_s`` seconds until everything is sent; True when it is."""
        deadline = time.monotonic() + within_s
        self.push()
        while self._unsent and not self.gone and self._descriptor is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            try:
                select.select([], [self._descriptor], [], min(left, 0.1))
            except (OSError, ValueError):
                return False
            self.push()
        return not self._unsent

    def close(self) -> None:
        """Let go of the terminal. Idempotent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            try:
                os.close(descriptor)
            except OSError:
                pass
