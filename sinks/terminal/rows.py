"""Rows of styled text and what all tables do with them: measure, clip, pad, head with a rule, point with an arrow."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.style import Style

from sinks.terminal.look import PLAIN, Look, Row, Span
from sinks.terminal.trends import Direction, better

Levels = list[list[Row]]
"""The same group at shrinking sizes, the fullest first; the last may be empty."""


def row_width(row: Row) -> int:
    """Cells that ``row`` takes."""
    return sum([len(text) if text.isascii() else cell_len(text) for text, _ in row])


def clip(row: Row, width: int) -> Row:
    """``row`` in at most ``width`` cells: whole pieces are left out from the right, so that no number is cut."""
    if row_width(row) <= width:
        return row
    kept: list[Span] = []
    room = width
    for text, style in row:
        cells = cell_len(text)
        if cells > room:
            break
        kept.append((text, style))
        room -= cells
    return tuple(kept)


def pad(row: Row, width: int) -> Row:
    """``row`` in exactly ``width`` cells."""
    missing = width - row_width(row)
    if missing < 0:
        row = clip(row, width)
        missing = width - row_width(row)
    return (*row, (" " * missing, PLAIN)) if missing else row


def rule(title: str, notes: Sequence[str], width: int, look: Look) -> Row:
    """A line with the group's title and, as far as there is room, its notes; the last notes matter most."""
    line = look.glyphs.rule
    head = f"{line}{line} {title} "
    shown = list(notes)
    separator = f" {look.glyphs.dot} "
    while shown and cell_len(head) + cell_len(separator.join(shown)) + 5 > width:
        shown.pop(0)
    if not shown:
        return (
            (f"{line}{line} ", look.dim),
            (title, look.title),
            (" " + line * max(width - cell_len(head), 0), look.dim),
        )
    note = separator.join(shown)
    fill = line * (width - cell_len(head) - cell_len(note) - 4)
    return (
        (f"{line}{line} ", look.dim),
        (title, look.title),
        (f" {fill} ", look.dim),
        (note, PLAIN),
        (f" {line}{line}", look.dim),
    )


def arrow(name: str, way: Direction, look: Look, value: object = 0.0) -> Span:
    """One cell: the direction, coloured where it is good or bad news; none beside a ``value`` that is not finite."""
    if way is Direction.UNKNOWN or (isinstance(value, float) and value - value != 0.0):
        return (" ", PLAIN)
    sign = {Direction.UP: look.glyphs.up, Direction.DOWN: look.glyphs.down, Direction.SAME: look.glyphs.same}[way]
    news = better(name, way)
    return (sign, look.dim if news is None else look.better if news else look.worse)


def value_style(value: float | None, look: Look) -> Style:
    """Red for what is not finite, dim for what is missing."""
    if value is None:
        return look.dim
    return look.value if value - value == 0.0 else look.worse
