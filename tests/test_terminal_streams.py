"""The stand-ins for the standard streams."""

from __future__ import annotations

import io
import logging
import os
import pty
import sys
import threading
import time
from pathlib import Path

import pytest

from sinks.terminal.streams import HELD_UP_S, MOST_WAITING, PrintAbove, PrintQueue, Redirection, is_own


@pytest.mark.fault("D2")
def test_text_is_queued_in_order_and_whoever_prints_wakes_the_display() -> None:
    woken: list[int] = []
    prints = PrintQueue(lambda: woken.append(1))
    out = PrintAbove(io.StringIO(), prints)
    print("one", file=out)
    print("two", end="", file=out)
    assert bool(prints)
    assert prints.take() == "one\ntwo"
    assert not prints
    assert woken


def test_whoever_prints_too_much_waits_for_room_and_nothing_changes_its_order() -> None:
    real = io.StringIO()
    prints = PrintQueue(lambda: None)
    out = PrintAbove(real, prints)
    out.write("x" * (MOST_WAITING + 1))
    taken: list[str] = []
    taker = threading.Timer(0.2, lambda: taken.append(prints.take()))
    began = time.monotonic()
    taker.start()
    out.write("after that")
    assert 0.1 < time.monotonic() - began < HELD_UP_S
    taker.join()
    assert taken == ["x" * (MOST_WAITING + 1)]
    assert prints.take() == "after that"
    assert real.getvalue() == ""


@pytest.mark.fault("D1")
def test_where_nobody_makes_room_a_print_waits_for_a_bounded_time_and_is_kept() -> None:
    prints = PrintQueue(lambda: None)
    out = PrintAbove(io.StringIO(), prints)
    out.write("x" * (MOST_WAITING + 1))
    began = time.monotonic()
    out.write("after that")
    assert time.monotonic() - began < HELD_UP_S + 0.5
    assert prints.take().endswith("xafter that")


def test_after_release_everything_goes_to_the_real_stream() -> None:
    real = io.StringIO()
    out = PrintAbove(real, PrintQueue(lambda: None))
    out.released = True
    print("late", file=out)
    assert real.getvalue() == "late\n"


def test_what_is_printed_follows_a_descriptor_that_somebody_redirects(tmp_path: Path) -> None:
    """``os.dup2`` of a file onto descriptor 1 for a while, as whoever catches what C libraries write does."""
    master, slave = pty.openpty()
    prints = PrintQueue(lambda: None)
    with open(slave, "w") as real, open(tmp_path / "log", "w") as log:
        out = PrintAbove(real, prints)
        print("before", file=out, flush=True)
        terminal = os.dup(slave)
        os.dup2(log.fileno(), slave)
        print("meanwhile", file=out, flush=True)
        out.buffer.write(b"and bytes\n")
        out.flush()
        os.dup2(terminal, slave)
        os.close(terminal)
        print("after", file=out, flush=True)
    os.close(master)
    assert (tmp_path / "log").read_text() == "meanwhile\nand bytes\n"
    assert prints.take() == "before\nafter\n"


def test_what_is_printed_when_the_terminal_has_hung_up_does_not_go_there() -> None:
    master, slave = pty.openpty()
    prints = PrintQueue(lambda: None)
    with open(slave, "w") as real:
        out = PrintAbove(real, prints)
        os.close(master)
        print("anyone?", file=out, flush=True)
    assert prints.take() == "anyone?\n"


def test_everything_but_writing_is_the_real_streams() -> None:
    with open(os.devnull, "w", encoding="latin-1", errors="replace") as real:
        out = PrintAbove(real, PrintQueue(lambda: None))
        assert out.fileno() == real.fileno()
        assert (out.encoding, out.errors, out.isatty(), out.writable()) == ("latin-1", "replace", False, True)
        assert out.buffer.raw is real.buffer.raw
        out.close()
        assert not real.closed


def test_bytes_are_queued_between_the_texts_and_pass_unchanged_after_the_release() -> None:
    beneath = io.BytesIO()
    prints = PrintQueue(lambda: None)
    out = PrintAbove(io.TextIOWrapper(beneath, encoding="utf-8"), prints)
    out.write("text, ")
    euro = "€".encode()
    assert out.buffer.write(b"bytes " + euro[:1]) == 7
    out.buffer.write(euro[1:] + b"\xff")
    out.buffer.flush()
    out.write(", text")
    assert prints.take() == "text, bytes €\\xff, text"
    io.TextIOWrapper(out.buffer).close()
    assert not beneath.closed
    out.released = True
    out.buffer.write(b"\xff")
    out.flush()
    out.buffer.flush()
    assert beneath.getvalue() == b"\xff"


def test_only_text_can_be_written() -> None:
    with pytest.raises(TypeError, match="must be str, not bytes"):
        PrintAbove(io.StringIO(), PrintQueue(lambda: None)).write(b"x")  # type: ignore[arg-type]


def test_a_stream_is_pythons_own_unless_somebody_writes_in_its_place() -> None:
    class Tee(io.TextIOWrapper):
        def write(self, text: str) -> int:
            return super().write(text)

    own = io.TextIOWrapper(io.BytesIO())
    assert is_own(own)
    assert not is_own(Tee(io.BytesIO()))
    assert not is_own(io.StringIO())
    assert not is_own(None)
    own.write = io.StringIO().write  # type: ignore[method-assign]
    assert not is_own(own)


def test_streams_and_logging_handlers_come_and_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = os.openpty()
    try:
        with os.fdopen(slave, "w") as terminal:
            monkeypatch.setattr(sys, "stdout", terminal)
            handler = logging.StreamHandler(terminal)
            logging.getLogger("somewhere.deep").addHandler(handler)
            prints = PrintQueue(lambda: None)
            redirection = Redirection(prints)
            redirection.install(os.fstat(slave).st_rdev)
            try:
                assert isinstance(sys.stdout, PrintAbove)
                logging.getLogger("somewhere.deep").warning("said")
                assert "said" in prints.take()
            finally:
                redirection.remove()
                logging.getLogger("somewhere.deep").removeHandler(handler)
            assert sys.stdout is terminal
            assert handler.stream is terminal
    finally:
        os.close(master)


def test_a_stream_that_was_replaced_meanwhile_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = os.openpty()
    try:
        with os.fdopen(slave, "w") as terminal:
            monkeypatch.setattr(sys, "stdout", terminal)
            redirection = Redirection(PrintQueue(lambda: None))
            redirection.install(os.fstat(slave).st_rdev)
            mine = io.StringIO()
            monkeypatch.setattr(sys, "stdout", mine)
            redirection.remove()
            assert sys.stdout is mine
    finally:
        os.close(master)
