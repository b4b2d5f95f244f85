"""A journal read while it is being written. Draws nothing and starts no thread."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from m.journal.decoding import Decoder
from m.journal.records import MAX_NAMES, Record
from m.journal.tail import Tail

POLL_EVERY_S: Final = 0.5

_sleep = time.sleep


class Follower:
    """Yields the records of the journal at ``path`` from its beginning, then each new one as it is written.

    The file need not exist yet. A line that is torn at the moment comes when it is whole, once its writer has begun
    another segment that is read after this one, and a new attempt begins with its header, a ``Run``. Iterating never
    ends by itself, since another attempt may follow an ``End``: leave the loop, or call `stop`. Between two looks at
    the file it sleeps ``poll_every_s`` seconds; who has other things to do calls `new` now and then instead.

    What is no record is skipped and counted. A file that is replaced by another begins again, one that is replaced by
    a longer copy of itself goes on. Raises ``OSError`` for a file that is there and cannot be read,
    `NewerVersionError` at a header of a version that this library cannot read, and at once ``ValueError`` for a bad
    ``poll_every_s`` or ``max_names`` (see `Decoder`). One thread at a time may read from it.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, poll_every_s: float = POLL_EVERY_S, max_names: int = MAX_NAMES
    ) -> None:
        self.path = Path(os.path.abspath(path))  # a change of folder does not move it
        self.poll_every_s = _checked_seconds(poll_every_s)
        self._tail = Tail(self.path)
        self._decoder = Decoder(max_names)
        self._is_stopped = False

    @property
    def bad_lines(self) -> int:
        """Lines so far that were no record: torn by a crash, too long, or not written by this library."""
        return self._tail.too_long + self._decoder.bad_lines

    @property
    def left_out(self) -> int:
        """Values of metrics so far that were left out because of their names: more than ``max_names``, or too long."""
        return self._decoder.left_out

    @property
    def torn(self) -> bool:
        """Whether the last look at the file found a line that was not whole yet."""
        return self._tail.torn

    def new(self) -> Iterator[Record]:
        """The records that came since the last call, without waiting for more; none while there is no file."""
        return self._decoder.records(self._tail.look())

    def stop(self) -> None:
        """End the iteration, after ``poll_every_s`` at the latest; for good. From any thread or signal handler."""
        self._is_stopped = True

    def __iter__(self) -> Iterator[Record]:
        while not self._is_stopped:
            for record in self.new():
                yield record
                if self._is_stopped:
                    return
            _sleep(self.poll_every_s)


def _checked_seconds(poll_every_s: object) -> float:
    if isinstance(poll_every_s, bool) or not isinstance(poll_every_s, (int, float)) or not 0 < poll_every_s < math.inf:
        raise ValueError(f"poll_every_s must be a positive number of seconds; got {poll_every_s!r:.80}")
    return float(poll_every_s)
