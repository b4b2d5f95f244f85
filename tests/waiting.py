"""How tests wait for what other threads and processes do in their own time."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(condition: Callable[[], object], within_s: float = 15.0) -> None:
    """Come back when ``condition`` holds; fail when it does not hold in time."""
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.01)
