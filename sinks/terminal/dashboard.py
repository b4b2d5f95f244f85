"""The dashboard: from the state of a run to the rows of a screen of a given size. Draws nothing itself.

Tables are laid out again only when there is a new table, alert or size; the progress line every time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from rich.cells import cell_len
from rich.console import Console

from m.metrics.derived import RATES
from m.metrics.loads import Utilization
from m.metrics.performance import SystemMetrics, ThroughputMetrics
from m.metrics.system import Machine, MachineSampler
from m.metrics.throughput import RateMeter, throughput
from sinks.terminal import groups
from sinks.terminal.config import VisualizationConfig, smoothed
from sinks.terminal.curves import panel
from sinks.terminal.custom import CustomTable
from sinks.terminal.experts import MOST_ROWS, experts, over_time
from sinks.terminal.layout import TITLED_FROM, columns_of, one_column, two_columns
from sinks.terminal.load_course import LoadCourse
from sinks.terminal.look import Look, Row
from sinks.terminal.past import FIELDS, RATE
from sinks.terminal.progress import Progress, progress_row, title_row
from sinks.terminal.rows import Levels
from sinks.terminal.spark import recent, sparkline
from sinks.terminal.state import MANY_ARRIVED, State, View
from sinks.terminal.summary import Cost, closing_summary
from sinks.terminal.table import Sparks, columns_for
from sinks.terminal.trends import Trends

MACHINE_EVERY_S: Final = 1.0
"""The machine is read at most this often."""
PAST_EVERY_S: Final = 5.0
"""What is drawn of the past is made anew at most this often, in the first seconds whenever the run is half as long
again, and when something broke or the run ends ..."""
ALERTED_EVERY_S: Final = 1.0
"""... and this often when there is an alert: whoever reads of a spike looks for it."""
LOADS_SHARE: Final = 0.0005
"""Of a core: more than this the course of the loads between two layouts of the tables does not take."""
EXPERTS_LEAVE: Final = 24
"""Rows that the experts leave to others before they show more than they need, such as their past."""
MOST_EXPERT_ROWS: Final = 16
ONE_COLUMN_NEEDS: Final = 14
"""Rows that the other column would have taken."""
TABLES_SHARE: Final = 0.0007
"""Of a core: the tables of a live screen, with all that they show, take the thread that draws no more than this, at the
default of four frames a second and in proportion at others. The next tables wait until those before are paid for,
twelve frames at most; the progress line does not wait."""
LONGEST_WAIT: Final = 12
YOUNG: Final = 0.25
"""Nor do tables wait for longer than this part of the time that the run has gone on: in its first seconds it looks
another way every moment."""
_USUAL_RATE: Final = VisualizationConfig().refresh_per_second


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
        self.frames = 0
        """Screens, or blocks of text, that were made."""
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
        self._speed = ["steps/s"]  # the rates that have a row, and keep it
        self._seen: View | None = None
        self._loads = LoadCourse()
        self._loads_due = -math.inf
        self._loads_past: dict[tuple[int, int], list[Row]] = {}
        self._past_due = self._past_alerted_due = -math.inf
        self._alerts_in_past = 0
        self._sparks: dict[tuple[str, int], Row] = {}
        self._panels: dict[tuple[tuple[str, ...], int, int], list[Row]] = {}

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
        """Look at what has arrived and at the clock; whoever refreshes calls this, so that rates follow."""
        state = self.state
        if state.latest is not None:
            self.meter.observe(self.clock(), state.latest.step)
            state.rate = self.meter.steps_per_second
        if state.due is not None and self.clock() >= self._loads_due:
            self._see_loads(state.due.experts)  # of tables that are not laid out as well
        # more than may wait for the next table; what is due comes first, so that its tables are of that step
        if len(state.arrived) > MANY_ARRIVED and not state.catch_up():
            state.catch_up(to_the_newest=True)
        if state.view is not self._seen:  # tables that were not shown yet, and are not to fall behind what is taken in
            state.settle()

    def rows(self, width: int, height: int, console: Console, *, curves: bool = True, paced: bool = False) -> list[Row]:
        """The whole dashboard in at most ``width`` by ``height`` cells. ``console`` renders a custom table.

        ``curves``: rows that nothing else needs are filled with them. ``paced``: tables that have only new numbers to
        show wait as long as `TABLES_SHARE` says.
        """
        self.observe()
        self.frames += 1
        bar = self.config.show_progress_bar
        titled = bar and self.config.show_tables and height >= TITLED_FROM
        rows = self.table_rows(width, height - bar - titled, console, curves=curves, paced=paced)
        if titled:
            rows = [title_row(self.state.run, self.elapsed_s, width, self.look), *rows]
        return [*rows, self.progress_row(width, titled=titled)] if bar else rows

    def progress_row(self, width: int, *, titled: bool = False) -> Row:
        """The progress line alone."""
        return progress_row(self.progress(), width, self.look, titled=titled)

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
            remaining_s=None if total is None or not state.rate else max(total - completed, 0) / state.rate,
            steps_per_second=state.rate,
            frame=self._frame,
            finished=self.finished,
        )

    def due_view(self) -> View | None:
        """What the tables are to show now; before the first are due the first snapshot rather than nothing."""
        self.state.catch_up()
        if self.state.view is None:
            self.state.freeze()
        return self.state.view

    def table_rows(
        self,
        width: int,
        height: int,
        console: Console,
        *,
        curves: bool = False,
        paced: bool = False,
        view: View | None = None,
    ) -> list[Row]:
        """The tables of ``view``, None: of what is due; where more was taken in meanwhile, of as much as that was. Laid
        out again only when something in them changed."""
        if not self.config.show_tables:
            rows = self._alerts(width)[0] if self.state.alerts else []
            return rows[-height:] if height > 0 else []
        state = self.state
        rest = (len(state.alerts), state.alerts[-1:], width, height, curves, state.broken, self.finished)
        if paced and self._laid_out_for[1:] == rest and self.clock() < self._paid_for_at:
            return self._tables
        before = time.thread_time()
        if self._laid_out_for != (self.due_view() if view is None else view, *rest):
            with self._standing_still():
                state.settle()
                view = state.view
                if view is not self._seen and view is not None:
                    self._see(view)
                self._tables = self._lay_out(view, width, height, console, curves)
            self._laid_out_for = (view, *rest)
            frames = min((time.thread_time() - before) / TABLES_SHARE * _USUAL_RATE, LONGEST_WAIT)
            now = self.clock()
            self._paid_for_at = now + min(frames / self.config.refresh_per_second, YOUNG * (now - self._started))
        return self._tables

    def _standing_still(self) -> AbstractContextManager[object]:
        """While in it nobody takes anything in; not so where a custom table is built, which may take its time."""
        return nullcontext() if self.custom.builder is not None else self.state.past.lock

    # -- layout ---------------------------------------------------------------------------------------------------

    def _see_loads(self, experts: Utilization) -> None:
        if self.config.show_expert_utilization:
            before = time.thread_time()
            self._loads.see(experts)
            self._loads_due = self.clock() + (time.thread_time() - before) / LOADS_SHARE

    def _see(self, view: View) -> None:
        self._seen = view
        self._see_loads(view.experts)
        past = self.state.past
        step = view.snapshot.step
        broke = any(course.nonfinite_since == step for course in view.courses.values())
        raised = self.state.alerts_raised
        alerted = raised > self._alerts_in_past and self.state.alerts[-1].step <= step
        now = self.clock()
        if now >= self._past_due or broke or self.finished or (alerted and now >= self._past_alerted_due):
            self._past_due = now + min(0.5 * (now - self._started), PAST_EVERY_S)
            self._past_alerted_due = now + ALERTED_EVERY_S
            if alerted:
                self._alerts_in_past = raised
            self._sparks.clear()
            self._panels.clear()
            self._loads_past.clear()
            with past.lock:
                for name, series in past.series.items():
                    self._trends.see(name, series.mean)

    def _lay_out(self, view: View | None, width: int, height: int, console: Console, curves: bool) -> list[Row]:
        if view is None or height < 1:
            return []
        left, right = columns_of(width)
        alerts = self._alerts(width)
        parts = self._groups(view, left, right, height - len(alerts[0]), console)
        parts["alerts"] = alerts
        wanted = self._curves(view) if curves else []

        def draw(number: int, width: int, height: int) -> list[Row]:
            return self._panel(wanted[number], width, height)

        return (two_columns if right else one_column)(parts, width, height, len(wanted), draw)

    def _alerts(self, width: int) -> Levels:
        """At the end none: the summary below has them."""
        return [[]] if self.finished else groups.alerts(self.state.alerts, width, self.look)

    def _curves(self, view: View) -> list[tuple[str, ...]]:
        """What is worth a panel of curves, the most important first; a metric, or two that share their axes."""
        series = self.state.past.series
        losses = tuple(name for name in ("train_loss", "val_loss") if name in series)
        fields = ["gradient_norm"] if self.config.show_system_metrics else []
        names = [*fields, *view.known, "aux_loss", "learning_rate", RATE]
        others = [name for name in dict.fromkeys(names) if name in series and name not in losses]
        return [*([losses] if losses else []), *((name,) for name in others)]

    def _panel(self, names: tuple[str, ...], width: int, height: int) -> list[Row]:
        key = (names, width, height)
        if key not in self._panels:
            with self.state.past.lock:
                self._panels[key] = panel(names, self.state.past, width, height, self.look)
        return self._panels[key]

    def _spark(self, name: str, width: int) -> Row:
        key = (name, width)
        if key not in self._sparks:
            with self.state.past.lock:
                self._sparks[key] = sparkline(name, self.state.past.series.get(name), width, self.look)
        return self._sparks[key]

    def _recent(self, name: str, width: int) -> Row:
        """Made with each table."""
        with self.state.past.lock:
            return recent(name, self.state.past.series.get(name), width, self.look)

    def _groups(self, view: View, width: int, right: int, height: int, console: Console) -> dict[str, Levels]:
        """Everything but the alerts, for ``height`` rows of ``width`` cells, and as many of ``right`` cells beside them
        if that is not 0."""
        config, state, look = self.config, self.state, self.look
        wants_experts = config.show_expert_utilization
        fields = [name for name in FIELDS if name in state.past.series and name not in state.past.stand_ins]
        elsewhere = {*RATES, *fields}  # a field that is given goes before a custom metric of its name
        known = {name: value for name, value in view.known.items() if name not in elsewhere}
        longest = max((min(cell_len(name), 100) for name in (*FIELDS, *known)), default=0)
        columns = columns_for(width, longest, groups.digits_of(state), bool(smoothed(config)))
        sparks = Sparks(self._spark, self._recent)
        parts: dict[str, Levels] = {
            "status": groups.status(
                state,
                self._trends,
                columns,
                sparks,
                look,
                experts_missing=wants_experts and state.lacks_loads and not view.experts,
                gradient_norm=config.show_system_metrics,
            ),
            "experts": self._experts(view, right or width, height - (0 if right else ONE_COLUMN_NEEDS)),
            "performance": self._performance(view, right or width),
            "custom": self.custom.levels(view.snapshot, width, console),
            "metrics": [[]],
        }
        if not parts["custom"][0] or self.custom.failed:
            beside = ("experts", "performance") if right else ()
            room = height - sum(len(levels[0]) for name, levels in parts.items() if name not in beside)
            alone = not parts["status"][0]
            parts["metrics"] = groups.metrics(known, room, state, self._trends, columns, sparks, look, alone=alone)
        return parts

    def _experts(self, view: View, width: int, tall: int) -> Levels:
        if not self.config.show_expert_utilization or not view.experts:
            return [[]]
        more = min(max(tall - EXPERTS_LEAVE, 0), MOST_EXPERT_ROWS)
        most = max(more, MOST_ROWS)
        key = (width, more)
        if more > 1 and key not in self._loads_past:
            self._loads_past[key] = over_time(self._loads, width, self.look, more)
        past = self._loads_past.get(key, [])
        return experts(view.experts, width, self.look, course=self._loads, most_rows=most, past=past)

    def _performance(self, view: View, width: int) -> Levels:
        speed: list[tuple[str, str]] = []
        system: list[tuple[str, str]] = []
        if self.config.show_throughput:
            speed = groups.speed_rows(self._rates(view), self._speed)
            self._speed = [name for name, _ in speed]
        if self.config.show_system_metrics:
            machine = self._read_machine()
            system = groups.system_rows(self.system(machine), machine)
        return groups.performance(speed, system, width, self.look)

    def _rates(self, view: View) -> ThroughputMetrics:
        state = self.state
        derived = throughput(state.rate, state.batch_size, state.sequence_length)
        samples, tokens = (view.known.get(name) for name in RATES)
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

    def summary(self, width: int, files: Sequence[str] = (), cost: Cost | None = None) -> list[Row]:
        """What remains on the screen when the run is over."""
        return closing_summary(self.state, self.elapsed_s, width, self.look, files, cost)
