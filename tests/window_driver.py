"""A plot window whose user is this program: keys and mouse reach it through the X server, as from a person.

Run as a process of its own with the name of a backend; prints what it saw as JSON. See ``test_plot_window.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from m.metrics.named import NamedHistories
from m.metrics.snapshot import TrainingSnapshot
from sinks.plotting.layouts import ConfiguredLayout, loss_config
from sinks.plotting.mirror import Mirror
from sinks.plotting.news import News
from sinks.plotting.pace import Share
from sinks.plotting.plan import Show
from sinks.plotting.protocol import Frames
from sinks.plotting.shown import BLIT_ROOM, Shown
from sinks.plotting.window import _Window, show_window

figures: list[Figure] = []
numbers, news, frames, mirror = NamedHistories(), News(), Frames(), Mirror()
saw: dict[str, object] = {}
looks: list[_Window] = []
"""The window, as often as it has looked for something to draw."""


def tell(first: int, last: int) -> None:
    for step in range(first, last):
        numbers.record(TrainingSnapshot(step, 1.0 / (step + 1), learning_rate=1e-3))
    histories = numbers.histories()
    show = Show(ConfiguredLayout(loss_config()).plan(tuple(histories)), "a window", room=BLIT_ROOM)
    for data in news.frames(Shown(numbers, histories, show)):
        for kind, body in frames.add(data):
            mirror.take(kind, body)


def found() -> bool:
    if plt.get_fignums():
        figures.append(plt.figure(plt.get_fignums()[0]))
    return bool(figures)


def limits(position: int) -> list[float]:
    axes = figures[0].axes[position]
    return [float(limit) for limit in (*axes.get_xlim(), *axes.get_ylim())]


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 10.0
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.02)


def drawn_to(step: int) -> bool:
    return any(len(line.get_xdata()) and line.get_xdata()[-1] == step for line in figures[0].axes[0].lines)


def xdotool(*words: str) -> str:
    return subprocess.run(["xdotool", *words], check=True, capture_output=True, text=True).stdout.strip()


def place(position: int, across: float, up: float) -> tuple[str, str]:
    """Where a point of the axes is on the screen; the window is at its upper left corner."""
    box = figures[0].axes[position].get_position()
    width, height = figures[0].canvas.get_width_height(physical=True)
    x = (box.x0 + across * box.width) * width
    y = (1 - box.y0 - up * box.height) * height
    return str(round(x)), str(round(y))


def zoom(position: int) -> None:
    xdotool("mousemove", *place(position, 0.3, 0.3))
    xdotool("key", "o")  # matplotlib's key for the zoom tool
    time.sleep(0.2)
    xdotool("mousedown", "1")
    for part in (0.4, 0.5, 0.6):
        xdotool("mousemove", *place(position, part, part + 0.1))
        time.sleep(0.05)
    xdotool("mouseup", "1")
    xdotool("key", "o")


def use() -> None:
    tell(1, 100)
    until(found, "a window")
    until(lambda: len(figures[0].axes) > 1, "panels")
    until(lambda: drawn_to(99), "first drawing")
    focus = xdotool("getwindowfocus", "-f")
    tell(100, 120)
    until(lambda: drawn_to(119), "an update")
    saw["an update leaves the focus"] = xdotool("getwindowfocus", "-f") == focus
    time.sleep(0.3)
    before = limits(0), limits(1)
    zoom(0)
    until(lambda: limits(0) != before[0], "zoomed")
    time.sleep(0.3)  # this thread may look in the middle of a change
    zoomed = limits(0)
    saw["zoomed in"] = before[0][0] < zoomed[0] < zoomed[1] < before[0][1]
    saw["the other panel is as before"] = limits(1) == before[1]
    tell(120, 200)
    until(lambda: drawn_to(199), "second drawing")
    time.sleep(0.5)
    saw["zoom survives an update"] = limits(0) == zoomed
    saw["the other panel follows"] = limits(1)[1] > before[1][1]
    until(lambda: title() == "a window (press f to follow)", "the hint in the title")
    for name, key in (("f", "f"), ("home", "h")):
        xdotool("mousemove", *place(0, 0.5, 0.5))
        xdotool("key", key)
        until(lambda: limits(0)[1] > 199 and limits(0)[:2] == limits(1)[:2], f"following after {name}")
        saw[f"follows after {name}"] = True
        zoom(0)
        until(lambda: limits(0)[1] < 199, "zoomed again")
    xdotool("mousemove", *place(0, 0.5, 0.5))
    xdotool("key", "f")
    until(lambda: limits(0)[1] > 199, "following again")
    until(lambda: title() == "a window", "the title without a hint")
    tell(200, 300)
    until(lambda: limits(0)[1] > 299, "third drawing")
    saw["moves on"] = True
    keep_axes()
    rest()
    resize()
    xdotool("key", "q")


def keep_axes() -> None:
    """Points for which there is room: the curves grow, over the same background, on the canvas and on the screen."""
    time.sleep(0.5)
    before, pixels, shot = limits(0), canvas(), on_screen()
    tell(300, 310)
    until(lambda: drawn_to(309), "a curve that grew")
    until(lambda: canvas() != pixels, "a curve that grew, on the canvas")
    until(lambda: on_screen() != shot, "a curve that grew, on the screen")
    saw["axes with room stay"] = limits(0) == before
    grown = canvas()
    threading.Event().wait(0.3)
    figures[0].stale = True
    tell(310, 311)
    until(lambda: drawn_to(310), "a drawing anew")
    time.sleep(0.3)
    # a point further, one or two columns of pixels differ
    saw["little but the curves changed"] = differing(grown, canvas()) < 400


def rest() -> None:
    """While nothing may be drawn for long the window looks seldom; what the user does is drawn nevertheless."""
    looks[-1]._pace.next_s = time.monotonic() + 1000.0
    time.sleep(1.5)
    before = len(looks)
    time.sleep(4.0)
    saw["looks seldom"] = len(looks) - before < 10
    tell(311, 320)
    xdotool("mousemove", *place(0, 0.5, 0.5))
    xdotool("key", "f")
    until(lambda: drawn_to(319), "what came meanwhile, once the user asks")
    time.sleep(0.5)
    before = len(looks)
    time.sleep(4.0)
    saw["looks often again"] = len(looks) - before >= 10


def canvas() -> bytes:
    return bytes(figures[0].canvas.buffer_rgba())


def differing(one: bytes, other: bytes) -> int:
    return sum(one[at : at + 4] != other[at : at + 4] for at in range(0, len(one), 4))


def on_screen() -> bytes:
    return subprocess.run(["xwd", "-silent", "-id", window()], check=True, capture_output=True).stdout


def resize() -> None:
    def left_margin() -> float:
        return float(figures[0].axes[0].get_position().x0 * figures[0].get_size_inches()[0])

    before, size = left_margin(), list(figures[0].get_size_inches())
    xdotool("windowsize", "--sync", window(), "700", "500")
    until(lambda: list(figures[0].get_size_inches()) != size, "another size")
    until(lambda: abs(left_margin() - before) < 0.02, "panels at their places in the new size")
    saw["panels fit another size"] = True


def window() -> str:
    return xdotool("search", "--onlyvisible", "--name", "^a window").split()[-1]


def title() -> str:
    return xdotool("getwindowname", window())


def person() -> None:
    try:
        use()
    except BaseException:
        traceback.print_exc()
        print(json.dumps(saw), flush=True)
        os._exit(1)


def noting_looks(look: Callable[[_Window], None]) -> Callable[[_Window], None]:
    def noting(window: _Window) -> None:
        looks.append(window)
        look(window)

    return noting


if __name__ == "__main__":
    _Window._look = noting_looks(_Window._look)  # type: ignore[method-assign]
    tell(0, 1)
    threading.Thread(target=person, daemon=True).start()
    status = show_window(mirror, sys.argv[1], Share(1.0, 1.0))
    print(json.dumps({**saw, "status": status}), flush=True)
