"""How axes look before anything is in them. All of it is said outright, so that no style of the user disturbs it."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sinks.plotting.glyphs import FONT
from sinks.plotting.styles import Style


def new_axes(figure: Figure, style: Style) -> Axes:
    """Empty axes of ``figure``, yet to be placed."""
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.8), facecolor=style.page)
    dress(axes, style)
    return axes


def dress(axes: Axes, style: Style, *, right: bool = False) -> None:
    """Give ``axes`` our frame and ticks; ``right`` for the twin that holds the right-hand axis."""
    axes.set_autoscale_on(False)
    axes.margins(0)
    axes.set_axisbelow(True)
    axes.grid(False, which="both")
    for side, spine in axes.spines.items():
        spine.set_visible(side == "right" if right else side in ("left", "bottom"))
        spine.set_color(style.frame)
        spine.set_linewidth(0.8 * style.line)
    for which, length in (("major", 3.0), ("minor", 1.8)):
        axes.tick_params(
            axis="both",
            which=which,
            direction="out",
            length=length * style.room,
            width=(0.8 if which == "major" else 0.5) * style.line,
            color=style.frame,
            labelcolor=style.dim,
            labelsize=style.letters,
            labelfontfamily=FONT,
            labelrotation=0,
            pad=3.0 * style.room,
            top=False,
            labeltop=False,
            bottom=not right,
            labelbottom=not right and which == "major",
            left=not right,
            labelleft=not right and which == "major",
            right=right,
            labelright=right and which == "major",
        )


def show_grid(axes: Axes, style: Style, show: bool) -> None:
    """Pale lines at the major ticks, behind everything."""
    if show:
        axes.grid(
            True, which="major", axis="both", color=style.grid, linewidth=0.7 * style.line, linestyle="-", alpha=1.0
        )
    else:
        axes.grid(False, which="both")
