"""Foreign text made safe to show, and the numbers of an axis. Which glyphs a font has is not known here."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

LONGEST: Final = 60
"""Characters of a name or title that are shown; longer ones lose their middle."""

_SCALES: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def visible(text: str, longest: int = LONGEST) -> str:
    """``text`` on one line: control, formatting and other unprintable characters as escapes, such as ``\\n``."""
    if len(text) > 4 * longest:  # escapes make it longer, never shorter
        text = text[: 2 * longest] + text[-2 * longest :]
    if not text.isprintable():
        text = "".join(_escaped(char) for char in text)
    return shortened(text.strip() or text, longest)


def shortened(text: str, longest: int) -> str:
    """``text`` with an ellipsis for its middle where it is longer than ``longest``."""
    if len(text) <= longest:
        return text
    tail = (longest - 1) // 2
    return text[: longest - 1 - tail] + "…" + (text[-tail:] if tail else "")


def _escaped(char: str) -> str:
    category = unicodedata.category(char)
    if category in ("Zl", "Zp") or category[0] == "C":
        return char.encode("unicode_escape").decode("ascii")
    return " " if category == "Zs" else char


def tick_text(value: float, digits: int = 6) -> str:
    """One number for an axis, with a true minus sign: ``800``, ``1.5k``, ``0.2``, ``−1e-5``."""
    size = abs(value)
    scale, suffix = next(((scale, letter) for scale, letter in _SCALES if scale <= size < 1e15), (1.0, ""))
    number = f"{size / scale:.{digits}g}"
    if 0.0 < size < 0.00999:  # 2e-4 is shorter than 0.0002, and its exponent is what people compare
        number = f"{size:.{digits - 1}e}"
        number = number.split("e")[0].rstrip("0").rstrip(".") + "e" + number.split("e")[1]
    mantissa, _, exponent = number.partition("e")
    sign = "−" if value < 0 else ""
    return f"{sign}{mantissa}e{int(exponent)}" if exponent else f"{sign}{mantissa}{suffix}"


def tick_texts(values: Sequence[float]) -> list[str]:
    """Numbers of one linear axis, alike in unit and decimals: ``0.00 0.25 0.50``, ``0 50k 100k``. They have as many
    digits as it takes to tell them apart."""
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2:
        return [tick_text(value) for value in values]
    largest = max(abs(value) for value in finite)
    spacing = min(abs(after - before) for before, after in pairwise(finite))
    if spacing <= 1e-15 * largest or largest >= 1e15 or largest < 1e-3:
        values = [0.0 if abs(value) < 1e-9 * largest else value for value in values]
        exact = (n for n in range(3, 17) if all(abs(float(f"{v:.{n - 1}e}") - v) <= 0.01 * spacing for v in finite))
        digits = next(exact, 17) if spacing > 0 else 3
        return [tick_text(value, digits) for value in values]
    scale, suffix = next(((scale, letter) for scale, letter in _SCALES if largest >= max(scale, 1e4)), (1.0, ""))
    most = max(5, 2 - math.floor(math.log10(spacing / scale)))
    decimals = next((digits for digits in range(most) if _whole(spacing / scale * 10**digits)), most)
    return [_tick_of(value / scale, decimals, suffix) for value in values]


def _tick_of(number: float, decimals: int, suffix: str) -> str:
    text = f"{abs(number):.{decimals}f}"
    if float(text) == 0:
        return "0" if suffix else text
    return f"{'−' if number < 0 else ''}{text}{suffix}"


def _whole(number: float) -> bool:
    return round(number) > 0 and abs(number - round(number)) < 1e-6 * max(1.0, abs(number))
