"""Frames as bytes, checked on a terminal emulator."""

from __future__ import annotations

import io

import pyte
import pytest
from rich.console import Console
from rich.style import Style

from sinks.terminal.look import PLAIN, Row
from sinks.terminal.painter import Painter


class Emulated:
    """A painter and the terminal it draws on."""

    def __init__(self, columns: int = 20, lines: int = 8, **console: object) -> None:
        self.columns = columns
        self.screen = pyte.HistoryScreen(columns, lines)
        self.stream = pyte.Stream(self.screen)
        self.painter = Painter(Console(file=io.StringIO(), force_terminal=True, **console))  # type: ignore[arg-type]

    def paint(self, texts: list[str], above: str = "", columns: int | None = None) -> str:
        rows: list[Row] = [((text, PLAIN),) for text in texts]
        sent = self.painter.paint(rows, columns or self.columns, above)
        self.stream.feed(sent)
        return sent

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display if line.strip()]


def test_a_second_frame_takes_the_place_of_the_first() -> None:
    terminal = Emulated()
    terminal.paint(["one", "two", "three"])
    terminal.paint(["one", "2", "three"])
    assert terminal.lines == ["one", "2", "three"]
    terminal.paint(["1", "2", "3"])
    assert terminal.lines == ["1", "2", "3"]


def test_only_rows_that_changed_are_sent() -> None:
    terminal = Emulated()
    terminal.paint(["one", "two", "three"])
    sent = terminal.paint(["one", "two", "drei"])
    assert "drei" in sent
    assert "one" not in sent
    assert terminal.paint(["one", "two", "drei"]) == ""


def test_frames_may_grow_and_shrink() -> None:
    terminal = Emulated()
    for texts in (["a"], ["a", "b", "c", "d"], ["x", "y"], ["a", "b", "c"]):
        terminal.paint(texts)
        assert terminal.lines == texts


def test_the_users_output_goes_above_and_the_frame_stays_last() -> None:
    terminal = Emulated()
    terminal.paint(["frame", "row"])
    terminal.paint(["frame", "row"], above="hello\nworld\n")
    assert terminal.lines == ["hello", "world", "frame", "row"]


def test_a_full_screen_scrolls_the_users_output_away_and_keeps_the_frame() -> None:
    terminal = Emulated(lines=5)
    terminal.paint(["frame", "row"])
    for number in range(20):
        terminal.paint(["frame", "row"], above=f"line {number}\n")
    assert terminal.lines == ["line 17", "line 18", "line 19", "frame", "row"]


def test_erasing_leaves_nothing_and_leaving_leaves_all() -> None:
    terminal = Emulated()
    terminal.paint(["frame", "row"], above="user\n")
    terminal.stream.feed(terminal.painter.erase())
    assert terminal.lines == ["user"]
    terminal.paint(["frame", "row"])
    terminal.stream.feed(terminal.painter.leave() + "shell")
    assert terminal.lines == ["user", "frame", "row", "shell"]


@pytest.mark.fault("D9")
def test_a_narrower_terminal_counts_the_lines_into_which_it_folded_the_old_frame() -> None:
    terminal = Emulated(columns=20, lines=10)
    terminal.paint(["x" * 18, "y" * 18])
    sent = terminal.paint(["short", "rows"], columns=10)
    assert sent.count("\x1b[2K") == 4  # two rows of 18 cells are four lines of 10
    assert sent.count("\x1b[1A") == 3


def test_a_frame_is_one_update_and_never_hides_the_cursor() -> None:
    terminal = Emulated()
    for sent in (terminal.paint(["a", "b"]), terminal.paint(["a", "c"]), terminal.paint(["a"], above="x\n")):
        assert "\x1b[?25" not in sent
        assert sent.count("\x1b[?2026h") == sent.count("\x1b[?2026l") == 1
        assert sent.endswith("\x1b[?2026l")


def test_styles_follow_the_colours_of_the_console() -> None:
    row: Row = (("red", Style(color="red", bold=True)),)
    texts = [
        Painter(Console(file=io.StringIO(), force_terminal=True, color_system="256")).text(row),
        Painter(Console(file=io.StringIO(), force_terminal=True, color_system="256", no_color=True)).text(row),
        Painter(Console(file=io.StringIO(), force_terminal=True, color_system=None)).text(row),
    ]
    assert texts == ["\x1b[1;31mred\x1b[0m", "\x1b[1mred\x1b[0m", "red"]


@pytest.mark.fault("D4")
def test_what_others_wrote_into_the_frame_goes_with_the_next_table() -> None:
    """A C library or a forked worker writes past Python; nobody can move that above the frame."""
    terminal = Emulated(lines=12)
    terminal.paint(["table 1", "a 1", "b 1", "progress 1"])
    terminal.stream.feed("NCCL INFO\r\n")
    terminal.paint(["table 2", "a 2", "b 2", "progress 2"])
    assert terminal.lines[-4:] == ["table 2", "a 2", "b 2", "progress 2"]
    assert not any("NCCL" in line for line in terminal.lines)
