"""Real windows on an X server of the tests' own, with keys and mouse from outside.

Needs Xvfb, xdotool and xwd (``apt-get install xvfb xdotool x11-apps``) and, for each backend, its toolkit. That of
QtAgg comes with the extra ``test``, but for the libraries of the X server's protocol (``apt-get install libegl1
libxcb-cursor0 libxkbcommon-x11-0 ...``; all of them are in ``.ci/run``).
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot
from sinks.plotting import feed as feeds
from sinks.plotting.feed import TO_CLOSE_S
from sinks.plotting.sink import PlotSink

missing = [program for program in ("Xvfb", "xdotool", "xwd") if shutil.which(program) is None]
pytestmark = pytest.mark.skipif(
    bool(missing), reason=f"needs {' and '.join(missing)}: apt-get install xvfb xdotool x11-apps"
)

TOOLKITS = {"TkAgg": "tkinter", "QtAgg": "PySide6.QtWidgets"}
ROOT = str(Path(__file__).resolve().parents[1])


def with_toolkit(backend: str) -> Any:
    """``backend``, left out where its toolkit cannot be loaded, as when the system's libraries are not there."""
    load = [sys.executable, "-c", f"import {TOOLKITS[backend]}"]
    there = subprocess.run(load, capture_output=True, check=False).returncode == 0
    return pytest.param(backend, marks=pytest.mark.skipif(not there, reason=f"{TOOLKITS[backend]} cannot be loaded"))


BACKENDS = [with_toolkit(backend) for backend in TOOLKITS]
ANY = sorted(BACKENDS, key=lambda backend: backend.marks[0].args[0])[:1]


def x_server() -> tuple[subprocess.Popen[bytes], str]:
    """A server that stays when its last client goes, and its display."""
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-noreset", "-screen", "0", "1600x1100x24"],
        pass_fds=[writing],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        number = told.readline().decode().strip()
    if not number:
        server.wait()
        pytest.skip("Xvfb does not start here")
    return server, f":{number}"


@pytest.fixture(scope="module")
def screen() -> Iterator[str]:
    server, display = x_server()
    yield display
    server.terminate()
    server.wait()


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(feeds, "EVERY_S", 0.05)
    monkeypatch.setattr(feeds, "SELDOM_S", 0.05)
    monkeypatch.setattr(feeds, "SHARE_OF_A_CORE", 1.0)
    monkeypatch.setattr(feeds, "SHARE_WHEN_CROWDED", 0.5)
    for name in ("CI", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    caplog.set_level(logging.INFO)


def xdotool(display: str, *words: str) -> str:
    done = subprocess.run(
        ["xdotool", *words], env={**os.environ, "DISPLAY": display}, check=False, capture_output=True, text=True
    )
    return done.stdout.strip()


def windows(display: str, name: str) -> list[str]:
    return xdotool(display, "search", "--onlyvisible", "--name", f"^{name}").split()


def showing(name: str, display: str = "auto", **options: bool) -> PlotSink:
    sink = PlotSink.moe(2, summary=False, display=display, **options)
    sink.start(Run(name))
    for step in range(20):
        sink.record(TrainingSnapshot(step, 1.0 / (step + 1)))
    return sink


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [entry.getMessage() for entry in caplog.records if entry.name.startswith("sinks.plotting")]


@pytest.mark.fault("E4")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_user_zooms_and_follows_again(backend: str, screen: str) -> None:
    """The script of the user is ``window_driver.py``: the zoom tool, updates meanwhile, f, home, another size, q."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(Path(__file__).with_name("window_driver.py")), backend],
        env={**os.environ, "DISPLAY": screen, "PYTHONPATH": ROOT},
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "an update leaves the focus": True,
        "zoomed in": True,
        "the other panel is as before": True,
        "zoom survives an update": True,
        "the other panel follows": True,
        "follows after f": True,
        "follows after home": True,
        "moves on": True,
        "axes with room stay": True,
        "little but the curves changed": True,
        "looks seldom": True,
        "looks often again": True,
        "panels fit another size": True,
        "status": 0,
    }
    assert re.findall(r"^plot rests until \d+\.\d+$", done.stderr, re.MULTILINE)


@pytest.mark.parametrize("backend", BACKENDS)
def test_auto_opens_a_window_that_goes_at_close(
    backend: str, screen: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DISPLAY", screen)
    monkeypatch.setenv("MPLBACKEND", backend)
    sink = showing("goes at close")
    eventually(lambda: windows(screen, "goes at close"))
    before = time.monotonic()
    sink.close()
    assert time.monotonic() - before < TO_CLOSE_S + 0.5
    eventually(lambda: not windows(screen, "goes at close"))
    assert messages(caplog) == []


@pytest.mark.fault("E5")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_window_that_the_user_closes(
    backend: str, screen: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setenv("DISPLAY", screen)
    monkeypatch.setenv("MPLBACKEND", backend)
    sink = showing("to be closed")
    eventually(lambda: windows(screen, "to be closed"))
    time.sleep(0.3)
    xdotool(screen, "mousemove", "300", "300", "key", "q")
    eventually(lambda: messages(caplog))
    for step in range(20, 40):
        sink.record(TrainingSnapshot(step, 1.0))
    sink.save_plot(tmp_path / "run.png")
    sink.close()
    assert messages(caplog) == ["the plot window was closed; training goes on without it"]
    assert windows(screen, "to be closed") == []


@pytest.mark.fault("C9", "E2")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_screen_that_goes_away(
    backend: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In the training process the X library would call ``exit()``: no exception, no ``finally``, no ``atexit``."""
    server, display = x_server()
    try:
        monkeypatch.setenv("DISPLAY", display)
        monkeypatch.setenv("MPLBACKEND", backend)
        sink = showing("loses its screen")
        eventually(lambda: windows(display, "loses its screen"))
    finally:
        server.kill()
        server.wait()
    eventually(lambda: messages(caplog))
    sink.record(TrainingSnapshot(20, 1.0))
    sink.close()
    [message] = messages(caplog)
    assert message.startswith("the process of the plot window ended by itself (")
    assert sink.get_metrics_summary()["train_loss"]["count"] == 21


@pytest.mark.fault("E1")
def test_a_screen_that_is_not_there(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("DISPLAY", ":4711")
    monkeypatch.delenv("MPLBACKEND")
    sink = showing("never seen", "window")
    eventually(lambda: messages(caplog))
    sink.record(TrainingSnapshot(20, 1.0))
    sink.close()
    [message] = messages(caplog)
    assert message.startswith("the process of the plot window ended by itself (")
    assert "no window: there is no display, or none of the toolkits" in message


@pytest.mark.parametrize("toolkit_of", ANY)
def test_a_backend_without_windows_does_not_hinder_a_window_that_was_asked_for(
    toolkit_of: str, screen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", screen)
    monkeypatch.setenv("MPLBACKEND", "agg")
    sink = showing("all the same", "window")
    eventually(lambda: windows(screen, "all the same"))
    sink.close()


@pytest.mark.parametrize("toolkits", [pytest.param(TOOLKITS, marks=[mark for each in BACKENDS for mark in each.marks])])
def test_where_qt_cannot_open_windows_another_toolkit_does(
    toolkits: object, screen: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where a library of its plugin is missing, or OpenCV has named plugins of its own: Qt ends the process."""
    monkeypatch.setenv("DISPLAY", screen)
    monkeypatch.setattr(feeds, "_chosen_backend", lambda: "QtAgg")
    monkeypatch.setenv("QT_QPA_PLATFORM", "nosuch")
    sink = showing("not of Qt", "window")
    eventually(lambda: windows(screen, "not of Qt"))
    sink.close()
    [message] = messages(caplog)
    assert message.startswith("the plot window cannot be one of Qt (")
    assert 'platform plugin "nosuch"' in message


@pytest.mark.parametrize("backend", ANY)
def test_a_window_that_is_kept_open_outlives_the_training(backend: str, screen: str, tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from sinks.plotting.sink import PlotSink\n"
        "from m.metrics.run import Run\n"
        "from m.metrics.snapshot import TrainingSnapshot\n"
        "sink = PlotSink(summary=False, keep_open=True)\n"
        "sink.start(Run('kept open'))\n"
        "sink.record(TrainingSnapshot(0, 1.0))\n"
        "time.sleep(0.7)\n"
        "sink.close()\n"
    )
    environment = {**os.environ, "DISPLAY": screen, "MPLBACKEND": backend, "PYTHONPATH": ROOT}
    before = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", code],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert time.monotonic() - before < 10.0
    assert (done.returncode, done.stderr) == (0, "")
    eventually(lambda: windows(screen, "kept open"))
    time.sleep(0.5)
    assert len(windows(screen, "kept open")) == 1
    xdotool(screen, "mousemove", "300", "300", "key", "q")
    eventually(lambda: not windows(screen, "kept open"))


@pytest.mark.parametrize("backend", ANY)
def test_a_window_goes_with_a_training_that_dies(backend: str, screen: str) -> None:
    code = (
        "import time\n"
        "from sinks.plotting.sink import PlotSink\n"
        "from m.metrics.run import Run\n"
        "from m.metrics.snapshot import TrainingSnapshot\n"
        "sink = PlotSink(summary=False, keep_open=True)\n"
        "sink.start(Run('dies'))\n"
        "sink.record(TrainingSnapshot(0, 1.0))\n"
        "time.sleep(60)\n"
    )
    environment = {**os.environ, "DISPLAY": screen, "MPLBACKEND": backend, "PYTHONPATH": ROOT}
    training = subprocess.Popen([sys.executable, "-c", code], env=environment)
    try:
        eventually(lambda: windows(screen, "dies"))
    finally:
        training.send_signal(signal.SIGKILL)
        training.wait()
    eventually(lambda: not windows(screen, "dies"))
