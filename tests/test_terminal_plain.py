"""Where the output is no terminal: blocks of text that grep finds, no control codes, never silent for long."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot
from sinks.terminal.config import VisualizationConfig
from sinks.terminal.dashboard import Dashboard
from sinks.terminal.look import DEFAULT
from sinks.terminal.plain import SILENT_AT_MOST_S, PlainText
from sinks.terminal.state import State


class Text:
    """Plain text of a run with a clock turned by hand."""

    def __init__(self, total: int | None = 100, interval: int = 25) -> None:
        self.now = 0.0
        self.state = State(interval=interval, run=Run("a run", total))
        config = VisualizationConfig(table_update_interval=interval)
        self.dashboard = Dashboard(config, self.state, DEFAULT, lambda: self.now)
        self.plain = PlainText(self.dashboard, Console(file=io.StringIO()))

    def step(self, step: int, seconds: float = 1.0) -> str:
        self.now += seconds
        self.state.take(TrainingSnapshot(step=step, train_loss=1.0 / (step + 1)))
        return self.plain.next()


def test_a_block_comes_at_each_interval_and_begins_with_step_and_total() -> None:
    text = Text()
    blocks = {step: said for step in range(60) if (said := text.step(step))}
    assert list(blocks) == [0, 25, 50]
    assert blocks[25].startswith("step 26/100  26 %  1.00 steps/s  0:26 elapsed  1:14 left  train_loss 0.0385  a run\n")
    assert "── status" in blocks[25]
    assert "\x1b" not in blocks[25]


def test_tables_that_came_due_between_two_looks_are_one_block_of_the_newest() -> None:
    text = Text()
    for step in range(80):
        text.state.note(TrainingSnapshot(step=step, train_loss=1.0))
    assert text.plain.next().startswith("step 76/100")
    assert text.plain.next() == ""


@pytest.mark.fault("D6")
def test_slow_steps_get_a_line_after_a_while_and_a_standing_run_gets_none() -> None:
    text = Text(total=None, interval=1000)
    text.step(0)
    assert text.step(1, SILENT_AT_MOST_S / 2) == ""
    assert text.step(2, SILENT_AT_MOST_S).startswith("step 3  ")
    text.now += 10 * SILENT_AT_MOST_S
    assert text.plain.next() == ""


def test_the_end_says_the_last_state_and_the_summary() -> None:
    text = Text()
    for step in range(38):
        text.step(step)
    text.dashboard.finish()
    end = text.plain.end(text.dashboard.summary(100))
    assert end.startswith("step 38/100  38 %")
    assert "── summary" in end
