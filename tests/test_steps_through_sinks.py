"""Steps that repeat, jump, go back or begin in the middle are labels: nothing is lost by them, no time is wrong."""

from __future__ import annotations

import io
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from m import MetricsHub
from m.journal.decoding import decode
from m.journal.records import Recorded
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot
from m.metrics.steps import FARTHEST
from sinks import JsonlSink, PlotSink, TerminalSink
from sinks.terminal.config import VisualizationConfig
from sinks.terminal.dashboard import Dashboard
from sinks.terminal.look import DEFAULT
from sinks.terminal.state import State


class Session:
    """A dashboard and a clock turned by hand; every step takes a second."""

    def __init__(self, total: int | None, initial_step: int = 0) -> None:
        self.now = 0.0
        run = Run("session", total, initial_step)
        self.state = State(interval=1, run=run)
        self.dashboard = Dashboard(VisualizationConfig(), self.state, DEFAULT, clock=lambda: self.now)

    def go(self, *steps: int, seconds: float = 1.0) -> None:
        for step in steps:
            self.now += seconds
            self.state.take(TrainingSnapshot(step, 0.5))
            self.dashboard.observe()

    def line(self) -> str:
        return "".join(text for text, _ in self.dashboard.progress_row(100))


@pytest.mark.fault("I1", "F13", "D14")
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.integers(-3, 12) | st.integers(-(2**70), 2**70), min_size=1, max_size=30),
    total=st.none() | st.integers(0, 20),
    initial=st.integers(0, 10),
)
@example(steps=[FARTHEST - 1, 1 - FARTHEST, 0], total=None, initial=0)
@example(steps=[5, 5, 5, 4, 5], total=5, initial=5)
def test_steps_in_any_order_reach_every_sink_in_that_order(
    steps: list[int], total: int | None, initial: int, tmp_path: Path
) -> None:
    path = tmp_path / "run.jsonl"
    path.unlink(missing_ok=True)
    plots, screen = PlotSink(summary=False), io.StringIO()
    terminal = TerminalSink(VisualizationConfig(table_update_interval=1), console=Console(file=screen, width=100))
    with MetricsHub([terminal, plots, JsonlSink(path)], strict=True) as hub:
        hub.start(total, "any", initial)
        for index, step in enumerate(steps):
            hub.emit(TrainingSnapshot(step, 1.0 + index, batch_size=8, sequence_length=16))
        whole = plots.get_metrics_summary()["train_loss"]
        assert (whole["count"], whole["current"]) == (len(steps), float(len(steps)))
        drawn = next(line for line in plots.figure.axes[0].get_lines() if line.get_label() == "train_loss")
        points = list(zip(*(np.asarray(each, float) for each in drawn.get_data()), strict=True))
        joined = [(here[0], there[0]) for here, there in pairwise(points) if not math.isnan(here[1] + there[1])]
        assert all(before <= after for before, after in joined)  # where steps go back, the line ends and begins again
        assert {value for _, value in points if not math.isnan(value)} == set(map(float, range(1, len(steps) + 1)))
    written = [record for record in map(decode, path.read_bytes().splitlines()) if isinstance(record, Recorded)]
    assert [(each.seq, each.snapshot.step) for each in written] == [(i + 1, step) for i, step in enumerate(steps)]
    progress = terminal._dashboard.progress()
    assert progress.remaining_s is None or 0 <= progress.remaining_s < math.inf
    assert progress.steps_per_second is None or progress.steps_per_second > 0


@pytest.mark.fault("I1", "I4")
def test_after_going_back_the_remaining_time_is_that_of_the_new_pass() -> None:
    session = Session(total=100)
    session.go(*range(50), seconds=1.0)
    assert session.dashboard.progress().remaining_s == pytest.approx(50.0)
    session.go(10, seconds=1.0)
    assert session.dashboard.progress().remaining_s is None
    assert session.dashboard.progress().completed == 11
    session.go(*range(11, 31), seconds=4.0)
    assert session.dashboard.progress().remaining_s == pytest.approx(4.0 * 69)


@pytest.mark.fault("I4")
def test_position_counts_from_the_checkpoint_and_rate_from_this_session() -> None:
    session = Session(total=1000, initial_step=900)
    assert "900/1000" in session.line()
    session.go(*range(900, 921), seconds=2.0)
    progress = session.dashboard.progress()
    assert (progress.completed, progress.steps_per_second) == (921, pytest.approx(0.5))
    assert progress.remaining_s == pytest.approx(79 * 2.0)
    assert "21 steps in 0:42" in "".join(text for row in session.dashboard.summary(100) for text, _ in row)


@pytest.mark.fault("F13", "D14")
def test_a_step_that_repeats_is_progress_of_nothing() -> None:
    session = Session(total=10)
    session.go(3, 3, 3, 3)
    assert session.dashboard.progress().steps_per_second is None
    session.go(4)
    assert session.dashboard.progress().steps_per_second == pytest.approx(0.25)


@pytest.mark.fault("I2", "I3", "I4")
def test_a_run_that_is_resumed_goes_on_in_every_sink(tmp_path: Path) -> None:
    path, seen = tmp_path / "run.jsonl", []
    for first in (0, 6):
        screen = io.StringIO()
        terminal = TerminalSink(VisualizationConfig(table_update_interval=1), console=Console(file=screen, width=100))
        with MetricsHub([terminal, JsonlSink(path)], strict=True) as hub:
            hub.start(total_steps=20, initial_step=first)
            for step in range(first, first + 9):
                hub.emit(TrainingSnapshot(step, 0.5))
        seen.append(screen.getvalue())
    assert "9/20" in seen[0]
    assert "15/20" in seen[1]
    assert "9 steps in" in seen[1]
    records = [decode(line) for line in path.read_bytes().splitlines()]
    runs = [record for record in records if isinstance(record, Run)]
    assert [(run.attempt, run.initial_step) for run in runs] == [(1, 0), (2, 6)]
    assert runs[0].run_id == runs[1].run_id
    steps = [record.snapshot.step for record in records if isinstance(record, Recorded)]
    assert steps == [*range(9), *range(6, 15)]  # nothing is deleted; readers choose
