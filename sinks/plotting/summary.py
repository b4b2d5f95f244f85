"""A run in numbers: the documented dictionary, and the table that is printed at the end. No matplotlib here."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from m.metrics.history import History
from m.metrics.layers import layer_of
from m.metrics.named import expert_of
from m.metrics.numbers import number
from m.metrics.text import harmless
from sinks.plotting.text import LONGEST, shortened

MOST_ROWS: Final = 40
MOST_EXPERT_ROWS: Final = 16
_LONGEST_NAME: Final = 32
_WIDEST: Final = 9
"""Cells of a number, sign and exponent included: ``-1.23e-10``."""


def summary_of(histories: Mapping[str, History]) -> dict[str, dict[str, float]]:
    """``current``, ``min``, ``max``, ``mean`` and ``count`` of every metric, as plain Python numbers.

    ``count`` counts every point; ``min``, ``max`` and ``mean`` leave out NaN and infinities and are nan when there is
    nothing else. ``current`` may be nan.
    """
    found = {}
    for name, history in histories.items():
        whole = history.summary()
        found[name] = {
            "current": whole.current,
            "min": whole.min,
            "max": whole.max,
            "mean": whole.mean,
            "count": whole.count,
        }
    return found


def summary_table(
    histories: Mapping[str, History], of: str = "", not_kept: int = 0, drawing: str = "", width: int | None = None
) -> str:
    """The numbers of every metric as aligned text; empty when there are none. Many experts are named, not listed.

    ``of`` says which run it is, ``not_kept`` how many numbers found no place in ``histories``, ``drawing`` what the
    figure has cost. Columns that do not fit into ``width`` cells are left out, but for the newest numbers.
    """
    experts = {name for name in histories if expert_of(name) is not None or layer_of(name) is not None}
    names = [name for name in histories if len(experts) <= MOST_EXPERT_ROWS or name not in experts]
    left_out = [name for name in histories if name not in names[:MOST_ROWS]]
    rows: list[tuple[str, ...]] = [("", "current", "min", "max", "mean", "count", "")]
    for name in names[:MOST_ROWS]:
        whole = histories[name].summary()
        figures = [number(value, _WIDEST).strip() for value in (whole.current, whole.min, whole.max, whole.mean)]
        rest = f"{whole.nonfinite} NaN or inf" if whole.nonfinite else ""
        rows.append((_short_name(name), *figures, str(whole.count), rest))
    if not histories:
        return ""
    widths = [max(_cells(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    longest_rest = max(_cells(row[-1]) for row in rows)
    while width is not None and len(widths) > 2 and sum(widths) + 2 * len(widths) + 2 + longest_rest > width:
        del widths[-1]
        rows = [(*row[:-2], row[-1]) for row in rows]
    lines = [f"Training summary: {shortened(harmless(of), LONGEST)}" if of else "Training summary"]
    for name, *figures, rest in rows:
        cells = [name + " " * (widths[0] - _cells(name))]
        cells += [figure.rjust(wide) for figure, wide in zip(figures, widths[1:], strict=True)]
        lines.append(f"  {'  '.join(cells)}  {rest}".rstrip())
    if left_out:
        some = ", ".join(_short_name(name) for name in left_out[:3])
        more = ", ..." if len(left_out) > 3 else ""
        lines.append(f"  and {len(left_out)} more: {some}{more}")
    if not_kept:
        lines.append(f"  not kept: {not_kept} numbers, of too many different names or under names too long")
    if drawing:
        lines.append(f"  {drawing}")
    return "\n".join(lines)


def width_of_output() -> int | None:
    """Columns of the terminal that standard output is; None when it is none, or does not say."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (AttributeError, OSError, ValueError):
        return None


def print_safely(text: str) -> None:
    """Print ``text``; a stdout that is closed, broken or cannot encode it is no reason to fail, now or at exit."""
    stream: Any = sys.stdout
    original: Any = sys.__stdout__
    try:
        encoding = getattr(stream, "encoding", None) or "utf-8"
        line = f"{text}\n".encode(encoding, "backslashreplace")
        if stream is not None and stream is original and "write" not in vars(stream) and not stream.isatty():
            stream.flush()  # what the user printed before comes before
            while line:  # not through the stream: what a broken pipe refuses would wait there and fail again at exit
                line = line[os.write(stream.fileno(), line) :]
        else:
            print(line.decode(encoding), end="", flush=True)
    except (OSError, ValueError):
        pass


def _short_name(name: str) -> str:
    return shortened(harmless(name), _LONGEST_NAME)


def _cells(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
