"""The figure as the output of a notebook's cell, updated in place.

Needs nothing but Jupyter's display messages, so it works in Jupyter, VS Code and Colab, without ipywidgets.
"""

from __future__ import annotations

import base64
import threading
from dataclasses import replace
from typing import Any

from sinks.plotting.figure import TrainingFigure
from sinks.plotting.plan import Plan, Show
from sinks.plotting.saving import png_of_canvas
from sinks.plotting.shown import BLIT_ROOM, Shown
from sinks.plotting.styles import Style


class NotebookOutput:
    """One output for each run: a PNG, put into the cell that runs when the first picture of the run is drawn, and from
    then on replaced where it is.

    Making one loads what drawing needs, fonts included, and draws the panels of ``plan``, so that no step of the
    training has to wait for that.
    """

    def __init__(self, plan: Plan, style: Style) -> None:
        self._style = style
        self._figure: TrainingFigure | None = TrainingFigure(plan.size, style=style, live=True)
        self._handle: Any = None
        self._numbers: object = None
        self._figure.show(Show(plan), {})
        self._figure.draw()
        png_of_canvas(self._figure.figure)

    def draw(self, shown: Shown, *, last: bool = False) -> None:
        """Draw what there is and show it. The axes of the ``last`` picture end at the data.

        Nothing while the kernel shuts down: it sends no picture any more, and fails where somebody asks for that.
        """
        if not threading.main_thread().is_alive():
            return
        if shown.numbers is not self._numbers:
            self._numbers, self._handle = shown.numbers, None
        if self._figure is None:
            self._figure = TrainingFigure(shown.show.plan.size, style=self._style, live=True)
        room = 0.0 if last else BLIT_ROOM  # each millisecond is one of the training
        self._figure.show(replace(shown.show, room=room), shown.histories)
        self._figure.draw()
        self._publish(png_of_canvas(self._figure.figure))

    def forget(self) -> None:
        """Make the figure anew the next time, as when drawing it was interrupted."""
        self._figure = None

    def _publish(self, image: bytes) -> None:
        from IPython import display as of_ipython

        display: Any = of_ipython.display
        data = {"image/png": base64.b64encode(image).decode("ascii"), "text/plain": "<training plots>"}
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)
