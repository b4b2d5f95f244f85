"""Text on a figure: in the font that comes with matplotlib, never taken for mathematics or LaTeX, as wide as fits."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.text import Text
from matplotlib.textpath import TextToPath

from sinks.plotting.text import LONGEST, shortened, visible

FONT: Final = "DejaVu Sans"
UNDRAWABLE: Final = "□"
"""Stands for a character that the font lacks."""


def drawable(text: str, longest: int = LONGEST) -> str:
    """Foreign text as it can be drawn: on one line, unprintable characters escaped, those without a glyph replaced."""
    known = _known_characters()
    return "".join(char if ord(char) in known else UNDRAWABLE for char in visible(text, longest))


def plain(artist: Text) -> Text:
    """``artist``, drawn letter for letter: a ``$`` or ``\\`` in it means itself, whatever the user's rcParams say."""
    artist.set_parse_math(False)
    artist.set_usetex(False)
    artist.set_fontfamily(FONT)
    return artist


def width_of(text: str, size: float, *, bold: bool = False) -> float:
    """Width in points of ``text``, which must be drawable, at ``size`` points."""
    return _width(text, bold) * size / 100.0


def fitted(text: str, width: float, size: float, *, bold: bool = False) -> str:
    """``text``, without its middle where it is wider than ``width`` points at ``size``; at least 3 characters stay."""
    longest = len(text)
    while longest > 3 and width_of(shortened(text, longest), size, bold=bold) > width:
        longest -= max(1, longest // 12)
    return shortened(text, longest)


def beginning(title: str, width: float, size: float, *, bold: bool = False) -> str:
    """As many words of ``title`` as fit, since its beginning says more than its ends do, which tell apart the names of
    metrics; a single word as `fitted` has it."""
    said, words = title, title.split(" ")
    while len(words) > 1 and width_of(said, size, bold=bold) > width:
        del words[-1]
        said = " ".join(words) + "…"
    return said if width_of(said, size, bold=bold) <= width else fitted(title, width, size, bold=bold)


@cache
def _known_characters() -> frozenset[int]:
    regular, bold = (get_font(findfont(FontProperties(family=FONT, weight=w))) for w in ("normal", "bold"))
    return frozenset(regular.get_charmap()) & frozenset(bold.get_charmap())


_measure: Final = TextToPath()
_widths: dict[tuple[str, bool], float] = {}


def _width(text: str, bold: bool) -> float:
    key = (text, bold)
    if key not in _widths:
        if len(_widths) > 4096:
            _widths.clear()
        font = FontProperties(family=FONT, weight="bold" if bold else "normal", size=100.0)
        measured: Any = _measure.get_text_width_height_descent(text, font, ismath=False)
        _widths[key] = float(measured[0])
    return _widths[key]
