"""Foreign text on one row of a terminal: made harmless, measured in cells, cut where there is no room."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from rich.cells import cell_len, set_cell_size

from m.metrics.text import LONGEST, harmless

_WORD: Final = re.compile(r"[^\W_]+")


def safe(text: str) -> str:
    """``text`` as `harmless` gives it, with U+FFFD also for what has no cell of its own and would change the width of
    its neighbours, such as variation selectors."""
    return _safe(text[:LONGEST])  # what is remembered is short however long the text is


@lru_cache(maxsize=4096)
def _safe(text: str) -> str:
    text = harmless(text)
    if text.isascii():
        return text
    return "".join([each if cell_len(each) and not _selects_a_variant(each) else "\ufffd" for each in text])


def _selects_a_variant(character: str) -> bool:
    return 0xFE00 <= ord(character) < 0xFE10


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


def shortened_apart(names: Sequence[str], width: int, ellipsis: str = "…") -> list[str]:
    """Each of ``names`` in at most ``width`` cells. Those that cut in the middle would read the same lose their common
    beginning first: ``…top_1_accuracy`` and ``…top_5_accuracy``."""
    shown = [shorten(name, width, ellipsis) for name in names]
    if len(set(shown)) == len(shown):
        return shown
    alike: dict[str, list[str]] = {}
    for name, short in zip(names, shown, strict=True):
        alike.setdefault(short, []).append(name)
    for index, name in enumerate(names):
        others = alike[shown[index]]
        if len(set(others)) > 1:
            letters = zip(*others, strict=False)
            differ = next((at for at, each in enumerate(letters) if len(set(each)) > 1), min(map(len, others)))
            word = max((at.start() for at in _WORD.finditer(name, 0, differ)), default=0)
            shown[index] = shorten(ellipsis + name[max(word, differ - width // 3) :], width, ellipsis)
    return shown


def beginning(text: str, width: int, ellipsis: str = "…") -> str:
    """``text`` in at most ``width`` cells, cut at its end: of a sentence the beginning says most. A number is left out
    rather than cut, since 0.0 for 0.00263 would be another one."""
    if cell_len(text) <= width:
        return text
    if width <= cell_len(ellipsis):
        return set_cell_size(text, max(width, 0)).rstrip()
    kept = set_cell_size(text, width - cell_len(ellipsis))
    whole, _, last = kept.rpartition(" ")
    if whole.strip() and last and any(map(str.isdigit, last)) and not text[len(kept) :].startswith(" "):
        kept = whole
    return kept.rstrip() + ellipsis
