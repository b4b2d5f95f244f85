"""The one visual language of the display: which glyphs, and what each colour means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from rich.style import Style

Span: TypeAlias = tuple[str, Style]
Row: TypeAlias = tuple[Span, ...]
"""One line of the screen: pieces of text, each with a style. Its text has no control characters."""

PLAIN: Final = Style.null()
NAME: Final = Style.null()
VALUE: Final = Style(bold=True)
TITLE: Final = Style(bold=True)
DIM: Final = Style(dim=True)
BETTER: Final = Style(color="green")
WORSE: Final = Style(color="red", bold=True)
LOOK: Final = Style(color="yellow", bold=True)
BAR: Final = Style(color="cyan")
DONE: Final = Style(color="green")


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters that a terminal can show: those of UTF-8, or ASCII."""

    rule: str
    dot: str
    up: str
    down: str
    same: str
    bar_full: str
    bar_half: str
    bar_rest: str
    eighths: str
    """Nine characters, from empty to full, for horizontal bars."""
    levels: str
    """Characters of rising height for strips."""
    spinner: str
    ellipsis: str


UNICODE: Final = Glyphs(
    rule="─",
    dot="·",
    up="↑",
    down="↓",
    same="→",
    bar_full="━",
    bar_half="╸",
    bar_rest="━",
    eighths=" ▏▎▍▌▋▊▉█",
    levels="▁▂▃▄▅▆▇█",
    spinner="⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏",
    ellipsis="…",
)
ASCII: Final = Glyphs(
    rule="-",
    dot="|",
    up="^",
    down="v",
    same="=",
    bar_full="#",
    bar_half="#",
    bar_rest=".",
    eighths="     ####",
    levels=".:-=+*%#",
    spinner="|/-\\",
    ellipsis="~",
)


def glyphs_for(encoding: str | None) -> Glyphs:
    """UTF-8 can show everything; for any other encoding ASCII is safe."""
    return UNICODE if (encoding or "").lower().replace("-", "").replace("_", "").startswith("utf") else ASCII
