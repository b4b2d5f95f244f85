"""What importing costs, in whole processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from benchmarks.measure import interleaved, table

_CASES = (
    "pass",
    "import m",
    "from m import MetricsHub, TrainingSnapshot",
    "import sinks",
    "import blinker",
    "import rich.live",
    "import numpy",
    "import matplotlib.figure",
)


def run() -> None:
    """Print the table."""
    cases: list[tuple[str, Callable[[], float]]] = [(code, lambda code=code: _milliseconds(code)) for code in _CASES]
    for _, case in cases:
        case()  # once for the disk cache
    table("python -c ...", "ms of wall time", interleaved(cases, 9), "pass")


def _milliseconds(code: str) -> float:
    before = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - before) * 1000
