"""Loads as one character each: how high against the fair share, dead and overloaded ones by their shape.

A cell is a small number (a *code*), so that strips of thousands of experts are put together fast, and what stands for
several experts, or for several moments, is the worst of them. Which rows of a screen show strips is not known here.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Final

from m.metrics.experts import DEAD_UNDER, OVERLOADED_OVER, ExpertBalance, relative_loads
from m.metrics.loads import ids_of
from sinks.terminal.look import Glyphs, Look, Span

FAIR: Final = 3
"""The code of about the fair share, between 5/6 and 7/6 of it. Each level is a third of it, from 0 to 6."""
OVERLOADED: Final = 7
DEAD: Final = 8
MISSING: Final = 9
"""Nothing is known."""

_LEVELS: Final = 7
_SEVERITY: Final = bytes((4, 3, 2, 1, 2, 3, 4, 5, 6, 0))
"""Of each code, where it stands for one of several experts."""
_PURE_UP_TO: Final = 256

worst_load: Final[Callable[[int], int]] = _SEVERITY.__getitem__
"""A key by which the worst of several codes of experts is the largest."""


def load_codes(loads: Mapping[int, float], cells: int) -> bytes:
    """The codes of the experts in the order of their numbers; of more than ``cells`` experts the worst of each of at
    most so many groups of equal size."""
    relative = relative_loads(loads)
    ids = ids_of(loads)
    if not isinstance(ids, range) and sorted(ids) != ids:
        relative = array("d", [load for _, load in sorted(zip(ids, relative, strict=True))])
    group = -(-len(relative) // max(cells, 1))
    if len(relative) <= _PURE_UP_TO:
        return worst_of(bytes([_load_code(load) for load in relative]), group)
    import numpy as np

    given = np.frombuffer(relative)
    codes = np.minimum(np.rint(given * FAIR), _LEVELS - 1).astype(np.uint8)
    codes[given >= OVERLOADED_OVER] = OVERLOADED
    codes[given < DEAD_UNDER] = DEAD
    ranked = np.frombuffer(_SEVERITY, np.uint8)[codes] * 16 + codes
    worst = np.maximum.reduceat(ranked, np.arange(0, codes.size, group)) % 16
    return bytes(worst.astype(np.uint8))


def layer_code(balance: ExpertBalance | None) -> int:
    """The code of a whole layer: its coefficient of variation, half a cell when it is 0, a full one from 1 on; dead
    where one of its experts is."""
    if balance is None or balance.dead:
        return DEAD
    return OVERLOADED if balance.cv >= 1.0 else FAIR + round(balance.cv * (_LEVELS - 1 - FAIR))


def worst_of(codes: bytes, group: int) -> bytes:
    """Of each ``group`` neighbours the worst, by the severity of single experts."""
    if group <= 1:
        return codes
    return bytes([max(codes[at : at + group], key=worst_load) for at in range(0, len(codes), group)])


def spans(codes: Sequence[int], look: Look) -> tuple[Span, ...]:
    """The cells; runs of one style are joined."""
    signs = [sign(code, look.glyphs) for code in range(MISSING + 1)]
    styles = (*(look.bar,) * _LEVELS, look.notice, look.worse, look.bar)
    return tuple(
        ("".join([signs[code] for code in run]), style) for style, run in groupby(codes, key=styles.__getitem__)
    )


def sign(code: int, glyphs: Glyphs) -> str:
    """The character of a code: a cross for a dead expert, and only an overloaded one fills its cell."""
    if code == DEAD:
        return "x" if glyphs.levels.isascii() else "×"
    return " " if code == MISSING else glyphs.levels[code]


def _load_code(relative: float) -> int:
    if relative < DEAD_UNDER:
        return DEAD
    return OVERLOADED if relative >= OVERLOADED_OVER else min(round(relative * FAIR), _LEVELS - 1)
