"""What remains on the screen when the run is over: how long it took, how the losses went, and what came up."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len

from sinks.terminal import numbers
from sinks.terminal.course import Course
from sinks.terminal.groups import alerts
from sinks.terminal.look import PLAIN, Look, Row
from sinks.terminal.rows import clip, rule, value_style
from sinks.terminal.state import State
from sinks.terminal.text import safe, shorten

MOST_ALERTS: Final = 3
MOST_FILES: Final = 4
LOSSES: Final = ("train_loss", "val_loss", "aux_loss")
_NAME: Final = 12


@dataclass(slots=True, frozen=True)
class Cost:
    """What drawing has taken."""

    cpu_s: float
    """CPU time of the thread that draws, in seconds."""
    frames: int
    """Screens, or blocks of text, that it made."""


def closing_summary(
    state: State, elapsed_s: float, width: int, look: Look, files: Sequence[str] = (), cost: Cost | None = None
) -> list[Row]:
    """At most twelve rows of ``width`` cells: duration and rate, first, best and last of each loss, the newest alerts,
    the ``files`` that were written and what the display has cost."""
    steps = 0 if state.latest is None else max(state.completed() - state.run.initial_step, 0)
    notes = [f"{steps} step{'' if steps == 1 else 's'} in {numbers.duration(elapsed_s)}"]
    raised = state.alerts_raised
    notes.append(f"{raised} alert{'' if raised == 1 else 's'}" if raised else "no alerts")
    if elapsed_s > 0 and steps:
        notes.insert(1, f"{numbers.count(steps / elapsed_s)} steps/s")
    separator = f" {look.glyphs.dot} "
    while len(notes) > 1 and cell_len(separator.join(notes)) + 18 > width:
        del notes[1]
    rows: list[Row] = [rule("summary", [separator.join(notes)], width, look)]
    digits = 0 if state.latest is None else len(str(state.latest.step))
    for name in LOSSES:
        course: Course = getattr(state, name)
        if course.last is not None:
            rows.append(_loss(name, course, digits, width, look))
    if raised:
        rows += alerts(state.alerts, width, look, min(len(state.alerts), MOST_ALERTS))[0]
    for index, file in enumerate(files[:MOST_FILES]):
        more = f"  +{len(files) - MOST_FILES} more" if index == MOST_FILES - 1 and len(files) > MOST_FILES else ""
        path = shorten(safe(_from_here(file)), max(width - _NAME - 1 - len(more), 4), look.glyphs.ellipsis)
        rows.append(clip(((f" {'' if index else 'written':<{_NAME}}", PLAIN), (path, PLAIN), (more, look.dim)), width))
    if cost is not None and elapsed_s > 0:
        share = f"{100 * cost.cpu_s / elapsed_s:.2f} % of the time"
        frames = f", {cost.frames} frame{'' if cost.frames == 1 else 's'}"
        rows.append(clip(((f" {'display':<{_NAME}}", PLAIN), (share, PLAIN), (frames, PLAIN)), width))
    return rows


def _from_here(file: str) -> str:
    """A file below the working folder without that."""
    try:
        relative = os.path.relpath(file)
    except (OSError, ValueError):  # the folder is gone, or on another drive
        return file
    return file if relative.startswith(os.pardir) else relative


def _loss(name: str, course: Course, digits: int, width: int, look: Look) -> Row:
    best = None if course.best_step is None else course.best
    last, style = course.last, value_style(course.last, look)
    if width < 60:
        found = (f" best {numbers.number(best, 8)}", PLAIN)
        return clip(((f" {name:<11}", PLAIN), (f"last {numbers.number(last, 8)}", style), found), width)
    at = "" if best is None else f" at {course.best_step:>{digits}}"
    row: Row = (
        (f" {name:<{_NAME}}", PLAIN),
        (f"first {numbers.number(course.first, 9)}", PLAIN),
        (f"  best {numbers.number(best, 9)}", PLAIN),
        (at.ljust(4 + digits), PLAIN),
        ("  last ", PLAIN),
        (numbers.number(last, 9), style),
        (f"  {course.nonfinite} not finite" if course.nonfinite else "", look.worse),
    )
    return clip(row, width)
