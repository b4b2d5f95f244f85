"""What the process that draws says to the training process: lines on stderr, among those of toolkits."""

from __future__ import annotations

import os
import sys
from typing import Final

COMPLAINT: Final = "plot: "
"""How a line about what went wrong begins."""
LAST_WORDS: Final = "plot ends: "
"""The same, when it cannot go on."""
RESTS: Final = "plot rests until "
"""How a line begins that says when, in seconds of ``time.monotonic``, which processes share, it may draw again."""


def never_wait() -> None:
    """Let what is said be lost where nobody listens, as while the training is stopped, rather than stand still."""
    try:
        os.set_blocking(sys.stderr.fileno(), False)
    except (OSError, AttributeError):
        pass  # not to be had for a pipe on every Windows


def complain(error: Exception, begin: str = COMPLAINT) -> None:
    """Say what went wrong, on one line."""
    _say(f"{begin}{type(error).__name__}: {error}".replace("\n", " "))


def say_rest(until: float) -> None:
    """Say that nothing more is drawn ``until`` then, unless the user wants it."""
    _say(f"{RESTS}{until:.2f}")


def _say(line: str) -> None:
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        pass  # nobody listens now, or ever again: a window that is kept outlives the training
