"""The user's matplotlib settings are left alone, and the few that would break our figure are kept away from it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import matplotlib

# Everything else that matters is said where an artist is made. LaTeX would fail on foreign names (and where it is not
# installed), and the others are taken over by artists that matplotlib makes by itself, such as ticks.
OURS: Final[dict[Any, Any]] = {"text.usetex": False, "path.sketch": None, "path.effects": [], "font.weight": "normal"}
_FOR_FILES: Final[dict[Any, Any]] = {"svg.fonttype": "none", "svg.hashsalt": "figure", "pdf.fonttype": 42}

_lock = threading.RLock()


@contextmanager
def own_settings(*, for_files: bool = False) -> Iterator[None]:
    """Inside, nothing in ``matplotlib.rcParams`` breaks our figure; ``for_files`` keeps text as text in PDF and SVG.

    matplotlib has no way to say these per figure, so they are changed for the moment, and only when they differ.
    That is visible to other threads that draw at this moment; what they set in ``rcParams`` meanwhile is lost.
    """
    wanted = {**OURS, **(_FOR_FILES if for_files else {})}
    with _lock:
        if all(matplotlib.rcParams[name] == value for name, value in wanted.items()):
            yield
            return
        with matplotlib.rc_context(wanted):
            yield
