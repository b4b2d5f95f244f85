"""The figure in a window, in the process that draws. Where the numbers come from is not known here.

This process owns the window, so pyplot and its settings are used freely. The figure follows the run; a panel in which
the user zoomed or panned keeps its limits until the key f, or home, is pressed.
"""

from __future__ import annotations

import importlib
import os
import time
from dataclasses import replace
from typing import Any, Final, TypeAlias

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.backend_bases import KeyEvent, NavigationToolbar2

from sinks.plotting.answers import complain, say_rest
from sinks.plotting.figure import DPI, TrainingFigure
from sinks.plotting.mirror import Mirror
from sinks.plotting.pace import Pace, Share
from sinks.plotting.plan import Plan, Show
from sinks.plotting.settings import OURS
from sinks.plotting.styles import STYLE_BY_NAME
from sinks.plotting.text import visible

LARGEST: Final = (13.0, 8.0)
"""A window is made no larger, in inches; the user may."""
_LOOK_S: Final = 0.2
_SELDOM_S: Final = 1.0
"""Between two looks where the next drawing is farther away than this: even a look takes something from the training."""
_HELD_AT_MOST_S: Final = 60.0
_SETTINGS: Final[dict[Any, Any]] = {
    **OURS,
    "toolbar": "toolbar2",
    "figure.raise_window": False,  # updates must not take the focus
    "figure.max_open_warning": 0,
    "keymap.fullscreen": ["ctrl+f"],  # f is for following
    "keymap.home": ["h", "r", "home"],
    # scales and grids are those of the layout
    **{f"keymap.{name}": [] for name in ("grid", "grid_minor", "xscale", "yscale")},
}

_Limits: TypeAlias = tuple[float, float, float, float]


def show_window(mirror: Mirror, backend: str | None, share: Share, *, qt: bool = True) -> int:
    """Show the run that ``mirror`` knows until the user closes the window or ``mirror`` has ended. Gives the exit
    status.

    ``backend`` is the one that the training process chose, if it chose any; without ``qt`` none of Qt is taken. Drawing
    what is new takes at most ``share`` of a core; what the user does is drawn at once.
    """
    _use(backend, qt)
    matplotlib.rcParams.update(_SETTINGS)
    while (seen := mirror.seen()) is None:
        if mirror.ended.wait(_LOOK_S):
            return 0
    window = _Window(mirror, seen[1], share)
    plt.show(block=True)
    if not window.closed:  # Qt leaves its loop when the screen is gone
        raise RuntimeError("the connection to the screen is gone")
    return window.status


def _use(backend: str | None, qt: bool) -> None:
    """Choose a backend with windows: the given one, the user's, or the first that can be had; none of Qt without
    ``qt``."""
    for wanted in dict.fromkeys((backend, os.environ.get("MPLBACKEND"))):
        if wanted and (qt or not _is_qt(wanted)):
            try:
                plt.switch_backend(wanted)
            except (ImportError, ValueError):
                continue
            if _has_windows():
                return
    if not qt or not _has_windows():  # matplotlib by itself would choose Qt again
        os.environ.pop("MPLBACKEND", None)
        for wanted in ("macosx", "qtagg", "gtk4agg", "gtk3agg", "tkagg", "wxagg"):
            if _is_qt(wanted) and not qt:
                continue
            try:
                plt.switch_backend(wanted)
            except (ImportError, ValueError):
                continue
            return
        raise RuntimeError("no window: there is no display, or none of the toolkits Qt, Gtk, Tk and wx")


def _has_windows() -> bool:
    return plt.get_backend().lower() in {
        *("macosx", "qtagg", "qt5agg", "qtcairo", "qt5cairo", "gtk4agg", "gtk4cairo", "gtk3agg", "gtk3cairo"),
        *("tkagg", "tkcairo", "wxagg", "wxcairo", "wx"),
    }


def _is_qt(backend: str) -> bool:
    return backend.lower().startswith("qt")


class _Window:
    def __init__(self, mirror: Mirror, told: Show, share: Share) -> None:
        self._mirror = mirror
        self._pace = Pace(share)
        self.status = 0
        self.closed = False
        style = STYLE_BY_NAME[told.style]
        self._size = self._asked = _fitting(told.plan.size_in(style))
        self._style = style
        _follow_at_home(self)  # before there is a toolbar
        figure = plt.figure(figsize=self._size, dpi=DPI, facecolor=style.page)
        self._view = TrainingFigure(self._size, figure, style=style, live=True)
        self._figure = self._view.figure
        self._following: dict[Axes, _Limits] = {}  # the limits that we set
        self._panels: tuple[str, ...] = ()
        self._drawn = -1
        self._settled = False
        self._held_since: float | None = None
        self._stale = False
        _open_without_focus(self._figure.canvas.manager)
        canvas = self._figure.canvas
        canvas.mpl_connect("close_event", lambda event: self._close())
        canvas.mpl_connect("key_press_event", self._key)
        canvas.mpl_connect("button_press_event", lambda event: self._hold(True))
        canvas.mpl_connect("button_release_event", lambda event: self._hold(False))
        canvas.mpl_connect("resize_event", lambda event: self._make_stale())
        self._resting = False  # until the next look, which is far away
        self._timer = canvas.new_timer(interval=round(1000 * _LOOK_S))
        self._timer.add_callback(self._tick)
        self._timer.start()

    # -- what the user does -------------------------------------------------------------------------------------------

    def _key(self, event: Any) -> None:
        if isinstance(event, KeyEvent) and event.key == "f":
            self.follow()

    def _close(self) -> None:
        self.closed = True

    def _hold(self, held: bool) -> None:
        self._held_since = time.monotonic() if held else None

    def _make_stale(self) -> None:
        self._stale = True  # words and panels have other places in another size
        if self._resting:
            self._resting = False
            self._timer.stop()
            self._look_again_in(_LOOK_S)
            self._timer.start()

    def follow(self) -> None:
        """Let every panel follow the run again."""
        self._following.clear()
        toolbar = self._figure.canvas.toolbar
        if toolbar is not None:
            toolbar.update()
        self._make_stale()

    # -- what the run does --------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._resting = False  # a timer is not started anew while it runs
        try:
            self._look()
        except Exception as error:
            complain(error)
            self.status = 1
            self._pace.next_s = time.monotonic() + 5.0
        self._resting = not self._stale and self._pace.next_s > time.monotonic() + _SELDOM_S
        self._look_again_in(_SELDOM_S if self._resting else _LOOK_S)

    def _look_again_in(self, seconds: float) -> None:
        if self._timer.interval != round(1000 * seconds):
            self._timer.interval = round(1000 * seconds)

    def _look(self) -> None:
        now = time.monotonic()
        ended = self._mirror.ended.is_set()
        if ended and not self._mirror.kept:
            self._timer.stop()
            plt.close("all")
            return
        seen = self._mirror.seen()
        if seen is None or (self._held_since is not None and now < self._held_since + _HELD_AT_MOST_S):
            return  # a redraw in the middle of a zoom would wipe away its frame
        new = seen[0] != self._drawn and (now >= self._pace.next_s or ended)
        last = ended and not self._settled  # the axes end at the data
        if not new and not self._stale and not last:
            return
        with self._pace.drawing():
            self._show()
        say_rest(self._pace.next_s)
        self.status = 0

    def _show(self) -> None:
        seen = self._mirror.seen()
        if seen is None:
            return
        self._drawn, told, histories = seen
        self._stale = False
        plan = told.plan
        self._grow(plan)
        panels = tuple(panel.title for panel in plan.panels)
        if panels != self._panels:
            self._following.clear()  # the axes now show something else
            self._panels = panels
        chosen = self._chosen()
        self._settled = self._mirror.ended.is_set()
        room = 0.0 if self._settled else told.room
        self._view.show(replace(told, plan=replace(plan, size=self._size), room=room), histories, leave=chosen)
        self._following = {
            axes: self._following[axes] if axes in chosen else _limits(axes) for axes in self._figure.axes
        }
        for axes in self._figure.axes:
            for image in axes.images:
                if image.colorbar is not None:
                    image.colorbar.ax.set_navigate(False)
        self._name(visible(told.title), bool(chosen))
        self._view.draw()

    def _chosen(self) -> set[Axes]:
        """The axes in which the user has zoomed or panned."""
        return {axes for axes, limits in self._following.items() if _limits(axes) != limits}

    def _grow(self, plan: Plan) -> None:
        """Follow the layout's size, unless the user has given the window another."""
        wanted = _fitting(plan.size_in(self._style))
        if wanted == self._asked:
            return
        width, height = self._figure.get_size_inches()
        untouched = abs(width - self._asked[0]) < 0.15 and abs(height - self._asked[1]) < 0.15
        self._asked = wanted
        if untouched:
            self._size = wanted

    def _name(self, title: str, chosen: bool) -> None:
        manager = self._figure.canvas.manager
        if manager is not None:
            manager.set_window_title(f"{title} (press f to follow)" if chosen else title)


def _open_without_focus(manager: Any) -> None:
    """Leave the keyboard to whoever has it when the window opens; only Qt can be told so."""
    if _is_qt(plt.get_backend()):
        qt: Any = importlib.import_module("matplotlib.backends.qt_compat")  # whichever binding there is
        manager.window.setAttribute(qt.QtCore.Qt.WidgetAttribute.WA_ShowWithoutActivating)


def _limits(axes: Axes) -> _Limits:
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    return float(left), float(right), float(bottom), float(top)


def _fitting(size: tuple[float, float]) -> tuple[float, float]:
    scale = min(1.0, LARGEST[0] / size[0], LARGEST[1] / size[1])
    return size[0] * scale, size[1] * scale


def _follow_at_home(window: _Window) -> None:
    """Toolbars bind their buttons to ``home`` when they are made, and look up the rest when it runs."""
    original = NavigationToolbar2.home

    def home(toolbar: NavigationToolbar2, *args: Any) -> None:
        original(toolbar, *args)
        window.follow()

    NavigationToolbar2.home = home  # type: ignore[method-assign, assignment]
