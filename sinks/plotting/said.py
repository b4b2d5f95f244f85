"""What was told last, so that nothing is told twice.

An artist that is told anything, be it what it knows already, makes matplotlib draw everything around it anew.
"""

from __future__ import annotations


class Said:
    """Remembers one value for each subject."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[object, ...]] = {}

    def new(self, subject: str, *value: object) -> bool:
        """Whether ``value``, which is remembered, differs from that of the last time."""
        if self._last.get(subject) == value:
            return False
        self._last[subject] = value
        return True

    def forget(self, *subjects: str) -> None:
        """Have everything about ``subjects`` told again."""
        for subject in subjects:
            self._last.pop(subject, None)
