"""A training process of the benchmark ``loop``: fixed work bare, then with a display, then bare again.

Each of its loops does a given amount of work, however long that takes: what steals time shows. All three are in one
process, and the bare ones before and after are what the one between is compared with; so neither the memory that a
process happens to get nor a slow drift of the machine passes for a cost.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import displays
from benchmarks.measure import cpu_s_of
from benchmarks.terminal import on_terminal
from benchmarks.torch_step import TorchStep
from benchmarks.workload import VALUES

PASSES_PER_MS = 5
"""Work that takes a millisecond: so many passes over an array as long as `calibrated_length` says."""
BARE_S = 2.0
SETTLE_S = 1.5
"""Steps are made for so long before they count: fonts are loaded, threads started."""
PROCESS_SETTLE_S = (10.0, 20.0)
"""The same, at least and at most, where a process draws: its first images."""
_CALM = 0.10  # of a core: below this that process has begun

TORCH = "torch"
"""Instead of a length of `Sums`: steps of a training with PyTorch."""
Work = Callable[[float], None]
"""Works for about so many milliseconds."""

CASES: dict[str, Callable[[], Any]] = {
    "bare": displays.nothing,
    "image": displays.everything_and_image,
    "window": displays.everything_and_window,
    "plain": lambda: displays.without_orjson(displays.everything_and_image),
    "tqdm": displays.tqdm_and_tensorboard,
    "rich": displays.rich_live_and_matplotlib,
    "livelossplot": displays.livelossplot,
}
_WITH_PROCESS = ("image", "window", "plain")


@dataclass(frozen=True)
class Loop:
    """What one loop took. Seconds, of the whole loop; CPU is that of the training process unless said otherwise."""

    ms: float
    """Milliseconds of work in a step."""
    steps: int
    wall: float
    process: float
    """CPU of all its threads."""
    thread: float
    """CPU of the thread that trains."""
    calls: float
    """CPU of that thread inside the calls that show a step."""
    queued: float
    """Time in which that thread could have run and had no core; NaN where the system does not tell."""
    drawing: float
    """CPU of the process that draws; 0.0 without one."""

    @property
    def work(self) -> float:
        """CPU of the training thread at its own work."""
        return self.thread - self.calls

    @property
    def load(self) -> float:
        """Milliseconds of work in the whole loop, as calibrated."""
        return self.ms * self.steps


@dataclass(frozen=True)
class Trained:
    """The loops of one process."""

    bare: list[Loop]
    shown: list[Loop]
    settling: Loop
    """From the first step until all has begun; not counted among ``shown``."""
    foreign: float
    """CPU of all programs but this process and its children meanwhile, in cores; NaN where the system does not tell."""


class Sums:
    """Running sums through an array. They take as long as the processor takes for an addition after another, so that
    neither its clock's moods nor what else uses its vector units matter much; and they push other data out of the
    caches, and let go of the interpreter, as training does."""

    def __init__(self, length: int) -> None:
        self._values = np.random.default_rng(0).random(length)
        self._sums = np.empty_like(self._values)

    def __call__(self, ms: float) -> None:
        """Work for ``ms`` milliseconds, as calibrated."""
        add, values, sums = np.add.accumulate, self._values, self._sums
        for _ in range(round(ms * PASSES_PER_MS)):
            add(values, out=sums)


def calibrated_length() -> int:
    """The length at which `PASSES_PER_MS` passes take a millisecond here."""
    length, ms, fastest = 1 << 16, 10.0, float("inf")
    work = Sums(length)
    for _ in range(100):
        before = time.perf_counter()
        work(ms)
        fastest = min(fastest, time.perf_counter() - before)
    return round(length * ms / (fastest * 1000))


def train(work: Work, ms: float, steps: int, show: displays.Show, first: int = 0, drawing: int | None = None) -> Loop:
    """Make ``steps`` steps of ``ms`` milliseconds of work, each followed by a call of ``show``."""
    clock = time.thread_time_ns
    calls = 0
    theirs, queued = cpu_s_of(drawing), _queued_s()
    wall, process, thread = time.perf_counter(), time.process_time(), time.thread_time()
    for step in range(first, first + steps):
        work(ms)
        sum(VALUES[step & 1023])  # what a step has measured is in the caches when it ends
        before = clock()
        show(step)
        calls += clock() - before
    thread, process, wall = time.thread_time() - thread, time.process_time() - process, time.perf_counter() - wall
    return Loop(ms, steps, wall, process, thread, calls / 1e9, _queued_s() - queued, cpu_s_of(drawing) - theirs)


def _queued_s() -> float:
    """Seconds in which this thread waited for a core, since it began."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return float("nan")


def _foreign_s() -> float:
    """CPU seconds of the whole machine since it started, less those of this process and of its children that ended."""
    try:
        words = Path("/proc/stat").read_text().split(maxsplit=9)
    except OSError:
        return float("nan")
    user, nice, system, _, _, *interrupts_and_stolen = (int(word) for word in words[1:9])
    busy = user + nice + system + sum(interrupts_and_stolen)
    return busy / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])


def drawing_process() -> int | None:
    """Ours that draws, among the children of this process; None where there is none or the system does not tell."""
    for children in Path("/proc/self/task").glob("*/children"):
        try:
            for child in children.read_text().split():
                if b"sinks.plotting.viewer" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
        except OSError:
            pass  # a thread or a child that has just ended
    return None


def run(case: str, work_word: str, seconds: dict[float, float], one_core: bool) -> Trained:
    """``work_word`` is ``torch``, or the length of `Sums`; ``seconds`` of work by the length of a step in milliseconds.

    Raises when the process that draws does not come.
    """
    if one_core:
        os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])  # all that it starts is there too
    began, others = time.perf_counter(), _foreign_s()
    work: Work = TorchStep() if work_word == TORCH else Sums(int(work_word))
    train(work, 10, 50, lambda step: None)  # first touch of the memory
    bare_steps = round(BARE_S * 100)
    before = train(work, 10, bare_steps, lambda step: None)
    with on_terminal(), CASES[case]() as show:
        settling, drawing = _settle(case, work, show)
        first, shown = settling.steps, list[Loop]()
        for ms, long_s in seconds.items():
            steps = round(long_s * 1000 / ms)
            shown.append(train(work, ms, steps, show, first, drawing))
            first += steps
    after = train(work, 10, bare_steps, lambda step: None)
    foreign = (_foreign_s() - others) / (time.perf_counter() - began)
    return Trained([before, after], shown, settling, foreign)


def _settle(case: str, work: Work, show: displays.Show) -> tuple[Loop, int | None]:
    """Train until the process that draws, if there is to be one, has begun."""
    least, most = PROCESS_SETTLE_S if case in _WITH_PROCESS else (SETTLE_S, SETTLE_S)
    parts: list[Loop] = []
    drawing, spent = None, 0.0
    while spent < least or (spent < most and parts[-1].drawing > _CALM * parts[-1].wall):
        parts.append(train(work, 10, 50, show, 50 * len(parts), drawing))
        spent += parts[-1].wall
        if drawing is None and case in _WITH_PROCESS:
            drawing = drawing_process()
    if case in _WITH_PROCESS and sys.platform == "linux" and (drawing is None or drawing != drawing_process()):
        raise RuntimeError("the process that draws could not be started, or ended")
    names = [field.name for field in dataclasses.fields(Loop)][1:]
    return Loop(10, *(sum(getattr(part, name) for part in parts) for name in names)), drawing


def main(words: list[str]) -> int:
    """``CASE WORK SECONDS ONE_CORE``, the latter two as JSON; prints the `Trained` as JSON."""
    case, work, seconds, one_core = words
    by_ms = {float(ms): float(long_s) for ms, long_s in json.loads(seconds).items()}
    print(json.dumps(dataclasses.asdict(run(case, work, by_ms, json.loads(one_core)))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
