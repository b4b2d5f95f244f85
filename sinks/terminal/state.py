"""What the display knows about the run.

The emitting thread only appends each snapshot to a queue, and says at which one tables are due; whoever draws takes
them all in at once when tables are to be shown. The queue stays short: in a loop that is too fast for the display the
emitting thread takes them in itself.

Loads of many layers are most of a snapshot's memory. Of those that wait only the newest has its own, and beside the
queue there are those that the next tables will show.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from m.metrics.alerts import Alert
from m.metrics.loads import Loads, NoLoads, Utilization
from m.metrics.run import Run
from m.metrics.snapshot import LOSS_FIELDS, TrainingSnapshot, without_loads
from sinks.terminal.course import Course
from sinks.terminal.past import Past

MAX_NAMES: Final = 2000
"""Custom metrics that are remembered; a name that holds the step must not fill the memory."""
MAX_ALERTS: Final = 50
MANY_ARRIVED: Final = 256
"""Past so many that nobody has looked at, the next frame takes them in, whether a table is due or not ..."""
TOO_MANY_ARRIVED: Final = 768
"""... past so many the thread that draws is woken for it ..."""
MOST_ARRIVED: Final = 1024
"""... and past so many, or past `MANY_ARRIVED` where there is no such thread, the training thread takes them in itself,
at two to five microseconds each."""
_PATIENCE_S: Final = 1.0
"""Whoever else takes them in is done long before, unless it is a thread that a fork left behind."""
_YIELD_EVERY: Final = 64
_YIELD_S: Final = 0.001
"""While another thread is at it then, every so many snapshots the training thread lets it run for so long."""


@dataclass(slots=True, frozen=True)
class Moment:
    """A snapshot at which tables are due, or up to which all were taken in."""

    number: int
    """It is the so many-th of the run, from 1."""
    snapshot: TrainingSnapshot
    experts: Utilization
    """The newest utilization at that time that was not empty."""


@dataclass(slots=True)
class View:
    """The moment that the tables show: a snapshot, and what was known by then."""

    snapshot: TrainingSnapshot
    known: dict[str, Any]
    """Custom metrics by name, each as it was measured last."""
    experts: Utilization
    """The newest utilization that was not empty."""
    courses: dict[str, Course]
    """The losses as far as they had come, by name."""


@dataclass(slots=True)
class State:
    """The run as far as it has come. `note` and `add_alert` are for the emitting thread, all else is for one thread at
    a time, beside it."""

    interval: int
    """Steps between table updates."""
    run: Run = field(default_factory=Run)
    latest: TrainingSnapshot | None = None
    """The newest snapshot; the progress line shows it."""
    first_step: int | None = None
    """The first step of this session."""
    repeated: int = 0
    """Steps that were made before the step went back to an earlier one, and that its number does not count any more."""
    broken: dict[str, int] = field(default_factory=dict)
    """The losses that are not finite, with the step at which they stopped being so. Never changed: replaced."""
    lacks_loads: bool = False
    """An empty utilization was given: there are experts, and nobody says what they do."""
    noted: int = 0
    """Snapshots so far."""
    due: Moment | None = None
    """The newest snapshot at which tables were due."""
    arrived: deque[TrainingSnapshot] = field(default_factory=deque)
    """What was noted and not yet taken in."""
    wake: Callable[[], object] | None = None
    """Wakes a thread that will `observe` soon; None: there is none. Never waits."""

    view: View | None = None
    """What the tables show; None until they were due for the first time."""
    courses: dict[str, Course] = field(default_factory=lambda: {name: Course() for name in LOSS_FIELDS})
    learning_rate: float | None = None
    gradient_norm: float | None = None
    gpu_memory_mb: float | None = None
    batch_size: float | None = None
    sequence_length: float | None = None
    known: dict[str, Any] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)
    """The newest; the oldest first."""
    alerts_raised: int = 0
    rate: float | None = None
    """Steps per second, as whoever draws has measured it last."""
    past: Past = field(default_factory=Past)
    _experts: Utilization = field(default_factory=dict)  # the newest that was not empty
    _heavy: bool = False  # the newest that waits has loads of its own. Both for the emitting thread
    _taken: int = 0  # snapshots that were taken in
    _reached: Moment | None = None  # as far as that went, when it last went to the newest
    _shown: int = 0  # number of the snapshot of `view`

    # -- on the emitting thread ----------------------------------------------------------------------------------------

    def note(self, snapshot: TrainingSnapshot) -> None:
        """Keep ``snapshot`` for whoever draws."""
        before = self.latest
        step = snapshot.step
        if before is None:
            self.first_step = step
        if before is None or step <= before.step:
            due = step % self.interval == 0
            if before is not None and step < before.step:
                self._went_back(before.step, step)
        else:
            due = step // self.interval > before.step // self.interval
        broken = self.broken
        loss: float | None = snapshot.train_loss
        if loss is not None and (loss - loss != 0.0 or broken) and self._breaks("train_loss", loss, step):
            due = True  # never kept back until the next interval
        loss = snapshot.val_loss
        if loss is not None and (loss - loss != 0.0 or broken) and self._breaks("val_loss", loss, step):
            due = True
        loss = snapshot.aux_loss
        if loss is not None and (loss - loss != 0.0 or broken) and self._breaks("aux_loss", loss, step):
            due = True
        if self._heavy:
            self._lighten(before)
        utilization = snapshot.expert_utilization
        if utilization:
            self._experts = utilization
            self._heavy = type(next(iter(utilization.values()))) is Loads
        elif type(utilization) is NoLoads:
            self.lacks_loads = True
        self.latest = snapshot
        self.noted += 1
        arrived = self.arrived
        arrived.append(snapshot)
        if due:
            self.due = Moment(self.noted, snapshot, self._experts)
        if len(arrived) > MANY_ARRIVED:
            self._many_arrived()

    def _went_back(self, last: int, step: int) -> None:
        """After ``last`` comes ``step``: if an epoch begins anew, as many steps before it as at first, else one."""
        again = self.first_step is not None and step <= self.first_step
        self.repeated += last - step + max(self.completed(step) - self.run.initial_step if again else 1, 1)

    def _breaks(self, name: str, loss: float, step: int) -> bool:
        """Whether ``name`` stops being finite with ``loss``; keeps account of it."""
        finite = loss - loss == 0.0  # NaN and the infinities give NaN
        if finite is (name not in self.broken):
            return False
        others = {each: at for each, at in self.broken.items() if each != name}
        self.broken = others if finite else {**others, name: step}
        return not finite

    def _lighten(self, newest: TrainingSnapshot | None) -> None:
        """Take the loads from the newest that waits, which will not be the newest any more."""
        self._heavy = False
        if newest is None:
            return
        lighter = without_loads(newest)
        try:
            if self.arrived[-1] is newest:
                self.arrived[-1] = lighter
        except IndexError:  # another thread has just taken it
            pass

    def _many_arrived(self) -> None:
        """Somebody who is at it and does not get to run beside a loop that only emits is let run for a moment."""
        arrived = len(self.arrived)
        if self.wake is not None and arrived <= MOST_ARRIVED:
            if arrived > TOO_MANY_ARRIVED:
                self.wake()
            return
        lock = self.past.lock
        try:  # a Ctrl-C may come when the lock is taken and before anybody knows
            if lock.acquire(timeout=0.0 if arrived % _YIELD_EVERY else _YIELD_S):
                self._take_in(to_the_newest=True)
        finally:
            if lock._is_owned():  # type: ignore[attr-defined]
                lock.release()

    def add_alert(self, alert: Alert) -> None:
        """Show ``alert`` from now on."""
        self.alerts.append(alert)
        self.alerts_raised += 1
        del self.alerts[:-MAX_ALERTS]

    # -- on the thread that draws --------------------------------------------------------------------------------------

    def take(self, snapshot: TrainingSnapshot) -> bool:
        """Note ``snapshot`` and take it in, on one and the same thread; True when tables are due at it."""
        self.note(snapshot)
        return self.catch_up(to_the_newest=True)

    def catch_up(self, to_the_newest: bool = False) -> bool:
        """Take in what has arrived up to where tables are due, or all of it; True when `view` is another one now."""
        due = self.due
        if not to_the_newest and (due is None or due.number <= self._shown):
            return False
        before = self.view
        if not self.past.lock.acquire(timeout=_PATIENCE_S):
            return False
        try:
            self._take_in(to_the_newest)
        finally:
            self.past.lock.release()
        return self.view is not before

    def freeze(self) -> None:
        """Let the tables show the newest moment."""
        self.catch_up(to_the_newest=True)
        self.settle()
        if self.view is None and self.latest is not None:
            self._show(self.latest, self._experts)

    def settle(self) -> None:
        """Where more was taken in than up to `view`, let `view` be the newest moment that was taken in: the tables say
        more than what is in a view, and all of it is to be of one step."""
        reached = self._reached
        if reached is None or reached.number <= self._shown or not self.past.lock.acquire(timeout=_PATIENCE_S):
            return
        try:
            reached = self._reached or reached
            if reached.number > self._shown:
                self._shown = reached.number
                self._show(reached.snapshot, reached.snapshot.expert_utilization or reached.experts)
        finally:
            self.past.lock.release()

    def _take_in(self, to_the_newest: bool) -> None:
        """As `catch_up` says. The lock is held."""
        due = self.due
        if due is not None and due.number > self._shown:
            self._take(due.number - self._taken)
            self._shown = due.number
            self._show(due.snapshot, due.experts)
        count, experts = len(self.arrived), self._experts
        if to_the_newest and count:
            self._reached = Moment(self._taken + count, self.arrived[count - 1], experts)
            self._take(count)

    def _take(self, count: int) -> None:
        """Take in the oldest ``count`` that wait."""
        arrived = self.arrived
        batch = [arrived.popleft() for _ in range(min(count, len(arrived)))]
        if not batch:
            return
        self._taken += len(batch)
        steps = [each.step for each in batch]
        columns, alike = self.past.add(batch, steps, self.rate)
        for name, course in self.courses.items():
            course.extend(steps, columns[name])
        self.learning_rate = _newest(columns["learning_rate"], self.learning_rate)
        self.gradient_norm = _newest(columns["gradient_norm"], self.gradient_norm)
        known = self.known
        for each in batch[-1:] if alike else batch:
            known.update(each.custom_metrics)
            if len(known) > 2 * MAX_NAMES:  # long before the next table
                self._forget_oldest_names()

    def _show(self, snapshot: TrainingSnapshot, experts: Utilization) -> None:
        if len(self.known) > MAX_NAMES:
            self._forget_oldest_names()
        for name in ("gpu_memory_mb", "batch_size", "sequence_length"):
            value = getattr(snapshot, name)
            if value is not None:
                setattr(self, name, value)
        courses = {name: course.copy() for name, course in self.courses.items()}
        self.view = View(snapshot, dict(self.known), experts, courses)

    def made(self) -> int:
        """Steps that were made in this session, also where the step begins anew with each epoch."""
        return max(self.completed() - self.run.initial_step + self.repeated, 0)

    def _forget_oldest_names(self) -> None:
        for name in list(self.known)[:-MAX_NAMES]:
            del self.known[name]

    def completed(self, step: int | None = None) -> int:
        """Steps done at ``step`` (None: the newest), those before a resume included.

        Loops count from 0 or from 1. A session whose first step is the initial step counts from 0, so that step 999
        of 1000 is the last; any other first step says that this many were done.
        """
        if self.latest is None:
            return self.run.initial_step
        at = self.latest.step if step is None else step
        return at + (1 if self.first_step == self.run.initial_step else 0)


def _newest(values: Sequence[float | None], before: float | None) -> float | None:
    """The last value that was measured; ``before`` when none was."""
    for value in reversed(values):
        if value is not None:
            return value
    return before
