"""The closing summary: how it went, in a few rows that fit."""

from __future__ import annotations

import io
import math
import re

import pytest
from rich.console import Console

from m.hub.hub import MetricsHub
from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot
from sinks.terminal.config import VisualizationConfig
from sinks.terminal.dashboard import Dashboard
from sinks.terminal.look import DEFAULT
from sinks.terminal.rows import row_width
from sinks.terminal.sink import TerminalSink
from sinks.terminal.state import State
from sinks.terminal.summary import Cost, closing_summary


def finished(losses: list[float], alerts: int = 0, seconds: float = 0.5) -> Dashboard:
    now = [0.0]
    state = State(interval=1, run=Run("a run", 1000))
    dashboard = Dashboard(VisualizationConfig(), state, DEFAULT, lambda: now[0])
    for step, loss in enumerate(losses):
        now[0] += seconds
        state.take(TrainingSnapshot(step=step, train_loss=loss, aux_loss=0.01))
    for index in range(alerts):
        state.add_alert(Alert(index, "loss_spike", "0.91, 6.2 deviations above the running median"))
    dashboard.finish()
    return dashboard


def texts(dashboard: Dashboard, width: int = 79, files: tuple[str, ...] = (), cost: Cost | None = None) -> list[str]:
    rows = dashboard.summary(width, files, cost)
    assert all(row_width(row) <= width for row in rows)
    return ["".join(text for text, _ in row).rstrip() for row in rows]


def test_it_says_first_best_and_last_of_each_loss_and_what_was_not_finite() -> None:
    title, train, aux = texts(finished([3.0, 1.0, math.nan, 2.0]))
    assert title.startswith("── summary ──")
    assert "4 steps in 0:02 · 2.00 steps/s · no alerts" in title
    assert train == " train_loss  first    3.0000  best    1.0000 at 1  last    2.0000  1 not finite"
    assert aux == " aux_loss    first    0.0100  best    0.0100 at 0  last    0.0100"


def test_a_run_that_went_nan_ends_with_it_in_red() -> None:
    rows = finished([1.0, math.nan]).summary(79)
    assert ("      nan", DEFAULT.worse) in rows[1]


@pytest.mark.parametrize("last", [1.0, math.nan])
@pytest.mark.parametrize("width", [20, 30, *range(38, 100)])
def test_what_is_said_of_a_loss_is_whole_if_need_be_in_another_row(width: int, last: float) -> None:
    _, *rows = texts(finished([2.0] * 1000 + [math.inf, 1.0, last]), width)
    text = " ".join(" ".join(rows[: next(at for at, row in enumerate(rows) if row.startswith(" aux"))]).split())
    value, missing = ("nan", 2) if math.isnan(last) else ("1.0000", 1)
    assert f"last {value}" in text
    assert "best 1.0000" in text
    assert text.endswith(f" {missing} not finite")
    if width >= 79:
        assert text.startswith(f"train_loss first 2.0000 best 1.0000 at 1001 last {value}")
        assert len(rows) == (3 if width < 82 else 2)


@pytest.mark.parametrize("width", [39, 79, 199])
def test_everything_at_once_takes_twelve_rows_and_no_number_is_cut(width: int) -> None:
    files = tuple(f"runs/2026-01-01_00-00-00/a_file_with_a_long_name_{index}.png" for index in range(9))
    rows = texts(finished([2.0, 1.0], alerts=40), width, files, Cost(0.0021, 1204))
    assert len(rows) <= 12
    joined = "\n".join(rows)
    assert "2 steps in 0:01" in joined
    assert re.search(r"last +1\.0000", joined)
    assert re.search(r"best +1\.0000", joined)
    assert "40 alerts" in joined or "+37 earlier" in joined
    assert "0.21 % of the time" in joined
    assert "+5 more" in joined


def test_the_steps_of_all_epochs_are_counted_where_each_begins_with_step_zero() -> None:
    state = State(interval=1, run=Run("three epochs", 300))
    for step in [*range(100)] * 3:
        state.note(TrainingSnapshot(step=step, train_loss=1.0))
    (title, *_) = closing_summary(state, 6.0, 79, DEFAULT)
    assert "300 steps in 0:06 · 50.00 steps/s" in "".join(text for text, _ in title)


def test_files_that_somebody_names_are_listed_once() -> None:
    file = io.StringIO()
    terminal = TerminalSink(console=Console(file=file, width=80))
    with MetricsHub([terminal], strict=True) as hub:
        hub.emit(TrainingSnapshot(step=0, train_loss=1.0))
        terminal.wrote("runs/a.png", "runs/b.jsonl")
        terminal.wrote("runs/a.png")
    assert file.getvalue().count("runs/a.png") == 1
    assert re.search(r" written +runs/a\.png\n +runs/b\.jsonl", file.getvalue())
