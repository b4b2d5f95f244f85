"""The looks of a whole figure by name: on a screen, on a dark one, in a paper. No matplotlib here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sinks.plotting.colors import BLUE, BROWN, CYCLE, GREEN, ORANGE, PURPLE, SKY, SLATE, VERMILION


@dataclass(slots=True, frozen=True)
class Style:
    """Colours as ``#rrggbb``; sizes in points unless it is said otherwise."""

    name: str
    page: str = "#FFFFFF"
    """Behind everything."""
    ink: str = "#262626"
    """Titles and labels."""
    dim: str = "#737373"
    """Numbers on the axes and notes."""
    frame: str = "#8C8C8C"
    """Axis lines and ticks."""
    grid: str = "#E6E6E6"
    broken: str = "#C1121F"
    """Marks for NaN and infinities."""
    alert: str = "#B07800"
    """Marks for alerts."""
    lighter: bool = False
    """Whether validation is drawn in a lighter tone of its training curve's hue, rather than a darker one."""
    shades: Mapping[str, str] = field(default_factory=dict)
    """What stands here for colours that nobody asked for by name."""
    letters: float = 8.0
    """Size of numbers, legends and notes."""
    labels: float = 9.0
    title: float = 10.5
    """Size of the panels' titles."""
    figure_title: float = 14.0
    """Size of the figure's title; 0.0: there is none."""
    room: float = 1.0
    """Part of the usual distances between panels, words and edges."""
    line: float = 1.0
    """Part of the usual width of lines."""
    faint: float = 0.3
    """Opacity of values behind their average."""
    png_dpi: float = 150.0
    """Pixels to the inch of a PNG file."""
    columns: tuple[float, float] | None = None
    """Widths in inches: of a figure with one column of panels, and of one with more. None: any width will do."""

    def size(self, wanted: tuple[float, float], cols: int, least: float) -> tuple[float, float]:
        """The figure's size in inches, given what the layout wants: what is too wide shrinks, down to a height of
        ``least`` inches if it had that."""
        widest = wanted[0] if self.columns is None else self.columns[min(cols, 2) - 1]
        if wanted[0] <= widest:
            return wanted
        return widest, max(wanted[1] * widest / wanted[0], min(least, wanted[1]))

    def color(self, color: str, *, named: bool = False) -> str:
        """``color`` as it is drawn here; one that the user ``named`` is drawn as it is."""
        return color if named else self.shades.get(color, color)

    @property
    def title_row(self) -> float:
        """Height of the row of a panel's title."""
        return self.title + 5.5 * self.room

    @property
    def legend_row(self) -> float:
        return self.letters + 4.5 * self.room


# The documented cycle of a panel names its colours, and where a figure lies on white it has exactly those. Pure blue is
# not legible on black, though, and red and green are not told apart by everybody.
_DOCUMENTED: Final = {
    "blue": BLUE,
    "red": VERMILION,
    "green": GREEN,
    "orange": ORANGE,
    "purple": PURPLE,
    "brown": BROWN,
    "pink": "#882255",
    "gray": SLATE,
    "olive": "#999933",
    "cyan": SKY,
}
_ON_DARK: Final = dict(
    zip(CYCLE, ("#4AA3F0", "#FF7F3F", "#1FC79C", "#E59AC6", "#F2B632", "#A6DCFF", "#C4915C", "#BFBFBF"), strict=True)
)

SCREEN: Final = Style("screen")
DARK: Final = Style(
    "dark",
    page="#15171C",
    ink="#E8E8E8",
    dim="#A3A8B0",
    frame="#6E747D",
    grid="#2B2F37",
    broken="#FF5D5D",
    alert="#E0B04A",
    lighter=True,
    shades={
        **_ON_DARK,
        **{name: _ON_DARK.get(color, color) for name, color in _DOCUMENTED.items()},
        "pink": "#FF9DB5",
        "olive": "#C9C95B",
    },
    faint=0.35,
)
PAPER: Final = Style(
    "paper",
    ink="#000000",
    dim="#262626",
    frame="#404040",
    grid="#E6E6E6",
    shades=_DOCUMENTED,
    letters=7.0,
    labels=8.0,
    title=8.0,
    figure_title=0.0,
    room=0.7,
    line=0.75,
    png_dpi=300.0,
    columns=(3.3, 6.9),
)

STYLE_BY_NAME: Final[Mapping[str, Style]] = {style.name: style for style in (SCREEN, DARK, PAPER)}
STYLE_NAMES: Final = tuple(STYLE_BY_NAME)
