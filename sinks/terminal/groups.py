"""The tables but that of the experts: pure functions from what is known to rows, each in several sizes.

A group gives its rows at several levels, the fullest first; the layout picks. Names are cut in the middle when they
must be, numbers never.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.cells import cell_len
from rich.style import Style

from m.metrics.alerts import Alert
from m.metrics.performance import SystemMetrics, ThroughputMetrics
from m.metrics.system import Machine
from sinks.terminal import numbers
from sinks.terminal.course import Course
from sinks.terminal.look import PLAIN, Look, Row, Span
from sinks.terminal.rows import Levels, arrow, clip, pad, row_width, rule, value_style
from sinks.terminal.state import State
from sinks.terminal.text import beginning, fit, safe, shorten
from sinks.terminal.trends import Direction, Trends

# -- training status ----------------------------------------------------------------------------------------------


def status(state: State, trends: Trends, width: int, look: Look, *, experts_missing: bool) -> Levels:
    """Losses with their best so far, learning rate; a word where expert utilization was wanted and never given."""
    step = state.view.snapshot.step if state.view is not None else state.run.initial_step
    title = rule("status", [f"step {step:>{_digits(state)}}"], width, look)
    losses: list[Row] = []
    courses = state.view.courses if state.view is not None else {}
    for name, course in courses.items():
        if course.last is not None:
            losses.append(_loss_row(name, course, trends, width, look, _digits(state)))
    if not losses and state.learning_rate is None:
        return [[]]  # what was never measured is not shown, not even as missing
    rows = list(losses)
    if state.learning_rate is not None:
        text = numbers.exponent(state.learning_rate)
        way = arrow("learning_rate", trends.of("learning_rate"), look)
        rows.append(_value_row("learning_rate", text, value_style(state.learning_rate, look), way, width, look))
    full = [title, *rows]
    if experts_missing:
        dash = numbers.number(None)
        note: Row = (
            *_value_row("experts", dash, look.dim, (" ", PLAIN), width, look),
            ("  no utilization given", look.dim),
        )
        full.append(clip(note, width))
    return [full, [title, *rows], rows, losses[:2] or rows[:1]]


def _digits(state: State) -> int:
    # of an unknown length, so that the column does not move at step 10, 100 and 1000
    least = len(str(state.run.total_steps)) if state.run.total_steps is not None else 4
    return max(least, len(str(state.latest.step if state.latest else 0)))


def _name_width(width: int) -> int:
    return 18 if width >= 60 else 16 if width >= 50 else 14


def _value_width(width: int) -> int:
    return 10 if width >= 50 else 8


def _value_row(name: str, text: str, style: Style, way: Span, width: int, look: Look) -> Row:
    """Name, value and arrow. ``text`` is right-aligned in the value's column."""
    values = _value_width(width)
    names = min(_name_width(width), max(width - values - 3, 4))
    row: Row = (
        (" " + fit(name, names - 1, look.glyphs.ellipsis), PLAIN),
        (text.strip().rjust(values), style),
        (" ", PLAIN),
        way,
    )
    return clip(row, width)


def _loss_row(name: str, course: Course, trends: Trends, width: int, look: Look, digits: int) -> Row:
    value = course.last
    text = numbers.number(value, _value_width(width))
    way = Direction.UNKNOWN if course.nonfinite_since is not None else trends.of(name)
    row = _value_row(name, text, value_style(value, look), arrow(name, way, look), width, look)
    remark: tuple[Span, ...]
    if course.nonfinite_since is not None:
        remark = ((f"   since step {course.nonfinite_since:>{digits}}", look.worse),)
    elif course.best_step is None:
        remark = ()
    elif width < 50:
        remark = ((f"  best {numbers.number(course.best, 7)}", look.dim),)
    elif width < 60:
        remark = ((f"  best {numbers.number(course.best, 8)} at {course.best_step:>{digits}}", look.dim),)
    else:
        remark = (
            ("   best ", look.dim),
            (numbers.number(course.best, 9), PLAIN),
            (" at step ", look.dim),
            (f"{course.best_step:>{digits}}", PLAIN),
        )
        if course.nonfinite:
            remark = (*remark, (f"   {course.nonfinite} not finite", look.notice))
        elif name == "val_loss":
            remark = (*remark, (f"   measured at {course.last_step:>{digits}}", look.dim))
    return clip((*row, *remark), width)


# -- speed and system ---------------------------------------------------------------------------------------------


def speed_rows(rates: ThroughputMetrics) -> list[tuple[str, str]]:
    """Name and value of each rate that is known."""
    rows = [("steps/s", numbers.count(rates.steps_per_second).rjust(8))]
    if rates.samples_per_second is not None:
        rows.append(("samples/s", numbers.count(rates.samples_per_second).rjust(8)))
    if rates.tokens_per_second is not None:
        rows.append(("tokens/s", numbers.count(rates.tokens_per_second).rjust(8)))
    if rates.steps_per_second:
        rows.append(("ms/step", numbers.count(1e3 / rates.steps_per_second).rjust(8)))
    return rows


def system_rows(system: SystemMetrics, machine: Machine) -> list[tuple[str, str]]:
    """Name and value of each figure that is known."""
    rows = []
    if system.gradient_norm is not None:
        rows.append(("gradient_norm", numbers.number(system.gradient_norm, 8)))
    used, total = system.gpu_memory_used_mb, system.gpu_memory_total_mb
    if used is not None:
        text = numbers.memory(used).rjust(8)
        if total:
            text = f"{text}  {100 * used / total:.0f} %"
        rows.append(("gpu memory", text))
    if system.gpu_utilization_percent is not None:
        rows.append(("gpu busy", numbers.percent(system.gpu_utilization_percent).rjust(8)))
    if machine.cpu_percent is not None:
        rows.append(("cpu busy", numbers.percent(machine.cpu_percent).rjust(8)))
    if machine.process_memory_mb is not None:
        rows.append(("process memory", numbers.memory(machine.process_memory_mb).rjust(8)))
    if machine.memory_percent is not None:
        rows.append(("machine memory", numbers.percent(machine.memory_percent).rjust(8)))
    return rows


def performance(speed: Sequence[tuple[str, str]], system: Sequence[tuple[str, str]], width: int, look: Look) -> Levels:
    """Speed and system side by side where there is room for two columns, else one after the other."""
    if not speed and not system:
        return [[]]
    if speed and system and width >= 64:
        left = width // 2
        head = (*rule("speed", [], left, look), *rule("system", [], width - left, look))
        body = []
        for index in range(max(len(speed), len(system))):
            pair = pad(_pair(speed, index, left, look), left)
            body.append(clip((*pair, *_pair(system, index, width - left, look)), width))
        full = [head, *body]
    else:
        full = []
        for title, rows in (("speed", speed), ("system", system)):
            if rows:
                full += [rule(title, [], width, look), *(_pair(rows, index, width, look) for index in range(len(rows)))]
    short: list[Span] = []
    for name, text in (*speed[:3], *system[:2]):
        short += [("  " if short else " ", PLAIN), (f"{name} ", look.dim), (text.strip(), look.value)]
    one = clip(tuple(short), width)
    return [full, [one[: len(one) // 3 * 3]], []]  # whole triples of space, name and number


def _pair(rows: Sequence[tuple[str, str]], index: int, width: int, look: Look) -> Row:
    if index >= len(rows):
        return ()
    name, text = rows[index]
    style = look.worse if text.strip() in ("nan", "inf", "-inf") else look.value
    return clip(((" " + fit(name, min(17, max(width - 1 - len(text), 4))), PLAIN), (text, style)), width)


# -- custom metrics -----------------------------------------------------------------------------------------------

_METRIC_VALUE: Final = 8
_LEAST_NAME: Final = 16  # names keep at least so many cells before a column is given up for them
_MOST_METRIC_ROWS: Final = 50  # more are counted; no screen has room for them, and making them takes time


def metrics(known: Mapping[str, Any], trends: Trends, width: int, look: Look) -> Levels:
    """Numbers and short strings by name, in as many columns as fit."""
    showable = [(name, value) for name, value in known.items() if _showable(value)]
    if not showable:
        return [[]]
    most_columns = max(width // 20, 1)
    shown = [(safe(name), name, value) for name, value in showable[: _MOST_METRIC_ROWS * most_columns]]
    longest = max(cell_len(text) for text, _, _ in shown)
    per_row, names = 1, 0
    for columns in range(most_columns, 0, -1):
        per_row, names = columns, (width - 1 + 2) // columns - 2 - _METRIC_VALUE - 3
        if names >= min(longest, _LEAST_NAME):
            break
    names = max(min(names, longest if per_row == 1 else names), 4)
    cells = [_metric_cell(text, name, value, names, trends, look) for text, name, value in shown]
    title = rule("metrics", [], width, look)
    full, four, two, one = (
        _some_metrics(cells, len(showable), per_row, rows, width, look) for rows in (_MOST_METRIC_ROWS, 4, 2, 1)
    )
    return [[title, *full], [title, *four], [title, *two], one, []]


def _showable(value: Any) -> bool:
    return isinstance(value, (int, float)) or (isinstance(value, str) and 0 < len(value) <= 40)


def _metric_cell(text: str, name: str, value: Any, names: int, trends: Trends, look: Look) -> tuple[Span, ...]:
    label: Span = (fit(text, names, look.glyphs.ellipsis) + " ", PLAIN)
    if isinstance(value, str):
        word = shorten(safe(value), _METRIC_VALUE, look.glyphs.ellipsis)
        return (label, (" " * (_METRIC_VALUE - cell_len(word)) + word, look.value), ("  ", PLAIN))
    sign, style = arrow(name, trends.of(name), look)
    return (label, (numbers.metric(value, _METRIC_VALUE), value_style(value, look)), (f" {sign}", style))


def _metric_rows(cells: Sequence[tuple[Span, ...]], per_row: int, most: int, width: int) -> list[Row]:
    rows: list[Row] = []
    for start in range(0, min(len(cells), most), per_row):
        spans: list[Span] = []
        for cell in cells[start : min(start + per_row, most)]:
            spans += [("  " if spans else " ", PLAIN), *cell]
        rows.append(clip(tuple(spans), width))
    return rows


def _some_metrics(
    cells: Sequence[tuple[Span, ...]], of: int, per_row: int, rows: int, width: int, look: Look
) -> list[Row]:
    """The first of ``of`` metrics, as many as fit into ``rows``, and how many more there are."""
    room = rows * per_row
    if of <= room:
        return _metric_rows(cells, per_row, room, width)
    kept = max(room - 1, 1) if per_row > 1 else room
    some = _metric_rows(cells, per_row, kept, width)
    more = f"   +{of - kept} more"
    if row_width(some[-1]) + len(more) <= width:
        some[-1] = (*some[-1], (more, look.dim))
    return some


# -- alerts -------------------------------------------------------------------------------------------------------


def alerts(raised: Sequence[Alert], width: int, look: Look) -> Levels:
    """The newest alerts, one a row, the newest last."""
    rows: list[Row] = []
    for alert in raised[-3:]:
        text = f"step {alert.step}  {safe(alert.rule).replace('_', ' ')}: {safe(alert.message)}"
        rows.append(
            clip(((" ! ", look.notice), (beginning(text, width - 3, look.glyphs.ellipsis), look.notice)), width)
        )
    return [rows, rows[-1:]]
