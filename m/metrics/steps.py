"""The step's number, from whatever a loop counts with."""

from __future__ import annotations

import operator
from typing import Any, Final

FARTHEST: Final = 10**300
"""Steps lie between this and its negative, where floats, axes and the written form of a number still have room."""


def whole_step(step: Any) -> int:
    """``step`` as a plain int. Raises ``TypeError`` for what is no whole number, or one beyond `FARTHEST`."""
    try:
        number = operator.index(step)  # ints, bools, NumPy and PyTorch integers
    except Exception:
        number = _of_fraction(step)
    if not -FARTHEST < number < FARTHEST:
        raise _error(step, "not so far from 0")
    return int(number)


def _of_fraction(step: Any) -> int:
    try:
        number = step.item() if hasattr(step, "item") else step
        if isinstance(number, (int, float)) and number == int(number):
            return int(number)
    except Exception:
        pass
    raise _error(step, "such as 120")


def _error(step: Any, what: str) -> TypeError:
    try:
        shown = f"{step!r:.80}"
    except Exception:
        shown = "what cannot be shown"
    return TypeError(f"step must be a whole number, {what}; got {shown} ({type(step).__name__})")
