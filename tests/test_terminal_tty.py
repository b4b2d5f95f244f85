"""A terminal's own descriptor never blocks and never raises."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
import time
from collections.abc import Iterator

import pytest
from fault_injection import without_standard_streams

from sinks.terminal.tty import Terminal


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    master, slave = pty.openpty()
    yield master, slave
    for descriptor in (master, slave):
        try:
            os.close(descriptor)
        except OSError:
            pass


def test_a_file_is_no_terminal(tmp_path: object) -> None:
    with open(f"{tmp_path}/x", "w") as file, pytest.raises(OSError, match=r".+"):
        Terminal(file.fileno())


def test_the_callers_descriptor_stays_blocking(ends: tuple[int, int]) -> None:
    terminal = Terminal(ends[1])
    assert os.get_blocking(ends[1])
    terminal.write(b"hello")
    assert os.read(ends[0], 100) == b"hello"
    terminal.close()
    terminal.close()


def test_it_takes_no_number_of_a_standard_stream(ends: tuple[int, int]) -> None:
    with without_standard_streams() as taken:
        terminal = Terminal(ends[1])
        assert taken() == []
    terminal.write(b"hello")
    assert os.read(ends[0], 100) == b"hello"
    terminal.close()


@pytest.mark.fault("D1")
def test_a_terminal_that_takes_nothing_keeps_the_rest_for_later(ends: tuple[int, int]) -> None:
    terminal = Terminal(ends[1])
    data = bytes(range(32, 127)) * 3000
    before = time.monotonic()
    terminal.write(data)
    assert terminal.busy
    assert not terminal.drain(0.05)
    assert time.monotonic() - before < 5
    received = b""
    while len(received) < len(data):
        received += os.read(ends[0], 65536)
        terminal.push()
    assert received == data
    assert not terminal.busy
    assert terminal.drain(0.0)


def test_the_size_follows_the_terminal(ends: tuple[int, int]) -> None:
    terminal = Terminal(ends[1])
    fcntl.ioctl(ends[0], termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    assert terminal.size() == (120, 40)
    fcntl.ioctl(ends[0], termios.TIOCSWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
    assert terminal.size() == (80, 24)
    terminal.close()
    terminal.size()


@pytest.mark.fault("B11")
def test_a_terminal_that_hung_up_is_gone_and_stays_quiet(ends: tuple[int, int]) -> None:
    terminal = Terminal(ends[1])
    os.close(ends[0])
    terminal.write(b"anyone?")
    assert terminal.gone
    assert not terminal.busy
    terminal.write(b"still?")
    assert terminal.drain(0.1)
    terminal.close()
