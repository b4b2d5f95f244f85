"""What has come since the last time, as frames. How, and whether, they reach anybody is not known here."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from m.metrics.history import NARROW, History, Room
from m.metrics.named import NamedHistories
from sinks.plotting.plan import Show
from sinks.plotting.protocol import RUN, SERIES, kept, points, show, words
from sinks.plotting.shown import Shown, drawn_names

MOST_POINTS: Final = 8192
"""Points in one frame: what is made ahead of a full pipe stays this small."""
TOGETHER: Final = 1 << 15
"""Frames are written together up to so many bytes: every write wakes whoever reads."""


@dataclass(slots=True)
class _Told:
    """How much of a history has been told, and under which number."""

    number: int
    history: History
    room: Room
    position: int = 0


class News:
    """Remembers what has been told. The histories themselves are the memory of what has not."""

    def __init__(self) -> None:
        self._numbers: NamedHistories | None = None
        self._told: dict[str, _Told] = {}
        self._show: Show | None = None
        self._next_number = 0

    def frames(self, shown: Shown) -> Iterator[bytes]:
        """What is new, in the order in which it must arrive. A frame that was yielded counts as told; whoever stops in
        the middle gets the rest the next time."""
        if shown.numbers is not self._numbers:
            self._numbers, self._show, self._told = shown.numbers, None, {}
            yield words(RUN, {})
        histories = shown.histories
        drawn = [name for name in drawn_names(shown.show.plan) if name in histories]
        for name in drawn:
            told = self._told.get(name)
            if told is None or told.history is not histories[name] or told.room != histories[name].room:
                yield self._begin(name, histories[name])
        if shown.show != self._show:
            self._show = shown.show
            yield show(shown.show)
        for name in drawn:
            yield from self._points(name)

    def _begin(self, name: str, history: History) -> bytes:
        told = self._told[name] = _Told(self._next_number, history, history.room)
        self._next_number += 1
        return words(SERIES, {"id": told.number, "name": name, "narrow": told.room == NARROW})

    def _points(self, name: str) -> Iterator[bytes]:
        told = self._told[name]
        end, steps, values = _since(told.history, told.position)
        if len(steps) < end - told.position:
            # the history has put points together that were not told yet: all that it keeps takes their place
            everything = told.history.kept()
            told.position = everything.start + len(everything.steps)
            yield kept(told.number, everything)
            return
        for start in range(0, len(steps), MOST_POINTS):
            upto = min(start + MOST_POINTS, len(steps))
            told.position = end - len(steps) + upto
            yield points(told.number, steps[start:upto], values[start:upto])


def together(frames: Iterable[bytes]) -> Iterator[bytes]:
    """``frames`` joined to pieces of at least `TOGETHER` bytes, but for the last."""
    piece = b""
    for frame in frames:
        piece += frame
        if len(piece) >= TOGETHER:
            yield piece
            piece = b""
    if piece:
        yield piece


def _since(history: History, position: int) -> tuple[int, array[float], array[float]]:
    """The length of ``history`` and its points from ``position`` on; no points when it would not hold still."""
    for _ in range(5):
        end = len(history)
        if end <= position:
            break
        steps, values = history.columns(end - position)
        if len(history) == end:
            return end, steps, values
    return position, array("d"), array("d")
