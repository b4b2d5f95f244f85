"""The display where there is no terminal: the tables as text, one block at each interval, never a control code.

The first words of a block are always ``step N/TOTAL``, so that ``grep`` finds them.
"""

from __future__ import annotations

from typing import Final

from rich.console import Console

from m.metrics import numbers
from sinks.terminal import groups
from sinks.terminal.dashboard import Dashboard
from sinks.terminal.look import Row
from sinks.terminal.state import View
from sinks.terminal.text import safe

SILENT_AT_MOST_S: Final = 30.0
"""After so long without a table there is one line of progress all the same."""
PAUSE_AT_MOST_S: Final = 10.0
"""Between two blocks of a long run, however fast its steps are: a day of them is tens of MB, and not hundreds."""
PAUSE_SHARE: Final = 0.05
"""In a younger run it is this share of the time that has passed: a demo is shown whole."""
PAUSE_AT_NEWS_S: Final = 1.0
"""At most, where an alert came or a loss is not finite any more, or is again."""
ALERTS_AT_MOST: Final = 3
"""So many of the new alerts are told at once, the newest; the others are counted."""
WIDTH: Final = 100
HEIGHT: Final = 200


class PlainText:
    """Tells what is to be printed next. One thread at a time."""

    def __init__(self, dashboard: Dashboard, console: Console, on_terminal: bool = False) -> None:
        self._dashboard = dashboard
        self._console = console
        self._on_terminal = on_terminal
        self._printed: View | None = None
        self._news: tuple[object, ...] = self._news_now
        self._spoke_at = dashboard.clock()
        self._line_step: int | None = None
        self._alerts_said = 0
        self.without_tables = False
        """Only lines of progress from now on: the tables cannot be drawn."""

    def next(self) -> str:
        """A block when a new table is due and the pause is over, a line and the alerts when there are new ones, a line
        after a long silence in which steps were made, else nothing."""
        dashboard = self._dashboard
        dashboard.observe()
        state = dashboard.state
        if self._has_tables:
            state.catch_up()
            if state.view is not None and state.view is not self._printed and self._pause_is_over:
                return self.block(state.view)
        new = state.alerts_raised - self._alerts_said
        if new and self._pause_is_over:
            self._alerts_said += new
            rows = groups.alerts(state.alerts[-new:], self._width, dashboard.look, min(new, ALERTS_AT_MOST))[0]
            return self._said("\n".join([self.line(), *map(row_text, rows)]) + "\n")
        if state.latest is None or not dashboard.config.show_progress_bar:
            return ""
        if dashboard.clock() - self._spoke_at >= SILENT_AT_MOST_S and state.latest.step != self._line_step:
            return self._said(self.line() + "\n")
        return ""

    @property
    def _pause_is_over(self) -> bool:
        dashboard = self._dashboard
        most = PAUSE_AT_MOST_S if self._news == self._news_now else PAUSE_AT_NEWS_S
        return dashboard.clock() - self._spoke_at >= min(PAUSE_SHARE * dashboard.elapsed_s, most)

    @property
    def _news_now(self) -> tuple[object, ...]:
        state = self._dashboard.state
        return state.alerts_raised, state.broken

    @property
    def _width(self) -> int:
        return min(WIDTH, max(self._console.width - 1, 20)) if self._on_terminal else WIDTH

    @property
    def _has_tables(self) -> bool:
        return self._dashboard.config.show_tables and not self.without_tables

    def block(self, view: View | None) -> str:
        """The progress at ``view`` in one line and its tables below that."""
        dashboard = self._dashboard
        self._printed, self._news = view, self._news_now
        dashboard.frames += 1
        lines = [self.line(view)]
        if self._has_tables:
            self._alerts_said = dashboard.state.alerts_raised
            lines += [row_text(row) for row in dashboard.table_rows(self._width, HEIGHT, self._console, view=view)]
        return self._said("\n".join(lines) + "\n")

    def end(self, closing: list[Row]) -> str:
        """The last state and the summary."""
        return self.block(self._dashboard.state.view) + "".join(f"{row_text(row)}\n" for row in closing)

    def line(self, view: View | None = None) -> str:
        """The progress at ``view``, or now, in one line:
        ``step 641/1000  64 %  3.80 steps/s  12:41 elapsed  1:34 left  train_loss 0.2451  Training MoE``."""
        state = self._dashboard.state
        snapshot = state.latest if view is None else view.snapshot
        progress = self._dashboard.progress(None if snapshot is None else snapshot.step)
        total = "" if progress.total is None else f"/{progress.total}"
        parts = [f"step {progress.completed}{total}"]
        if progress.total:
            parts.append(f"{100 * progress.completed // progress.total} %")
        if progress.steps_per_second is not None:
            parts.append(f"{numbers.count(progress.steps_per_second)} steps/s")
        parts.append(f"{numbers.duration(progress.elapsed_s)} elapsed")
        if progress.remaining_s is not None and not progress.finished:
            parts.append(f"{numbers.duration(progress.remaining_s)} left")
        if snapshot is not None and snapshot.train_loss is not None:
            parts.append(f"train_loss {numbers.number(snapshot.train_loss).strip()}")
        parts.append(safe(progress.description))
        return "  ".join(parts)

    def _said(self, text: str) -> str:
        self._spoke_at = self._dashboard.clock()
        latest = self._dashboard.state.latest
        self._line_step = None if latest is None else latest.step
        return text


def row_text(row: Row) -> str:
    """``row`` without its styles."""
    return "".join(text for text, _ in row).rstrip()
