"""The progress line: alive, how far, how fast, how long still. A pure function of a few numbers."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len

from m.metrics import numbers
from m.metrics.run import Run
from sinks.terminal.look import PLAIN, Look, Row, Span
from sinks.terminal.rows import clip
from sinks.terminal.text import safe, shorten

_LONGEST_DESCRIPTION = 28
_LEAST_BAR = 8
_DESCRIBED_FROM = 99  # below it the title line alone says the description, until the end


@dataclass(slots=True, frozen=True)
class Progress:
    """What the progress line says."""

    description: str
    completed: int
    """Steps done, those before a resume included."""
    total: int | None
    """Steps in all; None: unknown."""
    elapsed_s: float
    """Since this session started."""
    remaining_s: float | None
    """Estimate; None: unknown."""
    steps_per_second: float | None
    frame: int
    """Counts the frames in which a step had been made: the spinner stands still when training does."""
    finished: bool = False


def title_row(run: Run, elapsed_s: float, width: int, look: Look) -> Row:
    """The first line: what is being trained, which attempt it is where it is known for a later one, and how long it
    has been going on."""
    elapsed = f"{numbers.duration(elapsed_s):>8} elapsed "
    right = f"attempt {run.attempt}  {elapsed}" if run.attempt > 1 and width >= 56 else elapsed
    text = shorten(safe(run.description), max(width - len(right) - 3, 4), look.glyphs.ellipsis)
    gap = width - 1 - cell_len(text) - len(right)
    return clip(((f" {text}", look.title), (" " * max(gap, 1), PLAIN), (right, PLAIN)), width)


def progress_row(progress: Progress, width: int, look: Look, *, titled: bool = False) -> Row:
    """The line in at most ``width`` cells. Step and total always stay; the rest goes by importance.

    The order of leaving, first to last: elapsed time, rate, description, bar, remaining time, percent. ``titled``:
    there is a `title_row` as well.
    """
    spinner = _spinner(progress, look)
    steps = _steps(progress)
    percent = _percent(progress)
    room = width - cell_len(steps) - 3
    want: dict[str, int] = {}

    def take(part: str, cells: int) -> None:
        nonlocal room
        if cells and room >= cells:
            want[part] = cells
            room -= cells

    take("percent", 6 if percent else 0)
    take("remaining", _remaining_width(progress, width))
    take("bar", _LEAST_BAR + 1 if percent else 0)
    text = shorten(safe(progress.description), _LONGEST_DESCRIPTION, look.glyphs.ellipsis)
    described = not titled or progress.finished or width >= _DESCRIBED_FROM
    if progress.description and described and room >= 6:
        text = shorten(text, min(cell_len(text), max(room - 2, 4)), look.glyphs.ellipsis)
        take("description", cell_len(text) + 2)
    take("rate", 10)
    take("elapsed", 0 if titled else 9)

    row: list[Span] = [(f" {spinner} ", look.done if progress.finished else look.bar)]
    if "description" in want:
        row.append((f"{text}  ", look.title))
    if "bar" in want:
        row += _bar(progress, want["bar"] - 1 + room, look)
        row.append((" ", PLAIN))
    row.append((steps, look.value))
    if "percent" in want:
        row.append((f" {percent}", PLAIN))
    if "rate" in want:
        row.append((f"  {numbers.count(progress.steps_per_second):>6}/s", look.dim))
    if "elapsed" in want:
        row.append((f" {numbers.duration(progress.elapsed_s):>8}", look.dim))
    if "remaining" in want:
        row.append((_remaining(progress, want["remaining"]), PLAIN))
    return tuple(row)


def _spinner(progress: Progress, look: Look) -> str:
    if progress.finished:
        done = progress.total is None or progress.completed >= progress.total
        return ("✓" if look.glyphs.bar_full != "#" else "*") if done else ("■" if look.glyphs.bar_full != "#" else "-")
    return look.glyphs.spinner[progress.frame % len(look.glyphs.spinner)]


def _steps(progress: Progress) -> str:
    if progress.total is None:
        return f"{progress.completed} steps"
    return f"{progress.completed:>{len(str(progress.total))}}/{progress.total}"


def _percent(progress: Progress) -> str:
    if progress.total is None:
        return ""
    # rounded down: 100 % is said when it is true
    share = 100 if progress.total == 0 else 100 * progress.completed // progress.total
    return f"{min(max(share, 0), 9999):>3}%"


def _remaining_width(progress: Progress, width: int) -> int:
    if progress.total is None or progress.finished:
        return 0
    return 14 if width >= 60 else 9


def _remaining(progress: Progress, cells: int) -> str:
    if cells < 14:
        return numbers.duration(progress.remaining_s).rjust(cells)
    return f" {numbers.duration(progress.remaining_s):>8} left"


def _bar(progress: Progress, cells: int, look: Look) -> list[Span]:
    total = progress.total or 0
    share = 1.0 if total == 0 else min(max(progress.completed / total, 0.0), 1.0)
    halves = int(share * cells * 2)
    full, half = divmod(halves, 2)
    done = look.glyphs.bar_full * full + (look.glyphs.bar_half if half else "")
    rest = look.glyphs.bar_rest * (cells - full - half)
    return [(done, look.done if share >= 1.0 else look.bar), (rest, look.dim)]
