"""Telling a person that something went wrong, without anything going wrong: ``logging`` may hold code of the user's."""

from __future__ import annotations

import logging
import traceback

from m.metrics.text import harmless, harmless_lines

logger = logging.getLogger("m.hub")


def tell(level: int, message: str, *arguments: object) -> None:
    """Log it; a logging filter or handler that raises is none of the training loop's business.

    Texts among ``arguments`` may be foreign: in the log, which is often a terminal, they control nothing.
    """
    try:
        logger.log(level, message, *(harmless_lines(each) if isinstance(each, str) else each for each in arguments))
    except Exception:
        pass


def one_line(error: BaseException) -> str:
    """The exception's class and text, even where its ``__str__`` fails."""
    try:
        text = str(error)
    except Exception:
        text = "(its text cannot be had)"
    return harmless(f"{type(error).__name__}: {text}")[:300]


def trace_of(error: BaseException) -> str:
    """The traceback as text."""
    try:
        return "".join(traceback.format_exception(error)).rstrip()
    except Exception:
        return one_line(error)


def graver(one: BaseException | None, other: BaseException | None) -> BaseException | None:
    """Of two exceptions the one to raise: an interrupt before anything else, else the first."""
    if one is None or isinstance(other, KeyboardInterrupt):
        return other if other is not None else one
    return one
