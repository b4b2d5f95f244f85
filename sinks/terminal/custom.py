"""The user's own table in place of the one of custom metrics, with whatever the user's function does held off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console, ConsoleOptions
from rich.segment import Segment

from m.metrics.snapshot import TrainingSnapshot
from sinks.terminal.look import PLAIN, Look, Row, Span
from sinks.terminal.text import safe, shorten


class CustomTable:
    """Calls ``custom_table_builder`` and turns what it makes into rows. Never raises."""

    def __init__(self, builder: Callable[[TrainingSnapshot], Any] | None, look: Look) -> None:
        self._look = look
        self.builder = builder
        self.failed = False
        """Whether the newest call raised."""

    def levels(self, snapshot: TrainingSnapshot, width: int, console: Console) -> list[list[Row]]:
        """The table in full and in shrinking heights; one row that says what went wrong when it raised; nothing where
        there is no builder."""
        self.failed = False
        if self.builder is None:
            return [[]]
        try:
            rows = render(self.builder(snapshot), width, console)
        except (Exception, SystemExit) as error:  # the user's code, on our thread: anything may come
            self.failed = True
            message = f" custom_table_builder: {type(error).__name__}: {error}"
            return [[((shorten(safe(message), width), self._look.notice),)]]
        return [rows, rows[:8], rows[:4]]


def render(renderable: Any, width: int, console: Console) -> list[Row]:
    """Anything that Rich can render, as rows of at most ``width`` cells. Its text has been made safe."""
    options: ConsoleOptions = console.options.update(width=width, height=None)
    rows: list[Row] = []
    for line in console.render_lines(renderable, options, pad=False):
        rows.append(tuple(_span(segment) for segment in line if not segment.control))
    while rows and not any(text.strip() for text, _ in rows[-1]):
        rows.pop()
    return rows


def _span(segment: Segment) -> Span:
    style = segment.style or PLAIN
    if style.link and not (style.link.isascii() and style.link.isprintable()):
        style = style.update_link(None)  # an address goes to the terminal as it is
    return (safe(segment.text), style)
