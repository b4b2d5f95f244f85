"""Whether the training's own work becomes slower by the emits, in caches that are colder: what `loop` cannot tell.

In one loop stretches with a display and stretches without take turns, a quarter of a second each, and the CPU time of
the work in each stretch is compared with that in its two neighbours. So neither a drift of the machine nor the memory
that a process happened to get is in the difference, which is what makes the wall clock of two loops uncertain by some
percent. The display is there all the time, and what it does on its own, such as drawing, strikes both alike.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence

from benchmarks.displays import Show
from benchmarks.terminal import on_terminal
from benchmarks.training import CASES, Loop, Sums, Work, calibrated_length, train

STRETCH_S = 0.25
SETTLE_S = 10.0
"""As in `loop`, until fonts are loaded and the process that draws has drawn."""
SECONDS = {10.0: 60.0, 1.0: 40.0}
"""By milliseconds of work in a step, so long is measured."""


def run() -> None:
    """Print, for a live image with everything else on, with a free core and without."""
    length = calibrated_length()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    lines = [f"  {'':<20} {'stretches':>10} {'slower by':>10} {'uncertain':>10} {'the calls':>10}"]
    for where in ("free", "one"):
        if where == "one":
            if len(cores) < 2:
                continue
            os.sched_setaffinity(0, {max(cores)})
        try:
            with on_terminal(), CASES["image"]() as show:
                work = Sums(length)
                train(work, 10.0, round(SETTLE_S * 100), show)
                for ms, seconds in SECONDS.items():
                    lines.append(_line(f"{ms:g} ms steps, {where}", _stretches(work, ms, seconds, show)))
        finally:
            if cores:
                os.sched_setaffinity(0, cores)
    print("\nthe training's own work beside calls that show a step  [% of it, CPU]")
    print("\n".join(lines))


def _stretches(work: Work, ms: float, seconds: float, show: Show) -> list[Loop]:
    """The second, fourth ... of them with calls; the first and the last without."""
    steps = max(round(STRETCH_S * 1000 / ms), 1)
    found: list[Loop] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not len(found) % 2:
        found.append(train(work, ms, steps, show if len(found) % 2 else _nothing, steps * len(found)))
    return found


def _nothing(step: int) -> None:
    """What shows a step where nothing does."""


def _line(name: str, stretches: Sequence[Loop]) -> str:
    bare, shown = [each.work for each in stretches[::2]], stretches[1::2]
    slower = [
        100 * (here.work / statistics.mean((before, after)) - 1)
        for before, here, after in zip(bare, shown, bare[1:], strict=False)
    ]
    error = statistics.stdev(slower) / len(slower) ** 0.5
    calls = 100 * statistics.mean(each.calls / each.work for each in shown)
    return f"  {name:<20} {len(stretches):>10} {statistics.mean(slower):>+10.2f} {error:>10.2f} {calls:>10.2f}"
