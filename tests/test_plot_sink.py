from __future__ import annotations

import builtins
import copy
import io
import logging
import math
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest
from waiting import eventually

from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot, snapshot_of
from sinks.plotting.appearance import Off
from sinks.plotting.config import MetricConfig, PlotConfig, TrainingVisualizerConfig
from sinks.plotting.saving import write_whole
from sinks.plotting.sink import PlotSink
from sinks.plotting.summary import summary_table, width_of_output


def fed(sink: PlotSink, *losses: float, **metrics: Any) -> PlotSink:
    for step, loss in enumerate(losses):
        sink.record(TrainingSnapshot(step, loss, **metrics))
    return sink


def titles(sink: PlotSink) -> list[str]:
    return [axes.get_title() for axes in sink.figure.axes if axes.get_title()]


def lines(sink: PlotSink) -> dict[str, list[float]]:
    drawn = [line for axes in sink.figure.axes for line in axes.lines if not line.get_label().startswith("_")]
    return {line.get_label(): line.get_ydata().tolist() for line in drawn}


# -- recording


def test_recording_loads_no_matplotlib() -> None:
    code = (
        "import sys; from sinks.plotting.sink import PlotSink; from m.metrics.snapshot import TrainingSnapshot as S\n"
        "for sink in (PlotSink(), PlotSink.moe(8), "
        "PlotSink.loss(), PlotSink.custom({'a': (0, 'red')}, ('A',), (1, 1))):\n"
        "    sink.record(S(0, 0.5, expert_utilization={0: 1.0}, batch_size=2, custom_metrics={'a': 1.0}))\n"
        "    sink.get_metrics_summary(); sink.close()\n"
        "sys.exit(any(name in sys.modules for name in ('matplotlib', 'numpy', 'rich')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.PIPE).returncode == 0


def test_numpy_is_loaded_when_a_run_starts_and_not_in_its_middle() -> None:
    """Loading takes 80 ms, which is a stall when it comes at the step where points are first put into buckets."""
    code = (
        "import sys, m, sinks; from sinks.plotting.sink import PlotSink; from m.metrics.run import Run\n"
        "sink = PlotSink(); before = 'numpy' in sys.modules; sink.start(Run())\n"
        "sys.exit(before or 'matplotlib' in sys.modules or 'numpy' not in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_summary_and_the_figure_of_a_long_run_miss_nothing() -> None:
    sink = PlotSink(summary=False)
    for step in range(40_000):
        sink.record(TrainingSnapshot(step, 77.0 if step == 123 else 1.0, val_loss=math.nan if step == 9 else 2.0))
    summary = sink.get_metrics_summary()
    assert summary["train_loss"] == {
        "current": 1.0,
        "min": 1.0,
        "max": 77.0,
        "mean": pytest.approx(1.0 + 76.0 / 40_000),
        "count": 40_000,
    }
    assert max(lines(sink)["train_loss"]) == 77.0
    assert any(map(math.isnan, lines(sink)["val_loss"]))
    assert any("1 NaN" in text.get_text() for text in sink.figure.axes[0].texts)
    top = sink.figure.axes[0].get_ylim()[1]
    assert top > 77.0


@pytest.mark.fault("E3", "E6", "E7")
def test_the_figure_never_touches_pyplot() -> None:
    code = (
        "import sys; from sinks.plotting.sink import PlotSink; from m.metrics.snapshot import TrainingSnapshot as S\n"
        "sink = PlotSink(); sink.record(S(0, 0.5)); sink.force_update(); sink.figure\n"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.fault("E10", "E11", "E12", "E13", "E14")
def test_nasty_names_and_values_are_clean_where_warnings_are_errors(tmp_path: Path) -> None:
    code = """
import math, sys
from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot
from sinks.plotting.sink import PlotSink
names = ["_hidden_error", "$\\\\frac$_loss", "a\\nb", "\\x1b[31m", "\\U0001f680 accuracy", "\\ud800"]
names += ["x" * 500, "", " ", "%&#"]
values = [1.0, 0.0, -1.0, math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, True, 2**62]
for sink in (PlotSink(summary=False), PlotSink.moe(3, summary=False), PlotSink.loss(summary=False)):
    sink.start(Run("$\\\\undefined{x \\n\\U0001f680"))
    for step in range(40):
        value = values[step % len(values)]
        custom = {name: values[(step + i) % len(values)] for i, name in enumerate(names)}
        sink.record(TrainingSnapshot(step if step < 30 else step - 20, value, val_loss=value, learning_rate=0.0,
            aux_loss=value, expert_utilization={i: value for i in range(3)}, batch_size=0, gradient_norm=value,
            custom_metrics=custom))
    sink.alert(Alert(3, "$\\n_\\U0001f680", "m"))
    sink.figure
    for extension in ("png", "pdf", "svg"):
        sink.save_plot(f"{sys.argv[1]}/out.{extension}")
    sink.close()
"""
    command = [sys.executable, "-W", "error", "-X", "dev", "-c", code, str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_metrics_and_their_points() -> None:
    sink = fed(PlotSink(summary=False), 3.0, 2.0, learning_rate=1e-3, custom_metrics={"accuracy": 0.5, "note": "text"})
    assert lines(sink) == {"train_loss": [3.0, 2.0], "accuracy": [0.5, 0.5], "learning_rate": [1e-3, 1e-3]}


def test_a_metric_that_was_never_given_never_appears() -> None:
    sink = PlotSink.moe(summary=False)
    sink.record(snapshot_of({"accuracy": 0.5, "val_loss": None}, 0))
    assert list(lines(sink)) == ["accuracy"]
    assert list(sink.get_metrics_summary()) == ["accuracy"]


def test_unknown_metrics_are_kept_for_the_summary() -> None:
    sink = fed(PlotSink.loss(summary=False), 1.0, custom_metrics={"strange": 7.0})
    assert list(lines(sink)) == ["train_loss"]
    assert sink.get_metrics_summary()["strange"]["current"] == 7.0


def test_one_snapshot_fills_all_four_moe_panels() -> None:
    clock = iter(range(100))
    sink = PlotSink.moe(n_experts=2, summary=False, clock=lambda: float(next(clock)))
    utilization = {0: 0.25, 1: 0.75}
    fed(sink, 2.0, 1.0, expert_utilization=utilization, batch_size=4, sequence_length=8, custom_metrics={"accuracy": 1})
    assert set(lines(sink)) == {
        *("train_loss", "accuracy", "expert 0", "1", "expert_entropy", "load_balance"),
        *("samples_per_sec", "tokens_per_sec"),
    }
    assert lines(sink)["load_balance"] == pytest.approx([2 / 3, 2 / 3])
    assert lines(sink)["samples_per_sec"] == [4.0]
    assert titles(sink) == ["Loss", "Task metrics", "Expert utilization", "Throughput"]


def test_experts_are_not_drawn_unless_asked_for() -> None:
    sink = fed(PlotSink.moe(summary=False), 1.0, expert_utilization={0: 0.5, 1: 0.5})
    assert set(lines(sink)) == {"train_loss", "expert_entropy", "load_balance"}
    assert "expert_1" in sink.get_metrics_summary()


def test_the_batch_size_is_drawn_only_when_the_config_names_it() -> None:
    config = TrainingVisualizerConfig(plots=[PlotConfig("B", "b")], metrics=[MetricConfig("batch_size", 0)])
    assert lines(fed(PlotSink(config, summary=False), 1.0, batch_size=32)) == {"batch_size": [32.0]}
    assert "batch_size" not in fed(PlotSink(summary=False), 1.0, batch_size=32).get_metrics_summary()


def test_the_config_is_copied_and_checked() -> None:
    config = TrainingVisualizerConfig(plots=[PlotConfig("A", "a")], metrics=[MetricConfig("train_loss", 0)])
    sink = PlotSink(config, summary=False)
    config.plots.clear()
    assert titles(fed(sink, 1.0)) == ["A"]
    with pytest.raises(ValueError, match=r"metrics\[0\].plot_index"):
        PlotSink(config)


# -- runs


def test_a_second_start_sums_up_and_begins_anew(capsys: pytest.CaptureFixture[str]) -> None:
    sink = PlotSink()
    sink.start(Run("first"))
    assert capsys.readouterr().out == ""
    fed(sink, 3.0, 2.0)
    sink.alert(Alert(1, "spike", ""))
    sink.start(Run("second"))
    assert "Training summary: first\n" in capsys.readouterr().out
    assert sink.get_metrics_summary() == {}
    fed(sink, 9.0)
    assert lines(sink) == {"train_loss": [9.0]}
    assert sink.figure.get_suptitle() == "second"
    sink.close()
    assert "Training summary: second\n" in capsys.readouterr().out


def test_the_title_is_the_configured_one_or_else_the_runs() -> None:
    sink = PlotSink(summary=False)
    assert sink.figure.get_suptitle() == "Real-time Training Progress"
    sink.start(Run())
    assert sink.figure.get_suptitle() == "Real-time Training Progress"
    named = PlotSink(TrainingVisualizerConfig(title="Mine"), summary=False)
    named.start(Run("ResNet"))
    assert named.figure.get_suptitle() == "Mine"


def test_the_figure_is_the_same_object_and_shows_every_point_up_to_now() -> None:
    sink = fed(PlotSink(TrainingVisualizerConfig(update_interval=1000), summary=False), 3.0)
    figure = sink.figure
    fed(sink, 3.0, 2.0)
    assert sink.figure is figure
    assert lines(sink)["train_loss"] == [3.0, 3.0, 2.0]


def test_alerts_are_capped() -> None:
    sink = fed(PlotSink(summary=False), *range(1, 200))
    for step in range(100):
        sink.alert(Alert(step, "spike", ""))
    [marks] = [line for line in sink.figure.axes[0].lines if line.get_linestyle() == "--"]
    assert sorted(set(marks.get_xdata()[::3])) == list(range(80, 100))


# -- closing


def test_close_prints_once_and_everything_goes_on_working(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sink = fed(PlotSink(), 3.0, 2.0)
    before = sink.figure
    sink.close()
    sink.close()
    assert capsys.readouterr().out.count("Training summary") == 1
    fed(sink, 9.0)
    sink.start(Run("late"))
    sink.alert(Alert(0, "late", ""))
    assert sink.figure is not before
    assert lines(sink) == {"train_loss": [3.0, 2.0]}
    assert sink.get_metrics_summary()["train_loss"]["count"] == 2
    sink.force_update()
    sink.save_plot(tmp_path / "after.png")
    assert capsys.readouterr().out == ""


def test_nothing_is_printed_without_data_or_when_not_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    PlotSink().close()
    fed(PlotSink(summary=False), 1.0).close()
    assert capsys.readouterr().out == ""


def test_the_printed_summary_is_an_aligned_table(capsys: pytest.CaptureFixture[str]) -> None:
    sink = fed(PlotSink(), 3.0, math.nan, 1.0, custom_metrics={"multi\nline": 123456.0})
    sink.close()
    head, columns, loss, custom = capsys.readouterr().out.splitlines()
    assert head == "Training summary"
    assert columns.split() == ["current", "min", "max", "mean", "count"]
    assert loss.split() == ["train_loss", "1.0000", "1.0000", "3.0000", "2.0000", "3", "1", "NaN", "or", "inf"]
    assert custom.split() == ["multi␊line", *["123456.00"] * 4, "3"]
    assert columns.index("count") + 5 == loss.index("  1 NaN") == len(custom)


def test_the_printed_summary_writes_numbers_as_the_terminal_does(capsys: pytest.CaptureFixture[str]) -> None:
    fed(PlotSink(), 8.8e-4, learning_rate=-1.25e-10, gradient_norm=18.03, custom_metrics={"big": 1.5e9}).close()
    rows = {row.split()[0]: row.split()[1] for row in capsys.readouterr().out.splitlines()[2:]}
    assert rows == {
        "train_loss": "8.80e-4",
        "learning_rate": "-1.25e-10",
        "gradient_norm": "18.0300",
        "big": "1.50e9",
    }


def test_many_experts_are_named_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    sink = fed(PlotSink.moe(64), 1.0, expert_utilization=dict.fromkeys(range(64), 1 / 64))
    sink.close()
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == "  and 64 more: expert_0, expert_1, expert_2, ..."
    assert len(out) == 6


def test_what_was_not_kept_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    sink = fed(PlotSink(), 1.0)
    sink.record(TrainingSnapshot(1, 1.0, custom_metrics={"x" * 1001: 1.0, "x" * 1000: 1.0}))
    sink.close()
    assert "  not kept: 1 numbers" in capsys.readouterr().out


def test_whoever_writes_in_place_of_stdout_gets_the_printed_summary() -> None:
    code = """
import sys
from m import MetricsHub, TrainingSnapshot
from sinks import PlotSink
write, kept = sys.stdout.write, []
sys.stdout.write = lambda text: (kept.append(text), write(text))[1]  # as wandb does
with MetricsHub([PlotSink(display="off")]) as hub:
    hub.emit(TrainingSnapshot(0, 1.0))
assert "Training summary" in "".join(kept)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=60, check=True)


@pytest.mark.parametrize("kind", ["closed", "none", "ascii", "broken"])
def test_a_stdout_that_cannot_take_it_does_not_matter(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream: Any = None
    if kind in ("ascii", "closed"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    if kind == "closed":
        stream.close()
    if kind == "broken":

        def broken(*args: Any, **kwargs: Any) -> None:
            raise BrokenPipeError

        monkeypatch.setattr(builtins, "print", broken)
    monkeypatch.setattr(sys, "stdout", stream)
    fed(PlotSink(), 1.0, custom_metrics={"größe": 1.0}).close()
    if kind == "ascii":
        assert rb"gr\xf6\xdfe" in stream.buffer.getvalue()


# -- the summary


def test_the_summary_has_the_documented_keys_in_plain_numbers() -> None:
    sink = fed(PlotSink(TrainingVisualizerConfig(max_points=2), summary=False), 4.0, 2.0, math.inf, 3.0)
    summary = sink.get_metrics_summary()
    assert summary == {"train_loss": {"current": 3.0, "min": 2.0, "max": 4.0, "mean": 3.0, "count": 4}}
    assert [type(value) for value in summary["train_loss"].values()] == [float, float, float, float, int]
    assert lines(sink)["train_loss"][-1] == 3.0
    assert len(lines(sink)["train_loss"]) == 2


def test_current_may_be_nan() -> None:
    assert math.isnan(fed(PlotSink(summary=False), 1.0, math.nan).get_metrics_summary()["train_loss"]["current"])


# -- saving


def test_a_png_that_can_be_read(tmp_path: Path) -> None:
    fed(PlotSink.moe(summary=False), 3.0, 2.0, 1.0).save_plot(tmp_path / "new" / "folder" / "run.PNG")
    image = matplotlib.image.imread(tmp_path / "new" / "folder" / "run.PNG")
    assert image.shape == (1200, 1800, 4)
    assert image[..., :3].min() < 0.5 < image[0, 0, 0]
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["run.PNG"]


def test_pdf_and_svg_keep_text_as_text(tmp_path: Path) -> None:
    sink = fed(PlotSink.loss(summary=False), 3.0, 2.0)
    sink.save_plot(str(tmp_path / "run.svg"))
    sink.save_plot(tmp_path / "run.pdf")
    svg = (tmp_path / "run.svg").read_text("utf-8")
    assert ">train_loss</text>" in svg
    assert "<dc:date>" not in svg
    pdf = (tmp_path / "run.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf


def test_equal_figures_make_equal_files(tmp_path: Path) -> None:
    sink = fed(PlotSink.loss(summary=False), 3.0, 2.0)
    for name in ("a.pdf", "b.pdf", "a.png", "b.png"):
        sink.save_plot(tmp_path / name)
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.fault("E18")
@pytest.mark.parametrize("name", ["run", "run.jpg", "run.", "run.png.gz", ".png"])
def test_an_extension_that_is_not_supported(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"supported are \.png, \.pdf, \.svg"):
        PlotSink(summary=False).save_plot(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault("E18")
@pytest.mark.parametrize(
    ("path", "error"), [("", ValueError), ("a\0b.png", ValueError), (None, TypeError), (b"run.png", TypeError)]
)
def test_a_path_that_is_none(path: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="save_plot needs the path of a file"):
        PlotSink(summary=False).save_plot(path)


@pytest.mark.fault("E18")
def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "plots.png").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        PlotSink(summary=False).save_plot(tmp_path / "plots.png")


@pytest.mark.fault("E19")
def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk used to replace a good picture by half of one."""
    sink = fed(PlotSink.loss(summary=False), 3.0)
    target = tmp_path / "run.png"
    target.write_bytes(b"old")

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        sink.save_plot(target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_goes_on_pointing_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "latest.svg"
    link.symlink_to(tmp_path / "real" / "run.svg")
    fed(PlotSink.loss(summary=False), 3.0).save_plot(link)
    assert link.is_symlink()
    assert (tmp_path / "real" / "run.svg").read_bytes().startswith(b"<?xml")


@pytest.mark.skipif(sys.platform == "win32", reason="a file has no permissions by group there")
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path) -> None:
    target = tmp_path / "run.png"
    target.write_bytes(b"old")
    target.chmod(0o604)
    fed(PlotSink.loss(summary=False), 3.0).save_plot(target)
    assert target.read_bytes().startswith(b"\x89PNG")
    assert target.stat().st_mode & 0o777 == 0o604


def test_saving_before_the_first_snapshot(tmp_path: Path) -> None:
    PlotSink.moe(summary=False).save_plot(tmp_path / "empty.svg")
    text = (tmp_path / "empty.svg").read_text("utf-8")
    assert text.count(">no data yet</text>") == 4
    assert ">Throughput</text>" in text


# -- drawing


def test_a_drawing_that_fails_is_logged_and_not_raised(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sink = fed(PlotSink(summary=False), 1.0)

    def fail() -> None:
        raise RuntimeError("no font")

    monkeypatch.setattr(sink, "_up_to_date", fail)
    with caplog.at_level(logging.ERROR):
        sink.force_update()
        sink.force_update()
    assert [record.getMessage() for record in caplog.records] == ["the figure could not be drawn: no font"] * 2
    assert caplog.text.count("Traceback") == 1


def test_drawing_while_another_thread_records() -> None:
    sink = PlotSink(summary=False)
    stop = threading.Event()
    errors: list[BaseException] = []

    def record() -> None:
        step = 0
        try:
            while not stop.is_set():
                sink.record(TrainingSnapshot(step, 1.0 + step % 7, custom_metrics={f"m{step % 300}": 1.0}))
                step += 1
                time.sleep(0.0002)  # leaves the interpreter to the drawing
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=record)
    thread.start()
    try:
        for _ in range(3):
            sink.force_update()
            sink.get_metrics_summary()
    finally:
        stop.set()
        thread.join()
    assert errors == []


@pytest.mark.fault("D17")
def test_a_redraw_is_due_at_multiples_and_at_the_first_step_past_one() -> None:
    sink = PlotSink(TrainingVisualizerConfig(update_interval=25), summary=False)
    due: list[int] = []

    class Place(Off):
        def redraw_due(self) -> None:
            due.append(step)

    sink._appearance = Place()
    for step in (*range(1, 62, 10), 75, 75, 76, 50, 51):
        sink.record(TrainingSnapshot(step, 1.0))
    assert due == [31, 51, 75, 50]


@pytest.mark.fault("A21")
def test_a_copied_model_keeps_its_sink_and_a_pickled_one_gets_a_closed_one(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, nothing_was_pickled: None
) -> None:
    sink = fed(PlotSink(), 1.0)
    sink.force_update()
    assert copy.deepcopy({"sink": sink})["sink"] is sink
    other = pickle.loads(pickle.dumps(sink))
    assert caplog.text == ""
    fed(other, 2.0, 1.0)
    assert caplog.text.count("this sink came in a pickle") == 1
    assert other.get_metrics_summary() == {}
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("where", [{"display": "image", "image_path": "live.png"}, {"display": lambda figure: None}])
def test_a_sink_is_pickled_wherever_it_shows_the_figure(where: dict[str, Any]) -> None:
    other = pickle.loads(pickle.dumps(PlotSink(**where)))
    fed(other, 2.0)
    assert other.get_metrics_summary() == {}


@pytest.mark.parametrize("width", [None, 80, 48, 20])
def test_the_summary_leaves_out_columns_rather_than_wrap(width: int | None) -> None:
    sink = fed(PlotSink.moe(8, summary=False), 1.0, math.nan, 0.5)
    lines = summary_table(sink._numbers.histories(), width=width).splitlines()
    head = lines[1].split()
    assert head == ["current", "min", "max", "mean", "count"][: len(head)]
    assert len(head) == {None: 5, 80: 5, 48: 2, 20: 1}[width]
    assert any("1 NaN or inf" in line for line in lines)
    if width in (48, 80):
        assert max(map(len, lines)) <= width


@pytest.mark.parametrize(("columns", "width"), [(0, None), (100, 100)])
def test_a_terminal_that_does_not_say_how_wide_it_is_gets_the_whole_summary(
    columns: int, width: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of a container, of ``script`` in a job, or of an editor, before anybody has given it a size."""
    monkeypatch.setattr(os, "get_terminal_size", lambda descriptor: os.terminal_size((columns, 0)))
    with open(os.devnull, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert width_of_output() == width


def test_layers_are_in_the_summary_by_name_and_not_in_the_table() -> None:
    sink = PlotSink(display="off", summary=False)
    for step in range(3):
        sink.record(TrainingSnapshot(step, 1.0, expert_utilization={f"block{i}": [1, 1, 2, 0] for i in range(10)}))
    summary = sink.get_metrics_summary()
    assert summary["load_balance"]["current"] == 0.5
    assert summary["dead_experts"]["current"] == 10
    assert summary["dead_experts/block3"]["max"] == 1
    assert summary["load_cv/block9"]["count"] == 3
    text = summary_table(sink._numbers.histories())
    assert "dead_experts " in text
    assert "and 20 more: load_cv/block0" in text
    assert len(sink.figure.axes) > 2


def test_the_saved_files_of_a_run_are_listed_each_once(tmp_path: Path) -> None:
    sink = PlotSink(display="off", summary=False)
    sink.record(TrainingSnapshot(0, 1.0))
    for name in ("a.png", "b.svg", "a.png"):
        sink.save_plot(tmp_path / name)
    assert sink.written == [str(tmp_path / "a.png"), str(tmp_path / "b.svg")]
    sink.start(Run("next"))
    assert sink.written == []
    sink.close()


def test_the_live_image_is_a_written_file_once_there_is_something_in_it(tmp_path: Path) -> None:
    sink = PlotSink(display="image", image_path=tmp_path / "live.png", summary=False)
    assert sink.written == []
    sink.record(TrainingSnapshot(0, 1.0))
    sink.close()
    assert sink.written == [str(tmp_path / "live.png")]
    eventually((tmp_path / "live.png").exists)  # a busy machine draws it after the end


def test_where_nothing_can_be_drawn_the_image_of_a_run_before_is_none_of_this_run(tmp_path: Path) -> None:
    image = tmp_path / "live.png"
    image.write_text("of a training before")
    sink = PlotSink(display="image", image_path=image, summary=False)
    sink._appearance = Off()
    sink.start(Run("first"))
    sink.record(TrainingSnapshot(0, 1.0))
    assert sink.written == []
    write_whole(b"of the first", image)
    assert sink.written == [str(image)]
    sink.start(Run("second"))
    sink.record(TrainingSnapshot(0, 1.0))
    assert sink.written == []
    image.unlink()
    assert sink.written == []
