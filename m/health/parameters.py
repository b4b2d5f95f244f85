"""What the parameters of rules may be, checked when a rule is made."""

from __future__ import annotations

import math


def number(name: str, given: object, *, above: float) -> float:
    """``given`` as a float. Raises ``TypeError``/``ValueError`` unless it is a finite number above ``above``."""
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise TypeError(f"{name} must be a number above {above:g}; got {given!r:.80} ({type(given).__name__})")
    if not above < given < math.inf:
        raise ValueError(f"{name} must be a finite number above {above:g}; got {given}")
    return float(given)


def share(name: str, given: object) -> float:
    """``given`` as a float. Raises ``TypeError``/``ValueError`` unless it is above 0 and at most 1."""
    value = number(name, given, above=0.0)
    if value > 1.0:
        raise ValueError(f"{name} must be a share, above 0 and at most 1; got {given}")
    return value


def whole(name: str, given: object, *, at_least: int) -> int:
    """``given``, checked. Raises ``TypeError``/``ValueError`` unless it is a whole number from ``at_least`` on."""
    if isinstance(given, bool) or not isinstance(given, int):
        raise TypeError(f"{name} must be a whole number; got {given!r:.80} ({type(given).__name__})")
    if given < at_least:
        raise ValueError(f"{name} must be {at_least} or more; got {given}")
    return given
