"""What it costs to keep the numbers of a run: time per step, memory, and whether a spike survives ten million steps.

Every case runs in a process of its own, since memory is the growth of that process.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import random
import time
from array import array
from collections.abc import Callable

from benchmarks.measure import remember
from benchmarks.workload import snapshot
from m.metrics.history import load_numpy
from m.metrics.named import NamedHistories
from m.metrics.snapshot import TrainingSnapshot

SHORT, LONG = 1_000_000, 10_000_000
SPIKES = 200
_POOL = 1024
_NAMES = 1000
_REFERENCE = "ours, 10^6 steps"


def run() -> None:
    """Print the table and the fate of the spikes."""
    cases = [
        ("lists of floats, 10^6 steps", _lists, SHORT),
        ("columns of array('d'), 10^6 steps", _columns, SHORT),
        (_REFERENCE, _ours, SHORT),
        ("ours, 10^7 steps", _ours, LONG),
    ]
    width = max(len(name) for name, _, _ in cases)
    print("\nkeeping twelve numbers a step, snapshots made beforehand")
    print(f"  {'':<{width}} {'us of CPU a step':>17} {'MB held':>9} {'bytes a number':>15} {'spikes drawn':>13}")
    times, sizes = {}, {}
    for name, case, steps in cases:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            us, megabytes, drawn = pool.apply(case, (steps,))
        spikes = f"{drawn} of {SPIKES}" if drawn is not None else ""
        print(f"  {name:<{width}} {us:17.2f} {megabytes:9.1f} {megabytes * 1e6 / steps / 12:15.2f} {spikes:>13}")
        times[name], sizes[name] = us, megabytes
    remember("keeping twelve numbers a step: CPU a step", times, _REFERENCE)
    remember("keeping twelve numbers a step: memory", sizes, _REFERENCE)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        us, megabytes = pool.apply(_many, (SHORT // 10,))
    print(f"  ours, {_NAMES:,} numbers a step, {SHORT // 10:,} steps: {us:.0f} us of CPU a step, {megabytes:.0f} MB")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        worst = pool.apply(_longest, (SHORT // 4,))
    print(f"  longest of {SHORT // 4:,} single calls: {worst:.2f} ms")


Result = tuple[float, float, int | None]


def _lists(steps: int) -> Result:
    names = list(_numbers(snapshot(0)))
    kept: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in names}

    def record(given: TrainingSnapshot) -> None:
        for name, value in _numbers(given).items():
            at, values = kept[name]
            at.append(float(given.step))
            values.append(value)

    return (*_measured(record, steps), None)


def _columns(steps: int) -> Result:
    names = list(_numbers(snapshot(0)))
    kept = {name: (array("d"), array("d")) for name in names}

    def record(given: TrainingSnapshot) -> None:
        for name, value in _numbers(given).items():
            at, values = kept[name]
            at.append(given.step)
            values.append(value)

    return (*_measured(record, steps), None)


def _numbers(given: TrainingSnapshot) -> dict[str, float]:
    return {
        "train_loss": given.train_loss,
        "val_loss": given.val_loss,
        "learning_rate": given.learning_rate,
        "aux_loss": given.aux_loss,
        "gpu_memory_mb": given.gpu_memory_mb,
        "gradient_norm": given.gradient_norm,
        **given.custom_metrics,
    }


def _ours(steps: int) -> Result:
    from sinks.plotting.points import points_of

    load_numpy()
    numbers = NamedHistories()
    # one to a stretch, up and down in turn: of two spikes to one side within a few pixels the larger is drawn
    rng, stretch = random.Random(0), steps // SPIKES
    spikes = {turn * stretch + rng.randrange(stretch): (-1) ** turn * (100.0 + turn) for turn in range(SPIKES)}
    us, megabytes = _measured(numbers.record, steps, spikes)
    points = points_of(numbers.histories()["train_loss"])
    drawn = set(zip(points.x.tolist(), points.y.tolist(), strict=True))
    return us, megabytes, sum((float(step), value) in drawn for step, value in spikes.items())


def _measured(
    record: Callable[[TrainingSnapshot], None],
    steps: int,
    spikes: dict[int, float] | None = None,
    pool: list[TrainingSnapshot] | None = None,
) -> tuple[float, float]:
    """Microseconds of this thread's CPU a step, and megabytes by which the process has grown. The snapshots are those
    of the ``pool``, in turn."""
    pool = pool or [snapshot(index) for index in range(_POOL)]
    set_step, set_loss = (getattr(TrainingSnapshot, name).__set__ for name in ("step", "train_loss"))
    spikes = spikes or {}
    before, spent = _resident(), 0.0
    for start in range(0, steps, len(pool)):
        now = pool[: steps - start]
        losses = [given.train_loss for given in now]
        for index, given in enumerate(now):
            set_step(given, start + index)
            if start + index in spikes:
                set_loss(given, spikes[start + index])
        began = time.thread_time()
        for given in now:
            record(given)
        spent += time.thread_time() - began
        for given, loss in zip(now, losses, strict=True):
            set_loss(given, loss)
    return spent / steps * 1e6, (_resident() - before) / 1e6


def _many(steps: int) -> tuple[float, float]:
    """Of `_NAMES` custom metrics what `_measured` says."""
    load_numpy()
    numbers = NamedHistories()
    pool = [
        TrainingSnapshot(0, 1.0, custom_metrics={f"metric_{name}": float(name + index) for name in range(_NAMES)})
        for index in range(16)
    ]
    return _measured(numbers.record, steps, pool=pool)


def _longest(steps: int) -> float:
    """The longest single call in milliseconds of this thread's CPU; a call in which points are folded."""
    load_numpy()
    numbers = NamedHistories()
    pool = [snapshot(index) for index in range(_POOL)]
    set_step = TrainingSnapshot.step.__set__  # type: ignore[attr-defined]
    longest = 0.0
    for step in range(steps):
        given = pool[step % _POOL]
        set_step(given, step)
        began = time.thread_time()
        numbers.record(given)
        longest = max(longest, time.thread_time() - began)
    return longest * 1000


def _resident() -> float:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * float(os.sysconf("SC_PAGE_SIZE"))
    except OSError:
        return math.nan  # not Linux
