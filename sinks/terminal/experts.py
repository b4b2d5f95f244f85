"""The table of experts: every one's load against the fair share, as cells, as a strip or in one line; by layer, a strip
for each layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from rich.cells import cell_len
from rich.style import Style

from m.metrics import numbers
from m.metrics.experts import (
    DEAD_UNDER,
    OVERLOADED_OVER,
    ExpertBalance,
    Label,
    LayersBalance,
    balance_by_layer,
    relative_loads,
    share,
)
from m.metrics.layers import told_apart
from m.metrics.loads import is_by_layer, numbers_in
from sinks.terminal.load_course import LoadCourse
from sinks.terminal.look import PLAIN, Look, Row, Span
from sinks.terminal.rows import Levels, arrow, clip, rule
from sinks.terminal.strips import load_codes, spans
from sinks.terminal.text import fit, safe

MOST_ROWS: Final = 8
"""Rows of the fullest level below its title, unless there is room for more."""
_BAR_CELLS: Final = 10  # eight cells are the fair share, two more show overload
_FAIR_CELLS: Final = 8
_STRIP_ROWS: Final = 4  # of one mapping; where they do not hold every expert, a cell is the worst of several
_LONGEST_LABEL: Final = 16
_GAP: Final = "   "

_Parts: TypeAlias = tuple[Row, list[Row], list[Row], Row]
"""Title, the rows below it in full and in short, and everything in one row."""


def experts(
    utilization: Mapping[Any, Any],
    width: int,
    look: Look,
    *,
    course: LoadCourse | None = None,
    most_rows: int = MOST_ROWS,
    past: Sequence[Row] = (),
) -> Levels:
    """Load of every expert against the fair share, and the indicators of balance; of all layers, or the worst of them.

    ``utilization`` is that of a snapshot, and not empty. A ``course`` that has seen it adds how it changed since the
    last table. The fullest level has at most ``most_rows`` rows below its title and ``past``, as `over_time` makes it,
    below those.
    """
    if course is not None and course.utilization is utilization:
        balance = course.balance
    else:
        course, balance = None, balance_by_layer(utilization)
    if balance is None:
        notes = [f"{numbers_in(utilization)} experts", "no load"]
        return [[rule("experts", notes, width, look)], []]
    if is_by_layer(utilization):
        title, full, short, one = _by_layer(utilization, balance, course, width, look, most_rows)
    else:
        title, full, short, one = _single(utilization, balance, course, width, look, most_rows)
    return [[title, *full, *past], [title, *short], [one], []]


def _moved(course: LoadCourse | None) -> list[str]:
    if course is None:
        return []
    return ["moved   - %" if course.change is None else f"moved {100 * course.change:3.0f} %"]


def _evenness(course: LoadCourse | None, effective: float, n: int, cv: float, look: Look) -> list[str]:
    way = "" if course is None else " " + arrow("", course.way, look)[0]
    return [f"effective {_effective(effective, n)}", f"cv {cv:.2f}{way}"]


def _effective(effective: float, n: int) -> str:
    return f"{effective:.1f}".rjust(len(f"{n:.1f}"))


def _ids(word: str, ids: Sequence[int], most: int = 4) -> str:
    """Which experts they are: a plain number would be taken for how many."""
    if not ids:
        return f"{word} none"
    more = f" +{len(ids) - most}" if len(ids) > most else ""
    return f"{word} #" + ",".join(str(expert) for expert in ids[:most]) + more


# -- one mapping --------------------------------------------------------------------------------------------------


def _single(
    utilization: Mapping[int, float],
    whole: LayersBalance,
    course: LoadCourse | None,
    width: int,
    look: Look,
    most_rows: int,
) -> _Parts:
    balance = whole.layers[0][1]
    assert balance is not None  # or there would be nothing to say of the whole
    dead = _ids("dead", balance.dead)
    notes = [*_moved(course), f"{balance.n} experts"]
    notes += _evenness(course, balance.effective, balance.n, balance.cv, look)
    notes += [_ids("overloaded", balance.overloaded)] if balance.overloaded else []
    title = rule("experts", [*notes, dead], width, look)
    strips = _strips(utilization, width, look, min(_STRIP_ROWS, most_rows))
    short = strips if len(strips) <= 2 else _strips(utilization, width, look, 2)
    full = _expert_cells(utilization, balance, width, look, most_rows) or strips
    tail: list[Span] = [(f"  cv {balance.cv:.2f}", PLAIN), (f"  {dead}", look.worse if balance.dead else PLAIN)]
    return title, full, short, _line(utilization, "", tail, width, look)


def _expert_cells(
    utilization: Mapping[int, float], balance: ExpertBalance, width: int, look: Look, most_rows: int
) -> list[Row]:
    """Every expert with its bar and its load; none when they take more than ``most_rows``."""
    digits = max(len(str(expert)) for expert in utilization)
    cell = digits + 1 + _BAR_CELLS + 6
    most = max((width - 1 + 2) // (cell + 2), 1)
    n_rows = -(-len(utilization) // most)
    if n_rows > most_rows:
        return []
    per_row = -(-len(utilization) // n_rows)  # evenly filled
    relative = dict(zip(utilization, relative_loads(utilization), strict=True))
    ids = sorted(utilization)
    rows: list[Row] = []
    for start in range(0, len(ids), per_row):
        parts: list[Span] = []
        for expert in ids[start : start + per_row]:
            style = _load_style(relative[expert], look)
            bar = _bar(relative[expert], look)
            load = _share(share(utilization[expert], balance.total))
            number = load.lstrip()  # a style may reverse or underline: not the space around
            parts += [
                (" " if not parts else "  ", PLAIN),
                (f"{expert:>{digits}} ", look.dim),
                (bar, style if style is not PLAIN else look.bar),
                (" " * (_BAR_CELLS - len(bar) + len(load) - len(number)), PLAIN),
                (number, look.value if style is PLAIN else style),
            ]
        rows.append(clip(tuple(parts), width))
    return rows


def _share(load: float) -> str:
    return f"{load:6.3f}" if 0 <= load < 10 else numbers.count(load).rjust(6)


def _load_style(relative: float, look: Look) -> Style:
    """Red for a dead expert, yellow for an overloaded one."""
    if relative < DEAD_UNDER:
        return look.worse
    return look.notice if relative >= OVERLOADED_OVER else PLAIN


def _bar(relative: float, look: Look) -> str:
    """At most `_BAR_CELLS`; a word in place of the bar that a dead expert does not have."""
    if relative < DEAD_UNDER:
        return f"{look.glyphs.cross} dead"
    full, part = divmod(round(min(relative * _FAIR_CELLS, _BAR_CELLS) * 8), 8)
    return look.glyphs.eighths[8] * full + (look.glyphs.eighths[part] if part else "")


def _strips(utilization: Mapping[int, float], width: int, look: Look, most_rows: int) -> list[Row]:
    """One character an expert, or for some of them, in rows that begin with the number of their first expert."""
    count = len(utilization)
    if count <= width - 2:
        return [((" ", PLAIN), *spans(load_codes(utilization, count), look))]
    ids = sorted(utilization)
    digits = len(str(ids[-1]))
    room = max(width - digits - 3, 1)
    group = -(-count // (room * max(most_rows, 1)))
    codes = load_codes(utilization, room * max(most_rows, 1))
    return [
        ((f" {ids[at * group]:>{digits}} ", look.dim), *spans(codes[at : at + room], look))
        for at in range(0, len(codes), room)
    ]


def _line(loads: Mapping[int, float], label: str, tail: Sequence[Span], width: int, look: Look) -> Row:
    """Everything in one row, with the strip as long as there is room."""
    head = f" experts  {label}"
    room = width - len(head) - sum(cell_len(text) for text, _ in tail)
    if room < 4:
        return clip(((" experts", PLAIN), *reversed(tail)), width)
    return clip(((head, PLAIN), *spans(load_codes(loads, room), look), *tail), width)


# -- by layer -----------------------------------------------------------------------------------------------------


def _by_layer(
    utilization: Mapping[Any, Mapping[int, float]],
    whole: LayersBalance,
    course: LoadCourse | None,
    width: int,
    look: Look,
    most_rows: int,
) -> _Parts:
    sizes = {len(loads) for loads in utilization.values()}
    each = f"{max(sizes)}" if len(sizes) == 1 else f"{min(sizes)} to {max(sizes)}"
    layers = "1 layer" if len(utilization) == 1 else f"{len(utilization)} layers"
    with_dead = sum(balance is None or bool(balance.dead) for _, balance in whole.layers)
    dead = "dead none"
    if whole.dead:
        dead = f"dead {whole.dead} in {with_dead} layer{'s' if with_dead > 1 else ''}"
    effective, cv = _evenness(course, whole.effective, max(sizes), whole.cv, look)
    notes = [*_moved(course), effective, f"{layers} of {each}", cv]
    notes += [f"overloaded {whole.overloaded}"] if whole.overloaded else []
    title = rule("experts", [*notes, dead], width, look)
    names = dict(zip(utilization, map(safe, told_apart([str(label) for label in utilization])), strict=True))
    table = _LayerRows(utilization, whole, names, width, look)
    worst = whole.worst_first()[0][0]
    tail = [(f"  cv {whole.cv:.2f}", PLAIN), (f"  dead {whole.dead or 'none'}", look.worse if whole.dead else PLAIN)]
    label = fit(names[worst], min(cell_len(names[worst]), 8), look.glyphs.ellipsis) + " "
    one = _line(utilization[worst], label, tail, width, look)
    return title, table.rows(most_rows), table.rows(2), one


class _LayerRows:
    """A row for each layer: label, strip, how many experts are as good as used, variation, dead ones. Where the layers
    are many and their strips short, several stand in one row."""

    def __init__(
        self,
        utilization: Mapping[Any, Mapping[int, float]],
        whole: LayersBalance,
        names: Mapping[Label, str],
        width: int,
        look: Look,
    ) -> None:
        self._utilization, self._whole, self._names, self._width, self._look = utilization, whole, names, width, look
        largest = max(len(loads) for loads in utilization.values())
        self._labels = min(max(map(cell_len, names.values())), _LONGEST_LABEL, max(width // 4, 2))
        self._digits = len(str(largest))
        self._effective = len(f"{largest:.1f}") if width >= 60 else 0
        self._tail = 7 + (7 if width >= 60 else 3) + self._digits
        self._tail += len("effective ") + self._effective + 2 if self._effective else 0
        room = max(width - 1 - self._labels - 1 - 2 - self._tail, 1)
        self._strip = -(-largest // -(-largest // room))  # every cell stands for as many experts
        self._cell = 1 + self._labels + 1 + self._strip + 2 + self._tail
        self._per_row = max((width + len(_GAP)) // (self._cell + len(_GAP)), 1)

    def rows(self, most: int) -> list[Row]:
        """At most so many rows. When they do not hold every layer: the worst ones, and how many more there are."""
        layers = self._whole.layers
        hidden = 0
        if len(layers) > most * self._per_row:
            held = max((most - 1) * self._per_row, 1)
            hidden = len(layers) - held
            layers = tuple(self._whole.worst_first()[:held])
        rows: list[Row] = []
        for at in range(0, len(layers), self._per_row):
            row: Row = ()
            for label, balance in layers[at : at + self._per_row]:
                row = (*row, *(((_GAP, PLAIN),) if row else ()), *self._cell_of(label, balance))
            rows.append(row if self._cell <= self._width else clip(row, self._width))
        if hidden and most > 1:
            rows.append(clip(((f" +{hidden} more layer{'s' if hidden > 1 else ''}", self._look.dim),), self._width))
        return rows

    def _cell_of(self, label: Label, balance: ExpertBalance | None) -> Row:
        look = self._look
        text = fit(self._names[label], self._labels, look.glyphs.ellipsis)
        if self._names[label].isdecimal():
            text = text.strip().rjust(self._labels)
        codes = load_codes(self._utilization[label], self._strip)
        head: Row = ((f" {text} ", PLAIN), *spans(codes, look), (" " * (self._strip - len(codes)), PLAIN))
        if balance is None:
            return (*head, ("  no load".ljust(self._tail + 2), look.worse))
        row = head
        if self._effective:
            row = (*row, ("  effective", look.dim), (f"{balance.effective:{self._effective + 1}.1f}", look.value))
        row = (*row, ("  cv", look.dim), (f"{balance.cv:5.2f}", look.value))
        style = look.worse if balance.dead else look.dim
        word = "  dead " if self._width >= 60 else " x " if look.glyphs.levels.isascii() else " × "
        return (*row, (f"{word}{len(balance.dead):>{self._digits}}", style))


# -- over time ----------------------------------------------------------------------------------------------------


def over_time(course: LoadCourse, width: int, look: Look, most_rows: int) -> list[Row]:
    """``course`` in at most ``most_rows`` rows: one for each expert or layer, or for some of them, with a cell for each
    of the last tables, or for some of those. Empty before the second table."""
    by_layer = is_by_layer(course.utilization)
    labels = course.rows(1, most_rows - 1)
    room = min(max((cell_len(safe(label)) for label, _ in labels), default=0), _LONGEST_LABEL)
    rows = course.rows(width - room - 3, most_rows - 1)
    if not rows or len(rows[0][1]) < 2:
        return []
    what = "imbalance of each layer" if by_layer else "load of each expert"
    title: Row = ((f" {what}, table by table", look.dim),)
    return [
        clip(title, width),
        *(
            ((f" {fit(safe(label), room, look.glyphs.ellipsis)} ", look.dim), *spans(codes, look))
            for label, codes in rows
        ),
    ]
