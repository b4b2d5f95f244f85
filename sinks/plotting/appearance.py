"""Where a figure appears while training goes on. What it shows, and how that is drawn, is not known here.

A further place is a class with what `Appearance` has, a name in `DISPLAYS` and a line in `appearance_for`.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypedDict

from m.metrics.rank import check_on_rank
from sinks.plotting.budget import DrawBudget
from sinks.plotting.config import TrainingVisualizerConfig
from sinks.plotting.shown import Shown
from sinks.plotting.styles import STYLE_BY_NAME

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

DISPLAYS: Final = ("auto", "window", "image", "notebook", "off")
IMAGE_FORMATS: Final = (".png", ".svg")
_TOOLKITS: Final = ("PySide6", "PyQt6", "PyQt5", "PySide2", "_tkinter", "gi", "wx")
_WITH_WINDOWS: Final = ("qt", "gtk", "tk", "wx", "macosx")


class Appearance(Protocol):
    """A place that shows the figure. It decides itself when it draws; nothing here may raise or take long."""

    shows: bool
    """False once it is known that what is new cannot be shown."""

    def first_point(self) -> None:
        """A run has its first point."""

    def redraw_due(self) -> None:
        """The figure should be brought up to date. The newest such moment wins: none is owed a drawing."""

    def run_ended(self) -> None:
        """Nothing comes any more of the run that had the first point; another may follow."""

    def close(self) -> None:
        """All is over."""


class Off:
    """Nowhere: nothing is drawn until somebody asks for the figure."""

    shows = False

    def first_point(self) -> None:
        pass

    def redraw_due(self) -> None:
        pass

    def run_ended(self) -> None:
        pass

    def close(self) -> None:
        pass


class DisplayOptions(TypedDict, total=False):
    """The keywords that say where a figure appears and how; each is a field of `TrainingVisualizerConfig` as well."""

    display: str | Callable[[Figure], object]
    image_path: str | os.PathLike[str] | None
    image_every_s: float
    keep_open: bool
    draw_budget: float
    on_rank: int | None
    style: str
    smoothing: float | Mapping[str, float] | None
    second_axis: str | None


def check_place(config: TrainingVisualizerConfig) -> None:
    """Raise ``TypeError`` or ``ValueError`` when the figure cannot appear where ``config`` says."""
    accepted = f"display must be one of {', '.join(map(repr, DISPLAYS))} or a function that takes the figure"
    if not isinstance(config.display, str) and not callable(config.display):
        raise TypeError(f"{accepted}; got {config.display!r:.80}")
    if isinstance(config.display, str) and config.display not in DISPLAYS:
        raise ValueError(f"{accepted}; got {config.display!r:.80}")
    if isinstance(config.draw_budget, bool) or not isinstance(config.draw_budget, (int, float)):
        raise TypeError(f"draw_budget must be a number above 0.0 and up to 1.0; got {config.draw_budget!r:.80}")
    if not 0.0 < config.draw_budget <= 1.0:
        raise ValueError(f"draw_budget must be above 0.0 and up to 1.0; got {config.draw_budget!r}")
    if not isinstance(config.keep_open, bool):
        raise TypeError(f"keep_open must be True or False; got {config.keep_open!r:.80}")
    if isinstance(config.image_every_s, bool) or not isinstance(config.image_every_s, (int, float)):
        raise TypeError(f"image_every_s must be a number of seconds; got {config.image_every_s!r:.80}")
    if not 0.0 <= config.image_every_s < math.inf:
        raise ValueError(f"image_every_s must be 0 or more seconds and finite; got {config.image_every_s!r}")
    check_on_rank(config.on_rank)
    if config.display == "image":
        _check_image_path(config.image_path)
    elif config.image_path is not None:
        raise ValueError(f"image_path is for display='image'; got {config.image_path!r:.80} and {config.display!r}")


def _check_image_path(path: object) -> None:
    accepted = f"image_path must be the path of a {' or '.join(IMAGE_FORMATS)} file for display='image'"
    if path is None:
        raise ValueError(f"{accepted}; got none")
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise TypeError(f"{accepted}; got {path!r:.80} ({type(path).__name__})")
    text = str(os.fspath(path))
    if "\0" in text or Path(text).suffix.lower() not in IMAGE_FORMATS:
        raise ValueError(f"{accepted}; got {text!r:.200}")
    if Path(text).is_dir():
        raise IsADirectoryError(f"{accepted}; {text!r:.200} is a folder")


def appearance_for(
    config: TrainingVisualizerConfig,
    source: Callable[[], Shown | None],
    show_figure: Callable[[Callable[[Figure], object]], None],
    budget: DrawBudget,
) -> Appearance:
    """The place itself; ``config`` has passed `check_place`, and ``source`` gives what there is to show, or None when
    there is nothing any more.

    ``show_figure`` brings the figure up to date and calls a function with it. What is drawn in this process is measured
    by ``budget``. ``"auto"`` is the output of a cell in a notebook, else a window where there can be one, else off.
    Nothing is started or opened before the first point.
    """
    display = config.display
    if not isinstance(display, str):
        from sinks.plotting.inline import FigureOutput, Inline

        return Inline(FigureOutput(show_figure, display), source, budget)
    if display == "auto":
        display = "notebook" if in_notebook() else "window" if windows_can_open(os.environ) else "off"
    if display == "notebook" and not in_notebook():
        logger.warning("display='notebook': this process is not the kernel of a notebook; no plot is shown")
        display = "off"
    if display == "off":
        return Off()
    if display == "notebook":
        return _in_a_cell(source, budget)
    from sinks.plotting.feed import Feed

    if display == "window":
        return Feed("window", source, keep_open=config.keep_open)
    path = os.fspath(config.image_path or "")
    return Feed("image", source, path=path, every_s=float(config.image_every_s))


def _in_a_cell(source: Callable[[], Shown | None], budget: DrawBudget) -> Appearance:
    """The output of a cell; nowhere when matplotlib cannot be loaded, which whoever asks for the figure will learn."""
    from sinks.plotting.inline import Inline

    shown = source()
    if shown is None:
        return Off()
    try:
        from sinks.plotting.notebook import NotebookOutput

        return Inline(NotebookOutput(shown.show.plan, STYLE_BY_NAME[shown.show.style]), source, budget)
    except Exception:
        logger.warning("no plot can be shown in this notebook; training goes on without it", exc_info=True)
        return Off()


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook. Loads nothing."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return getattr(shell, "kernel", None) is not None


def windows_can_open(environment: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Whether somebody seems to sit before a screen; by the environment alone, so that asking costs nothing.

    Not in CI, nor over SSH without a display, nor where ``MPLBACKEND`` names a backend without windows, as in a
    notebook, nor without any toolkit for windows.
    """
    if environment.get("CI") or not _may_have_windows(environment.get("MPLBACKEND", "")):
        return False
    if platform == "darwin":
        return not environment.get("SSH_CONNECTION")
    if platform != "win32" and not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")):
        return False
    return any(importlib.util.find_spec(toolkit) is not None for toolkit in _TOOLKITS)


def _may_have_windows(backend: str) -> bool:
    return not backend or backend.lower().startswith(_WITH_WINDOWS)
