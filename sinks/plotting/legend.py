"""Legends above a panel, where they cover no data: rows of entries that wrap, and no more rows than fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from matplotlib.axes import Axes
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from sinks.plotting.glyphs import drawable, plain, width_of
from sinks.plotting.styles import Style

MOST_ROWS: Final = 3

# In parts of the letters' size.
_HANDLE: Final = 1.44
_AFTER_HANDLE: Final = 0.5
_BETWEEN: Final = 1.0


@dataclass(slots=True)
class LegendRows:
    """The entries of one legend, arranged for a width: reading goes along the rows."""

    entries: list[tuple[Line2D, str]] = field(default_factory=list)
    cols: int = 1
    rows: int = 0
    width: float = 0.0
    """In points."""

    def key(self) -> tuple[object, ...]:
        """Changes when the legend has to be made anew."""
        return (self.cols, *((id(line), line.get_marker(), label) for line, label in self.entries))


def arranged(lines: Sequence[tuple[Line2D, str]], width: float, style: Style) -> LegendRows:
    """``lines`` with their labels, in as few rows as fit into ``width`` points, but `MOST_ROWS` at most."""
    entries = [(line, drawable(label, 40)) for line, label in lines]
    kept = len(entries)
    found = _rows(entries, kept, width, style)
    while found.rows > MOST_ROWS and kept > 1:
        kept = max(1, min(kept - 1, found.cols * MOST_ROWS - 1))
        found = _rows(entries, kept, width, style)
    while kept < len(entries) and (more := _rows(entries, kept + 1, width, style)).rows <= MOST_ROWS:
        kept, found = kept + 1, more
    return found


def _rows(entries: Sequence[tuple[Line2D, str]], kept: int, width: float, style: Style) -> LegendRows:
    """The first ``kept`` of the entries, and how many more there are."""
    shown = list(entries[:kept])
    if not shown:
        return LegendRows()
    if kept < len(entries):
        shown.append((Line2D([], [], linestyle="none", marker="none"), f"+{len(entries) - kept} more"))
    cols, total = _columns([label for _, label in shown], width, style.letters)
    return LegendRows(shown, cols, -(-len(shown) // cols), total)


def _columns(labels: Sequence[str], width: float, size: float) -> tuple[int, float]:
    widths = [(_HANDLE + _AFTER_HANDLE) * size + width_of(label, size) for label in labels]
    total = 0.0
    for cols in range(len(labels), 0, -1):
        total = sum(max(widths[col::cols]) for col in range(cols)) + _BETWEEN * size * (cols - 1)
        if total <= width:
            return cols, total
    return 1, min(total, width)


def moved(axes: Axes, right: float, up: float) -> ScaledTranslation:
    """A shift by so many points."""
    figure = axes.figure
    assert figure is not None  # only an Axes that was removed has none
    return ScaledTranslation(right / 72.0, up / 72.0, figure.dpi_scale_trans)


def draw_legend(axes: Axes, rows: LegendRows, lift: float, style: Style, *, at_right: bool) -> Legend | None:
    """Put the legend of ``axes`` its ``lift`` in points above them, in place of the one before."""
    before = axes.get_legend()
    if before is not None:
        before.remove()
    if not rows.entries:
        return None
    ordered = [entry for col in range(rows.cols) for entry in rows.entries[col :: rows.cols]]
    above = moved(axes, 0.0, lift)
    # A label that begins with "_" would be left out, so the real labels are set afterwards.
    legend = axes.legend(
        [line for line, _ in ordered],
        ["label"] * len(ordered),
        loc="lower right" if at_right else "lower left",
        bbox_to_anchor=(1.0 if at_right else 0.0, 1.0),
        bbox_transform=axes.transAxes + above,
        ncols=rows.cols,
        frameon=False,
        fontsize=style.letters,
        labelcolor=style.ink,
        borderpad=0.0,
        borderaxespad=0.0,
        labelspacing=style.legend_row / style.letters - 1.16,
        handlelength=_HANDLE,
        handleheight=0.7,
        handletextpad=_AFTER_HANDLE,
        columnspacing=_BETWEEN,
        numpoints=1,
        markerscale=1.0,
        mode=None,
        shadow=False,
        title=None,
        alignment="left",
        reverse=False,
        markerfirst=True,
    )
    for text, (_, label) in zip(legend.get_texts(), ordered, strict=True):
        plain(text).set_text(label)
    return legend
