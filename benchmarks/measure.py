"""Timing that holds on a noisy machine: interleaved rounds, medians, ratios to a reference of the same run."""

from __future__ import annotations

import gc
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured quantity over the rounds, in the unit that its table says."""

    name: str
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def text(self, reference: float | None = None) -> str:
        """``median (min - max)`` and the ratio to ``reference``."""
        ratio = "" if not reference else f"{self.median / reference:10.2f}"
        return f"{self.median:10.3f} {min(self.rounds):10.3f} {max(self.rounds):10.3f} {ratio}"


def interleaved(cases: Sequence[tuple[str, Callable[[], float]]], rounds: int) -> list[Figure]:
    """Run every case once a round, round after round, so that the machine's moods hit all alike."""
    results: dict[str, list[float]] = {name: [] for name, _ in cases}
    for _ in range(rounds):
        for name, case in cases:
            gc.collect()
            results[name].append(case())
    return [Figure(name, tuple(values)) for name, values in results.items()]


def per_call_us(call: Callable[[int], object], calls: int) -> float:
    """Median microseconds of a call on this thread, by the clock around each, less the clock's own price."""
    clock = time.perf_counter_ns
    empty = []
    for _ in range(2000):
        before = clock()
        empty.append(clock() - before)
    spent = []
    for index in range(calls):
        before = clock()
        call(index)
        spent.append(clock() - before)
    return (statistics.median(spent) - statistics.median(empty)) / 1000


def table(title: str, unit: str, figures: Sequence[Figure], reference: str | None = None) -> None:
    """Print figures as a table; with ``reference`` a column of ratios to that figure."""
    by_name = {figure.name: figure for figure in figures}
    base = by_name[reference].median if reference in by_name else None
    width = max(len(figure.name) for figure in figures)
    ratio = f"{'x ' + reference[:18]:>12}" if base and reference else ""
    print(f"\n{title}  [{unit}]")
    print(f"  {'':<{width}} {'median':>10} {'min':>10} {'max':>10} {ratio}")
    for figure in figures:
        print(f"  {figure.name:<{width}} {figure.text(base)}")


def missing(peer: str, error: ImportError) -> None:
    """Say that a peer is not installed, by name, and go on."""
    print(f"  (without {peer}: {error}; the extra 'bench' installs it)")


def machine() -> str:
    """The machine in a line."""
    import os

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {sys.version.split()[0]}, load {load:.1f} at start"
