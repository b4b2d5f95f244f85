"""Metrics below each other, one a row: name, value, arrow, average, the whole and the recent past, and the best, each
in a column of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from rich.cells import cell_len

from m.metrics import numbers
from sinks.terminal.look import PLAIN, Look, Row, Span
from sinks.terminal.past import NEWEST
from sinks.terminal.rows import arrow, clip, row_width, value_style
from sinks.terminal.spark import PER_COLUMN
from sinks.terminal.text import fit, safe
from sinks.terminal.trends import Direction

Spark: TypeAlias = Callable[[str, int], Row]
"""Some past of a metric, by name, in exactly so many cells."""

HEADED_FROM: Final = 60
"""From this width on the columns have headings in the rule above."""
_VALUE: Final = 10
_BEST: Final = 9
_LEAST_SPARK: Final = 8
_MOST_SPARK: Final = 60
_MOST_RECENT: Final = NEWEST // PER_COLUMN
_LEAST_RECENT: Final = _MOST_RECENT // 2
_AMPLE_SPARK: Final = 24
"""With so many cells left for the whole past the recent one gets all that it can use, else `_LEAST_RECENT` or none."""
_BETWEEN: Final = 1
"""The space between the two."""
_LEAST_NAME: Final = 14
_MOST_NAME: Final = 26


@dataclass(slots=True, frozen=True)
class Line:
    """What the row of one metric says."""

    name: str
    value: float | int | str | None
    way: Direction = Direction.UNKNOWN
    ema: float | None = None
    best: float | None = None
    best_step: int | None = None
    since: int | None = None
    """The step since which it is not finite."""
    measured: int | None = None
    """The step at which it was measured last, where that is not every step."""
    exponent: bool = False
    """Always written with one, such as a learning rate."""
    label: str = ""
    """The name as it fits into its column and is told apart from others; empty: as it comes."""


@dataclass(slots=True, frozen=True)
class Sparks:
    """What is known of the past of every metric."""

    whole: Spark
    recent: Spark
    """Of the newest values, `PER_COLUMN` in a cell."""


@dataclass(slots=True, frozen=True)
class Columns:
    """Cells of each column, the space before it included but for the sparklines; 0: it is left out."""

    width: int
    name: int
    value: int
    ema: int
    spark: int
    """The whole past."""
    recent: int
    """The newest values."""
    best: int
    step: int

    @property
    def headed(self) -> bool:
        """Whether there is room for headings, and for more than the value and the best."""
        return self.width >= HEADED_FROM


def columns_for(width: int, longest_name: int, digits: int, ema: bool) -> Columns:
    """The columns of a table of ``width`` cells. ``digits`` is the length of the longest step."""
    if width < HEADED_FROM:
        value = _VALUE if width >= 50 else 8
        name = 19 if width >= 50 else 15
        return Columns(width, max(min(name, width - value - 3), 4), value, 0, 0, 0, 0, 0)
    step = max(digits, len("step")) + 2
    averages = _VALUE if ema else 0
    fixed = 1 + _VALUE + 2 + averages + _BEST + step
    room = width - fixed - _LEAST_SPARK - 4  # four: the space around the past
    name = max(min(longest_name + 1, _MOST_NAME, room), _LEAST_NAME)
    spark = width - fixed - name - 4
    if spark < _LEAST_SPARK and ema:
        return columns_for(width, longest_name, digits, False)
    recent = 0
    for cells, least in ((_MOST_RECENT, _AMPLE_SPARK), (_LEAST_RECENT, _LEAST_SPARK)):
        if spark >= least + _BETWEEN + cells:
            recent = cells
            spark -= _BETWEEN + cells
            break
    return Columns(width, name + 1, _VALUE, averages, min(spark, _MOST_SPARK), recent, _BEST, step)


def heading(title: str, notes: str, columns: Columns, look: Look) -> Row:
    """The rule above: the group's title, then the headings over their columns as far as there are any."""
    rule = look.glyphs.rule
    end = columns.name + columns.value + 2
    headings: list[tuple[str, int]] = []  # and the cell in which they begin
    if columns.headed:
        if columns.ema:
            end += columns.ema
            headings.append(("ema", end - 3))
        end += 2
        headings.append(("history", end))
        end += columns.spark
        if columns.recent:
            end += _BETWEEN
            headings.append((f"last {columns.recent * PER_COLUMN}", end))
            end += columns.recent
        end += 2 + columns.best
        headings.append(("best", end - 4))
        headings.append(("step", end + columns.step - 4))
    spans: list[Span] = [(f"{rule}{rule} ", look.dim), (title, look.title)]
    at = 3 + cell_len(title)
    if notes and at + cell_len(notes) + 2 <= (headings[0][1] if headings else columns.width):
        spans.append((notes, PLAIN))
        at += cell_len(notes)
    for text, begin in headings:
        fill = begin - at - 2
        if fill < 0:
            continue
        spans += [(" " + rule * fill + " ", look.dim), (text, look.dim)]
        at = begin + cell_len(text)
    if at < columns.width:
        spans.append((" " + rule * (columns.width - at - 1), look.dim))
    return tuple(spans)


def line_row(line: Line, columns: Columns, sparks: Sparks, look: Look) -> Row:
    """The row of ``line``."""
    glyphs = look.glyphs
    value = line.value
    if isinstance(value, str):
        text, style = fit(safe(value), columns.value, glyphs.ellipsis).rstrip().rjust(columns.value), look.value
    else:
        text = numbers.exponent(value) if line.exponent else numbers.number(value, columns.value)
        text, style = text.rjust(columns.value), value_style(value, look)
    name = " " + fit(line.label or safe(line.name), columns.name - 2, glyphs.ellipsis) + " "
    number = text.lstrip()  # a style may underline or reverse: not the space before
    row: list[Span] = [(name + " " * (len(text) - len(number)), PLAIN), (number, style), (" ", PLAIN)]
    row.append(arrow(line.name, line.way, look, value))
    if not columns.headed:
        return clip((*row, *_remark(line, columns.width - row_width(tuple(row)), look)), columns.width)
    if columns.ema:
        if line.ema is not None:
            row.append((numbers.number(line.ema, columns.ema - 1).rjust(columns.ema), PLAIN))
        elif line.measured is not None:
            row.append((f"at {numbers.step(line.measured, columns.ema - 4)}".rjust(columns.ema), look.dim))
        else:
            row.append((" " * columns.ema, PLAIN))
    row += [("  ", PLAIN), *sparks.whole(line.name, columns.spark)]
    if columns.recent:
        row += [(" " * _BETWEEN, PLAIN), *sparks.recent(line.name, columns.recent)]
    row.append(("  ", PLAIN))
    if line.since is not None:
        since = "since" + numbers.step(line.since).rjust(columns.step)
        row += [(" " * (columns.best - 5), PLAIN), (since, look.worse)]
    elif line.best is not None and line.best_step is not None:
        row.append(
            (
                numbers.number(line.best, columns.best) + numbers.step(line.best_step).rjust(columns.step),
                PLAIN,
            )
        )
    return clip(tuple(row), columns.width)


def _remark(line: Line, room: int, look: Look) -> Row:
    """What stands behind the value where there are no columns for it."""
    if line.since is not None:
        return ((f"  since {numbers.step(line.since, max(room - 8, 6))}", look.worse),)
    if line.best is None or line.best_step is None:
        return ()
    at = f" at {numbers.step(line.best_step, room - 18)}" if room >= 24 else ""
    return ((f"  best {numbers.number(line.best, 7)}{at}", PLAIN),)
