"""Timing that holds on a noisy machine: interleaved rounds, medians, ratios to a reference of the same run.

Every table that is printed is remembered by its ratios, so that a run ends with all of them in one (`summary`).
"""

from __future__ import annotations

import gc
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


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


def cpu_s_of(pid: int | None) -> float:
    """CPU seconds of another process, to a hundredth; 0.0 for None, NaN where the system does not tell."""
    if pid is None:
        return 0.0
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# -- what is printed ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Ratios:
    """What `summary` says of one table. ``values`` are medians by name, ``reference`` one of the names."""

    suite: str
    title: str
    reference: str
    values: Mapping[str, float]


_suite = ""
_remembered: list[_Ratios] = []
_left_out: dict[str, str] = {}


def begin(suite: str) -> None:
    """What is measured from now on belongs to ``suite``."""
    global _suite
    _suite = suite


def table(title: str, unit: str, figures: Sequence[Figure], reference: str | None = None) -> None:
    """Print figures as a table; with ``reference`` a column of ratios to that figure, which `summary` repeats."""
    by_name = {figure.name: figure for figure in figures}
    base = by_name[reference].median if reference in by_name else None
    width = max(len(figure.name) for figure in figures)
    ratio = f"{'x ' + reference[:18]:>12}" if base and reference else ""
    print(f"\n{title}  [{unit}]")
    print(f"  {'':<{width}} {'median':>10} {'min':>10} {'max':>10} {ratio}")
    for figure in figures:
        print(f"  {figure.name:<{width}} {figure.text(base)}")
    if base and reference:
        remember(title, {figure.name: figure.median for figure in figures}, reference)


def remember(title: str, values: Mapping[str, float], reference: str) -> None:
    """Have `summary` print ``values`` as ratios to the one named ``reference``."""
    _remembered.append(_Ratios(_suite, title, reference, dict(values)))


def summary() -> None:
    """Print all ratios of this run in one table, and what was left out."""
    if _remembered:
        width = max(len(name) for each in _remembered for name in each.values)
        print("\n\nall ratios of this run, each to the line of its group that is 1")
        for each in _remembered:
            print(f"\n  {each.suite}: {each.title}")
            base = each.values[each.reference]
            for name, value in each.values.items():
                print(f"    {name:<{width}} {'1' if name == each.reference else f'{value / base:.3g}':>10}")
    if _left_out:
        print("\nleft out:")
        for name, why in _left_out.items():
            print(f"  {name}: {why}")


def missing(peer: str, error: ImportError) -> None:
    """Say that a peer is not installed, by name, and go on."""
    left_out(peer, f"{error}; the extra 'bench' installs it")


def left_out(name: str, why: str) -> None:
    """Say, once, that something is not measured, and go on."""
    if name not in _left_out:
        _left_out[name] = why
        print(f"  (without {name}: {why})")


def machine() -> str:
    """The machine in a line."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {sys.version.split()[0]}, load {load:.1f} at start"
