"""The figure as an image file that is kept up to date, in the process that draws.

Who looks at the file, and where the numbers come from, is not known here.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from m.metrics.history import History
from sinks.plotting.answers import complain, say_rest
from sinks.plotting.figure import DPI, TrainingFigure
from sinks.plotting.mirror import Mirror
from sinks.plotting.pace import Pace, Share
from sinks.plotting.plan import Show
from sinks.plotting.saving import png_of_canvas, save, write_whole
from sinks.plotting.styles import STYLE_BY_NAME

NOT_WRITTEN: Final = 1
"""Exit status when the last image could not be written."""
_LOOK_S: Final = 0.1


def keep_image(mirror: Mirror, path: str, every_s: float, share: Share) -> int:
    """Replace the file at ``path`` when there is something new, until ``mirror`` has ended, and then once more.

    At most every ``every_s`` seconds, and so seldom that drawing takes no more than ``share`` of a core. A file that
    cannot be written is tried again the next time. Gives the exit status.
    """
    image = _Image(Path(path))
    pace = Pace(share)
    drawn, status = -1, 0
    while True:
        ended = mirror.ended.wait(max(_LOOK_S, pace.next_s - time.monotonic()))
        seen = mirror.seen()
        if seen is not None and (seen[0] != drawn or ended):
            drawn, told, histories = seen
            try:
                with pace.drawing(every_s):
                    image.replace(told, histories, last=ended)
                say_rest(pace.next_s)
                status = 0
            except Exception as error:
                complain(error)
                status = NOT_WRITTEN
        if ended:
            return status


class _Image:
    """The file and its figure. A PNG is what the canvas shows, whose background is kept; an SVG is written anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pixels = path.suffix.lower() == ".png"
        self._figure: TrainingFigure | None = None

    def replace(self, told: Show, histories: dict[str, History], *, last: bool) -> None:
        """Draw and write it. The axes of the ``last`` one end at the data."""
        if self._figure is None:
            style = STYLE_BY_NAME[told.style]
            dpi = style.png_dpi if self._pixels else DPI
            self._figure = TrainingFigure(told.plan.size, style=style, live=self._pixels, dpi=dpi)
        self._figure.show(replace(told, room=0.0) if last else told, histories)
        if self._pixels:
            self._figure.draw()
            write_whole(png_of_canvas(self._figure.figure), self._path)
        else:
            save(self._figure.figure, self._path)
