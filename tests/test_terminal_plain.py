"""Where the output is no terminal: blocks of text that grep finds, no control codes, never silent for long."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from rich.console import Console

from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot
from sinks.terminal.config import VisualizationConfig
from sinks.terminal.dashboard import Dashboard
from sinks.terminal.look import DEFAULT
from sinks.terminal.plain import PAUSE_AT_MOST_S, SILENT_AT_MOST_S, PlainText
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
def test_blocks_of_a_long_fast_run_come_every_ten_seconds_and_those_of_a_young_one_sooner() -> None:
    text = Text(total=None, interval=25)
    said_at = [text.now for step in range(40_000) if text.step(step, 0.01)]
    pauses = np.diff(said_at)
    assert pauses[:10].max() < 0.6
    assert pauses[-10:] == pytest.approx(PAUSE_AT_MOST_S, abs=0.3)
    assert len(said_at) < 150


@pytest.mark.parametrize("news", ["alert", "nan"])
def test_news_do_not_wait_for_the_next_block_of_a_long_run(news: str) -> None:
    text = Text(total=None, interval=25)
    text.step(0, 3600.0)
    text.step(25, 100.0)
    assert text.step(50, 2.0) == ""
    if news == "alert":
        text.state.add_alert(Alert(60, "loss_spike", "a spike"))
        assert "a spike" in text.step(75, 1.0)
    else:
        text.state.take(TrainingSnapshot(step=60, train_loss=math.nan))
        assert "nan" in text.plain.next()
    assert text.step(100, 0.5) == ""


def test_on_a_terminal_no_line_is_wider_than_that() -> None:
    text = Text()
    text.plain = PlainText(text.dashboard, Console(file=io.StringIO(), width=80), on_terminal=True)
    lines = text.step(0).splitlines()
    assert len(lines) > 3
    assert max(map(len, lines)) == 79


@pytest.mark.fault("D6")
def test_slow_steps_get_a_line_after_a_while_and_a_standing_run_gets_none() -> None:
    text = Text(total=None, interval=1000)
    text.step(0)
    assert text.step(1, SILENT_AT_MOST_S / 2) == ""
    assert text.step(2, SILENT_AT_MOST_S).startswith("step 3  ")
    text.now += 10 * SILENT_AT_MOST_S
    assert text.plain.next() == ""


def test_an_alert_is_told_at_once_also_when_no_step_comes_any_more_and_not_again() -> None:
    text = Text()
    for step in range(28):
        text.step(step)
    text.state.add_alert(Alert(27, "stall", "no snapshot for 5 minutes"))
    first, *others = text.plain.next().splitlines()
    assert first.startswith("step 28/100  28 %")
    assert others == [" ! step 27  stall: no snapshot for 5 minutes"]
    assert text.plain.next() == ""
    for step in range(4):
        text.state.add_alert(Alert(step, "disk", "full"))
    assert text.plain.next() == "", "a second at the most"
    text.now += 1.0
    told = text.plain.next().splitlines()
    assert [line.split("  ")[0] for line in told[1:]] == [" ! step 1", " ! step 2", " ! step 3"]
    assert told[1].endswith("+1 earlier")
    text.state.add_alert(Alert(50, "loss_spike", "it jumped"))
    assert "! step 50  loss spike: it jumped" in text.step(50)  # in the block that is due
    assert text.step(51) == ""


def test_the_end_says_the_last_state_and_the_summary() -> None:
    text = Text()
    for step in range(38):
        text.step(step)
    text.dashboard.finish()
    end = text.plain.end(text.dashboard.summary(100))
    assert end.startswith("step 38/100  38 %")
    assert "── summary" in end
