"""A file descriptor that is known to be ours before it is closed. Knows nothing of journals."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass


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
        """Take over the descriptor ``number``; closes it when not even that can be done."""
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
