"""The terminal sink as a hub sees it: any console, any order of calls, nothing raised."""

from __future__ import annotations

import copy
import io
import os
import pickle
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from m.hub.hub import MetricsHub
from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot
from m.rich_trainer_viz import RichTrainerVisualizer
from sinks.terminal.config import VisualizationConfig
from sinks.terminal.sink import TerminalSink

ROOT = Path(__file__).parents[1]


def in_memory(width: int = 80, **config: int) -> tuple[TerminalSink, io.StringIO]:
    file = io.StringIO()
    sink = TerminalSink(VisualizationConfig(**config), console=Console(file=file, width=width, height=24))  # type: ignore[arg-type]
    return sink, file


def taken(file: io.StringIO) -> str:
    text = file.getvalue()
    file.seek(0)
    file.truncate()
    return text


def test_a_console_in_memory_holds_the_table_right_after_the_update_that_was_due() -> None:
    sink, file = in_memory()
    sink.start(Run("a run", 100))
    shown = {}
    for step in range(60):
        sink.record(TrainingSnapshot(step=step, train_loss=1.0 / (step + 1)))
        if text := taken(file):
            shown[step] = text
    assert list(shown) == [0, 25, 50]
    assert re.search(r"train_loss +0\.0385 ", shown[25])
    assert "26/100" in shown[25]


def test_the_final_state_and_a_summary_come_at_close_and_only_once() -> None:
    sink, file = in_memory()
    sink.start(Run("a run", 100))
    for step in range(38):
        sink.record(TrainingSnapshot(step=step, train_loss=1.0))
    taken(file)
    sink.close()
    text = taken(file)
    assert "step  37" in text
    assert "── summary" in text
    sink.close()
    assert taken(file) == ""


def test_a_recording_console_can_be_exported() -> None:
    console = Console(record=True, file=io.StringIO(), width=80, force_terminal=True)
    with MetricsHub([TerminalSink(console=console)], strict=True) as hub:
        hub.emit(TrainingSnapshot(step=0, train_loss=0.25))
    assert "train_loss" in console.export_text()


def test_a_console_that_captures_gets_the_end_as_well() -> None:
    """What ``console.capture()`` takes is what its own thread writes."""
    file = io.StringIO()
    console = Console(file=file, width=80)
    with console.capture() as captured, MetricsHub([TerminalSink(console=console)], strict=True) as hub:
        hub.emit(TrainingSnapshot(step=0, train_loss=0.25))
    assert "── summary" in captured.get()
    assert file.getvalue() == ""


@pytest.mark.fault("A7", "A8")
def test_every_order_of_calls_is_safe() -> None:
    sink, file = in_memory()
    sink.alert(Alert(0, "rule", "before anything"))
    sink.record(TrainingSnapshot(step=5, train_loss=1.0))  # before start
    sink.close()
    sink.record(TrainingSnapshot(step=6, train_loss=1.0))
    sink.start(Run("again", 10))
    sink.alert(Alert(0, "rule", "after everything"))
    sink.close()
    text = file.getvalue()
    assert "step    5" in text
    assert "again" not in text


def test_a_second_run_sums_up_the_first() -> None:
    sink, file = in_memory()
    with MetricsHub([sink], strict=True) as hub:
        hub.start(10, "first")
        hub.emit(TrainingSnapshot(step=0, train_loss=9.0))
        taken(file)
        hub.start(20, "second")
        assert "── summary" in taken(file)
        hub.emit(TrainingSnapshot(step=0, train_loss=5.0))
        text = taken(file)
    assert "second" in text
    assert "1/20" in text
    assert "9.0000" not in text


@pytest.mark.fault("B13")
@pytest.mark.parametrize("file", [io.StringIO(), None])
def test_a_stream_that_is_gone_hurts_nobody(file: io.StringIO | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if file is None:
        monkeypatch.setattr(sys, "stdout", None)
        console = Console()
    else:
        console = Console(file=file)
        file.close()
    hub = MetricsHub([TerminalSink(console=console)])
    for step in range(30):
        hub.emit(TrainingSnapshot(step=step, train_loss=1.0))
    hub.close()
    assert hub.stats().emitted == 30


@pytest.mark.fault("A21")
def test_a_copied_model_keeps_its_display_and_a_pickled_one_gets_a_closed_one(
    caplog: pytest.LogCaptureFixture, nothing_was_pickled: None
) -> None:
    """An EMA of a model that holds its visualizer used to fail on a lock of Rich's console."""
    file = io.StringIO()
    config = VisualizationConfig(custom_table_builder=lambda snapshot: "a lambda, which no pickle takes")
    with RichTrainerVisualizer(config, console=Console(file=file, width=80)) as visualizer:
        visualizer.update(TrainingSnapshot(step=0, train_loss=1.0))
        model = {"weights": [1.0], "visualizer": visualizer}
        twin = copy.deepcopy(model)["visualizer"]
        assert twin.sink is copy.copy(visualizer.sink) is visualizer.sink
        elsewhere = pickle.loads(pickle.dumps(model))["visualizer"]
        taken(file)
        elsewhere.update(TrainingSnapshot(step=25, train_loss=1.0))
        elsewhere.close()
        assert taken(file) == ""
        assert "this hub came in a pickle" in caplog.text
        twin.update(TrainingSnapshot(step=50, train_loss=1.0))
        assert "step   50" in taken(file)


def test_whoever_goes_on_with_a_display_that_was_pickled_is_told(
    caplog: pytest.LogCaptureFixture, nothing_was_pickled: None
) -> None:
    with MetricsHub([pickle.loads(pickle.dumps(TerminalSink()))]) as hub:
        assert caplog.text == ""
        for step in range(3):
            hub.emit(TrainingSnapshot(step=step, train_loss=1.0))
        assert caplog.text.count("this sink came in a pickle") == 1


PIPED = """
import sys, time
from m.rich_trainer_viz import RichTrainerVisualizer, TrainingSnapshot, VisualizationConfig
visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=50))
visualizer.start(total_steps=120, description="λ training")
for step in range(120):
    time.sleep(0.002)
    visualizer.update(TrainingSnapshot(step=step, train_loss=1 / (step + 1), custom_metrics={"λ_norm": 1.0}))
visualizer.close()
"""


def piped(env: dict[str, str] | None = None, **how: object) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **(env or {})}
    return subprocess.run([sys.executable, "-c", PIPED], env=environment, timeout=60, **how)  # type: ignore[call-overload, no-any-return]


@pytest.mark.fault("D6", "D7", "D10")
@pytest.mark.parametrize(
    "env", [{}, {"PYTHONIOENCODING": "ascii"}, {"TERM": "dumb"}, {"FORCE_COLOR": "1"}, {"TTY_COMPATIBLE": "1"}]
)
def test_into_a_pipe_go_blocks_of_text_and_no_control_code(env: dict[str, str]) -> None:
    result = piped(env, capture_output=True)
    assert (result.returncode, result.stderr) == (0, b"")
    assert b"\x1b" not in result.stdout
    assert b"\r" not in result.stdout
    heads = [line for line in result.stdout.decode().splitlines() if line.startswith("step ")]
    assert heads[0].startswith("step 1/120")
    assert heads[-1].startswith("step 120/120  100 %")
    if "PYTHONIOENCODING" in env:
        assert result.stdout.isascii()


class ToLog:
    """As many put it in place of standard output, Celery and Airflow among them: it can write and flush, no more."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, text: str) -> None:
        self.lines += text.splitlines()

    def flush(self) -> None:
        pass


@pytest.mark.fault("D6")
@pytest.mark.parametrize("rank", ["0", "1"])
def test_into_a_stream_that_hands_on_to_a_log_go_blocks_of_text(rank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not a dashboard in each call, on each rank."""
    log = ToLog()
    monkeypatch.setattr(sys, "stdout", log)
    monkeypatch.setenv("RANK", rank)
    with MetricsHub([TerminalSink(VisualizationConfig(table_update_interval=1))]) as hub:
        hub.start(total_steps=50, description="run")
        for step in range(50):
            hub.emit(TrainingSnapshot(step=step, train_loss=1.0))
    heads = [line for line in log.lines if line.startswith("step ")]
    assert len(heads) <= 3
    assert not [line for line in log.lines if "━" in line]
    assert [head[:10] for head in heads[-1:]] == (["step 50/50"] if rank == "0" else [])


@pytest.mark.fault("B12")
def test_a_reader_that_leaves_does_not_end_the_training() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = piped(stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.fault("B13")
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_does_not_end_the_training() -> None:
    with open("/dev/full", "wb") as full:
        result = piped(stdout=full, stderr=subprocess.PIPE)
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.fault("B13")
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_once_a_full_disk_has_room_again_the_log_goes_on(tmp_path: Path) -> None:
    config = VisualizationConfig(refresh_per_second=50, table_update_interval=1)
    with open(tmp_path / "log", "w") as log, open("/dev/full", "wb") as full:
        disk = os.dup(log.fileno())
        with MetricsHub([TerminalSink(config, console=Console(file=log))]) as hub:
            os.dup2(full.fileno(), log.fileno())
            hub.emit(TrainingSnapshot(step=0, train_loss=1.0))
            time.sleep(0.5)
            os.dup2(disk, log.fileno())
            hub.emit(TrainingSnapshot(step=1, train_loss=0.5))
        os.close(disk)
    assert "step 2" in (tmp_path / "log").read_text()


def test_into_what_the_user_captures_himself_nothing_of_the_display_goes() -> None:
    code = """
import contextlib, io, time
from m.rich_trainer_viz import RichTrainerVisualizer, TrainingSnapshot, VisualizationConfig
visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=50, table_update_interval=1))
visualizer.start(total_steps=2, description="run")
visualizer.update(TrainingSnapshot(step=0, train_loss=1.0))
with io.StringIO() as mine, contextlib.redirect_stdout(mine):
    print("mine")
    visualizer.update(TrainingSnapshot(step=1, train_loss=0.5))
    time.sleep(0.5)
    assert mine.getvalue() == "mine\\n", mine.getvalue()
visualizer.close()
"""
    result = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=60
    )
    assert (result.returncode, result.stderr) == (0, b"")
    assert b"step 2/2  100 %" in result.stdout
    assert b"summary" in result.stdout


def test_where_somebody_keeps_what_is_printed_he_gets_the_text_as_well(tmp_path: Path) -> None:
    code = """
import sys
import time
from m.rich_trainer_viz import RichTrainerVisualizer, TrainingSnapshot
class Tee:
    def __init__(self, real, log):
        self.real, self.log = real, log
    def write(self, text):
        self.log.write(text)
        return self.real.write(text)
    def __getattr__(self, name):
        return getattr(self.real, name)
sys.stdout = Tee(sys.stdout, open("log", "w"))
visualizer = RichTrainerVisualizer()
visualizer.start(total_steps=2, description="run")
visualizer.update(TrainingSnapshot(step=0, train_loss=1.0))
print("mine")
visualizer.close()
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
    )
    assert (result.returncode, result.stderr) == (0, b"")
    assert b"mine" in result.stdout
    assert b"summary" in result.stdout
    assert (tmp_path / "log").read_bytes() == result.stdout


TALKING = """
import sys, time
from m.rich_trainer_viz import RichTrainerVisualizer, TrainingSnapshot, VisualizationConfig
streams = sys.stdout, sys.stderr
visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=20, table_update_interval=1))
visualizer.start(total_steps=40, description="run")
for step in range(40):
    visualizer.update(TrainingSnapshot(step=step, train_loss=1 / (step + 1)))
    time.sleep(0.05)
    if step % 10 == 9:
        print("evaluating ... ", end="", flush=True)
        time.sleep(0.15)
        print("done")
print("saving ... ", end="", flush=True)
visualizer.close()
assert streams == (sys.stdout, sys.stderr)
"""


def test_in_a_file_a_block_begins_on_a_line_of_its_own_and_waits_a_moment_for_the_users(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    with (tmp_path / "log").open("wb") as log:
        subprocess.run([sys.executable, "-c", TALKING], env=environment, stdout=log, timeout=60, check=True)
    lines = (tmp_path / "log").read_text().splitlines()
    assert len([line for line in lines if line.startswith("step ")]) > 10
    assert not [line for line in lines if re.search(r".step \d+/40", line)]
    assert lines.count("evaluating ... done") == 4
    assert lines[lines.index("saving ... ") + 1].startswith("step 40/40")
