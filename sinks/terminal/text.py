"""Foreign text made fit for one row of a terminal: nothing in it is obeyed, everything stays visible."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from rich.cells import cell_len, set_cell_size

_BIDI: Final = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C}
_INVISIBLE: Final = {0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0x00AD}
_LINE_ENDS: Final = {0x2028, 0x2029}
_LONGEST: Final = 500  # characters looked at; what is shown is far shorter


@lru_cache(maxsize=4096)
def safe(text: str) -> str:
    """``text`` with every character that could control a terminal replaced by a visible one.

    C0 controls and DEL become their control pictures, C1 controls, lone surrogates, bidirectional and zero-width
    characters and line separators become U+FFFD. Markup stays as it is: nothing here is ever parsed as markup.
    """
    if text.isascii() and text.isprintable():
        return text[:_LONGEST]
    return "".join(_visible(character) for character in text[:_LONGEST])


def _visible(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if (
        0x80 <= code < 0xA0
        or 0xD800 <= code < 0xE000
        or code in _BIDI
        or code in _INVISIBLE
        or code in _LINE_ENDS
        or 0xFE00 <= code < 0xFE10  # variation selectors change the width of what precedes them
        or cell_len(character) == 0
    ):
        return "\ufffd"
    return character


def fit(text: str, width: int, ellipsis: str = "…") -> str:
    """``text`` in exactly ``width`` cells: padded on the right, or cut in the middle with an ellipsis."""
    cells = cell_len(text)
    if cells == width:
        return text
    if cells < width:
        return text + " " * (width - cells)
    return shorten(text, width, ellipsis) + " " * (width - cell_len(shorten(text, width, ellipsis)))


@lru_cache(maxsize=4096)
def shorten(text: str, width: int, ellipsis: str = "…") -> str:
    """``text`` in at most ``width`` cells, cut in the middle: both ends of a name tell it from its neighbours."""
    if cell_len(text) <= width:
        return text
    room = width - len(ellipsis)
    if room < 2:
        return set_cell_size(text, max(width, 0)).rstrip()
    head = set_cell_size(text, (room + 1) // 2).rstrip()
    tail = text[len(text) - room // 2 :]
    while cell_len(tail) > room // 2:
        tail = tail[1:]
    return head + ellipsis + tail
