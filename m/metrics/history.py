"""The course of one metric in memory that does not grow with the run: its newest points raw, the older ones in buckets.

Nothing here knows how a history is drawn. NumPy is loaded by the first `History.fold` that has something to fold.
"""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from m.metrics.running import Running

if TYPE_CHECKING:
    from m.metrics.buckets import Floats

Appender: TypeAlias = Callable[[float], None]

CHUNK_POINTS: Final = 512
"""Raw points stand in chunks of so many: a column of all of them would be moved whenever it outgrows its place, and in
a run those of all metrics do so at the same step."""
FIRST_BUCKET: Final = 32
"""Points of the smallest buckets."""


@dataclass(slots=True, frozen=True)
class Room:
    """How much of a metric is kept however long the run gets."""

    raw: int
    """At least so many newest points are kept one by one; a multiple of `CHUNK_POINTS`."""
    fold: int
    """Points go into buckets by multiples of this, which is a multiple of `CHUNK_POINTS`."""
    levels: int
    """The buckets of each level hold twice the points of those of the level before, but of the last as many as it
    takes."""
    buckets: int
    """A level that has more than twice as many buckets hands on all but about so many of them, merged in pairs; the
    last one merges its own."""


AMPLE: Final = Room(raw=8192, fold=6144, levels=7, buckets=256)
"""At most about 1.1 MB."""
NARROW: Final = Room(raw=1024, fold=3072, levels=1, buckets=256)
"""At most about 0.2 MB: for metrics by the hundred. The whole run is resolved as finely as in ample room, but no part
of it better than another, the newest points aside."""

# A fold moves points within microseconds, unless its thread has to wait for a core.
_PAUSE_S: Final = 0.0005
_TRIES: Final = 2000


@dataclass(slots=True, frozen=True)
class Summary:
    """A metric over the whole run."""

    current: float
    """The newest value; may be NaN or infinite."""
    min: float
    """Smallest finite value; NaN when there was none."""
    max: float
    """Largest finite value; NaN when there was none."""
    mean: float
    """Mean of the finite values; NaN when there was none."""
    count: int
    """Points recorded, NaN and infinities included."""
    nonfinite: int
    """Points that were NaN or infinite."""


@dataclass(slots=True, frozen=True)
class Folded:
    """What is kept of the points that are not raw any more. Never changed: each fold makes another one."""

    running: Running = field(default_factory=Running)
    """Figures over all of them; its count is the index of the first raw point."""
    last_step: float | None = None
    """The step of the last of them."""
    levels: tuple[Floats, ...] = ()
    """Tables of `m.metrics.buckets`, the finest and newest first."""
    coarsest: int = FIRST_BUCKET
    """Points of a bucket of the last level, once there is one; never less than those of any other bucket."""

    def with_points(self, steps: array[float], values: array[float], room: Room) -> Folded:
        """With the next points of the run, ``room.fold`` or a multiple of them."""
        import numpy as np

        from m.metrics import buckets

        start = self.running.count
        fresh = buckets.bucketed(np.frombuffer(steps), np.frombuffer(values), start, FIRST_BUCKET, self.last_step)
        if fresh[buckets.NAN : buckets.INFINITE + 1].any():
            running = self.running.with_values(values)
        else:
            smallest, largest = fresh[buckets.LEAST + 2].min(), fresh[buckets.GREATEST + 2].max()
            running = self.running.with_batch(len(values), values, float(smallest), float(largest))
        last = room.levels - 1
        levels = list(self.levels)
        if len(levels) > room.levels:  # there was more room before
            levels[last:] = [np.concatenate(levels[last:][::-1], axis=1)]
        coarsest = self.coarsest
        for level in range(room.levels):
            if level == len(levels):
                levels.append(fresh)
            else:
                levels[level] = np.concatenate((levels[level], fresh), axis=1)
            if level == last:
                levels[level] = buckets.merged(levels[level], coarsest)
            table = levels[level]
            if table.shape[1] <= 2 * room.buckets:
                break
            if level == last:
                points, borders = int(table[buckets.COUNT].sum()), int(table[buckets.BORDER].sum())
                coarsest, across = buckets.cell_size(points, borders, 2 * coarsest, 2 * room.buckets - 1)
                levels[level] = buckets.merged(table, coarsest, across=across)
            else:
                size = FIRST_BUCKET << (level + 1)  # what is handed on ends where a pair of cells does
                coarsest = max(coarsest, size)
                whole = table[buckets.START, -room.buckets] // size * size
                old = int(np.searchsorted(table[buckets.START], whole))
                across = bool(table[buckets.BORDER, :old].sum() > old // 4)
                fresh = buckets.merged(table[:, :old], size, across=across)
                levels[level] = table[:, old:].copy()
        return Folded(running, steps[-1], tuple(levels), coarsest)


@dataclass(slots=True, frozen=True)
class Kept:
    """A consistent copy of what a history holds at one moment."""

    steps: array[float]
    """Steps of the raw points."""
    values: array[float]
    folded: Folded
    start: int
    """Index of the first of these raw points in the run."""


class History:
    """Steps and values of one metric; 16 bytes a raw point, and nothing for the garbage collector.

    ``append`` and ``fold`` are for one thread at a time; everything else may be called from another at any time.
    ``fold`` moves older points into buckets that keep the first, least, greatest and last point of each stretch, and
    what was not finite. Who calls it every few thousand appends, as `NamedHistories` does, holds at most about 1.1 MB
    of a metric however long the run gets: its raw points and seven tables of up to 512 buckets of 224 bytes.
    In narrow `Room` it is a fifth of that. Count, extremes and mean stay exact (`summary`).

    The newer, the finer: in ample room a level's buckets hold twice the points of those before it, so that the newest
    20 thousand points are as well resolved as the whole run. The last level doubles its buckets whenever it is full.

    A step that goes backwards begins a new bucket. Where more than a quarter of the buckets that a level hands on
    begin that way, they are put together regardless, so that memory is bounded; those that hold such a step are
    marked, and their points are drawn without a line between them.
    """

    __slots__ = ("_chunks", "_folded", "_newest", "_seen", "_version", "appender", "room")

    def __init__(self, room: Room = AMPLE) -> None:
        # Value, step, value, step, ... in one column: two would be twice the memory that a step of training has to
        # fetch, whose own work has pushed it out of the processor's caches.
        self._newest = array("d")
        self._chunks: list[tuple[array[float], array[float]]] = []  # of `CHUNK_POINTS` older raw points each
        self._folded = Folded()
        self._version = 0  # odd while points move into chunks or buckets
        self._seen = self._folded.running  # the figures that the last summary came to
        self.appender: Appender = self._newest.append
        """What `append` is made of, for loops that count nanoseconds: call it with the value, then with the step, both
        of which must be what a float can hold. Whoever is interrupted in between calls `mend`."""
        self.room = room
        """May be changed at any time by the thread that appends; one that has become smaller is kept to little by
        little, fold by fold."""

    @classmethod
    def restored(cls, kept: Kept, room: Room = AMPLE) -> History:
        """A history that holds what another one kept: all of it, if ``kept`` was taken without ``newest``."""
        history = cls(room)
        history._folded = kept.folded
        history.extend(kept.steps, kept.values)
        return history

    def append(self, step: float, value: float) -> None:
        """Record that the metric was ``value`` at ``step``. Raises ``OverflowError`` for an int beyond every float."""
        self._newest.extend((float(value), float(step)))  # one call, so that no Ctrl-C comes in between

    def mend(self) -> None:
        """Take away a value that was left without its step."""
        if len(self._newest) % 2:
            self._newest.pop()

    def extend(self, steps: array[float], values: array[float]) -> None:
        """Record many points at once, as of a run that is read back, and fold; from the thread that appends.

        Raises ``ValueError`` when there are more of one than of the other.
        """
        if len(steps) != len(values):
            raise ValueError(f"as many steps as values are needed, not {len(steps)} and {len(values)}")
        done = 0
        while done < len(steps):
            end = done + max(self.room.raw + self.room.fold - self._raw(), 1)
            points = array("d", bytes(16 * len(steps[done:end])))
            points[::2], points[1::2] = values[done:end], steps[done:end]
            self._newest.extend(points)
            self.fold()
            done = end

    def fold(self) -> None:
        """Move older points into buckets when there are many more than the `room` is for; else into chunks at most.
        Takes about half a millisecond; the first time of a process also what it takes to load NumPy."""
        while len(self._newest) >= 2 * CHUNK_POINTS:
            chunk = _columns(self._newest, 0, CHUNK_POINTS)
            # CPython handles signals at calls and jumps only: no Ctrl-C comes between these lines
            self._version += 1
            try:
                self._chunks.append(chunk)
                del self._newest[: 2 * CHUNK_POINTS]
            finally:
                self._version += 1
        room = self.room
        count = (self._raw() - room.raw) // room.fold * room.fold
        if count <= 0:
            return
        chunks = count // CHUNK_POINTS
        folded = self._folded.with_points(*_joined(self._chunks[:chunks]), room)
        self._version += 1
        try:
            self._folded = folded
            del self._chunks[:chunks]
        finally:
            self._version += 1

    def _raw(self) -> int:
        return CHUNK_POINTS * len(self._chunks) + len(self._newest) // 2

    def __reduce__(self) -> tuple[object, ...]:
        # a copied or unpickled history must append to its own column, not through the appender of this one
        return (History.restored, (self.kept(), self.room))

    def __len__(self) -> int:
        """Points recorded so far, those in buckets included."""
        for _ in range(_TRIES):
            version = self._version
            length = self._folded.running.count + self._raw()
            if version == self._version and not version & 1:
                break
            time.sleep(_PAUSE_S)
        return length

    def kept(self, newest: int | None = None) -> Kept:
        """A copy of all that is kept, or of the ``newest`` raw points. Copies, since an array that someone holds a
        view of cannot grow. The buckets come along in any case."""
        for _ in range(_TRIES):
            version = self._version
            folded = self._folded
            chunks = self._chunks[:]
            end = len(self._newest) // 2  # a value whose step is yet to come is no point
            passed = 0 if newest is None else max(end - newest, 0)  # whoever wants a few does not copy thousands
            newer = _columns(self._newest, passed, end)
            if version == self._version and not version & 1:
                break
            time.sleep(_PAUSE_S)
        raw = CHUNK_POINTS * len(chunks) + end
        first = 0 if newest is None else max(raw - newest, 0)
        unwanted = min(first // CHUNK_POINTS, len(chunks))
        steps, values = _joined([*chunks[unwanted:], newer]) if unwanted < len(chunks) else newer
        rest = first - CHUNK_POINTS * unwanted - passed
        del steps[:rest], values[:rest]
        return Kept(steps, values, folded, folded.running.count + first)

    def columns(self, newest: int | None = None) -> tuple[array[float], array[float]]:
        """Copies of the steps and values, of the ``newest`` points or of all, as far as they are raw: that is all in
        the first thousands of a run, and at least the newest ones later (`Room.raw`)."""
        kept = self.kept(newest)
        return kept.steps, kept.values

    def summary(self) -> Summary:
        """Exact figures over every point so far; what an earlier call has looked at is not looked at again."""
        seen = self._seen  # before the copy: of two threads that ask, neither may start beyond its own copy
        kept = self.kept()
        if seen.count < kept.start:
            seen = kept.folded.running
        seen = self._seen = seen.with_values(kept.values[seen.count - kept.start :])
        none = not seen.finite
        return Summary(
            current=kept.values[-1] if kept.values else math.nan,
            min=math.nan if none else seen.smallest,
            max=math.nan if none else seen.largest,
            mean=seen.mean,
            count=seen.count,
            nonfinite=seen.count - seen.finite,
        )


def _columns(points: array[float], first: int, end: int) -> tuple[array[float], array[float]]:
    """Steps and values of the points from ``first`` up to ``end``; in ``points`` value and step take turns."""
    return points[2 * first + 1 : 2 * end : 2], points[2 * first : 2 * end : 2]


def _joined(chunks: Iterable[tuple[array[float], array[float]]]) -> tuple[array[float], array[float]]:
    steps, values = array("d"), array("d")
    for more_steps, more_values in chunks:
        steps.extend(more_steps)
        values.extend(more_values)
    return steps, values


def load_numpy() -> None:
    """Load NumPy now, which takes some 80 ms once, rather than in the middle of a run."""
    import m.metrics.buckets  # noqa: F401
