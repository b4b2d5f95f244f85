"""What a screen is written to: a terminal of its own (`sinks.terminal.tty`), or no more than a console's file."""

from __future__ import annotations

from typing import Protocol

from rich.console import Console


class Device(Protocol):
    """Where the bytes go: `sinks.terminal.tty.Terminal`, or `FileDevice`."""

    gone: bool
    device: int

    @property
    def busy(self) -> bool: ...
    @property
    def in_front(self) -> bool: ...
    @property
    def shell_in_front(self) -> bool: ...
    @property
    def prompting(self) -> bool: ...
    def size(self) -> tuple[int, int]: ...
    def write(self, data: bytes, /) -> None: ...
    def push(self) -> None: ...
    def drain(self, within_s: float, /) -> bool: ...
    def close(self) -> None: ...


class FileDevice:
    """A terminal that can be written to only through the console's file, as on Windows."""

    def __init__(self, console: Console, device: int) -> None:
        self._console = console
        self._file = console.file  # taken now: later the console finds our stand-in for sys.stdout
        self.device = device
        self.gone = False
        self.busy = False
        self.in_front = True
        self.shell_in_front = False
        self.prompting = False

    def size(self) -> tuple[int, int]:
        size = self._console.size
        return size.width, size.height

    def write(self, data: bytes) -> None:
        try:
            self._file.write(data.decode(self._console.encoding, "replace"))
            self._file.flush()
        except (OSError, ValueError):
            self.gone = True

    def push(self) -> None:
        """Nothing is ever kept back."""

    def drain(self, within_s: float) -> bool:
        return True

    def close(self) -> None:
        """The file is the console's."""
