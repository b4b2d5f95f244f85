"""Foreign text made harmless: whatever shows it obeys nothing in it, and everything in it stays visible.

Every text that this library did not make - the names of metrics and sinks, descriptions, messages, the texts of
exceptions - passes here before it is put where somebody reads it: on a terminal, in the log. Widths, fonts and files
are not known here; in a journal a text stays as it was given.
"""

from __future__ import annotations

import unicodedata
from typing import Final

LONGEST: Final = 500
"""Characters of one text that are shown at the most."""

_CONTROL_PICTURES: Final = {**{code: chr(0x2400 + code) for code in range(0x20)}, 0x7F: "\u2421"}
_NOT_SHOWN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_LINES_STAY: Final = frozenset("\n\t")
_ALL_LINES: Final = 100_000


def harmless(text: str) -> str:
    """``text`` on one line, cut at `LONGEST`, with every character visible that could control what shows it.

    C0 controls and DEL become their pictures, such as ``␛``. C1 controls, characters that only change how others are
    read (bidirectional, zero-width and other format characters), lone surrogates and separators of lines become
    U+FFFD. Markup stays as it is, for nothing here is ever parsed as markup.
    """
    text = text[:LONGEST]
    if text.isascii() and text.isprintable():
        return text
    return "".join([_visible(character) for character in text])


def harmless_lines(text: str) -> str:
    """The same for a text of many lines, such as a traceback, whose newlines and tabs stay. It may be long."""
    text = text[:_ALL_LINES]
    if text.isprintable() and text.isascii():
        return text
    return "".join([each if each in _LINES_STAY else _visible(each) for each in text])


def _visible(character: str) -> str:
    picture = _CONTROL_PICTURES.get(ord(character))
    if picture is not None:
        return picture
    return "\ufffd" if unicodedata.category(character) in _NOT_SHOWN else character
