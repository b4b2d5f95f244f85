"""What remains on the screen when the run is over: how long it took, how the losses went, and what came up."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len

from m.metrics import numbers
from sinks.terminal.course import Course
from sinks.terminal.groups import alerts
from sinks.terminal.look import PLAIN, Look, Row
from sinks.terminal.rows import clip, row_width, rule, value_style
from sinks.terminal.state import State
from sinks.terminal.text import safe, shorten

MOST_ALERTS: Final = 3
MOST_FILES: Final = 4
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
    """At most twelve rows of ``width`` cells, and more where a loss does not fit into one: duration and rate, first,
    best and last of each loss, how many values were not finite, the newest alerts, the ``files`` that
    were written and what the display has cost."""
    steps = state.made()
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
    for name, course in state.courses.items():
        if course.last is not None:
            rows += _loss(name, course, digits, width, look)
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


def _loss(name: str, course: Course, digits: int, width: int, look: Look) -> list[Row]:
    """One row; what does not fit into it stands in rows of its own below."""
    best = None if course.best_step is None else course.best
    style = value_style(course.last, look)
    at = "" if best is None else f" at {course.best_step:>{digits}}"
    label, between = f" {name:<{_NAME}}", "  "
    said: list[Row] = [
        ((f"first {numbers.number(course.first, 9)}", PLAIN),),
        ((f"best {numbers.number(best, 9)}{at.ljust(4 + digits)}", PLAIN),),
        (("last ", PLAIN), (numbers.number(course.last, 9), style)),
    ]
    if cell_len(label) + sum(map(row_width, said)) + 2 * len(between) > width:
        label, between = f" {name:<11}", " "
        said = [
            ((f"last {numbers.number(course.last, 8)}", style),),
            ((f"best {numbers.number(best, 8)}", PLAIN),),
        ]
    if course.nonfinite:
        said.append(((f"{course.nonfinite} not finite", look.worse),))
    rows: list[Row] = [((label, PLAIN),)]
    begun = False
    for part in said:
        if row_width(rows[-1]) + len(between) * begun + row_width(part) <= width:
            rows[-1] = (*rows[-1], (between * begun, PLAIN), *part)
        else:
            rows.append(((" " * min(len(label), max(width - row_width(part), 0)), PLAIN), *part))
        begun = True
    return rows
