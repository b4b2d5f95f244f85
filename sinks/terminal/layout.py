"""Where the groups go on a screen of a given size, and which of them give way first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from sinks.terminal.curves import LEAST_HEIGHT, LEAST_WIDTH
from sinks.terminal.look import PLAIN, Row
from sinks.terminal.rows import Levels, pad

WIDE: Final = 117
"""From this width on there are two columns; of a terminal's columns the last is never used."""
TITLED_FROM: Final = 12
"""From this height on there is a title line."""
GAP: Final = 3
_RIGHT: Final = 0.35  # of the width, at least `_LEAST_RIGHT` cells
_LEAST_RIGHT: Final = 41
_PANEL: Final = 13  # rows that a panel of curves is best given
_MOST_PANEL: Final = 20

# What gives way when there are too few rows, first to last: (group, level it goes to).
_GIVE_WAY: Final = (
    ("alerts", 1),
    ("metrics", 1),
    ("metrics", 2),
    ("custom", 1),
    ("performance", 1),
    ("experts", 1),
    ("metrics", 3),
    ("status", 1),
    ("experts", 2),
    ("custom", 2),
    ("metrics", 4),
    ("status", 2),
    ("status", 3),
    ("performance", 2),
    ("experts", 3),
    ("status", 4),
    ("status", 5),
)

# Where there is no status, since no loss is given by its field, the metrics are what a person looks for.
_METRICS_FIRST: Final = (
    ("alerts", 1),
    ("performance", 1),
    ("metrics", 1),
    ("custom", 1),
    ("experts", 1),
    ("performance", 2),
    ("metrics", 2),
    ("experts", 2),
    ("custom", 2),
    ("experts", 3),
    ("metrics", 3),
    ("metrics", 4),
)

Draw: TypeAlias = Callable[[int, int, int], list[Row]]
"""The panel of curves with this number, of this width and height."""


def columns_of(width: int) -> tuple[int, int]:
    """Widths of the two columns; the second is 0 where there is only one."""
    if width < WIDE:
        return width, 0
    right = max(round((width - GAP) * _RIGHT), _LEAST_RIGHT)
    return width - GAP - right, right


def one_column(parts: Mapping[str, Levels], width: int, height: int, panels: int, draw: Draw) -> list[Row]:
    """The groups below each other, with curves below the status where rows are left. ``panels``: how many there are."""
    chosen = fitted(parts, ("status", "experts", "performance", "custom", "metrics", "alerts"), height)
    curves = _curves(width, height - sum(map(len, chosen.values())), 0, panels, draw)
    return [*chosen.pop("status"), *_joined(curves), *_joined(chosen.values())][:height]


def two_columns(parts: Mapping[str, Levels], width: int, height: int, panels: int, draw: Draw) -> list[Row]:
    """Status, curves and metrics on the left, the rest and more curves on the right, alerts below both."""
    left_width, right_width = columns_of(width)
    tail = fitted(parts, ("alerts",), max(height // 4, 1))["alerts"]
    height -= len(tail)
    left = fitted(parts, ("status", "custom", "metrics"), height)
    right = fitted(parts, ("experts", "performance"), height)
    used = [sum(map(len, each.values())) for each in (left, right)]
    curves = _curves(left_width, height - used[0], 0, panels, draw)
    more = _curves(right_width, height - used[1], len(curves), panels, draw)
    left_rows = [*left.pop("status"), *_joined(curves), *_joined(left.values())]
    right_rows = [*_joined(right.values()), *_joined(more)]
    if not right_rows:
        return [*left_rows[: max(height, 0)], *tail]
    body: list[Row] = []
    for index in range(max(len(left_rows), len(right_rows))):
        one = pad(left_rows[index] if index < len(left_rows) else (), left_width)
        other = right_rows[index] if index < len(right_rows) else ()
        body.append((*one, (" " * GAP, PLAIN), *other))
    return [*body[: max(height, 0)], *tail]


def fitted(parts: Mapping[str, Levels], order: Sequence[str], height: int) -> dict[str, list[Row]]:
    """Each group in ``order`` as full as ``height`` allows for all of them."""
    level = dict.fromkeys(order, 0)
    for name, target in _GIVE_WAY if parts["status"][0] else _METRICS_FIRST:
        if sum(len(parts[each][level[each]]) for each in order) <= height:
            break
        if name in level:
            level[name] = min(target, len(parts[name]) - 1)
    return {name: parts[name][level[name]] for name in order}


def _curves(width: int, spare: int, first: int, panels: int, draw: Draw) -> list[list[Row]]:
    left = panels - first
    if spare < LEAST_HEIGHT or width < LEAST_WIDTH or left <= 0:
        return []
    number = min(max(round(spare / _PANEL), 1), left)
    heights = [spare // number + (index < spare % number) for index in range(number)]
    return [draw(first + index, width, min(height, _MOST_PANEL)) for index, height in enumerate(heights)]


def _joined(blocks: Iterable[list[Row]]) -> list[Row]:
    return [row for block in blocks for row in block]
