"""A panel with real curves: axes with numbers, a metric as a line of braille dots, a second one as markers over it."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len
from rich.style import Style

from m.metrics import numbers
from sinks.terminal.look import PLAIN, Look, Row, Span
from sinks.terminal.past import Past, Values
from sinks.terminal.spark import LEAST_RANGE, columns_of, wants_log
from sinks.terminal.text import safe, shorten

LABELS: Final = 9
"""Cells of the numbers at the vertical axis, the space behind them included."""
LEAST_WIDTH: Final = 40
LEAST_HEIGHT: Final = 7

_GREATEST: Final = sys.float_info.max
_DOTS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # by column and row within a cell, from the top


class Canvas:
    """Dots and markers on ``width`` by ``height`` cells."""

    def __init__(self, width: int, height: int, look: Look) -> None:
        self._fine = look.glyphs.braille
        self.columns = width * 2 if self._fine else width
        self.lines = height * 4 if self._fine else height
        self._look = look
        self._dots = [[0] * width for _ in range(height)]
        self._marks: dict[tuple[int, int], Span] = {}

    def bar(self, x: int, top: int, bottom: int) -> None:
        """Dots at column ``x`` from line ``top`` down to ``bottom``."""
        if not self._fine:
            for y in range(top, bottom + 1):
                self._dots[y][x] = 1
            return
        bits = _DOTS[x & 1]
        x >>= 1
        for y in range(top, bottom + 1):
            self._dots[y >> 2][x] |= bits[y & 3]

    def mark(self, x: int, y: int, glyph: str, style: Style) -> None:
        """``glyph`` in the cell that holds the dot."""
        cell = (y >> 2, x >> 1) if self._fine else (y, x)
        self._marks[cell] = (glyph, style)

    def rows(self) -> list[Row]:
        """What was drawn, a row for each line of cells."""
        rows: list[Row] = []
        marked = sorted(self._marks)
        for y, cells in enumerate(self._dots):
            if self._fine:
                text = "".join([chr(0x2800 + dots) if dots else " " for dots in cells])
            else:
                text = "".join(["*" if dots else " " for dots in cells])
            spans: list[Span] = []
            start = 0
            for line, x in marked:
                if line == y:
                    spans += [(text[start:x], self._look.bar), self._marks[line, x]]
                    start = x + 1
            spans.append((text[start:], self._look.bar))
            rows.append(tuple(span for span in spans if span[0]))
        return rows


def panel(names: Sequence[str], past: Past, width: int, height: int, look: Look) -> list[Row]:
    """The curves of one metric, or of two that share their axes, in exactly ``height`` rows of ``width`` cells.

    ``width`` is `LEAST_WIDTH` or more and ``height`` `LEAST_HEIGHT`. A value that is not finite is a cross at the lower
    axis. The title says so where the axis is logarithmic.
    """
    names = [name for name in names if name in past.series]
    canvas = Canvas(width - LABELS, height - 2, look)
    columns = [columns_of(past.series[name], width - LABELS) for name in names]  # finer is only more restless
    curves = [each.shown() for each in columns]
    known = [value for curve in curves for value in curve if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    log = wants_log(names[0], low, high)
    if not log:
        # noise about a constant is no hill; halved, since the difference of the largest numbers has no float
        missing = LEAST_RANGE * max(abs(low / 2), abs(high / 2)) - (high / 2 - low / 2)
        if missing > 0.0:
            low, high = max(low - missing, -_GREATEST), min(high + missing, _GREATEST)
        elif high == low:
            low, high = low - 1e-12, high + 1e-12
    scale = _Scale(low, high, log, canvas.lines)
    points = len(curves[0])
    places = [round(at * (canvas.columns - 1) / max(points - 1, 1)) for at in range(points)]
    _line(canvas, places, curves[0], columns[0].broken, scale)
    for curve in curves[1:]:
        for x, value in zip(places, curve, strict=True):
            if value is not None:
                canvas.mark(x, scale.line(value), look.glyphs.marker, look.other)
    for each in columns:
        for column in each.broken:
            canvas.mark(places[column], canvas.lines - 1, look.glyphs.cross, look.worse)
    labels = {0: high, height - 3: low}
    if height >= 9:
        labels[(height - 3) // 2] = scale.value((height - 3) // 2 / (height - 3))
    rows = [_title(names, log, width, look)]
    for at, row in enumerate(canvas.rows()):
        label = numbers.number(labels[at], LABELS - 1) if at in labels else " " * (LABELS - 1)
        rows.append(((label + " ", look.dim), *row))
    rows.append(_steps(past, width, look))
    return rows


class _Scale:
    """From a value to a line of dots."""

    def __init__(self, low: float, high: float, log: bool, lines: int) -> None:
        self._log = log
        self._low, self._high = (math.log(low), math.log(high)) if log else (low / 2, high / 2)
        self._factor = (lines - 1) / ((self._high - self._low) or 1.0)

    def line(self, value: float) -> int:
        return round((self._high - (math.log(value) if self._log else value / 2)) * self._factor)

    def value(self, share: float) -> float:
        """The value so far below the top."""
        at = self._high - share * (self._high - self._low)
        return math.exp(at) if self._log else 2 * at


def _line(canvas: Canvas, places: Sequence[int], curve: Values, broken: set[int], scale: _Scale) -> None:
    before: tuple[int, int] | None = None
    for at, (x, value) in enumerate(zip(places, curve, strict=True)):
        if at in broken:
            before = None
        if value is None:
            continue
        y = scale.line(value)
        if before is None:
            canvas.bar(x, y, y)
        else:
            from_x, from_y = before
            last = from_y
            for between in range(from_x + 1, x + 1):
                now = from_y + round((y - from_y) * (between - from_x) / (x - from_x))
                if now > last:
                    canvas.bar(between, last + 1, now)
                elif now < last:
                    canvas.bar(between, now, last - 1)
                else:
                    canvas.bar(between, now, now)
                last = now
        before = (x, y)


def _title(names: Sequence[str], log: bool, width: int, look: Look) -> Row:
    rule = look.glyphs.rule
    room = (width - 8 - 4 * len(names)) // len(names)  # besides: the rule at both ends, "log", and the markers
    spans: list[Span] = [(f"{rule}{rule} ", look.dim)]
    for index, name in enumerate(names):
        if index:
            spans += [(f"  {look.glyphs.marker} ", look.other)]
        spans.append((shorten(safe(name), room, look.glyphs.ellipsis), look.title))
    note = " log " if log else ""
    left = width - sum(cell_len(text) for text, _ in spans) - 1 - len(note) - 2
    return (*spans, (" " + rule * max(left, 0), look.dim), (note, PLAIN), (rule * 2, look.dim))


def _steps(past: Past, width: int, look: Look) -> Row:
    """The steps at the beginning, in the middle and at the end."""
    first, last = past.steps[0], past.last_step
    middle = past.steps[len(past.steps) // 2]
    room = width - LABELS
    left, right = _step(first), _step(last)
    text = left + _step(middle).rjust(room // 2 + 3 - len(left))
    return (("step".rjust(LABELS - 1) + " ", look.dim), (text + right.rjust(room - len(text)), look.dim))


def _step(step: int) -> str:
    if abs(step) < 100_000:
        return str(step)
    for size, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M")):
        if abs(step) >= size:
            return f"{step / size:.2f}{unit}" if abs(step) < 1000 * size else f"{step:.1e}"
    return f"{step / 1000:.0f}k"
