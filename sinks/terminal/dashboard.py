"""The dashboard: from the state of a run to the rows of a screen of a given size. Draws nothing itself.

Tables are laid out again only when there is a new table, alert or size; the progress line every time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from rich.console import Console

from m.metrics.performance import SystemMetrics, ThroughputMetrics
from m.metrics.system import Machine, MachineSampler
from m.metrics.throughput import RateMeter, throughput
from sinks.terminal import groups, numbers
from sinks.terminal.config import VisualizationConfig
from sinks.terminal.custom import CustomTable
from sinks.terminal.experts import experts
from sinks.terminal.look import PLAIN, Look, Row
from sinks.terminal.progress import Progress, progress_row
from sinks.terminal.rows import Levels, clip, pad, rule, value_style
from sinks.terminal.state import State, View
from sinks.terminal.trends import Trends

WIDE: Final = 118
"""From this width on there are two columns."""
MACHINE_EVERY_S: Final = 1.0
"""The machine is read at most this often."""
TABLES_SHARE: Final = 0.001
"""Of a core: laying out the tables of a live screen takes the thread that draws no more than this, at the default of
four frames a second and in proportion at others. The next tables wait until those before are paid for, four frames at
most; the progress line does not wait."""
LONGEST_WAIT: Final = 4
_USUAL_RATE: Final = VisualizationConfig().refresh_per_second

# What gives way when there are too few rows, first to last: (group, level it goes to).
_GIVE_WAY: Final = (
    ("metrics", 1),
    ("metrics", 2),
    ("custom", 1),
    ("performance", 1),
    ("experts", 1),
    ("metrics", 3),
    ("status", 1),
    ("experts", 2),
    ("custom", 2),
    ("metrics", 4),
    ("status", 2),
    ("alerts", 1),
    ("performance", 2),
    ("experts", 3),
    ("status", 3),
)


class Dashboard:
    """Rows for one run. Used by one thread at a time; ``clock`` gives monotonic seconds."""

    def __init__(
        self,
        config: VisualizationConfig,
        state: State,
        look: Look,
        clock: Callable[[], float] = time.monotonic,
        sampler: MachineSampler | None = None,
    ) -> None:
        self.config = config
        self.look = look
        self.clock = clock
        self.custom = CustomTable(config.custom_table_builder, look)
        self._sampler = sampler if sampler is not None else MachineSampler()
        self.begin(state)

    def begin(self, state: State) -> None:
        """Show a run from its beginning."""
        self.state = state
        self.meter = RateMeter()
        self.finished = False
        self._trends = Trends()
        self._started = self.clock()
        self._ended: float | None = None
        self._machine = Machine()
        self._machine_read: float | None = None
        self._frame = 0
        self._frame_step: int | None = None
        self._laid_out_for: tuple[object, ...] = ()
        self._paid_for_at = -math.inf
        self._tables: list[Row] = []
        self._seen: View | None = None

    def finish(self) -> None:
        """The run is over: the clock stands still and the tables show the last state."""
        if not self.finished:
            self.finished = True
            self._ended = self.clock()
            self.state.freeze()

    @property
    def elapsed_s(self) -> float:
        """Seconds since this session of the run started, until its end."""
        return (self.clock() if self._ended is None else self._ended) - self._started

    def observe(self) -> None:
        """Look at the clock and the newest step; whoever refreshes calls this, so that rates follow."""
        if self.state.latest is not None:
            self.meter.observe(self.clock(), self.state.latest.step)

    def rows(self, width: int, height: int, console: Console, *, paced: bool = False) -> list[Row]:
        """The whole dashboard in at most ``width`` by ``height`` cells. ``console`` renders a custom table.

        ``paced``: tables that have only new numbers to show wait as long as `TABLES_SHARE` says.
        """
        self.observe()
        rows = self.table_rows(width, height - self.config.show_progress_bar, console, paced=paced)
        if self.config.show_progress_bar:
            rows = [*rows, self.progress_row(width)]
        return rows

    def progress_row(self, width: int) -> Row:
        """The progress line alone."""
        return progress_row(self.progress(), width, self.look)

    def progress(self, step: int | None = None) -> Progress:
        """The numbers of the progress line, as of the newest snapshot or of an earlier ``step``."""
        state = self.state
        newest = None if state.latest is None else state.latest.step
        if newest != self._frame_step:
            self._frame_step = newest
            self._frame += 1
        total = state.run.total_steps
        completed = state.completed(step)
        return Progress(
            description=state.run.description,
            completed=completed,
            total=total,
            elapsed_s=self.elapsed_s,
            remaining_s=None if total is None else self.meter.seconds_for(total - completed),
            steps_per_second=self.meter.steps_per_second,
            frame=self._frame,
            finished=self.finished,
        )

    def table_rows(self, width: int, height: int, console: Console, *, paced: bool = False) -> list[Row]:
        """The tables; laid out again only when something in them changed."""
        if not self.config.show_tables:
            rows = groups.alerts(self.state.alerts, width, self.look)[0]
            return rows[-height:] if height > 0 else []
        view = self.state.view if self.state.view is not None else self._first_view()
        broken = self.state.train_loss.nonfinite_since
        rest = (len(self.state.alerts), self.state.alerts[-1:], width, height, broken, self.finished)
        wanted = (view, *rest)
        waits = paced and self._laid_out_for[1:] == rest and self.clock() < self._paid_for_at
        if self._laid_out_for != wanted and not waits:
            before = time.thread_time()
            if view is not self._seen and view is not None:
                self._see(view)
            self._tables = self._lay_out(view, width, height, console)
            self._laid_out_for = wanted
            frames = min((time.thread_time() - before) / TABLES_SHARE * _USUAL_RATE, LONGEST_WAIT)
            self._paid_for_at = self.clock() + frames / self.config.refresh_per_second
        return self._tables

    # -- layout ---------------------------------------------------------------------------------------------------

    def _first_view(self) -> View | None:
        """Until the first table is due a live screen shows the first snapshot rather than nothing."""
        if self.state.latest is not None:
            self.state.freeze()
        return self.state.view

    def _see(self, view: View) -> None:
        self._seen = view
        for name, course in view.courses.items():
            self._trends.see_course(name, course)
        self._trends.see("learning_rate", self.state.learning_rate)
        for name, value in view.known.items():
            self._trends.see(name, value)
        self._trends.forget_others({*view.courses, "learning_rate", *view.known})

    def _lay_out(self, view: View | None, width: int, height: int, console: Console) -> list[Row]:
        if view is None or height < 1:
            return []
        if width >= WIDE:
            return self._lay_out_wide(view, width, height, console)
        parts = self._groups(view, width, console)
        return _stack(parts, ("status", "experts", "performance", "custom", "metrics", "alerts"), height)

    def _lay_out_wide(self, view: View, width: int, height: int, console: Console) -> list[Row]:
        gap = 3
        column = (width - gap) // 2
        parts = self._groups(view, column, console)
        parts["alerts"] = groups.alerts(self.state.alerts, width, self.look)
        left_parts = ("status", "custom", "metrics")
        right_parts = ("experts", "performance")
        tail = _stack(parts, ("alerts",), max(height // 4, 1))
        left = _stack(parts, left_parts, height - len(tail))
        right = _stack(parts, right_parts, height - len(tail))
        if not right:
            return [*left, *tail]
        body: list[Row] = []
        for index in range(max(len(left), len(right))):
            one = pad(left[index] if index < len(left) else (), column)
            body.append((*one, (" " * gap, PLAIN), *(right[index] if index < len(right) else ())))
        return [*body, *tail]

    def _groups(self, view: View, width: int, console: Console) -> dict[str, Levels]:
        config, state, look = self.config, self.state, self.look
        wants_experts = config.show_expert_utilization
        parts: dict[str, Levels] = {
            "status": groups.status(
                state, self._trends, width, look, experts_missing=wants_experts and not view.experts
            ),
            "experts": experts(view.experts, width, look) if wants_experts else [[]],
            "performance": self._performance(view, width),
            "alerts": groups.alerts(state.alerts, width, look),
            "custom": [[]],
            "metrics": [[]],
        }
        if self.custom.builder is not None:
            parts["custom"] = self.custom.levels(view.snapshot, width, console)
        if not parts["custom"][0] or self.custom.failed:
            known = {name: value for name, value in view.known.items() if name not in _SPEED_NAMES}
            parts["metrics"] = groups.metrics(known, self._trends, width, look)
        return parts

    def _performance(self, view: View, width: int) -> Levels:
        speed: list[tuple[str, str]] = []
        system: list[tuple[str, str]] = []
        if self.config.show_throughput:
            speed = groups.speed_rows(self._rates(view))
        if self.config.show_system_metrics:
            machine = self._read_machine()
            system = groups.system_rows(self.system(machine), machine)
        return groups.performance(speed, system, width, self.look)

    def _rates(self, view: View) -> ThroughputMetrics:
        state = self.state
        derived = throughput(self.meter.steps_per_second, state.batch_size, state.sequence_length)
        samples, tokens = (view.known.get(name) for name in _SPEED_NAMES)
        return ThroughputMetrics(
            derived.steps_per_second,
            derived.batches_per_second,
            samples if isinstance(samples, (int, float)) else derived.samples_per_second,
            tokens if isinstance(tokens, (int, float)) else derived.tokens_per_second,
        )

    def system(self, machine: Machine) -> SystemMetrics:
        """What is known of the hardware: what the snapshot says goes before what the machine says."""
        used = self.state.gpu_memory_mb
        return SystemMetrics(
            gpu_memory_used_mb=machine.gpu_memory_used_mb if used is None else used,
            gpu_memory_total_mb=machine.gpu_memory_total_mb,
            gpu_utilization_percent=machine.gpu_utilization_percent,
            gradient_norm=self.state.gradient_norm,
        )

    def _read_machine(self) -> Machine:
        now = self.clock()
        if self._machine_read is None or now - self._machine_read >= MACHINE_EVERY_S:
            self._machine = self._sampler.read()
            self._machine_read = now
        return self._machine

    # -- the end --------------------------------------------------------------------------------------------------

    def summary(self, width: int) -> list[Row]:
        """What remains on the screen when the run is over: how long it took, and each loss in one row."""
        state = self.state
        steps = 0 if state.latest is None else max(state.completed() - state.run.initial_step, 0)
        parts = [f"{steps} step{'' if steps == 1 else 's'} in {numbers.duration(self.elapsed_s)}"]
        if self.elapsed_s > 0 and steps:
            parts.append(f"{numbers.count(steps / self.elapsed_s)} steps/s")
        if state.alerts:
            parts.append(f"{len(state.alerts)} alert{'s' if len(state.alerts) > 1 else ''}")
        title = rule("summary", [f" {self.look.glyphs.dot} ".join(parts)], width, self.look)
        rows: list[Row] = [title]
        digits = 0 if state.latest is None else len(str(state.latest.step))
        for name in ("train_loss", "val_loss", "aux_loss"):
            course = getattr(state, name)
            if course.last is None:
                continue
            best = None if course.best_step is None else course.best
            at = "" if best is None else f" at step {course.best_step:>{digits}}"
            row: Row = (
                (f" {name:<11}", PLAIN),
                (f"  last {numbers.number(course.last, 9)}", value_style(course.last, self.look)),
                (f"  best {numbers.number(best, 9)}", PLAIN),
                (at.ljust(9 + digits), self.look.dim),
                (f"  {course.nonfinite} not finite" if course.nonfinite else "", self.look.notice),
                (f"  first {numbers.number(course.first, 9)}", self.look.dim),
            )
            rows.append(clip(row, width))
        return rows


_SPEED_NAMES: Final = ("samples_per_sec", "tokens_per_sec")


def _stack(parts: dict[str, Levels], order: tuple[str, ...], height: int) -> list[Row]:
    """The groups below each other, each as full as ``height`` allows."""
    level = dict.fromkeys(order, 0)

    def total() -> int:
        return sum(len(parts[name][level[name]]) for name in order)

    for name, target in _GIVE_WAY:
        if total() <= height:
            break
        if name in level:
            level[name] = min(target, len(parts[name]) - 1)
    rows = [row for name in order for row in parts[name][level[name]]]
    return rows[:height]
