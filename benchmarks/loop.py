"""What a training loop loses to its displays: steps of 1, 10 and 100 ms, and those of a training with PyTorch, with a
free core and without.

``python -m benchmarks.loop 12`` makes twelve runs of each of ours instead of a few, for a wall time that is certain.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.measure import begin, left_out, machine, missing, remember, summary
from benchmarks.training import TORCH, Loop, Trained, calibrated_length

PEER_S = 5.0
"""Work of a peer that grows, whatever the length of a step: twice what livelossplot draws after."""
ROUNDS = 4
REPEATS = 10
"""So many runs, at most, are made again because other programs disturbed them."""
_DISTURBED = 0.1  # of a core, beyond those that a run does not need


@dataclass(frozen=True)
class _Training:
    work: str
    """As `benchmarks.training.run` takes it."""
    steps: str
    """What its steps are called."""
    seconds: Mapping[float, float]
    """Work, by the length of a step in milliseconds."""
    without: tuple[str, ...] = ()
    """Cases that are not shown with it."""


@dataclass(frozen=True)
class _Case:
    key: str
    """One of `benchmarks.training.CASES`."""
    title: str
    packages: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    grows: bool = False
    """It draws more the more points it has; so it begins anew for each length of step. Else a run makes all."""
    every_round: bool = False
    """What it costs is so little that it takes many runs to see; and those of nothing, to compare them with."""

    def can_run(self) -> bool:
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                missing(self.title, ImportError(f"No module named {package!r}"))
                return False
        for program in self.programs:
            if shutil.which(program) is None:
                left_out(self.title, f"there is no {program} here")
                return False
        return True


_CASES = (
    _Case("bare", "bare loop", every_round=True),
    _Case("image", "ours: terminal, live image, journal", every_round=True),
    _Case("window", "ours: terminal, window, journal", programs=("Xvfb",), every_round=True),
    _Case("plain", "ours with image, without orjson", ("orjson",)),
    _Case("tqdm", "tqdm + TensorBoard", ("tqdm", "torch", "tensorboard")),
    _Case("rich", "Rich Live + matplotlib in the loop", grows=True),
    _Case("livelossplot", "livelossplot, sent every 2.5 s", ("livelossplot",), grows=True),
)


def run(rounds: int = ROUNDS) -> None:
    """Print the tables."""
    trainings = [_Training(str(calibrated_length()), "ms steps", {10.0: 5.0, 1.0: 4.0, 100.0: 3.0})]
    if importlib.util.find_spec("torch") is None:
        missing("a training with PyTorch", ImportError("No module named 'torch'"))
    else:
        trainings.append(_Training(TORCH, "ms steps of PyTorch", {10.0: 6.0}, without=("plain", "livelossplot")))
    cases = [case for case in _CASES if case.can_run()]
    runs = _Runs()
    for training in trainings:
        shown = [case for case in cases if case.key not in training.without]
        _measure("a core free", training, shown, runs, rounds, one_core=False)
        if hasattr(os, "sched_setaffinity"):
            _measure("no core free: all processes on one", training, shown, runs, max(1, rounds // 2), one_core=True)
    if not hasattr(os, "sched_setaffinity"):
        left_out("loops without a free core", "this system does not bind a process to a core")


def _measure(where: str, training: _Training, cases: Sequence[_Case], runs: _Runs, rounds: int, one_core: bool) -> None:
    results: dict[_Case, list[Trained]] = {case: [] for case in cases}
    for turn in range(rounds):
        for case in cases:
            for seconds in _processes(case, training.seconds, turn, one_core):
                results[case] += runs.make(case, training.work, seconds, one_core)
    there = {case: found for case, found in results.items() if found}
    for ms in sorted(training.seconds):
        _print_loops(f"{ms:g} {training.steps}, {where}", ms, there)
    _print_processes(where, there)
    foreign = [each.foreign for found in there.values() for each in found if _is_disturbed(each)]
    if foreign:
        cores = f"{min(foreign):.1f} to {max(foreign):.1f}"
        print(f"  (other programs used {cores} cores during {len(foreign)} of these runs: do not trust wall and queue)")


def _processes(case: _Case, seconds: Mapping[float, float], turn: int, one_core: bool) -> list[dict[float, float]]:
    """For each process of ``case`` in this round, the seconds of work by the length of a step."""
    lengths = list(seconds)
    if turn and not case.every_round:
        return []
    if case.grows:
        return [{10.0: PEER_S}] if one_core else [{ms: PEER_S} for ms in lengths]
    shift = turn % len(lengths)
    return [{ms: seconds[ms] for ms in lengths[shift:] + lengths[:shift]}]


class _Runs:
    """Makes runs, each a process of its own, and those again that other programs disturbed."""

    def __init__(self) -> None:
        self._repeats = REPEATS

    def make(self, case: _Case, work: str, seconds: Mapping[float, float], one_core: bool) -> list[Trained]:
        """One run, the least disturbed; none when it fails, which is said."""
        found = self._once(case, work, seconds, one_core)
        while found and _is_disturbed(found[-1]) and self._repeats > 0:
            self._repeats -= 1
            found += self._once(case, work, seconds, one_core)
        return sorted(found, key=lambda run: run.foreign)[:1]

    def _once(self, case: _Case, work: str, seconds: Mapping[float, float], one_core: bool) -> list[Trained]:
        words = [case.key, work, json.dumps(seconds), json.dumps(one_core)]
        ended = subprocess.run([sys.executable, "-m", "benchmarks.training", *words], capture_output=True, text=True)
        if ended.returncode:
            left_out(case.title, (ended.stderr.strip().splitlines() or ["it failed"])[-1])
            return []
        told = json.loads(ended.stdout.splitlines()[-1])
        bare, shown = ([Loop(**loop) for loop in told[name]] for name in ("bare", "shown"))
        return [Trained(bare, shown, Loop(**told["settling"]), told["foreign"])]


def _is_disturbed(run: Trained) -> bool:
    """Whether other programs left this run less than the two cores that it can use."""
    return run.foreign > max(0, (os.cpu_count() or 1) - 2) + _DISTURBED


# -- what is printed ----------------------------------------------------------------------------------------------


def slower(loop: Loop, run: Trained, of: Callable[[Loop], float]) -> float:
    """Percent by which ``loop`` takes more of a quantity than the bare loops around it, for the same work."""
    bare = sum(of(each) for each in run.bare) / sum(each.load for each in run.bare)
    return 100 * (of(loop) / loop.load / bare - 1)


_COLUMNS: tuple[tuple[str, Callable[[Loop, Trained], float]], ...] = (
    ("wall", lambda loop, run: slower(loop, run, lambda each: each.wall)),
    ("its CPU", lambda loop, run: slower(loop, run, lambda each: each.process)),
    # of the work's own CPU time, so that the first is the sum of the next three
    ("kept off", lambda loop, _: 100 * (loop.wall / loop.work - 1)),
    ("calls", lambda loop, _: 100 * loop.calls / loop.work),
    ("lock", lambda loop, _: 100 * (loop.wall - loop.thread - loop.queued) / loop.work),
    ("queue", lambda loop, _: 100 * loop.queued / loop.work),
    ("threads", lambda loop, _: 100 * (loop.process - loop.thread) / loop.wall),
)


def _print_loops(title: str, ms: float, runs: dict[_Case, list[Trained]]) -> None:
    runs = {case: found for case, found in runs.items() if any(loop.ms == ms for each in found for loop in each.shown)}
    if not runs:
        return
    width = max(len(case.title) for case in runs)
    print(f"\n{title}  [%; medians, wall with least and most]")
    heads = "".join(f"{name:>9}" for name, _ in _COLUMNS[1:])
    print(f"  {'':<{width}} {'runs':>4} {'wall':>8} {'':>17}{heads}")
    walls, kept = {}, {}
    for case, found in runs.items():
        pairs = [(loop, each) for each in found for loop in each.shown if loop.ms == ms]
        columns = {name: [of(loop, each) for loop, each in pairs] for name, of in _COLUMNS}
        spread = f"({min(columns['wall']):+.1f} to {max(columns['wall']):+.1f})"
        medians = {name: statistics.median(values) for name, values in columns.items()}
        others = "".join(f"{medians[name]:9.2f}" for name, _ in _COLUMNS[1:])
        print(f"  {case.title:<{width}} {len(pairs):4} {medians['wall']:+8.2f} {spread:>17}{others}")
        walls[case.title] = 1.0 if case is _CASES[0] else 1 + medians["wall"] / 100
        kept[case.title] = medians["kept off"]
    remember(f"{title}: time of a step", {_CASES[0].title: 1.0} | walls, _CASES[0].title)
    if _CASES[1].title in kept:
        remember(f"{title}: time kept off its work", kept, _CASES[1].title)


def _print_processes(where: str, runs: dict[_Case, list[Trained]]) -> None:
    """What is no matter of a step: how much the process that draws uses, and what starting it takes."""
    drawing = {
        case: found for case, found in runs.items() if any(loop.drawing for each in found for loop in each.shown)
    }
    if not drawing:
        return
    width = max(len(case.title) for case in drawing)
    print(f"\nthe process that draws, {where}  [drawing: % of a core; starting: s that the loop loses once]")
    print(f"  {'':<{width}} {'drawing':>9} {'starting':>9}")
    for case, found in drawing.items():
        loops = [(each, loop) for each in found for loop in each.shown]
        share = 100 * sum(loop.drawing for _, loop in loops) / sum(loop.wall for _, loop in loops)
        lost = [_lost_once(each.settling, loop) for each, loop in loops if loop.ms == each.settling.ms]
        print(f"  {case.title:<{width}} {share:9.2f} {statistics.median(lost):9.2f}")


def _lost_once(settling: Loop, later: Loop) -> float:
    """Seconds that the first steps took more than later ones of as much work."""
    return settling.wall - settling.work * later.wall / later.work


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loop", description=__doc__)
    parser.add_argument("rounds", type=int, nargs="?", default=ROUNDS, help="runs of ours (default: %(default)s)")
    rounds = parser.parse_args(words).rounds
    print(machine())
    begin("loop")
    run(rounds)
    summary()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
