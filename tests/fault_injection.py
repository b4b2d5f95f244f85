"""The tools of the fault tests: child processes in which a hang is a stack, storms, small disks.

Code for children is text that runs after `PRELUDE`. On a terminal they run by ``on_terminal.run_on_terminal``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
HANGS_AFTER_S = 10

PRELUDE = """
import faulthandler
faulthandler.dump_traceback_later({hangs_after_s}, exit=True)
import atexit, gc, os, signal, sys, threading, time
from m import MetricsHub, TrainingSnapshot

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def snapshot(step=0):
    return TrainingSnapshot(step=step, train_loss=0.5)

def check_accounts(hub):
    "Nothing may vanish without being counted."
    for name, each in hub.stats().sinks.items():
        assert each.emitted == each.delivered + each.dropped + each.waiting, (name, each)

class Telling:
    "A sink that tells what it is called with."
    def __init__(self, name="sink"):
        self.name = name
    def record(self, snapshot):
        say(self.name, "record", snapshot.step)
    def flush(self):
        say(self.name, "flush")
    def close(self):
        say(self.name, "close")

class Stuck(Telling):
    "A sink that never comes back."
    def record(self, snapshot):
        say("stuck")
        threading.Event().wait()
"""

STANDARD_STREAMS = range(3)


@contextmanager
def without_standard_streams() -> Iterator[Callable[[], list[int]]]:
    """As in a process that was started without them. Gives a function that says which of their numbers are taken."""
    kept = [os.dup(number) for number in STANDARD_STREAMS]
    os.closerange(STANDARD_STREAMS.start, STANDARD_STREAMS.stop)
    try:
        yield lambda: [number for number in STANDARD_STREAMS if _is_open(number)]
    finally:
        for number, copy in zip(STANDARD_STREAMS, kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


FORK = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of a fork beside threads

def fork():
    faulthandler.cancel_dump_traceback_later()  # its thread does not survive the fork, and the child would wait for it
    pid = os.fork()
    faulthandler.dump_traceback_later(20, exit=True)
    return pid

def in_child(work):
    "Do ``work`` in a forked child that ends like any program."
    pid = fork()
    if pid == 0:
        work()
        sys.exit(0)
    _, status = os.waitpid(pid, 0)
    say("child ended", os.waitstatus_to_exitcode(status))
"""

# -- storms: they run the same over our display and over Rich's, which `OURS` and `RICHS` open -------------------------

OURS = """
import os, sys, time
from m.rich_trainer_viz import RichTrainerVisualizer, TrainingSnapshot, VisualizationConfig
shown = RichTrainerVisualizer(VisualizationConfig(refresh_per_second={hertz}, table_update_interval=1))
shown.start(None, "storm")
def show(step):
    shown.update(TrainingSnapshot(step=step, train_loss=0.5, custom_metrics={{"a": step, "b": 1.0}}))
def end():
    shown.close()
"""

RICHS = """
import os, sys, time
from rich.live import Live
from rich.table import Table
def table(step):
    made = Table("name", "value")
    for row in range(12):
        made.add_row(f"metric {{row}}", str(step))
    return made
shown = Live(table(0), refresh_per_second={hertz})
shown.start()
def show(step):
    shown.update(table(step))
def end():
    shown.stop()
"""

RICHS_PROGRESS = """
import os, sys, time
from rich.progress import Progress
shown = Progress(refresh_per_second={hertz})
task = shown.add_task("storm", total=10**9)
shown.start()
def show(step):
    shown.advance(task)
def end():
    shown.stop()
"""

FORK_STORM = """
import faulthandler, gc, logging, signal, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of a fork beside threads
faulthandler.cancel_dump_traceback_later()  # its thread would not survive the forks; the parent watches the children
signal.alarm({at_most_s})
logging.basicConfig()
hung = 0
for number in range({forks}):
    show(number)
    time.sleep(0.001 * (number % 17))  # to fork at any moment of a frame, not only right after an update
    child = os.fork()
    if child == 0:
        signal.alarm(0)
        print("child", number)
        logging.warning("child %d", number)
        gc.collect()
        sys.stdout.flush()
        os._exit(0)
    until = time.monotonic() + 2
    while not os.waitpid(child, os.WNOHANG)[0]:
        if time.monotonic() > until:
            hung += 1
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            break
        time.sleep(0.0005)
end()
with open(os.environ["RESULT"], "w") as file:
    file.write(str(hung))
"""

GC_STORM = """
import faulthandler, gc
faulthandler.dump_traceback_later({seconds} + 10, exit=True)
gc.set_threshold{thresholds}
class Talks:
    def __init__(self): self.me = self
    def __del__(self): print("collected")
until = time.monotonic() + {seconds}
step = 0
while time.monotonic() < until:
    Talks()
    step += 1
    show(step)
    if step % 3 == 0:
        print("step", step)
gc.set_threshold(700, 10, 10)
end()
with open(os.environ["RESULT"], "w") as file:
    file.write(str(step))
"""

STOPPED_TERMINAL = """
worst = 0.0
until = time.monotonic() + 3
step = 0
while time.monotonic() < until:
    before = time.perf_counter()
    step += 1
    show(step)
    print("x" * 300)  # enough to fill every buffer on the way
    worst = max(worst, time.perf_counter() - before)
    time.sleep(0.003)
before = time.perf_counter()
end()
with open(os.environ["RESULT"], "w") as file:
    file.write(f"{worst} {time.perf_counter() - before}")
os._exit(0)
"""


def start(code: str, hangs_after_s: float = HANGS_AFTER_S, **how: Any) -> subprocess.Popen[str]:
    """A child that runs ``code``. One that does not end in time shows where it is and ends."""
    return subprocess.Popen(
        [
            sys.executable,
            "-W",
            "error",
            "-X",
            "dev",
            "-c",
            PRELUDE.format(hangs_after_s=hangs_after_s) + textwrap.dedent(code),
        ],
        **{
            "cwd": ROOT,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            **how,
        },
    )


def run(code: str, hangs_after_s: float = HANGS_AFTER_S, **how: Any) -> tuple[list[str], str, int]:
    """What it told, what it complained about, and how it ended."""
    process = start(code, hangs_after_s, **how)
    out, err = process.communicate(timeout=2 * hangs_after_s)
    return (out or "").splitlines(), err or "", process.returncode


def told(process: subprocess.Popen[str], line: str) -> None:
    """Wait until ``process`` has told ``line``."""
    assert process.stdout is not None
    for got in process.stdout:
        if got.strip() == line:
            return
    raise AssertionError(f"it never said {line!r}: {process.stderr.read() if process.stderr else ''}")


# -- disks -------------------------------------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, size: int = 64 * 1024) -> Iterator[Callable[[int], None]]:
    """Make ``folder`` a file system of ``size`` bytes; gives what changes the size, to let it heal.

    Needs root. Raises ``PermissionError`` without; then there is `limited_files`.
    """
    if os.geteuid() != 0:
        raise PermissionError("only root can mount")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        raise PermissionError("no mounting here")

    def resize(new_size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={new_size}", str(folder)], check=True)

    try:
        yield resize
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def limited_files(size: int) -> Callable[[], None]:
    """For ``preexec_fn``: no file of the child can grow past ``size`` bytes."""
    import resource

    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
