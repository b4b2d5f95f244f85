"""The tables but that of the experts: pure functions from what is known to rows, each in several sizes.

A group gives its rows at several levels, the fullest first; the layout picks. Names are cut in the middle when they
must be, numbers never.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from rich.cells import cell_len

from m.metrics import numbers
from m.metrics.alerts import Alert
from m.metrics.performance import SystemMetrics, ThroughputMetrics
from m.metrics.system import Machine
from sinks.terminal.course import Course
from sinks.terminal.look import PLAIN, Look, Row, Span
from sinks.terminal.rows import Levels, arrow, clip, pad, row_width, rule, value_style
from sinks.terminal.state import State
from sinks.terminal.table import Columns, Line, Sparks, heading, line_row
from sinks.terminal.text import beginning, fit, safe, shorten, shortened_apart
from sinks.terminal.trends import Direction, Trends

# -- training status ----------------------------------------------------------------------------------------------


def status(
    state: State,
    trends: Trends,
    columns: Columns,
    sparks: Sparks,
    look: Look,
    *,
    experts_missing: bool = False,
    gradient_norm: bool = True,
) -> Levels:
    """Losses with their best so far, learning rate and, if wanted, ``gradient_norm``; a word where expert utilization
    is missing."""
    lines: list[Line] = []
    courses = state.view.courses if state.view is not None else {}
    for name, course in courses.items():
        if course.last is not None:
            lines.append(_loss_line(name, course, state, trends))
    losses = len(lines)
    for name, value in (("learning_rate", state.learning_rate), ("gradient_norm", state.gradient_norm)):
        if value is not None and (gradient_norm or name != "gradient_norm"):
            is_rate = name == "learning_rate"
            since = state.past.nonfinite_since(name)
            lines.append(Line(name, value, trends.of(name), state.past.ema(name), since=since, exponent=is_rate))
    if not lines:
        return [[]]  # what was never measured is not shown, not even as missing
    title = _headed("status", state, columns, look)
    rows = [line_row(line, columns, sparks, look) for line in lines]
    full = [title, *rows]
    if experts_missing:
        dash = line_row(Line("experts", None), columns, sparks, look)[:4]
        full.append(clip((*dash, (" no utilization given", look.dim)), columns.width))
    return [full, [title, *rows], rows, rows[: max(losses, 1)], rows[: min(max(losses, 1), 2)], rows[:1]]


def _headed(title: str, state: State, columns: Columns, look: Look) -> Row:
    """The rule above the first rows: of which step they are, and what the columns say."""
    step = state.view.snapshot.step if state.view is not None else state.run.initial_step
    return heading(title, f" {look.glyphs.dot} step {numbers.step(step).rjust(digits_of(state))}", columns, look)


def digits_of(state: State) -> int:
    """Cells of the longest step that is to be expected."""
    # of an unknown length, so that the column does not move at step 10, 100 and 1000
    least = len(str(state.run.total_steps)) if state.run.total_steps is not None else 4
    return min(max(least, len(str(state.latest.step if state.latest else 0))), numbers.LONGEST_STEP)


def _loss_line(name: str, course: Course, state: State, trends: Trends) -> Line:
    broken = course.nonfinite_since is not None
    return Line(
        name,
        course.last,
        Direction.UNKNOWN if broken else trends.of(name),
        state.past.ema(name),
        None if course.best_step is None else course.best,
        course.best_step,
        course.nonfinite_since,
        course.last_step if name == "val_loss" else None,
    )


# -- speed and system ---------------------------------------------------------------------------------------------


_LONG_STEP_S: Final = 10.0
"""A step that takes so long is told in seconds, and then until one takes less than a second."""


def speed_rows(rates: ThroughputMetrics, kept: Collection[str] = ("steps/s",)) -> list[tuple[str, str]]:
    """Name and value of each rate that is known, and of those in ``kept``."""
    step_s = 1.0 / rates.steps_per_second if rates.steps_per_second else None
    long = "s/step" in kept if step_s is None else step_s >= (1.0 if "s/step" in kept else _LONG_STEP_S)
    known = {
        "steps/s": rates.steps_per_second,
        "samples/s": rates.samples_per_second,
        "tokens/s": rates.tokens_per_second,
        "s/step" if long else "ms/step": step_s if long or step_s is None else 1e3 * step_s,
    }
    return [(name, numbers.count(rate).rjust(8)) for name, rate in known.items() if rate is not None or name in kept]


def system_rows(system: SystemMetrics, machine: Machine) -> list[tuple[str, str]]:
    """Name and value of each figure that is known."""
    rows = []
    used, total = system.gpu_memory_used_mb, system.gpu_memory_total_mb
    if used is not None:
        text = numbers.memory(used).rjust(8)
        if total:
            text = f"{text}  {100 * used / total:.0f} %"
        rows.append(("gpu memory", text))
    if system.gpu_utilization_percent is not None:
        rows.append(("gpu busy", numbers.percent(system.gpu_utilization_percent).rjust(8)))
    if machine.cpu_percent is not None or machine.process_memory_mb is not None:  # the first reading lacks it
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
_MOST_LINES: Final = 30  # with more there is no row for each
_MOST_METRIC_ROWS: Final = 50  # more are counted; no screen has room for them, and making them takes time


def metrics(
    known: Mapping[str, Any],
    room: int,
    state: State,
    trends: Trends,
    columns: Columns,
    sparks: Sparks,
    look: Look,
    *,
    alone: bool = False,
) -> Levels:
    """Numbers and short strings by name: one a row with its past where ``room`` rows are enough for that, else in as
    many columns as fit. ``alone``: there is no status above it that heads the columns."""
    showable = [(name, value) for name, value in known.items() if _showable(value)]
    if not showable:
        return [[]]
    width = columns.width
    title = rule("metrics", [], width, look)
    if columns.headed and len(showable) <= min(room - 1, _MOST_LINES):
        labels = shortened_apart([safe(name) for name, _ in showable], columns.name - 2, look.glyphs.ellipsis)
        lines = [
            _metric_line(name, value, label, state, trends)
            for (name, value), label in zip(showable, labels, strict=True)
        ]
        title = _headed("metrics", state, columns, look) if alone else title
        return [[title, *(line_row(line, columns, sparks, look) for line in lines)], []]
    most_columns = max(width // 20, 1)
    shown = [(safe(name), name, value) for name, value in showable[: _MOST_METRIC_ROWS * most_columns]]
    longest = max(cell_len(text) for text, _, _ in shown)
    per_row, names = 1, 0
    for number_of in range(most_columns, 0, -1):
        per_row, names = number_of, (width - 1 + 2) // number_of - 2 - _METRIC_VALUE - 3
        if names >= min(longest, _LEAST_NAME):
            break
    names = max(min(names, longest if per_row == 1 else names), 4)
    labels = shortened_apart([text for text, _, _ in shown], names, look.glyphs.ellipsis)
    cells = [
        _metric_cell(label, name, value, names, trends, look)
        for label, (_, name, value) in zip(labels, shown, strict=True)
    ]
    full = _some_metrics(cells, len(showable), per_row, _MOST_METRIC_ROWS, width, look)
    four, two, one = (
        full if len(full) <= rows else _some_metrics(cells, len(showable), per_row, rows, width, look)
        for rows in (4, 2, 1)
    )
    return [[title, *full], [title, *four], [title, *two], one, []]


def _metric_line(name: str, value: Any, label: str, state: State, trends: Trends) -> Line:
    series = state.past.series.get(name)
    best, at = (None, None) if series is None else (series.best, series.best_step)
    since = None if isinstance(value, str) else state.past.nonfinite_since(name)
    return Line(name, value, trends.of(name), state.past.ema(name), best, at, since, label=label)


def _showable(value: Any) -> bool:
    return isinstance(value, (int, float)) or (isinstance(value, str) and 0 < len(value) <= 40)


def _metric_cell(text: str, name: str, value: Any, names: int, trends: Trends, look: Look) -> tuple[Span, ...]:
    label: Span = (fit(text, names, look.glyphs.ellipsis) + " ", PLAIN)
    if isinstance(value, str):
        word = shorten(safe(value), _METRIC_VALUE, look.glyphs.ellipsis)
        return (label, (" " * (_METRIC_VALUE - cell_len(word)) + word, look.value), (" ", PLAIN), (" ", PLAIN))
    sign, style = arrow(name, trends.of(name), look, value)
    return (label, (numbers.number(value, _METRIC_VALUE), value_style(value, look)), (" ", PLAIN), (sign, style))


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


_BROKEN: Final = ("nan", "finite", "diverg", "dead", "collapse", "stall")


def alerts(raised: Sequence[Alert], width: int, look: Look, most: int = 3) -> Levels:
    """The newest alerts, one a row, the newest last, in exactly ``most`` rows: an alert moves nothing. Then in one."""
    return [_alert_rows(raised, width, look, rows) for rows in dict.fromkeys((most, 1))]


def _alert_rows(raised: Sequence[Alert], width: int, look: Look, most: int) -> list[Row]:
    if not raised:
        return [((" no alerts", look.dim),), *[((" ", PLAIN),)] * (most - 1)]
    earlier = len(raised) - most
    rows: list[Row] = []
    for index, alert in enumerate(raised[-most:]):
        more = f"  +{earlier} earlier" if earlier > 0 and not index else ""
        more = more if cell_len(more) <= width // 3 else ""
        rows.append((*_alert(alert, width - cell_len(more), look), (more, look.dim)))
    return [*rows, *[((" ", PLAIN),)] * (most - len(rows))]


def _alert(alert: Alert, width: int, look: Look) -> Row:
    """Red for what is broken, else a call to look; the rule's name stands out, so that it is read first."""
    style = look.worse if any(word in alert.rule.lower() for word in _BROKEN) else look.notice
    step = f"step {alert.step}  "
    name = safe(alert.rule).replace("_", " ")
    room = width - 3 - len(step)
    if room <= cell_len(name) + 4:
        return clip(((" ! ", style), (beginning(step + name, width - 3, look.glyphs.ellipsis), style)), width)
    message = beginning(f": {safe(alert.message)}", room - cell_len(name), look.glyphs.ellipsis)
    return ((" ", PLAIN), ("!", style), (f" {step}", PLAIN), (name, style), (message, PLAIN))
