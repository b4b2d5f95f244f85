"""What the display takes from the training loop: the CPU of its frames, and of its thread at its own pace."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TimeRemainingColumn

from benchmarks.displays import Show, rich_live, rich_tables
from benchmarks.measure import interleaved, missing, remember, table
from benchmarks.terminal import on_terminal
from benchmarks.workload import moe_snapshot
from m.hub.hub import MetricsHub
from m.metrics.run import Run
from sinks.terminal.config import VisualizationConfig
from sinks.terminal.dashboard import Dashboard
from sinks.terminal.look import DEFAULT
from sinks.terminal.painter import Painter
from sinks.terminal.sink import TerminalSink
from sinks.terminal.state import State

FRAMES = 200
SECONDS = 4.0


def run() -> None:
    """Print the tables."""
    frames: list[tuple[str, Callable[[], float]]] = [
        ("ours, only the progress line changed, 80x24", lambda: _ours(80, 24, every_table=False)),
        ("ours, every number of every table changed, 80x24", lambda: _ours(80, 24, every_table=True)),
        ("ours, only the progress line changed, 200x50", lambda: _ours(200, 50, every_table=False)),
        ("ours, every number of every table changed, 200x50", lambda: _ours(200, 50, every_table=True)),
        ("ours, histories and curves made anew as well, 80x24", lambda: _ours(80, 24, every_table=True, every_s=5.0)),
        ("ours, histories and curves made anew as well, 200x50", lambda: _ours(200, 50, every_table=True, every_s=5.0)),
        ("Rich Live, four tables and a bar, unchanged, 120x60", lambda: _rich_live(changed=False)),
        ("Rich Live, four tables and a bar, changed, 120x60", lambda: _rich_live(changed=True)),
    ]
    table("one frame", "ms of CPU", interleaved(frames, 5), "ours, every number of every table changed, 80x24")
    shares: list[tuple[str, Callable[[], float]]] = [
        ("ours, table interval 1", lambda: _other_threads(_our_display)),
        ("Rich Live, the same four tables", lambda: _other_threads(lambda: rich_live(moe_snapshot))),
    ]
    title = "other threads of the process, displays at their own pace, 10 ms steps"
    table(title, "% of wall time", interleaved(shares, 3), "ours, table interval 1")
    _lightning()


# -- frames -------------------------------------------------------------------------------------------------------


def _ours(columns: int, lines: int, every_table: bool, every_s: float = 0.001) -> float:
    """Milliseconds of CPU of a frame, of which the display believes that they are ``every_s`` seconds apart."""
    passed = count(step=every_s)
    console = Console(file=io.StringIO(), width=columns, height=lines, force_terminal=True, color_system="256")
    state = State(interval=1 if every_table else 10**9, run=Run("benchmark", FRAMES))
    dashboard = Dashboard(VisualizationConfig(), state, DEFAULT, lambda: next(passed))
    painter = Painter(console)
    spent = 0.0
    for step in range(FRAMES):
        state.take(moe_snapshot(step))
        before = time.thread_time()
        painter.paint(dashboard.rows(columns - 1, lines - 1, console), columns).encode()
        if step:  # the first frame draws everything
            spent += time.thread_time() - before
    return spent / (FRAMES - 1) * 1000


def _rich_live(changed: bool) -> float:
    console = Console(file=io.StringIO(), width=120, height=60, force_terminal=True, color_system="256")
    bar = Progress(BarColumn(), TimeRemainingColumn(), console=console)
    task = bar.add_task("training", total=FRAMES)
    live = Live(console=console, auto_refresh=False)
    spent = 0.0
    frames = FRAMES // 4
    tables = rich_tables(moe_snapshot(0))
    with live:
        for step in range(frames):
            given = moe_snapshot(step)
            before = time.thread_time()
            if changed:
                tables = rich_tables(given)
            bar.update(task, completed=step)
            live.update(Group(*tables, bar), refresh=True)
            spent += time.thread_time() - before
    return spent / frames * 1000


# -- the loop -----------------------------------------------------------------------------------------------------


@contextmanager
def _our_display() -> Iterator[Show]:
    with MetricsHub([TerminalSink(VisualizationConfig(table_update_interval=1))]) as hub:
        hub.start(10_000, "benchmark")
        yield lambda step: hub.emit(moe_snapshot(step))


def _other_threads(make: Callable[[], AbstractContextManager[Show]]) -> float:
    """CPU of all threads but this one over ``SECONDS`` of 10 ms steps, in percent of wall time."""
    with on_terminal(), make() as show:
        show(0)
        time.sleep(0.6)  # imports and the first frame are not what a long run pays
        wall, process, thread = time.perf_counter(), time.process_time(), time.thread_time()
        step = 1
        while time.perf_counter() - wall < SECONDS:
            until = time.perf_counter() + 0.010
            while time.perf_counter() < until:
                sum(range(500))
            show(step)
            step += 1
        others = (time.process_time() - process) - (time.thread_time() - thread)
        return 100 * others / (time.perf_counter() - wall)


def _lightning() -> None:
    """Lightning's Rich bar with twelve logged metrics, against the same Trainer without bar and logging."""
    try:
        from benchmarks.lightning_bar import slow_down
    except ImportError as error:
        missing("lightning", error)
        return
    title, bar = "Lightning, 10 ms steps, twelve metrics on its RichProgressBar", "RichProgressBar + log_dict"
    figures = interleaved([(bar, slow_down)], 3)
    table(title, "% slower than the same Trainer without", figures)
    without = "the same Trainer without"
    remember(f"{title}: time of a step", {without: 1.0, bar: 1 + figures[0].median / 100}, without)
