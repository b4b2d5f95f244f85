"""The one visual language of the display: which glyphs there are, and what each style means, theme by theme.

A style says something or is `PLAIN`, and what it says is said by a word or a shape as well. Colours are fixed ones of
the 256, where a terminal has them: each stands out against black, white and the greys of common themes (a contrast of
2.8 at the least, see the tests), which no palette of 16 can promise. Teal and red also differ for the colour-blind.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from rich.style import Style

Span: TypeAlias = tuple[str, Style]
Row: TypeAlias = tuple[Span, ...]
"""One line of the screen: pieces of text, each with a style. Its text has no control characters."""

PLAIN: Final = Style.null()
"""What is neither good nor bad, first nor secondary: the terminal's own colour."""


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
    cross: str
    """Something that was not finite."""
    marker: str
    """A point of the second of two curves."""
    braille: bool
    """Curves may be drawn with dots."""
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
    bar_rest="─",
    eighths=" ▏▎▍▌▋▊▉█",
    levels="▁▂▃▄▅▆▇█",
    cross="×",
    marker="•",
    braille=True,
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
    cross="X",
    marker="o",
    braille=False,
    spinner="|/-\\",
    ellipsis="~",
)


def glyphs_for(encoding: str | None) -> Glyphs:
    """UTF-8 can show everything; for any other encoding ASCII is safe."""
    return UNICODE if (encoding or "").lower().replace("-", "").replace("_", "").startswith("utf") else ASCII


@dataclass(frozen=True, slots=True)
class Look:
    """The glyphs of a terminal and what each style means on it."""

    glyphs: Glyphs
    title: Style
    value: Style
    """A number that is measured."""
    dim: Style
    """What is secondary: legible, and no loss when overlooked."""
    better: Style
    worse: Style
    """Worse, or broken."""
    notice: Style
    """Look here."""
    bar: Style
    """An amount, or the first of two curves."""
    other: Style
    """The second of two curves."""
    done: Style


_BOLD: Final = Style(bold=True)

DEFAULT: Final = Look(
    glyphs=UNICODE,
    title=_BOLD,
    value=_BOLD,
    dim=Style(color="color(244)"),
    better=Style(color="color(30)"),
    worse=Style(color="color(196)", bold=True),
    notice=Style(color="color(136)", bold=True),
    bar=Style(color="color(32)"),
    other=Style(color="color(134)"),
    done=Style(color="color(30)"),
)
SIXTEEN_COLORS: Final = replace(
    DEFAULT,
    dim=Style(dim=True),
    better=Style(color="green"),
    worse=Style(color="red", bold=True),
    notice=Style(color="magenta", bold=True),  # yellow cannot be read on white in half of the palettes
    bar=PLAIN,
    other=Style(color="magenta"),
    done=Style(color="green"),
)
HIGH_CONTRAST: Final = Look(
    glyphs=UNICODE,
    title=_BOLD,
    value=_BOLD,
    dim=PLAIN,
    better=_BOLD,
    worse=Style(bold=True, reverse=True),
    notice=Style(bold=True, underline=True),
    bar=PLAIN,
    other=_BOLD,
    done=_BOLD,
)
MONO: Final = replace(
    HIGH_CONTRAST,
    dim=Style(dim=True),
    better=PLAIN,
    notice=_BOLD,
    done=PLAIN,
)

THEMES: Final = ("default", "high_contrast", "mono")
"""The names that `VisualizationConfig.theme` takes."""


def look_for(theme: str, encoding: str | None = "utf-8", color_system: str | None = "256") -> Look:
    """The look of ``theme`` on a terminal with this encoding and these colours (Rich's names; None: no colours).

    ``default`` without colours is ``mono``. Raises ``KeyError`` for a theme that there is not.
    """
    look = {"default": DEFAULT, "high_contrast": HIGH_CONTRAST, "mono": MONO}[theme]
    if theme == "default" and color_system is None:
        look = MONO
    elif theme == "default" and color_system in ("standard", "windows"):
        look = SIXTEEN_COLORS
    return replace(look, glyphs=glyphs_for(encoding))
