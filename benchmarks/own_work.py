"""Whether the training's own work becomes slower by the emits, in caches that are colder: what `loop` cannot tell.

In one loop stretches with a display and stretches without take turns, a quarter of a second each, and the work in each
stretch is compared with that in its two neighbours. So neither a drift of the machine nor the memory that a process
happened to get is in the difference, which is what makes the wall clock of two loops uncertain by some percent. The
display is there all the time, and what it does on its own, such as drawing, strikes both alike.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import training
from benchmarks.terminal import on_terminal
from benchmarks.training import PASSES_PER_MS, Work
from benchmarks.workload import VALUES

STRETCH_S = 0.25
SETTLE_S = 10.0
"""As in `loop`, until fonts are loaded and the process that draws has drawn."""
SECONDS = {10.0: 60.0, 1.0: 40.0}
"""By milliseconds of work in a step, so long is measured."""


@dataclass(frozen=True)
class Stretch:
    """Seconds by the clock, of a step."""

    work: float
    call: float
    """Of the call that shows it; 0.0 where nothing is shown."""


def differences(stretches: Sequence[Stretch]) -> list[float]:
    """How much longer the work took in each stretch with calls than in the mean of its neighbours, in percent."""
    return [
        100 * (here.work / statistics.mean((before.work, after.work)) - 1)
        for before, here, after in zip(stretches, stretches[1:], stretches[2:], strict=False)
        if here.call
    ]


def run() -> None:
    """Print, for a live image with everything else on, with a free core and without."""
    length = training.calibrated_length()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    lines = [f"  {'':<20} {'stretches':>10} {'slower by':>10} {'uncertain':>10} {'the calls':>10}"]
    for where in ("free", "one"):
        if where == "one":
            if len(cores) < 2:
                continue
            os.sched_setaffinity(0, {max(cores)})
        try:
            with on_terminal(), training.CASES["image"]() as show:
                work = Work(length)
                training.train(work, 10.0, round(SETTLE_S * 100), show)
                for ms, seconds in SECONDS.items():
                    lines.append(_line(f"{ms:g} ms steps, {where}", _stretches(work, ms, seconds, show)))
        finally:
            if cores:
                os.sched_setaffinity(0, cores)
    print("\nthe training's own work beside calls that show a step  [% of it, by the clock]")
    print("\n".join(lines))


def _stretches(work: Work, ms: float, seconds: float, show: training.displays.Show) -> list[Stretch]:
    clock, passes, steps = time.perf_counter, round(ms * PASSES_PER_MS), max(round(STRETCH_S * 1000 / ms), 1)
    found: list[Stretch] = []
    step, end = 0, clock() + seconds
    while clock() < end:
        shown = len(found) % 2 == 1
        worked = called = 0.0
        for _ in range(steps):
            step += 1
            before = clock()
            work(passes)
            sum(VALUES[step & 1023])
            between = clock()
            if shown:
                show(step)
            worked += between - before
            called += clock() - between if shown else 0.0
        found.append(Stretch(worked / steps, called / steps))
    return found


def _line(name: str, stretches: Sequence[Stretch]) -> str:
    slower = differences(stretches)
    error = statistics.stdev(slower) / len(slower) ** 0.5
    calls = 100 * statistics.mean(each.call / each.work for each in stretches if each.call)
    return f"  {name:<20} {len(stretches):>10} {statistics.mean(slower):>+10.2f} {error:>10.2f} {calls:>10.2f}"
