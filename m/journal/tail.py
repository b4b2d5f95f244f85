"""The lines of a journal that may still be growing. Knows the order of its files, and not what is in a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from m.journal.records import MAX_LINE
from m.journal.segments import FIRST, has_begun, segment_numbers, segment_path

_NONE: Final = 0
_KEPT: Final = 1024  # bytes of a line too long to be kept that are, to find the place again


class Tail:
    """Gives each line of the journal at ``path`` once, segment after segment, in as many looks as it takes.

    Between two looks it holds no file open: it remembers how far it came, and the line that stood right before. So a
    file that was replaced by a longer copy of itself (``rsync``) goes on where it was, and one that was replaced by
    another is read from its start.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.too_long = 0
        """Lines of more than `MAX_LINE` bytes, which were passed over."""
        self.rest = b""
        """The line without an end that the last look found, unless it is too long."""
        self._number = _NONE  # of the segment that is being read
        self._first = (_NONE, b"")  # number and first line of the segment that was read first
        self._begin_at(_NONE)

    @property
    def has_begun(self) -> bool:
        """Whether there was a file to look at."""
        return self._number != _NONE

    @property
    def torn(self) -> bool:
        """Whether the last look found a line without an end."""
        return bool(self.rest) or self._passing

    def look(self) -> Iterator[bytes]:
        """Every whole line that was not there at the last look, with its newline.

        A torn line at the end of a segment after which another has begun comes without. Raises ``OSError`` for a file
        that cannot be read, but not for one that is not there.
        """
        if self._number != _NONE and not self._stands():
            self._begin_at(_NONE)
        while True:
            later = self._next()  # asked first: when there is one, what is read now is all there ever is of this one
            if self._number != _NONE:
                yield from self._lines()
            if later is None:
                return
            if self.rest:
                yield self.rest
            self.too_long += self._passing
            self._begin_at(later)

    def _next(self) -> int | None:
        for number in segment_numbers(self.path):
            if number > self._number and (number == FIRST or has_begun(segment_path(self.path, number))):
                return number
        return None

    def _begin_at(self, number: int) -> None:
        if self._number == _NONE:
            self._first = (number, b"")
        self._number = number
        self._done = 0  # bytes of the segment that are behind us
        self._newest = b""  # the last of those
        self._passing = False  # they end in the middle of a line that is too long
        self.rest = b""

    def _stands(self) -> bool:
        """Whether what was read still stands where it was read, or nothing at all does."""
        try:
            return self._reads(self._number, self._done - len(self._newest), self._newest)
        except FileNotFoundError:
            number, line = self._first
        try:
            return self._reads(number, 0, line)
        except FileNotFoundError:
            return True

    def _reads(self, number: int, at: int, data: bytes) -> bool:
        with open(segment_path(self.path, number), "rb") as file:
            file.seek(at)
            return file.read(len(data)) == data

    def _lines(self) -> Iterator[bytes]:
        self.rest = b""
        try:
            with open(segment_path(self.path, self._number), "rb") as file:
                if self._done:
                    file.seek(self._done)
                while line := file.readline(MAX_LINE + 1):
                    is_whole = line.endswith(b"\n")
                    if self._passing or len(line) > MAX_LINE:
                        self._done += len(line)
                        self._newest = line[-_KEPT:]
                        self._passing = not is_whole
                        self.too_long += is_whole
                    elif is_whole:
                        if not self._done and self._number == self._first[0]:
                            self._first = (self._number, line)
                        self._done += len(line)
                        self._newest = line
                        yield line
                    else:
                        self.rest = line
                        break  # it may have grown since: what comes next would be taken for a line
        except FileNotFoundError:
            return  # it was taken away; what comes after it shows what is missing
