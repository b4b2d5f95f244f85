"""What the display knows about the run.

The emitting thread only appends each snapshot to a queue; whoever draws catches up first. The queue stays short: in a
loop that is too fast for the display the emitting thread catches up itself.

Loads of many layers are most of a snapshot's memory. So of those that wait only the newest keeps them, and those whose
step the tables show.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from m.metrics.alerts import Alert
from m.metrics.loads import Loads, Utilization
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot, without_loads
from sinks.terminal.course import Course
from sinks.terminal.past import Past

MAX_NAMES: Final = 2000
"""Custom metrics that are remembered; a name that holds the step must not fill the memory."""
MAX_ALERTS: Final = 50
MANY_ARRIVED: Final = 256
"""Past so many that nobody has looked at, the thread that draws is woken, if there is one."""
MOST_ARRIVED: Final = 1024
"""Past so many the training thread catches up itself, at two to five microseconds each."""
_PATIENCE_S: Final = 1.0
"""Whoever else catches up is done long before, unless it is a thread that a fork left behind."""
_YIELD_EVERY: Final = 64
_YIELD_S: Final = 0.001
"""While another thread is at it then, every so many snapshots the training thread lets it run for so long."""


@dataclass(slots=True)
class View:
    """The moment that the tables show: the snapshot at which they were due, and what was known by then."""

    snapshot: TrainingSnapshot
    known: dict[str, Any]
    """Custom metrics by name, each as it was measured last."""
    experts: Utilization
    """The newest utilization that was not empty."""
    courses: dict[str, Course]
    """``train_loss``, ``val_loss``, ``aux_loss`` as far as they had come."""


@dataclass(slots=True)
class State:
    """The run as far as it has come. All but `note` and `add_alert` is for one thread at a time."""

    interval: int
    """Steps between table updates."""
    run: Run = field(default_factory=Run)
    latest: TrainingSnapshot | None = None
    """The newest snapshot; the progress line shows it."""
    view: View | None = None
    """What the tables show; None until they were due for the first time."""
    train_loss: Course = field(default_factory=Course)
    val_loss: Course = field(default_factory=Course)
    aux_loss: Course = field(default_factory=Course)
    learning_rate: float | None = None
    gradient_norm: float | None = None
    gpu_memory_mb: float | None = None
    batch_size: float | None = None
    sequence_length: float | None = None
    known: dict[str, Any] = field(default_factory=dict)
    experts: Utilization = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)
    """The newest; the oldest first."""
    alerts_raised: int = 0
    first_step: int | None = None
    """The first step of this session."""
    snapshots: int = 0
    past: Past = field(default_factory=Past)
    arrived: deque[TrainingSnapshot] = field(default_factory=deque)
    """What was noted and not yet taken."""
    noted: TrainingSnapshot | None = None
    """The newest that was noted."""
    spare: bool = False
    """Whether its loads are of no use once there are newer ones. For the emitting thread."""
    wake: Callable[[], object] | None = None
    """Wakes a thread that will `catch_up` soon; None: there is none. Never waits."""

    def note(self, snapshot: TrainingSnapshot) -> None:
        """Keep ``snapshot`` for whoever draws. On the emitting thread."""
        arrived = self.arrived
        utilization = snapshot.expert_utilization
        if utilization and type(next(iter(utilization.values()))) is Loads:
            self._spare_loads()
            self.spare = not self._is_awaited(snapshot)
        else:
            self.spare = False
        self.noted = snapshot
        arrived.append(snapshot)
        if len(arrived) > MANY_ARRIVED:
            self._many_arrived()

    def _spare_loads(self) -> None:
        """The newest that waits will not be the newest any more."""
        before = self.noted
        if before is None or not self.spare:
            return
        lighter = without_loads(before)
        try:
            if self.arrived[-1] is before:
                self.arrived[-1] = lighter
        except IndexError:  # another thread has just taken it
            pass

    def _is_awaited(self, snapshot: TrainingSnapshot) -> bool:
        """Whether tables will show the moment of ``snapshot``, the next one to be noted."""
        before = self.noted
        loss: float | None = snapshot.train_loss
        if loss is not None and loss - loss != 0.0:
            lost: float | None = None if before is None else before.train_loss
            if lost is None or lost - lost == 0.0:
                return True
        return self._is_due(snapshot.step, None if before is None else before.step)

    def catch_up(self) -> bool:
        """Take what has arrived; True when the tables became due meanwhile."""
        if not self.arrived or not self.past.lock.acquire(timeout=_PATIENCE_S):
            return False
        try:
            return self._take_arrived()
        finally:
            self.past.lock.release()

    def _many_arrived(self) -> None:
        """Somebody who is at it and does not get to run beside a loop that only emits is let run for a moment."""
        arrived = len(self.arrived)
        if self.wake is not None and arrived <= MOST_ARRIVED:
            self.wake()
            return
        lock = self.past.lock
        try:  # a Ctrl-C may come when the lock is taken and before anybody knows
            if lock.acquire(timeout=0.0 if arrived % _YIELD_EVERY else _YIELD_S):
                self._take_arrived()
                self.past.fold()
        finally:
            if lock._is_owned():  # type: ignore[attr-defined]
                lock.release()

    def _take_arrived(self) -> bool:
        arrived = self.arrived
        due = False
        for _ in range(len(arrived)):
            due = self.take(arrived.popleft()) or due
        return due

    def take(self, snapshot: TrainingSnapshot) -> bool:
        """Remember what ``snapshot`` says; True when the tables are due at it."""
        step = snapshot.step
        before = self.latest
        self.latest = snapshot
        self.snapshots += 1
        self.past.waiting.append(snapshot)
        broke = False
        value: float | None = snapshot.train_loss
        if value is not None:
            course = self.train_loss
            was_finite = course.nonfinite_since is None
            course.add(step, value)
            broke = was_finite and course.nonfinite_since is not None
        value = snapshot.val_loss
        if value is not None:
            self.val_loss.add(step, value)
        value = snapshot.aux_loss
        if value is not None:
            self.aux_loss.add(step, value)
        value = snapshot.learning_rate
        if value is not None:
            self.learning_rate = value
        value = snapshot.gradient_norm
        if value is not None:
            self.gradient_norm = value
        if snapshot.custom_metrics:
            self.known.update(snapshot.custom_metrics)
            if len(self.known) > 2 * MAX_NAMES:  # long before the next table
                self._forget_oldest_names()
        if snapshot.expert_utilization:
            self.experts = snapshot.expert_utilization
        if before is None:
            self.first_step = step
        # a loss that stops being finite is never kept back until the next interval
        if broke or self._is_due(step, None if before is None else before.step):
            self.freeze()
            return True
        return False

    def _is_due(self, step: int, before: int | None) -> bool:
        """Whether tables are due at ``step``, after a snapshot of step ``before``."""
        if before is None or step <= before:
            return step % self.interval == 0
        return step // self.interval > before // self.interval

    def freeze(self) -> None:
        """Let the tables show this moment."""
        snapshot = self.latest
        if snapshot is None:
            return
        if len(self.known) > MAX_NAMES:
            self._forget_oldest_names()
        for name in ("gpu_memory_mb", "batch_size", "sequence_length"):
            value = getattr(snapshot, name)
            if value is not None:
                setattr(self, name, value)
        courses = {
            "train_loss": self.train_loss.copy(),
            "val_loss": self.val_loss.copy(),
            "aux_loss": self.aux_loss.copy(),
        }
        self.view = View(snapshot, dict(self.known), self.experts, courses)

    def _forget_oldest_names(self) -> None:
        for name in list(self.known)[:-MAX_NAMES]:
            del self.known[name]

    def add_alert(self, alert: Alert) -> None:
        self.alerts.append(alert)
        self.alerts_raised += 1
        del self.alerts[:-MAX_ALERTS]

    def completed(self, step: int | None = None) -> int:
        """Steps done at ``step`` (None: the newest), those before a resume included.

        Loops count from 0 or from 1. A session whose first step is the initial step counts from 0, so that step 999
        of 1000 is the last; any other first step says that this many were done.
        """
        if self.latest is None:
            return self.run.initial_step
        at = self.latest.step if step is None else step
        return at + (1 if self.first_step == self.run.initial_step else 0)
