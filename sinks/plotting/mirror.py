"""What the drawing process knows of the run: the frames that came, as histories and words. Nothing is drawn here."""

from __future__ import annotations

import threading

from m.metrics.history import AMPLE, NARROW, History
from sinks.plotting.plan import Show
from sinks.plotting.protocol import (
    KEPT,
    POINTS,
    RUN,
    SERIES,
    SHOW,
    read_kept,
    read_points,
    read_show,
    read_words,
)


class Mirror:
    """Takes frames on one thread; `seen` may be asked from another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: dict[int, str] = {}
        self._histories: dict[str, History] = {}
        self._show: Show | None = None
        self.version = 0
        """Another number after every frame."""
        self.ended = threading.Event()
        """Nothing follows."""
        self.kept = False
        """Whether the window stays nevertheless."""

    def take(self, kind: bytes, body: bytes) -> None:
        """Follow one frame. Raises ``ValueError`` or ``KeyError`` for one that cannot be read; other kinds are left to
        whoever knows them."""
        if kind == POINTS:
            number, steps, values = read_points(body)
            self._histories[self._names[number]].extend(steps, values)
        elif kind == KEPT:
            number, everything = read_kept(body)
            with self._lock:
                name = self._names[number]
                self._histories[name] = History.restored(everything, self._histories[name].room)
        elif kind == SERIES:
            words = read_words(body)
            with self._lock:
                self._names[int(words["id"])] = words["name"]
                self._histories[words["name"]] = History(NARROW if words["narrow"] else AMPLE)
        elif kind == SHOW:
            told = read_show(body)
            with self._lock:
                self._show = told
        elif kind == RUN:
            with self._lock:
                self._names, self._histories, self._show = {}, {}, None
        else:
            return
        self.version += 1

    def seen(self) -> tuple[int, Show, dict[str, History]] | None:
        """The version and what it is to be shown; None before there is anything."""
        with self._lock:
            return None if self._show is None else (self.version, self._show, dict(self._histories))
