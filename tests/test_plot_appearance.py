from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from m.metrics.snapshot import TrainingSnapshot
from m.training_viz import create_custom_visualizer, create_loss_visualizer, create_moe_visualizer
from sinks.plotting.appearance import Appearance, Off, appearance_for, windows_can_open
from sinks.plotting.budget import DrawBudget
from sinks.plotting.config import TrainingVisualizerConfig
from sinks.plotting.feed import Feed
from sinks.plotting.sink import PlotSink


def nothing() -> None:
    return None


def place(display: Any, **more: Any) -> Appearance:
    return appearance_for(TrainingVisualizerConfig(display=display, **more), nothing, lambda show: None, DrawBudget())


@pytest.mark.fault("E1")
def test_off_and_auto_without_a_screen_are_nowhere() -> None:
    assert isinstance(place("off"), Off)
    assert isinstance(place("auto", keep_open=True), Off)


def test_window_and_image_are_elsewhere_and_start_nothing_yet(tmp_path: Path) -> None:
    for appearance in (place("window"), place("image", image_path=tmp_path / "run.svg")):
        assert isinstance(appearance, Feed)
        assert appearance._thread is None
        appearance.close()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"display": "screen"}, ValueError, r"one of 'auto', 'window', 'image', 'notebook', 'off' or a function"),
        ({"display": "screen"}, ValueError, "got 'screen'"),
        ({"draw_budget": 0.0}, ValueError, r"draw_budget must be above 0\.0 and up to 1\.0; got 0\.0"),
        ({"draw_budget": float("nan")}, ValueError, "draw_budget must be above"),
        ({"draw_budget": "5 %"}, TypeError, "draw_budget must be a number"),
        ({"dispaly": "off"}, TypeError, "unknown keyword 'dispaly'; .* by display, image_path"),
        ({"display": True}, TypeError, "display must be one of"),
        ({"display": "image"}, ValueError, r"image_path must be the path of a \.png or \.svg file"),
        ({"display": "image", "image_path": "run.pdf"}, ValueError, "got 'run.pdf'"),
        ({"display": "image", "image_path": "run\0.png"}, ValueError, "image_path must be"),
        ({"display": "image", "image_path": 3}, TypeError, r"got 3 \(int\)"),
        ({"display": "image", "image_path": b"run.png"}, TypeError, "image_path must be"),
        ({"image_path": "run.png"}, ValueError, "image_path is for display='image'"),
        ({"display": "image", "image_path": "run.png", "image_every_s": -1.0}, ValueError, "image_every_s must be 0"),
        ({"display": "image", "image_path": "run.png", "image_every_s": "1"}, TypeError, "image_every_s must be a"),
        ({"on_rank": "0"}, TypeError, "on_rank must be a whole number or None"),
        ({"keep_open": 1}, TypeError, "keep_open must be True or False"),
    ],
)
def test_what_cannot_work_is_said_at_once(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        PlotSink(**options)
    with pytest.raises(error, match=message):
        PlotSink.moe(**options)
    if "dispaly" not in options:
        with pytest.raises(error, match=message):
            PlotSink(TrainingVisualizerConfig(**options))


def test_an_image_is_where_it_was_asked_for_whatever_folder_the_training_goes_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    sink = PlotSink(display="image", image_path="a.png", summary=False)
    monkeypatch.chdir("elsewhere")
    sink.record(TrainingSnapshot(0, 1.0))
    assert sink.written == [str(tmp_path / "a.png")]
    sink.close()
    assert (tmp_path / "a.png").exists()


def test_the_configuration_says_it_too_and_a_keyword_takes_its_place(tmp_path: Path) -> None:
    config = TrainingVisualizerConfig(display="image", image_path=tmp_path / "a.png", draw_budget=0.5)
    sink = PlotSink(config, image_path=tmp_path / "b.png")
    assert isinstance(sink._appearance, Feed)
    assert (sink.config.display, sink.config.draw_budget) == ("image", 0.5)
    assert (sink.config.image_path, config.image_path) == (tmp_path / "b.png", tmp_path / "a.png")
    sink.close()


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "run.png").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        PlotSink(display="image", image_path=tmp_path / "run.png")


def test_the_factories_take_a_place(tmp_path: Path) -> None:
    image = tmp_path / "run.png"
    for visualizer in (
        create_loss_visualizer(display="image", image_path=image),
        create_moe_visualizer(display="image", image_path=image),
        create_custom_visualizer({"a": (0, None)}, ("A",), (1, 1), display="image", image_path=image),
    ):
        assert isinstance(visualizer.sink._appearance, Feed)
        visualizer.close()
    with pytest.raises(ValueError, match="display must be one of"):
        create_moe_visualizer(display="nowhere")


SCREEN = {"DISPLAY": ":0"}


@pytest.mark.parametrize(
    ("environment", "platform", "windows"),
    [
        (SCREEN, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "linux", False),
        ({"DISPLAY": ""}, "linux", False),
        ({**SCREEN, "CI": "true"}, "linux", False),
        ({**SCREEN, "MPLBACKEND": "agg"}, "linux", False),
        ({**SCREEN, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}, "linux", False),
        ({**SCREEN, "MPLBACKEND": "TkAgg"}, "linux", True),
        ({}, "win32", True),
        ({}, "darwin", True),
        ({"SSH_CONNECTION": "1.2.3.4 5 6.7.8.9 22"}, "darwin", False),
    ],
)
def test_auto_is_a_window_where_there_is_a_screen(
    environment: dict[str, str], platform: str, windows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name == "_tkinter" else None)
    assert windows_can_open(environment, platform) is windows


def test_no_toolkit_no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not windows_can_open(SCREEN, "linux")


def test_who_shows_nothing_pays_for_nothing() -> None:
    """Without a window or an image there is no thread, no process, and neither is even loaded."""
    code = (
        "import sys, threading\n"
        "from sinks.plotting.sink import PlotSink; from m.metrics.snapshot import TrainingSnapshot as S\n"
        "sink = PlotSink(summary=False); sink.record(S(0, 0.5)); sink.close()\n"
        "loaded = {'sinks.plotting.feed', 'subprocess', 'matplotlib'} & sys.modules.keys()\n"
        "sys.exit(bool(loaded) or threading.active_count() > 1)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
