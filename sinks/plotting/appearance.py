"""Where a figure appears while training goes on. What it shows, and how that is drawn, is not known here.

A further place is a class with the two methods of `Appearance` and an entry in `_PLACES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol


class Appearance(Protocol):
    """A place that shows the figure. It decides itself when it draws; nothing here may raise or take long."""

    def redraw_due(self, step: int) -> None:
        """``step`` is one at which the figure should be brought up to date. The newest wins: none is owed a drawing."""

    def close(self) -> None:
        """The run is over."""


class Off:
    """Nowhere: nothing is drawn until somebody asks for the figure."""

    def redraw_due(self, step: int) -> None:
        pass

    def close(self) -> None:
        pass


_PLACES: Final[dict[str, Callable[[], Appearance]]] = {"auto": Off, "off": Off}


def appearance_for(display: str) -> Appearance:
    """The place called ``display``: ``"off"``, or ``"auto"`` for the best there is, which is off."""
    if not isinstance(display, str):
        raise TypeError(f"display must be one of {', '.join(map(repr, _PLACES))}; got {display!r:.80}")
    if display not in _PLACES:
        raise ValueError(f"display must be one of {', '.join(map(repr, _PLACES))}; got {display!r:.80}")
    return _PLACES[display]()
