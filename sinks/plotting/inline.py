"""Pictures that are drawn in the training process itself, on the thread that emits, within a budget of its time.

What is drawn, and where it is shown, is the business of an `Output`; this decides when.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from m.metrics.text import harmless
from sinks.plotting.budget import DrawBudget
from sinks.plotting.shown import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)


class Output(Protocol):
    """Draws a picture and shows it. May raise; one thread at a time."""

    def draw(self, shown: Shown, *, last: bool = False) -> None: ...

    def forget(self) -> None:
        """Drawing was broken off: what is kept of it may be wrong."""


class FigureOutput:
    """Whatever the user's function ``show`` does with the figure; ``show_figure`` brings that up to date."""

    def __init__(
        self, show_figure: Callable[[Callable[[Figure], object]], None], show: Callable[[Figure], object]
    ) -> None:
        self._show_figure = show_figure
        self._show = show

    def draw(self, shown: Shown, *, last: bool = False) -> None:
        self._show_figure(self._show)

    def forget(self) -> None:
        pass


class Inline:
    """A place of `sinks.plotting.appearance` in this process.

    ``source`` gives what there is to show, or None when there is nothing any more. A picture that cannot be drawn or
    shown is a line in the log, the first time with its traceback, and is tried again when the next is due.
    """

    shows = True

    def __init__(self, output: Output, source: Callable[[], Shown | None], budget: DrawBudget) -> None:
        self._output = output
        self._source = source
        self._budget = budget
        self._pid = os.getpid()
        self._points = False
        self._failed_before = False

    def first_point(self) -> None:
        self._points = True

    def redraw_due(self) -> None:
        """Draw, if the budget allows; else the next that is due will show this moment too."""
        if self._budget.allows():
            self._draw()

    def run_ended(self) -> None:
        """Draw the last picture of the run, whatever the budget."""
        if self._points:
            self._points = False
            self._draw(last=True)

    def close(self) -> None:
        self.run_ended()

    def _draw(self, *, last: bool = False) -> None:
        if os.getpid() != self._pid:
            return  # a fork's output would appear in its parent's cell
        done = False
        try:
            with self._budget.measured():
                shown = self._source()
                if shown is not None:
                    self._output.draw(shown, last=last)
            done = True
        except Exception as error:
            logger.warning("the plot could not be shown: %s", harmless(str(error)), exc_info=not self._failed_before)
            self._failed_before = True
        finally:
            if not done:
                self._output.forget()
