"""A terminal of a given size that exists only in memory, and its picture as SVG. Needs pyte, of the extra ``test``."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import termios
import threading
import tty
from itertools import groupby
from typing import Final

import pyte
from pyte.screens import Char
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

_DARK: Final = (
    (0, 0, 0),
    (205, 80, 80),
    (38, 188, 120),
    (214, 180, 60),
    (80, 150, 230),
    (190, 110, 190),
    (30, 170, 200),
)
_VIVID: Final = ((102, 102, 102), (241, 76, 76), (35, 209, 139), (245, 245, 67), (59, 142, 234), (214, 112, 214))
_LIGHT: Final = ((0, 0, 0), (205, 49, 49), (13, 145, 74), (180, 130, 0), (36, 114, 200), (168, 60, 168), (12, 128, 160))

BACKGROUNDS: Final = {
    "dark": TerminalTheme(
        (24, 26, 31), (220, 223, 228), [*_DARK, (220, 223, 228)], [*_VIVID, (41, 184, 219), (255, 255, 255)]
    ),
    "light": TerminalTheme((255, 255, 255), (40, 42, 46), [*_LIGHT, (90, 90, 90)], [*_LIGHT, (40, 42, 46)]),
}
"""The colours of a dark and of a light terminal, near those that editors and desktops come with."""

_NAMES: Final = {"brown": "yellow", "brightbrown": "bright_yellow", "default": None}
_UNIQUE: Final = re.compile(r"[^a-z0-9]+")


class RecordedScreen:
    """A terminal of ``columns`` by ``lines``: a program writes to `console`, and `lines_shown` says what is there.

    A thread reads what is written, so that the program never waits. `close` ends it.
    """

    def __init__(self, columns: int, lines: int) -> None:
        self._size = columns, lines
        self._master, slave = pty.openpty()
        tty.setraw(slave, termios.TCSANOW)
        mode = termios.tcgetattr(slave)
        mode[1] |= termios.OPOST | termios.ONLCR  # as a terminal does with output
        termios.tcsetattr(slave, termios.TCSANOW, mode)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._file = os.fdopen(slave, "w", encoding="utf-8")
        self.console = Console(file=self._file, force_terminal=True, color_system="256", width=columns, height=lines)
        self._bytes = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._master, 1 << 16)
            except OSError:  # the other side is closed
                return
            if not piece:
                return
            self._bytes += piece

    def close(self) -> None:
        """Nothing more is written."""
        self._file.close()
        self._reader.join(5.0)
        os.close(self._master)

    def screen(self) -> pyte.Screen:
        """What is on the screen now."""
        screen = pyte.Screen(*self._size)
        pyte.ByteStream(screen).feed(bytes(self._bytes))
        return screen

    def lines_shown(self) -> list[str]:
        """The same as text, without trailing blanks."""
        return [line.rstrip() for line in self.screen().display]

    def svg(self, title: str, background: str) -> str:
        """The same as a picture, on one of `BACKGROUNDS`."""
        columns, lines = self._size
        console = Console(
            record=True, file=io.StringIO(), width=columns, height=lines, force_terminal=True, color_system="truecolor"
        )
        screen = self.screen()
        for line in range(lines):
            row = screen.buffer[line]
            text = Text(no_wrap=True, overflow="crop", end="\n")
            for style, cells in groupby((row[column] for column in range(columns)), key=_drawn_as):
                text.append("".join(cell.data for cell in cells), style)
            console.print(text, soft_wrap=True)
        name = "screen-" + _UNIQUE.sub("-", title.lower())
        picture = console.export_svg(title=title, theme=BACKGROUNDS[background], unique_id=f"{name}-{background}")
        return with_size(without_web_fonts(picture))


_OTHER_FONT: Final = Style(meta={"font": "other"})


def _drawn_as(char: Char) -> Style:
    """The style, another one of the same look for characters past ASCII: what has one style is drawn as one text, and
    they may come from another font with another width, which would push the others out of their columns."""
    return _style(char) if char.data.isascii() else _style(char) + _OTHER_FONT


def _style(char: Char) -> Style:
    return Style(
        color=_color(char.fg),
        bgcolor=_color(char.bg),
        bold=char.bold or None,
        underline=char.underscore or None,
        reverse=char.reverse or None,
    )


def _color(name: str) -> str | None:
    if name in _NAMES:
        return _NAMES[name]
    if re.fullmatch(r"[0-9a-f]{6}", name):
        return f"#{name}"
    return name.replace("bright", "bright_") if name.startswith("bright") else name


def without_web_fonts(svg: str) -> str:
    """Rich's picture of a terminal loads its font from the network; ours takes what the reader has."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code", "ui-monospace, DejaVu Sans Mono, Menlo, Consolas")


def with_size(svg: str) -> str:
    """Rich's picture is as wide as the page; ours as the terminal, so that letters are of one size."""
    return re.sub(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"', r'width="\1" height="\2" \g<0>', svg, count=1)
