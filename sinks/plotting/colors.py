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
"""Okabe and Ito's colours (as in Wong, Nature Methods 8, 441, 2011) in an order in which neighbours differ most; their
yellow, too pale for a line on white, is a brown here, and their black a grey."""

STYLES: Final = ("-", "--", ":", "-.")


def nth(index: int) -> tuple[str, str]:
    """Colour and line style of the line at ``index``; with the styles, 32 lines differ."""
    return CYCLE[index % len(CYCLE)], STYLES[index // len(CYCLE) % len(STYLES)]


def other_tone(color: str, *, lighter: bool = False) -> str:
    """``color``, a ``#rrggbb``, mixed with black, or with white: the same hue in another tone.

    What is nearly black, or white, already goes the other way.
    """
    parts = [int(color[start : start + 2], 16) for start in (1, 3, 5)]
    bright = (0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]) / 255.0
    if not 0.1 <= bright <= 0.9:
        lighter = bright < 0.5
    return "#" + "".join(f"{round(part + 0.45 * (255 * lighter - part)):02X}" for part in parts)
