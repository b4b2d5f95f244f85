"""File descriptors of ours that stay open: out of the way of the standard streams, and known to be ours before they
are closed. Knows nothing of journals.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import Final

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

_BEYOND_STANDARD_STREAMS: Final = 3


def beyond_standard_streams(number: int) -> int:
    """``number``; where that is 0, 1 or 2, another one of the same file, and ``number`` is closed.

    A process that was started without standard streams, a daemon, gives their numbers to the files that it opens, and
    what C libraries and children write to the standard error would go into them.
    """
    if number >= _BEYOND_STANDARD_STREAMS or fcntl is None:
        return number
    try:
        return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _BEYOND_STANDARD_STREAMS)
    finally:
        os.close(number)


@dataclass(slots=True, frozen=True)
class Opened:
    """A descriptor, and the file that it was opened for.

    Somebody else may close it (``os.closerange`` in a library that makes daemons), and then its number is soon that
    of another file, which must not be closed in its place.
    """

    number: int
    file: tuple[int, int]
    """Device and number of the file there."""

    @classmethod
    def of(cls, number: int) -> Opened:
        """Take over the descriptor ``number``, beyond the standard streams; closes it when that cannot be done."""
        number = beyond_standard_streams(number)
        try:
            status = os.fstat(number)
        except BaseException:
            os.close(number)
            raise
        return cls(number, (status.st_dev, status.st_ino))

    def close(self) -> None:
        """Close it if it is still ours. Never raises ``OSError``."""
        try:
            status = os.fstat(self.number)
            is_ours = (status.st_dev, status.st_ino) == self.file
        except OSError as error:
            is_ours = error.errno != errno.EBADF  # a file on a lost mount tells nothing and is ours all the same
        if is_ours:
            try:
                os.close(self.number)
            except OSError:
                pass  # what it complains about was in the file's hands already
