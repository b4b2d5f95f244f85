"""The table of experts: every one's load against the fair share, as cells, as a strip or in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.cells import cell_len
from rich.style import Style

from m.metrics.experts import DEAD_BELOW, balance_by_layer, expert_balance
from m.metrics.loads import is_by_layer
from sinks.terminal import numbers
from sinks.terminal.look import PLAIN, Look, Row, Span
from sinks.terminal.rows import Levels, clip, rule

_BAR_CELLS: Final = 10  # eight cells are the fair share, two more show overload
_FAIR_CELLS: Final = 8
_MOST_ROWS: Final = 8  # with more the experts are a strip


def experts(utilization: Mapping[Any, Any], width: int, look: Look) -> Levels:
    """Load of every expert against the fair share, and the indicators of balance; of layers, those of the worst."""
    if not utilization:
        return [[]]
    if is_by_layer(utilization):
        whole = balance_by_layer(utilization)
        worst = next(iter(utilization)) if whole is None else whole.worst_first()[0][0]
        utilization = utilization[worst]
    balance = expert_balance(utilization)
    ids = sorted(utilization)
    if balance is None:
        title = rule("experts", [f"{len(ids)} experts", "no load"], width, look)
        return [[title], []]
    dead = _dead_note(balance.dead)
    notes = [
        f"{balance.n} experts",
        f"entropy {balance.entropy:.2f}",
        f"effective {balance.effective:.1f}",
        f"cv {balance.cv:.2f}",
        dead,
    ]
    title = rule("experts", notes, width, look)
    loads = [utilization[expert] for expert in ids]
    fair = sum(load for load in loads if load > 0) / len(loads)
    cells = _expert_cells(ids, loads, fair, width, look)
    strips = _expert_strips(loads, fair, width - 2, look)
    strip_rows: list[Row] = [((" ", PLAIN), *strip) for strip in strips]
    one = _expert_line(loads, fair, balance.cv, dead, bool(balance.dead), width, look)
    return [[title, *(cells or strip_rows)], [title, *strip_rows[:2]], [one], []]


def _dead_note(dead: Sequence[int]) -> str:
    if not dead:
        return "dead none"
    more = f" +{len(dead) - 4}" if len(dead) > 4 else ""
    return "dead " + ",".join(str(expert) for expert in dead[:4]) + more


def _expert_cells(ids: Sequence[int], loads: Sequence[float], fair: float, width: int, look: Look) -> list[Row]:
    """Every expert with its bar and its load; none when they take more than `_MOST_ROWS`."""
    digits = max(len(str(expert)) for expert in ids)
    cell = digits + 1 + _BAR_CELLS + 6
    most = max((width - 1 + 2) // (cell + 2), 1)
    n_rows = -(-len(ids) // most)
    if n_rows > _MOST_ROWS:
        return []
    per_row = -(-len(ids) // n_rows)  # evenly filled
    rows: list[Row] = []
    for start in range(0, len(ids), per_row):
        spans: list[Span] = []
        for expert, load in list(zip(ids, loads, strict=True))[start : start + per_row]:
            style = _load_style(load, fair, look)
            spans += [
                (" " if not spans else "  ", PLAIN),
                (f"{expert:>{digits}} ", look.dim),
                (_bar(load / fair if fair > 0 else 0.0, look), style if style is not PLAIN else look.bar),
                (_share(load), look.value if style is PLAIN else style),
            ]
        rows.append(clip(tuple(spans), width))
    return rows


def _share(load: float) -> str:
    return f"{load:6.3f}" if 0 <= load < 10 else numbers.count(load).rjust(6)


def _load_style(load: float, fair: float, look: Look) -> Style:
    """Red for a dead expert, yellow for one with twice its share."""
    if not load >= DEAD_BELOW * fair:
        return look.worse
    return look.notice if load > 2 * fair else PLAIN


def _bar(ratio: float, look: Look) -> str:
    eighths = round(min(max(ratio, 0.0) * _FAIR_CELLS, _BAR_CELLS) * 8) if ratio == ratio else 0
    full, part = divmod(eighths, 8)
    return (look.glyphs.eighths[8] * full + (look.glyphs.eighths[part] if part else "")).ljust(_BAR_CELLS)


def _expert_strips(loads: Sequence[float], fair: float, width: int, look: Look) -> list[tuple[Span, ...]]:
    """One character an expert: its height is the load, full at twice the fair share. Runs of one style are joined."""
    rows: list[tuple[Span, ...]] = []
    for start in range(0, len(loads), max(width, 1)):
        spans: list[Span] = []
        for load in loads[start : start + max(width, 1)]:
            style = _load_style(load, fair, look)
            style = look.bar if style is PLAIN else style
            character = _level(load / fair if fair > 0 else 0.0, look)
            if spans and spans[-1][1] is style:
                spans[-1] = (spans[-1][0] + character, style)
            else:
                spans.append((character, style))
        rows.append(tuple(spans))
    return rows


def _level(ratio: float, look: Look) -> str:
    top = len(look.glyphs.levels) - 1
    return look.glyphs.levels[min(round(max(ratio, 0.0) / 2 * top), top)] if ratio == ratio else "?"


def _expert_line(
    loads: Sequence[float], fair: float, cv: float, dead: str, any_dead: bool, width: int, look: Look
) -> Row:
    """Everything in one row; many experts share a character, which then shows the least of them."""
    tail: list[Span] = [(f"  cv {cv:.2f}", PLAIN), (f"  {dead}", look.worse if any_dead else PLAIN)]
    room = width - 10 - sum(cell_len(text) for text, _ in tail)
    if room < 4:
        return clip(((" experts", PLAIN), *reversed(tail)), width)
    group = -(-len(loads) // room)
    least = [min(loads[start : start + group]) for start in range(0, len(loads), group)]
    return clip(((" experts  ", PLAIN), *_expert_strips(least, fair, room, look)[0], *tail), width)
