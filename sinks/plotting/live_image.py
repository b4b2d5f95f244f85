"""The figure as an image file that is kept up to date, in the process that draws.

Who looks at the file, and where the numbers come from, is not known here.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Final

from sinks.plotting.figure import TrainingFigure
from sinks.plotting.mirror import Mirror
from sinks.plotting.protocol import complaint
from sinks.plotting.saving import save

NOT_WRITTEN: Final = 1
"""Exit status when the last image could not be written."""
_LOOK_S: Final = 0.1


def keep_image(mirror: Mirror, path: str, every_s: float, share: float) -> int:
    """Replace the file at ``path`` when there is something new, until ``mirror`` has ended, and then once more.

    At most every ``every_s`` seconds, and so seldom that drawing takes no more than ``share`` of a core. A file that
    cannot be written is tried again the next time. Gives the exit status.
    """
    figure: TrainingFigure | None = None
    drawn, status, next_s = -1, 0, 0.0
    while True:
        ended = mirror.ended.wait(max(_LOOK_S, next_s - time.monotonic()))
        seen = mirror.seen()
        if seen is not None and seen[0] != drawn:
            drawn, told, histories = seen
            first = figure is None
            before = time.thread_time()
            try:
                figure = figure or TrainingFigure(told.plan.size)
                figure.show(told.plan, histories, title=told.title, newest=told.newest, alerts=told.alerts)
                save(figure.figure, Path(path))
                status = 0
            except Exception as error:
                print(complaint(error), file=sys.stderr, flush=True)
                status = NOT_WRITTEN
            # the first drawing loads fonts: what it took says nothing about the next
            took_s = 0.0 if first else time.thread_time() - before
            next_s = time.monotonic() + max(every_s, took_s / share)
        if ended:
            return status
