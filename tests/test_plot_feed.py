from __future__ import annotations

import gc
import logging
import math
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_injection import without_standard_streams
from matplotlib.font_manager import FontManager
from matplotlib.image import imread
from waiting import eventually

from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot
from sinks.plotting import feed as feeds
from sinks.plotting.config import TrainingVisualizerConfig
from sinks.plotting.drawing_process import DrawingProcess
from sinks.plotting.feed import TO_CLOSE_S, Feed
from sinks.plotting.sink import PlotSink

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="stops processes by signals")

PNG_END = bytes.fromhex("49454e44ae426082")


TOLD_AFTER_S = feeds.EVERY_S + 0.3
"""In a process of its own, where nothing is patched."""


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(feeds, "EVERY_S", 0.05)
    monkeypatch.setattr(feeds, "SELDOM_S", 0.05)
    monkeypatch.setattr(feeds, "SHARE_OF_A_CORE", 1.0)
    monkeypatch.setattr(feeds, "SHARE_WHEN_CROWDED", 0.5)
    caplog.set_level(logging.INFO)


@pytest.fixture
def showing() -> Iterator[Callable[..., PlotSink]]:
    made: list[PlotSink] = []

    def show(**options: Any) -> PlotSink:
        options = {"image_every_s": 0.0, "display": "image", **options}
        made.append(PlotSink.moe(summary=False, **options))
        return made[-1]

    yield show
    for sink in made:
        sink.close()


def process_of(sink: PlotSink) -> DrawingProcess:
    place = sink._appearance
    assert isinstance(place, Feed)
    eventually(lambda: place._process is not None)
    assert place._process is not None
    return place._process


def ended(pid: int) -> bool:
    """Whether there is no such process, or nothing of it but its exit status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        try:
            os.kill(pid, 0)
        except OSError:
            return True
        return False


def record(sink: PlotSink, *losses: float, start: int = 0, **more: Any) -> None:
    for step, loss in enumerate(losses, start):
        sink.record(TrainingSnapshot(step, loss, **more))


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [entry.getMessage() for entry in caplog.records if entry.name.startswith("sinks.plotting")]


# -- the image


def test_every_point_is_in_the_last_image(
    tmp_path: Path, showing: Callable[..., PlotSink], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "new" / "run.svg"
    sink = showing(image_path=path)
    sink.start(Run("my MoE"))
    record(sink, 3.0, math.nan, 2.0)
    eventually(path.exists)
    eventually(lambda: ">1 NaN<" in path.read_text("utf-8"))
    assert ">my MoE</text>" in path.read_text("utf-8")
    sink.alert(Alert(2, "loss_spike", ""))
    record(sink, *[math.nan] * 6, 1.0, start=3, custom_metrics={"accuracy": 0.5})
    before = time.monotonic()
    sink.close()
    assert time.monotonic() - before < TO_CLOSE_S + 0.5
    eventually(lambda: ">7 NaN<" in path.read_text("utf-8"))
    text = path.read_text("utf-8")
    assert ">accuracy</text>" in text
    assert "loss spike at step 2" in text
    assert list(path.parent.iterdir()) == [path]
    assert not [message for message in messages(caplog) if "last plot image" not in message]


def test_its_pipes_take_no_number_of_a_standard_stream(tmp_path: Path, showing: Callable[..., PlotSink]) -> None:
    path = tmp_path / "run.svg"
    with without_standard_streams() as taken:
        sink = showing(image_path=path)
        record(sink, 3.0, 2.0)
        process_of(sink)
        assert taken() == []
    eventually(path.exists)


def test_a_second_run_takes_over_the_image(tmp_path: Path, showing: Callable[..., PlotSink]) -> None:
    path = tmp_path / "run.svg"
    sink = showing(image_path=path)
    sink.start(Run("first"))
    record(sink, 3.0, custom_metrics={"first_error": 1.0})
    eventually(lambda: path.exists() and "first_error" in path.read_text("utf-8"))
    sink.start(Run("second"))
    record(sink, 1.0)
    eventually(lambda: ">second<" in path.read_text("utf-8"))
    assert "first_error" not in path.read_text("utf-8")


@pytest.mark.fault("E20")
def test_ten_thousand_readers_see_no_broken_image(tmp_path: Path, showing: Callable[..., PlotSink]) -> None:
    path = tmp_path / "run.png"
    sink = showing(image_path=path)
    record(sink, 1.0)
    eventually(path.exists)
    versions = set()
    for reading in range(10_000):
        image = path.read_bytes()
        assert image[:8] == b"\x89PNG\r\n\x1a\n"
        assert image[-8:] == PNG_END
        versions.add(path.stat().st_ino)
        if reading % 20 == 0:
            record(sink, 1.0 / (reading + 1), start=reading)
            time.sleep(0.005)  # leaves a core to the drawing
    assert len(versions) >= 3


@pytest.mark.fault("E18")
def test_an_image_that_cannot_be_written_is_a_line_in_the_log(
    tmp_path: Path, showing: Callable[..., PlotSink], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    sink = showing(image_path=tmp_path / "file" / "run.png")
    record(sink, 1.0)
    assert sink.written == [str(tmp_path / "file" / "run.png")]
    eventually(lambda: messages(caplog))
    assert sink.written == []
    record(sink, 1.0, start=1)
    sink.close()
    [message] = [message for message in messages(caplog) if "last plot image" not in message]
    assert re.match(r"the plot image is not up to date: .*run\.png|.*Not a directory|.*File exists", message)
    assert sink.get_metrics_summary()["train_loss"]["count"] == 2


# -- what may happen to the other process


@pytest.mark.parametrize(
    ("steps", "said"),
    [(150_000, "did not take the newest points in time"), (10, "is stopped and was ended")],
    ids=["more than the pipe takes", "few"],
)
def test_a_stopped_process_holds_up_nothing(
    steps: int, said: str, tmp_path: Path, showing: Callable[..., PlotSink], caplog: pytest.LogCaptureFixture
) -> None:
    sink = showing(image_path=tmp_path / "run.png")
    record(sink, 1.0)
    process = process_of(sink)
    os.kill(process.pid, signal.SIGSTOP)
    before = time.monotonic()
    record(sink, *[1.0] * steps, start=1)
    assert time.monotonic() - before < 5.0
    time.sleep(0.3)
    assert len(process.unsent) < 1_500_000  # one frame at the most, however much is waiting: all that a history keeps
    before = time.monotonic()
    sink.close()
    assert time.monotonic() - before < TO_CLOSE_S + 0.5
    eventually(lambda: messages(caplog))
    assert said in messages(caplog)[0]
    eventually(lambda: ended(process.pid))
    assert sink.get_metrics_summary()["train_loss"]["count"] == steps + 1


def test_a_process_that_was_stopped_for_a_while_catches_up(tmp_path: Path, showing: Callable[..., PlotSink]) -> None:
    path = tmp_path / "run.svg"
    sink = showing(image_path=path)
    record(sink, 1.0)
    process = process_of(sink)
    os.kill(process.pid, signal.SIGSTOP)
    record(sink, *[1.0] * 100_000, *[math.nan] * 123, start=1)
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGCONT)
    eventually(lambda: path.exists() and ">123 NaN<" in path.read_text("utf-8"))


def test_a_killed_process_is_one_line_in_the_log(
    tmp_path: Path, showing: Callable[..., PlotSink], caplog: pytest.LogCaptureFixture
) -> None:
    sink = showing(image_path=tmp_path / "live.png")
    record(sink, 1.0)
    process = process_of(sink)
    process.kill()
    eventually(lambda: messages(caplog))
    record(sink, *[0.5] * 1000, start=1)
    time.sleep(0.2)
    sink.save_plot(tmp_path / "saved.png")
    sink.close()
    assert messages(caplog) == ["the process of the plot image ended by itself (signal 9); training goes on without it"]
    assert (tmp_path / "saved.png").exists()


@pytest.mark.parametrize("kind", ["missing", "unknown", "failing", "frozen"])
def test_a_process_that_cannot_start(
    kind: str,
    tmp_path: Path,
    showing: Callable[..., PlotSink],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failing = tmp_path / "python"
    failing.write_text("#!/bin/sh\necho first >&2\necho no such thing >&2\nexit 7\n")
    failing.chmod(0o755)
    executable = {"missing": str(tmp_path / "nowhere"), "unknown": ""}.get(kind, str(failing))
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(sys, "frozen", kind == "frozen", raising=False)
    sink = showing(image_path=tmp_path / "live.png")
    record(sink, 1.0)
    eventually(lambda: messages(caplog))
    record(sink, 1.0, start=1)
    sink.close()
    [message] = messages(caplog)
    expected = {
        "missing": "could not be started: .*nowhere",
        "unknown": "could not be started: .*sys.executable is empty",
        "failing": r"ended by itself \(exit status 7: no such thing\)",
        "frozen": "could not be started: in a frozen program",
    }
    assert re.search(expected[kind], message)
    assert message.endswith("; training goes on without it")


@pytest.mark.parametrize("name", ["PYTHONTRACEMALLOC", "PYTHONMALLOC", "PYTHONVERBOSE", "PYTHONDEVMODE"])
def test_who_looks_for_a_leak_in_the_training_does_not_slow_the_drawing(
    name: str, tmp_path: Path, showing: Callable[..., PlotSink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``PYTHONTRACEMALLOC`` loading matplotlib takes ten times as long, and the last image came too late."""
    executable = tmp_path / "python"
    executable.write_text(f"#!/bin/sh\nenv > {tmp_path}/there.new\nmv {tmp_path}/there.new {tmp_path}/there\n")
    executable.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(executable))
    monkeypatch.setenv(name, "1")
    monkeypatch.setenv("MPLCONFIGDIR", "stays")
    record(showing(image_path=tmp_path / "live.png"), 1.0)
    eventually((tmp_path / "there").exists)
    there = (tmp_path / "there").read_text().splitlines()
    assert "MPLCONFIGDIR=stays" in there
    assert not [line for line in there if line.startswith(name)]


def test_a_process_that_ends_badly_after_the_last_point_is_a_line_in_the_log(
    tmp_path: Path, showing: Callable[..., PlotSink], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a short run, where that is the only picture."""
    executable = tmp_path / "python"
    executable.write_text("#!/bin/sh\ncat > /dev/null\necho no memory >&2\nexit 7\n")
    executable.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(executable))
    sink = showing(image_path=tmp_path / "live.png")
    record(sink, 1.0)
    process_of(sink)
    sink.close()
    reason = "ended by itself (exit status 7: no memory)"
    assert messages(caplog) == [f"the process of the plot image {reason}; training goes on without it"]
    assert sink.written == []


def test_a_sink_that_nobody_has_any_more_takes_its_process_along(tmp_path: Path) -> None:
    sink = PlotSink(summary=False, display="image", image_path=tmp_path / "run.png")
    record(sink, 1.0)
    process = process_of(sink)
    del sink
    gc.collect()
    eventually(lambda: ended(process.pid))


@pytest.mark.parametrize("extension", ["png", "svg"])
def test_the_last_image_is_the_figure_that_is_saved(tmp_path: Path, extension: str) -> None:
    """Whatever room its axes had to grow into while it was live."""
    path = tmp_path / f"run.{extension}"
    config = TrainingVisualizerConfig(use_blit=True, update_interval=1)
    sink = PlotSink(config, summary=False, display="image", image_path=path, image_every_s=0.0)
    for start in range(0, 200, 10):
        record(sink, *(1.0 / (step + 1) for step in range(start, start + 10)), start=start)
        time.sleep(0.05)
    sink.close()
    saved = tmp_path / f"saved.{extension}"
    sink.save_plot(saved)
    if extension == "png":
        np.testing.assert_array_equal(imread(path), imread(saved))
    else:
        assert path.read_text() == saved.read_text()


@pytest.mark.fault("E21")
def test_a_locked_font_cache_delays_the_picture_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a cluster, where many processes make the cache at once or one died doing so."""
    settings = tmp_path / "settings"
    settings.mkdir()
    name = f"fontlist-v{FontManager.__version__}.json"
    (settings / f"{name}.matplotlib-lock").touch()
    monkeypatch.setenv("MPLCONFIGDIR", str(settings))
    assert_a_picture_comes(tmp_path / "run.png")
    assert not (settings / name).exists(), "somebody else has it"


@pytest.mark.fault("E22")
def test_a_folder_for_settings_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "file" / "settings"))
    assert_a_picture_comes(tmp_path / "run.png")


def test_a_folder_that_is_deleted_while_training_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a notebook, at the prompt and with ``python -c`` it is the first place where Python looks for modules."""
    monkeypatch.syspath_prepend("")
    monkeypatch.setenv("PYTHONPATH", ".")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert_a_picture_comes(tmp_path / "run.png")


def assert_a_picture_comes(path: Path) -> None:
    sink = PlotSink(summary=False, display="image", image_path=path, image_every_s=0.0)
    worst_s = 0.0
    until = time.monotonic() + 60.0
    while not path.exists() and time.monotonic() < until:
        before = time.thread_time()
        record(sink, 1.0)
        worst_s = max(worst_s, time.thread_time() - before)
        time.sleep(0.02)
    assert path.read_bytes().endswith(PNG_END)
    assert worst_s < 0.05, "the loop has no part in it"
    sink.close()


# -- the end of the training process

TRAINING = """
import os, sys, time
from sinks.plotting.sink import PlotSink
from m.metrics.snapshot import TrainingSnapshot
sink = PlotSink(display="image", image_path=sys.argv[1], image_every_s=0.0, summary=False)
sink.record(TrainingSnapshot(0, 1.0))
sink.record(TrainingSnapshot(1, float("nan")))
while sink._appearance._process is None:
    time.sleep(0.01)
"""


def train(tmp_path: Path, code: str, *arguments: str) -> subprocess.Popen[str]:
    """A script of the user's, without any ``if __name__ == "__main__"``, in a folder of its own."""
    script = tmp_path / "train.py"
    script.write_text(TRAINING + textwrap.dedent(code))
    root = str(Path(__file__).resolve().parents[1])
    command = [sys.executable, "-W", "error", "-X", "dev", str(script), str(tmp_path / "run.svg"), *arguments]
    return subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root, "PYTHONWARNINGS": "error"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def test_a_script_without_a_guard_runs_clean(tmp_path: Path) -> None:
    training = train(tmp_path, "print(sink._appearance._process.pid, flush=True); sink.close()")
    out, err = training.communicate(timeout=20)
    assert err in ("", f"the last plot image is still being drawn; {tmp_path}/run.svg will be there in a moment\n")
    eventually(lambda: ended(int(out)))
    assert ">1 NaN<" in (tmp_path / "run.svg").read_text("utf-8")


@pytest.mark.parametrize(("every_s", "looks_every_s"), [(0.0, 1.0), (1.5, 1.5), (60.0, 2.0)])
def test_it_looks_as_often_as_the_image_is_replaced_within_limits(
    monkeypatch: pytest.MonkeyPatch, every_s: float, looks_every_s: float
) -> None:
    monkeypatch.setattr(feeds, "EVERY_S", 1.0)
    waited: list[float] = []

    class Wake(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            waited.append(timeout)
            return True  # closed at the first look

    feed = Feed("image", lambda: None, every_s=every_s, path="never-written.png")
    feed._wake = Wake()
    feed.first_point()
    assert feed._thread is not None
    feed._thread.join(20.0)
    assert waited == [looks_every_s]


@pytest.mark.parametrize(
    ("rest_s", "look_in_s"), [(-5.0, 1.0), (0.5, 1.0), (1.75, 1.5), (5.0, 4.75), (6.0, 5.0), (300.0, 5.0)]
)
def test_while_nothing_will_be_drawn_it_looks_seldom(
    monkeypatch: pytest.MonkeyPatch, rest_s: float, look_in_s: float
) -> None:
    """And shortly before the next drawing, so that this shows what is new."""
    monkeypatch.setattr(feeds, "EVERY_S", 1.0)
    monkeypatch.setattr(feeds, "SELDOM_S", 5.0)
    monkeypatch.setattr(feeds.time, "monotonic", lambda: 1000.0)
    process = DrawingProcess.__new__(DrawingProcess)
    process.rests_until = 1000.0 + rest_s
    assert Feed("image", lambda: None)._until_next_look(process) == look_in_s


def test_the_process_says_how_long_it_rests(tmp_path: Path, showing: Callable[..., PlotSink]) -> None:
    sink = showing(image_path=tmp_path / "run.png", image_every_s=60.0)
    before = time.monotonic()
    record(sink, 1.0)
    process = process_of(sink)
    eventually(lambda: process.rests_until)
    assert before + 60.0 < process.rests_until < time.monotonic() + 60.0
    assert process.last_words() == ""


def test_how_long_it_rests_is_heard_among_what_toolkits_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable = tmp_path / "python"
    lines = r"first\nplot rests until 1.50\nplot: no\nplot rests until 987654.25\nplot rests until late\nlast"
    executable.write_text(f"#!/bin/sh\nprintf '{lines}' >&2\nexec cat > /dev/null\n")
    executable.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(executable))
        process = DrawingProcess(b"")
    eventually(lambda: process.listen() or process.rests_until > 2.0)
    eventually(lambda: process.listen() or process.line_with("last"))
    assert process.rests_until == 987654.25
    assert process._heard == b"first\nplot: no\nplot rests until late\nlast"
    assert process.complains()
    assert process.last_words() == "no"
    process.end()


@pytest.mark.parametrize("how", ["os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_a_training_that_dies_takes_the_process_along(tmp_path: Path, how: str) -> None:
    training = train(tmp_path, f"print(sink._appearance._process.pid, flush=True); time.sleep({TOLD_AFTER_S}); {how}")
    pid = said(training)
    training.communicate(timeout=20)
    eventually(lambda: ended(pid))
    assert ">1 NaN<" in (tmp_path / "run.svg").read_text("utf-8")  # with what it had been told


def test_a_script_that_a_broken_pipe_would_end(tmp_path: Path) -> None:
    """Command line tools often say ``signal(SIGPIPE, SIG_DFL)``: then a write to a dead process ends the writer."""
    code = """
    import signal
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    process = sink._appearance._process
    process.has_ended = lambda: False  # it dies between the look and the write
    os.kill(process.pid, signal.SIGKILL)
    for step in range(2, 12):
        sink.record(TrainingSnapshot(step, 1.0))
        time.sleep(0.1)
    print("trained")
    os._exit(0)
    """
    out, _ = train(tmp_path, code).communicate(timeout=20)
    assert out == "trained\n"


@pytest.mark.fault("C9")
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are read from /proc")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_lets_go_of_the_pipes(tmp_path: Path, showing: Callable[..., PlotSink]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    sink = showing(image_path=tmp_path / "run.png")
    record(sink, 1.0)
    process_of(sink)
    assert len(os.listdir("/proc/self/fd")) > before
    child = os.fork()
    if not child:
        os._exit(len(os.listdir("/proc/self/fd")) > before)  # those of other tests' sinks go as well
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.fault("C9")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_worker_that_outlives_the_training_does_not_keep_the_process(tmp_path: Path) -> None:
    """A forked data loader inherits the pipe. As long as it held it open, the window would stay."""
    code = """
    worker = os.fork()
    if worker == 0:
        os.close(1), os.close(2)
        sink.record(TrainingSnapshot(2, 1.0))
        sink.close()  # inert: it must neither end the parent's process nor wait for it
        time.sleep(20)
        os._exit(0)
    print(sink._appearance._process.pid, worker, sep="\\n", flush=True)
    time.sleep(1.0)
    assert not sink._appearance._process.has_ended()
    os._exit(0)
    """
    training = train(tmp_path, code)
    pid, worker = said(training), said(training)
    _, err = training.communicate(timeout=20)
    try:
        assert err == ""
        assert training.returncode == 0
        assert not ended(worker)
        eventually(lambda: ended(pid))
        assert not ended(worker)
    finally:
        os.kill(worker, signal.SIGKILL)
