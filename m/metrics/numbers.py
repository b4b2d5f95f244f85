"""Numbers as all displays write them: short, in a width that is given, never cut."""

from __future__ import annotations

import math
from typing import Final

LONGEST_STEP: Final = 10
"""Steps of more digits are shortened."""
_UNITS: Final = "kMGTPE"


def number(value: float | int | bool | None, width: int = 10) -> str:
    """``value`` right-aligned in ``width`` cells (7 or more): four decimals, or an exponent where those say nothing.

    Missing is ``-``; NaN and the infinities are ``nan``, ``inf`` and ``-inf``.
    """
    return _plain(value, width).rjust(width)


def _plain(value: float | int | bool | None, width: int) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        text = str(value)
        return text if len(text) <= width else _exponent_in(float(value), width)
    if not math.isfinite(value):
        return _not_finite(value)
    size = abs(value)
    if size != 0.0 and (size < 0.01 or size >= 1e6):  # fewer than three digits would be left
        return _exponent_in(value, width)
    text = f"{value:.4f}"
    decimals = 3
    while len(text) > width and decimals >= 0:  # a wide number gives up decimals before anything else
        text = f"{value:.{decimals}f}"
        decimals -= 1
    return text if len(text) <= width else _exponent_in(value, width)


def _not_finite(value: float) -> str:
    return "nan" if value != value else "inf" if value > 0 else "-inf"


def _exponent_in(value: float, width: int) -> str:
    text = exponent(value)
    for decimals in (1, 0):
        if len(text) <= width:
            break
        text = exponent(value, decimals)
    return text


def exponent(value: float | None, decimals: int = 2) -> str:
    """``3.00e-4``: no padding of the exponent; with two decimals at most 10 cells."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return _not_finite(value)
    mantissa, _, power = f"{value:.{decimals}e}".partition("e")
    return f"{mantissa}e{int(power)}"


def count(value: float | None) -> str:
    """A rate or a number of things with its magnitude, at most 6 cells: ``3.77``, ``120.5``, ``181.2k``, ``2.4M``, and
    ``0.0167`` or ``4.2e-3`` for a small one."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return _not_finite(value)
    size = abs(value)
    if 0.0 < size < 0.1:  # fewer than two digits would be left
        return f"{value:.4f}" if size >= 0.01 else exponent(value, 1)
    for limit, divisor, unit in ((1e4, 1.0, ""), (1e6, 1e3, "k"), (1e9, 1e6, "M"), (1e12, 1e9, "G")):
        if size < limit:
            scaled = value / divisor
            return f"{scaled:.2f}{unit}" if abs(scaled) < 100 else f"{scaled:.1f}{unit}"
    return exponent(value)


def step(value: int, width: int = LONGEST_STEP) -> str:
    """A step in at most ``width`` cells (6 or more): all its digits, or as many as there is room for: ``12.34M``."""
    text = str(value)
    if len(text) <= width:
        return text
    power = len(text.lstrip("-")) - 1
    if power >= 3 * len(_UNITS) + 3:
        return f"{text[:-power]}e{power}"
    point = len(text) - power // 3 * 3
    return f"{text[:point]}.{text[point : width - 2]}".rstrip(".") + _UNITS[power // 3 - 1]


def memory(megabytes: float | None) -> str:
    """An amount of memory given in MB (10^6 bytes): ``512 MB``, ``41.2 GB``; at most 8 cells."""
    if megabytes is None:
        return "-"
    if not math.isfinite(megabytes):
        return _not_finite(megabytes)
    if abs(megabytes) < 1000:
        return f"{megabytes:.0f} MB"
    if abs(megabytes) < 1e6:
        return f"{megabytes / 1e3:.1f} GB"
    return f"{exponent(megabytes / 1e3)} GB"


def percent(value: float | None) -> str:
    """A share given in percent, without decimals: `` 64 %``, 5 cells."""
    return "    -" if value is None or not math.isfinite(value) else f"{value:3.0f} %"


def duration(seconds: float | None) -> str:
    """A time span: ``0:07``, ``12:41``, ``1:02:03``, ``3d 04h``, ``1200d``; ``-`` when it is not known.

    At most 8 cells.
    """
    if seconds is None or not math.isfinite(seconds):
        return "-"
    whole = max(int(seconds), 0)
    days = whole // 86_400
    if days >= 1000:
        return f"{days if days < 10**7 else exponent(days, 0)}d"
    if whole >= 86_400:
        return f"{days}d {whole % 86_400 // 3600:02d}h"
    if whole >= 3600:
        return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
    return f"{whole // 60}:{whole % 60:02d}"
