"""How axes look before anything is in them. All of it is said outright, so that no style of the user disturbs it."""

from __future__ import annotations

from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sinks.plotting.colors import DIM, FRAME, GRID
from sinks.plotting.glyphs import FONT

LETTERS: Final = 8.0
"""Size of numbers, legends and notes, in points."""
LABELS: Final = 9.0
TITLE: Final = 10.5
FIGURE_TITLE: Final = 14.0


def new_axes(figure: Figure) -> Axes:
    """Empty axes of ``figure``, yet to be placed."""
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.8), facecolor="white")
    dress(axes)
    return axes


def dress(axes: Axes, *, right: bool = False) -> None:
    """Give ``axes`` our frame and ticks; ``right`` for the twin that holds the right-hand axis."""
    axes.set_autoscale_on(False)
    axes.margins(0)
    axes.set_axisbelow(True)
    axes.grid(False, which="both")
    for side, spine in axes.spines.items():
        spine.set_visible(side == "right" if right else side in ("left", "bottom"))
        spine.set_color(FRAME)
        spine.set_linewidth(0.8)
    for which, length in (("major", 3.0), ("minor", 1.8)):
        axes.tick_params(
            axis="both",
            which=which,
            direction="out",
            length=length,
            width=0.8 if which == "major" else 0.5,
            color=FRAME,
            labelcolor=DIM,
            labelsize=LETTERS,
            labelfontfamily=FONT,
            labelrotation=0,
            pad=3.0,
            top=False,
            labeltop=False,
            bottom=not right,
            labelbottom=not right and which == "major",
            left=not right,
            labelleft=not right and which == "major",
            right=right,
            labelright=right and which == "major",
        )


def show_grid(axes: Axes, show: bool) -> None:
    """Pale lines at the major ticks, behind everything."""
    if show:
        axes.grid(True, which="major", axis="both", color=GRID, linewidth=0.7, linestyle="-", alpha=1.0)
    else:
        axes.grid(False, which="both")
