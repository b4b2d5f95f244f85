"""The dashboard: what it shows at which size, what gives way first, and that it works only when something changed."""

from __future__ import annotations

import io
import itertools
import math
import re
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot, snapshot_of
from m.metrics.system import Machine
from sinks.terminal.config import VisualizationConfig
from sinks.terminal.dashboard import ALERTED_EVERY_S, PAST_EVERY_S, Dashboard
from sinks.terminal.look import DEFAULT
from sinks.terminal.rows import row_width
from sinks.terminal.state import MANY_ARRIVED, State

CONSOLE = Console(file=io.StringIO(), width=80, height=24)


class Clock:
    """A clock turned by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class NoMachine:
    """A sampler that counts how often it is asked."""

    def __init__(self) -> None:
        self.readings = 0

    def read(self) -> Machine:
        self.readings += 1
        return Machine(cpu_percent=50.0)


def snapshot(step: int, **more: Any) -> TrainingSnapshot:
    fields: dict[str, Any] = {
        "step": step,
        "train_loss": 2.0 / (step + 1),
        "val_loss": 1.5,
        "aux_loss": 0.01,
        "learning_rate": 3e-4,
        "expert_utilization": dict.fromkeys(range(8), 0.125),
        "batch_size": 32,
        "gradient_norm": 0.9,
        "gpu_memory_mb": 41_200.0,
        "custom_metrics": {f"metric_{index}": index / 10 for index in range(6)},
    }
    return TrainingSnapshot(**{**fields, **more})


class Shown:
    """A dashboard with its state and clock."""

    def __init__(self, total: int | None = 100, **config: Any) -> None:
        self.clock = Clock()
        self.machine = NoMachine()
        self.state = State(interval=config.get("table_update_interval", 25), run=Run("Training MoE", total))
        self.dashboard = Dashboard(
            VisualizationConfig(**config),
            self.state,
            DEFAULT,
            self.clock,
            self.machine,  # type: ignore[arg-type]
        )

    def take(self, *snapshots: TrainingSnapshot) -> None:
        for each in snapshots:
            self.clock.now += 0.5
            self.state.take(each)
            self.dashboard.observe()

    def lines(self, width: int = 79, height: int = 23) -> list[str]:
        rows = self.dashboard.rows(width, height, CONSOLE)
        assert len(rows) <= height
        assert all(row_width(row) <= width for row in rows)
        return ["".join(text for text, _ in row).rstrip() for row in rows]

    def text(self, width: int = 79, height: int = 23) -> str:
        return "\n".join(self.lines(width, height))


def test_at_80_by_24_everything_has_its_place() -> None:
    shown = Shown()
    shown.take(*(snapshot(step) for step in range(51)))
    lines = shown.lines()

    titles = [line.split()[1] for line in lines if line.startswith("──")]
    assert titles == ["status", "experts", "speed", "metrics"]
    assert lines[0].startswith(" Training MoE ")
    assert "attempt" not in lines[0]  # nobody said which one it is: the journal alone knows of those before
    shown.state.run = Run("Training MoE", 100, attempt=2)
    assert "attempt 2 " in shown.lines()[0]
    assert "step  50" in lines[1]
    assert "51/100" in lines[-1]
    for part in ("train_loss", "val_loss", "aux_loss", "learning_rate", "gradient_norm", "gpu memory", "metric_5"):
        assert part in shown.text()
    assert re.search(r"steps/s +2\.00 ", shown.text())
    assert re.search(r"samples/s +64\.00 ", shown.text())


@pytest.mark.fault("D8")
@pytest.mark.parametrize("height", range(1, 30))
@pytest.mark.parametrize("width", [15, 39, 79, 119, 199])
def test_whatever_the_size_progress_is_last_and_the_loss_never_goes(width: int, height: int) -> None:
    shown = Shown()
    shown.take(*(snapshot(step) for step in range(51)))
    shown.state.add_alert(Alert(3, "loss_spike", "0.91"))
    lines = shown.lines(width, height)

    assert "51/100" in lines[-1]
    if height >= 4 and width >= 30:
        assert any("train_loss" in line for line in lines)
        assert any(line.startswith(" ! step 3") for line in lines)


def test_what_matters_least_goes_first() -> None:
    shown = Shown()
    custom = {f"metric_{index}": index / 10 for index in range(20)}
    shown.take(*(snapshot(step, custom_metrics=custom) for step in range(51)))
    parts = ["metric_19", "── speed", "0.125", "learning_rate", "val_loss", "train_loss"]
    heights = range(1, 40)
    gone_at = [max((height for height in heights if part not in shown.text(79, height)), default=0) for part in parts]

    assert gone_at[0] > gone_at[1] >= gone_at[2] > gone_at[3] > gone_at[4] > gone_at[5]


def test_wide_terminals_get_two_columns() -> None:
    shown = Shown()
    shown.take(*(snapshot(step) for step in range(51)))
    first, narrow = shown.lines(117, 39)[1], shown.lines(116, 39)[1]  # of terminals of 118 and 117 columns
    assert "status" in first
    assert "experts" in first
    assert "experts" not in narrow


def test_tables_stand_still_between_their_intervals_while_the_progress_line_moves() -> None:
    shown = Shown()
    shown.take(snapshot(0))
    before = shown.dashboard.rows(79, 23, CONSOLE)
    shown.take(*(snapshot(step) for step in range(1, 20)))
    after = shown.dashboard.rows(79, 23, CONSOLE)

    assert all(one is other for one, other in zip(before[1:-1], after[1:-1], strict=True))
    assert before[-1] != after[-1]


def test_on_a_live_screen_tables_wait_until_those_before_are_paid_for() -> None:
    shown = Shown(table_update_interval=1)
    shown.take(snapshot(0))

    def newest(width: int = 79) -> str:
        return "".join(text for text, _ in shown.dashboard.rows(width, 23, CONSOLE, paced=True)[1])

    assert "step   0" in newest()
    shown.state.take(snapshot(1))
    assert "step   0" in newest()
    assert "step   1" in newest(60)  # another size is laid out at once
    shown.state.take(snapshot(2))
    shown.state.add_alert(Alert(2, "dead_expert", "expert 3 gets nothing"))
    assert "step   2" in newest(60)
    shown.state.take(snapshot(3, train_loss=math.nan))
    assert "step   3" in newest(60)
    shown.state.take(snapshot(4, train_loss=math.nan))
    assert "step   3" in newest(60)
    shown.clock.now += 3.0  # twelve frames of a quarter second at most
    assert "step   4" in newest(60)
    shown.state.take(snapshot(5, train_loss=math.nan))
    shown.dashboard.finish()
    assert "step   5" in newest(60)


def test_in_the_first_seconds_of_a_run_dear_tables_do_not_wait_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    spent = itertools.count()
    monkeypatch.setattr("sinks.terminal.dashboard.time.thread_time", lambda: float(next(spent)))  # a second for each
    shown = Shown(table_update_interval=1)

    def later(seconds: float, step: int) -> str:
        shown.clock.now += seconds
        shown.state.take(snapshot(step))
        return "".join(text for text, _ in shown.dashboard.rows(79, 23, CONSOLE, paced=True)[1])

    assert "step   0" in later(1.0, 0)
    assert "step   0" in later(0.2, 1)
    assert "step   2" in later(0.1, 2)
    assert "step   3" in later(20.0, 3)
    assert "step   3" in later(2.9, 4)
    assert "step   5" in later(0.2, 5)


def test_the_recent_past_comes_with_each_table_and_the_whole_one_at_its_pace() -> None:
    shown = Shown(table_update_interval=1)

    def sparklines() -> list[str]:
        rows = shown.lines()
        row = next(line for line in rows if line.startswith(" train_loss"))
        whole, newest = (rows[1].index(word) for word in ("history", "last 32"))
        return [row[whole : newest - 1].rstrip(), row[newest : newest + 8].rstrip()]

    shown.clock.now += 60.0  # in the first seconds it would come sooner
    shown.take(snapshot(0, train_loss=1.0))
    assert sparklines() == ["▄", "▄"]
    shown.take(snapshot(1, train_loss=2.0))
    assert sparklines() == ["▄", "▁▇"]
    shown.take(snapshot(2, train_loss=1.5))
    assert sparklines() == ["▄", "▁▇▄"]
    shown.clock.now += PAST_EVERY_S
    shown.take(snapshot(3, train_loss=1.0))
    assert sparklines() == ["▁▇▄▁", "▁▇▄▁"]
    shown.take(snapshot(4, train_loss=math.nan))
    assert sparklines() == ["▁▇▄▁×", "▁▇▄▁×"]


def test_the_whole_past_shows_what_an_alert_speaks_of_as_soon_as_a_table_has_come_so_far() -> None:
    shown = Shown(table_update_interval=2)

    def history() -> str:
        rows = shown.lines()
        at = rows[1].index("history")
        return next(line for line in rows if line.startswith(" train_loss"))[at : at + 8].rstrip()

    def take(step: int, loss: float) -> None:
        shown.clock.now += ALERTED_EVERY_S / 4
        shown.state.take(snapshot(step, train_loss=loss))

    shown.clock.now += 60.0
    take(0, 1.0)
    assert history() == "▄"
    take(1, 2.0)
    take(2, 1.0)
    assert history() == "▄"
    take(3, 2.0)
    shown.state.add_alert(Alert(3, "loss_spike", "2.0"))
    assert history() == "▄"  # the table is that of step 2
    take(4, 1.0)
    assert history() == "▁▇▁▇▁"
    take(5, 1.0)
    shown.state.add_alert(Alert(5, "loss_spike", "1.0"))
    take(6, 1.0)
    assert history() == "▁▇▁▇▁"  # not all the time
    take(7, 1.0)
    take(8, 1.0)
    assert history() == "▁▇▁▇▁▁▁▁▁"[:8]


def test_a_frame_takes_in_what_waits_when_it_is_much_and_no_table_is_due() -> None:
    shown = Shown(table_update_interval=10**9)
    shown.state.wake = lambda: None
    for step in range(1, MANY_ARRIVED + 1):
        shown.state.note(snapshot(step))
    shown.dashboard.observe()
    assert len(shown.state.arrived) == MANY_ARRIVED
    shown.state.note(snapshot(MANY_ARRIVED + 1))
    shown.dashboard.observe()
    assert not shown.state.arrived


def test_all_numbers_of_the_tables_are_of_the_step_in_their_heading() -> None:
    shown = Shown(table_update_interval=1000)
    shown.state.wake = lambda: None

    def take(steps: range) -> None:
        for step in steps:
            shown.state.note(snapshot(step, gradient_norm=float(step), custom_metrics={"best_error": 9999.0 - step}))

    def steps(width: int) -> list[str]:
        lines = shown.lines(width, 23)
        heading = next(line for line in lines if "status" in line)
        norm, error = (next(line for line in lines if line.startswith(f" {name}")) for name in ("gradient", "best_"))
        return [heading.split("step")[1].split()[0], norm.split()[1].split(".")[0], error.split()[-1]]

    take(range(1, 300))
    assert steps(79) == ["299"] * 3  # more than may wait: all of it is taken in, and nothing shown before
    take(range(300, 400))
    assert steps(70) == ["299"] * 3  # of another size, and nothing more was taken in
    take(range(400, 700))
    assert steps(70) == ["299"] * 3  # taken in, and no table is due
    assert steps(79) == ["699"] * 3
    take(range(700, 1300))
    assert steps(79) == ["1000"] * 3  # what came after a table is due waits for it
    take(range(1300, 1310))
    assert steps(79) == ["1000"] * 3


def test_the_first_snapshot_is_shown_before_the_first_table_is_due() -> None:
    shown = Shown()
    shown.take(snapshot(1))
    assert re.search(r"train_loss +1\.0000 ", shown.text())


def test_the_last_state_is_shown_at_the_end() -> None:
    shown = Shown()
    shown.take(*(snapshot(step) for step in range(38)))
    shown.dashboard.finish()
    assert "step  37" in shown.lines()[1]
    elapsed = shown.dashboard.elapsed_s
    shown.clock.now += 100
    assert shown.dashboard.elapsed_s == elapsed


def test_switches_leave_out_what_they_name() -> None:
    cases = {
        "show_throughput": "steps/s",
        "show_system_metrics": "gradient_norm",
        "show_expert_utilization": "experts",
        "show_progress_bar": "51/100",
        "show_tables": "train_loss",
    }
    for switch, part in cases.items():
        shown = Shown(**{switch: False})
        shown.take(*(snapshot(step) for step in range(51)))
        assert part not in shown.text()
        on = Shown()
        on.take(*(snapshot(step) for step in range(51)))
        assert part in on.text()


def test_an_empty_utilization_is_said_to_be_missing_and_none_at_all_is_a_dense_model() -> None:
    shown = Shown()
    shown.take(snapshot(0, expert_utilization={}))
    assert re.search(r"experts +- +no utilization given", shown.text())
    shown.take(*(snapshot(step) for step in range(1, 26)))
    assert "no utilization given" not in shown.text()
    dense = Shown()
    dense.take(snapshot(0, expert_utilization=None))
    assert "experts" not in dense.text()
    quiet = Shown(show_expert_utilization=False)
    quiet.take(snapshot(0, expert_utilization={}))
    assert "utilization" not in quiet.text()


def test_given_throughput_goes_before_derived() -> None:
    shown = Shown()
    shown.take(*(snapshot(step, custom_metrics={"samples_per_sec": 777.0}) for step in range(3)))
    shown.state.freeze()
    assert re.search(r"samples/s +777\.0", shown.text())
    assert "── metrics" not in shown.text()


def test_rates_keep_their_rows_when_the_step_goes_back_and_no_rate_is_known_for_a_while() -> None:
    shown = Shown(table_update_interval=1)
    shown.take(*(snapshot(step, sequence_length=128) for step in range(3)))
    rows = [line.split()[0] for line in shown.lines() if re.match(r" (\w+/s|ms/step) ", line)]
    assert rows == ["steps/s", "samples/s", "tokens/s", "ms/step"]
    shown.take(snapshot(0, sequence_length=128))
    for name in rows:
        assert re.search(rf"^ {name} +-( |$)", shown.text(), re.MULTILINE)


def test_a_custom_metric_with_the_name_of_a_field_is_shown_as_any_other_until_the_field_is_given() -> None:
    shown = Shown(table_update_interval=1, show_system_metrics=False)

    def take(step: int, **fields: Any) -> list[str]:
        custom = {"val_loss": 3.0 - step, "steps/s": 7.0}
        shown.take(TrainingSnapshot(step=step, train_loss=1.0, custom_metrics=custom, **fields))
        shown.clock.now += PAST_EVERY_S
        lines = shown.lines()
        at = next(number for number, line in enumerate(lines) if line.startswith("── metrics"))
        found = [number for number, line in enumerate(lines) if line.startswith(" val_loss")]
        return [f"{'metrics' if number > at else 'status'}{lines[number]}" for number in found]

    take(0)
    (row,) = take(1)
    assert re.match(r"metrics val_loss +2\.0000 ↓ +▇▁ +▇▁ +2\.0000 +1$", row)
    assert re.search(r"^ steps/s +7\.0000 → +▄▄ +▄▄$", shown.text(), re.MULTILINE)
    (row,) = take(2, val_loss=0.5)
    assert re.match(r"status val_loss +0\.5000 +at 2    ▄ +▄ +0\.5000 +2$", row)
    (row,) = take(3)
    assert re.match(r"status val_loss +0\.5000 +at 2    ▄ +▄ +0\.5000 +2$", row)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_every_value_that_is_not_finite_says_since_when(value: float) -> None:
    shown = Shown(table_update_interval=1)
    for step in range(5):
        now = 0.5 if step in (0, 2) else value
        shown.take(snapshot(step, learning_rate=now, gradient_norm=now, custom_metrics={"accuracy": now, "word": "a"}))
    for name in ("learning_rate", "gradient_norm", "accuracy"):
        assert re.search(rf"^ {name} +{value} .* since +3$", shown.text(), re.MULTILINE)
    shown.take(snapshot(5, learning_rate=0.5, gradient_norm=0.5, custom_metrics={"accuracy": "unknown"}))
    assert "since" not in shown.text()


def test_the_machine_is_read_at_most_once_a_second() -> None:
    shown = Shown(table_update_interval=1)
    for step in range(20):
        shown.take(snapshot(step))
        shown.text()
    assert shown.machine.readings <= 11  # ten seconds passed
    assert re.search(r"cpu busy +50 %", shown.text())


def test_a_custom_table_takes_the_place_of_custom_metrics() -> None:
    def build(snapshot: TrainingSnapshot) -> Table:
        table = Table(title="Custom Metrics")
        table.add_column("Name of the metric")
        for name in snapshot.custom_metrics:
            table.add_row(name.upper())
        return table

    shown = Shown(custom_table_builder=build)
    shown.take(snapshot(0))
    text = shown.text(79, 40)
    assert "Custom Metrics" in text
    assert "METRIC_5" in text
    assert "── metrics" not in text


@pytest.mark.fault("A18")
def test_a_custom_table_that_raises_is_named_and_the_built_in_one_shown() -> None:
    def build(snapshot: TrainingSnapshot) -> Table:
        raise KeyError("accuracy\x1b[2J")

    shown = Shown(custom_table_builder=build)
    shown.take(snapshot(0))
    text = shown.text(79, 40)
    assert "custom_table_builder: KeyError: 'accuracy" in text
    assert "\x1b" not in text
    assert "metric_5" in text


def test_alerts_appear_with_the_next_frame_without_a_new_table() -> None:
    shown = Shown()
    shown.take(snapshot(0))
    shown.text()
    shown.state.add_alert(Alert(0, "dead_expert", "expert 3 gets nothing"))
    assert " ! step 0  dead expert: expert 3 gets nothing" in shown.lines()


@pytest.mark.fault("I4")
def test_the_remaining_time_follows_the_recent_rate_of_this_session() -> None:
    shown = Shown(total=1000)
    shown.state.run = Run("resumed", 1000, 500)
    shown.state.take(snapshot(500))
    shown.clock.now += 60  # compiling: says nothing about the rest
    shown.state.take(snapshot(501))
    shown.dashboard.observe()
    for step in range(502, 600):
        shown.take(snapshot(step))
    progress = shown.dashboard.progress()
    assert progress.completed == 600
    assert progress.remaining_s == pytest.approx(400 * 0.5)


def test_an_empty_run_has_a_summary_too() -> None:
    shown = Shown()
    shown.dashboard.finish()
    (title,) = shown.dashboard.summary(79)
    assert "0 steps" in "".join(text for text, _ in title)
    assert "0/100" in shown.text()


def test_progress_without_any_metric_invents_none() -> None:
    shown = Shown(show_system_metrics=False)
    shown.take(*(TrainingSnapshot(step=step, train_loss=None) for step in range(3)))  # type: ignore[arg-type]
    lines = shown.lines()
    assert "train_loss" not in "\n".join(lines)
    assert [line.split()[1] for line in lines if line.startswith("──")] == ["steps/s", "speed"]  # the first is a curve


def test_where_custom_metrics_are_all_there_is_they_have_the_headings_and_the_step() -> None:
    """A GAN or an agent that has no `train_loss` has no status, and its columns had no headings."""
    shown = Shown()
    shown.take(*(snapshot_of({"loss_g": 0.7, "loss_d": 0.6, "fid": 80.0 - step}, step) for step in range(51)))
    (heading,) = (line for line in shown.lines() if line.startswith("── metrics"))
    assert heading.startswith("── metrics · step  50 ─")
    assert re.search(r"history ─+ last 32 ─+ best ─+ step$", heading.replace("  step", " ─ step"))
    with_status = Shown()
    with_status.take(*(snapshot(step) for step in range(51)))
    assert re.search(r"^── metrics ─+$", with_status.text(), re.MULTILINE)


@pytest.mark.parametrize("tables", [True, False])
def test_at_the_end_the_summary_alone_has_the_alerts(tables: bool) -> None:
    shown = Shown(show_tables=tables)
    shown.take(*(snapshot(step) for step in range(30)))
    shown.state.add_alert(Alert(3, "loss_spike", "0.91"))
    assert shown.text().count("loss spike") == 1
    shown.dashboard.finish()
    summary = "\n".join("".join(text for text, _ in row) for row in shown.dashboard.summary(79))
    assert (shown.text() + summary).count("loss spike") == 1


def test_where_custom_metrics_are_all_there_is_they_go_last() -> None:
    """At 40 by 15 an agent had two of its seven metrics, and three rows about the memory and the processor."""
    names = ("reward", "episode_length", "policy_loss", "value_loss", "entropy", "kl", "clip_fraction")
    shown = Shown()
    shown.take(*(snapshot_of(dict.fromkeys(names, 0.5), step) for step in range(51)))
    assert all(name in shown.text(39, 14) for name in names)
    assert "reward" in shown.text(39, 4)
