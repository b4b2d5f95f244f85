"""Colours that can be told apart with any colour vision, and tones of one hue. No matplotlib here."""

from __future__ import annotations

from typing import Final

BLUE: Final = "#0072B2"
VERMILION: Final = "#D55E00"
GREEN: Final = "#009E73"
PURPLE: Final = "#CC79A7"
SKY: Final = "#56B4E9"
ORANGE: Final = "#E69F00"
BROWN: Final = "#7A4A1E"
SLATE: Final = "#4D4D4D"

CYCLE: Final = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BROWN, SLATE)
"""Okabe and Ito's colours in an order in which neighbours differ most; their yellow, too pale for a line on white, is
a brown here, and their black a grey."""

STYLES: Final = ("-", "--", ":", "-.")

INK: Final = "#262626"
"""Titles and labels."""
DIM: Final = "#737373"
"""Numbers on the axes and notes."""
FRAME: Final = "#8C8C8C"
"""Axis lines and ticks."""
GRID: Final = "#E6E6E6"
BROKEN: Final = "#C1121F"
"""Marks for NaN and infinities."""
ALERT: Final = "#B07800"
"""Marks for alerts."""


def nth(index: int) -> tuple[str, str]:
    """Colour and line style of the line at ``index``; with the styles, 32 lines differ."""
    return CYCLE[index % len(CYCLE)], STYLES[index // len(CYCLE) % len(STYLES)]


def darker(color: str, amount: float = 0.45) -> str:
    """``color``, a ``#rrggbb``, mixed with black: the same hue in another tone."""
    parts = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    return "#" + "".join(f"{round(part * (1 - amount)):02X}" for part in parts)
