"""What the tests of the journal share: lines to put into files, and what the system does to files."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from m.journal.encoding import SnapshotEncoder, encode
from m.journal.records import Recorded
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot

needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc here")

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For properties of texts: the first text that Hypothesis ever draws on a machine takes it a second or two."""


def header(attempt: int = 1, run_id: str = "abc", **fields: object) -> bytes:
    return encode(Run(run_id=run_id, attempt=attempt, started_at=1.0, **fields))  # type: ignore[arg-type]


def snapshots(steps: Iterable[int], loss: float = 0.5, first_seq: int = 1) -> bytes:
    encoder = SnapshotEncoder()
    return b"".join(
        encoder.encode(TrainingSnapshot(step, loss), seq, 100.0 + seq) for seq, step in enumerate(steps, first_seq)
    )


def steps_of(recorded: Iterable[Recorded]) -> list[int]:
    return [each.snapshot.step for each in recorded]


def open_files_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows: what is open cannot be removed."""
    unlink = Path.unlink

    def unlink_closed(self: Path, missing_ok: bool = False) -> None:
        for number in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(f"/proc/self/fd/{number}") == str(self):
                    raise PermissionError(errno.EACCES, "in use")
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink_closed)
