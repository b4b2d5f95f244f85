"""All rules of a hub: each sees every snapshot, whatever the others do, and says each thing once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from m.health.patient import PatientRule, Row, is_patient, row_of
from m.health.rule import Rule, Said, rule_name, watch_of
from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot

QUIET: Final = 50
"""What a rule says again and again is one alert. It is news again when the rule did not say it at so many snapshots in
a row. A rule that ``says_once`` is taken at its word."""
_MOST_NAMES: Final = 1000
PATIENCE_S: Final = 1.0
MOST_ROWS: Final = 256
"""Rules that are patient hear of a snapshot a second later at the most, with no more than so many others."""


class Watcher:
    """Asks the rules in order. One call at a time.

    ``failed(name, error)`` is told of a rule that raises or gives what is no alert, and gives True when ``error`` must
    not be swallowed; else the rule is set aside for good. ``clock`` gives seconds on the scale of ``time.monotonic``.
    """

    def __init__(
        self,
        rules: Iterable[Rule],
        failed: Callable[[str, BaseException], bool],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failed = failed
        self._clock = clock
        self._rules: tuple[Any, ...] = tuple(rules)
        self._patient: tuple[PatientRule, ...] = tuple(rule for rule in self._rules if is_patient(rule, clock))
        self._prompt = tuple(rule for rule in self._rules if not is_patient(rule, clock))
        self._watches = tuple(watch_of(rule) for rule in self._prompt)
        self._rows: list[Row] = []  # what the patient ones have not heard of
        self._due = -math.inf  # when they hear of it
        self._timed = tuple(rule for rule in self._rules if callable(getattr(rule, "look", None)))
        self._step = 0
        self._seen = 0
        self._said_at: dict[tuple[int, str], int] = {}  # by rule and name of the alert, when it was said last

    def __bool__(self) -> bool:
        return bool(self._rules)

    def start(self, run: Run) -> None:
        """A run begins: the rules forget the one before."""
        self._seen = 0
        self._said_at.clear()
        self._rows.clear()
        self._due = -math.inf
        for rule in self._rules:
            start = getattr(rule, "start", None)
            if callable(start):
                self._guarded(rule, start, run)

    def watch(self, snapshot: TrainingSnapshot) -> Sequence[Alert]:
        """What is new at ``snapshot``."""
        self._seen += 1
        alerts: Sequence[Alert] = ()
        for watch in self._watches:
            try:
                said = watch(snapshot)
                if said:
                    alerts = self._heard(self._prompt[self._watches.index(watch)], said, snapshot.step, alerts)
            except BaseException as error:
                self._set_aside(self._prompt[self._watches.index(watch)], error)
        if self._patient:
            now = self._clock()
            rows = self._rows
            rows.append(row_of(snapshot, now))
            if now >= self._due or len(rows) >= MOST_ROWS:
                alerts = (*alerts, *self.catch_up())
        if self._timed:
            self._step = snapshot.step
        return alerts

    def catch_up(self) -> Sequence[Alert]:
        """Tell the patient rules of the snapshots that they have not heard of; what is new at these."""
        if not self._rows:
            return ()
        rows, self._rows = self._rows, []
        self._due = rows[-1][0] + PATIENCE_S
        alerts: tuple[Alert, ...] = ()
        for rule in self._patient:
            alerts += tuple(self._guarded(rule, rule.watch_rows, rows) or ())
        return alerts

    @property
    def next_look(self) -> float:
        """When `look` is to be called unless a snapshot comes before, in monotonic seconds; infinite: not at all."""
        return min([rule.next_look for rule in self._timed], default=math.inf) if self._timed else math.inf

    def look(self, now: float) -> Sequence[Alert]:
        """What is new although no snapshot came."""
        alerts = self.catch_up()
        for rule in self._timed:
            said = self._guarded(rule, rule.look, now)
            if said:
                alerts = self._guarded(rule, self._heard, rule, said, self._step, alerts) or alerts
        return alerts

    def rest(self) -> None:
        """No snapshot is expected until one comes. The patient rules have caught up by now."""
        for rule in self._timed:
            rest = getattr(rule, "rest", None)
            if callable(rest):
                self._guarded(rule, rest)

    def _heard(self, rule: Rule, said: Said, step: int, alerts: Sequence[Alert]) -> Sequence[Alert]:
        """``alerts`` and what ``rule`` said, if that is new."""
        if isinstance(said, str):
            said = Alert(step, rule_name(rule), said)
        elif not isinstance(said, Alert):
            raise TypeError(f"a rule gives an Alert, a sentence or None; got {said!r:.80} ({type(said).__name__})")
        if getattr(rule, "says_once", False):
            return (*alerts, said)
        what = (id(rule), said.rule)
        before = self._said_at.get(what)
        if before is None and len(self._said_at) >= _MOST_NAMES:
            self._said_at.clear()
        self._said_at[what] = self._seen
        if before is not None and self._seen - before <= QUIET:
            return alerts
        return (*alerts, said)

    def _guarded(self, rule: Rule, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except BaseException as error:
            self._set_aside(rule, error)
            return None

    def _set_aside(self, rule: Any, error: BaseException) -> None:
        if self._failed(rule_name(rule), error):
            raise error
        kept = [place for place, each in enumerate(self._prompt) if each is not rule]
        self._watches = tuple(self._watches[place] for place in kept)
        self._prompt = tuple(self._prompt[place] for place in kept)
        self._patient = tuple(each for each in self._patient if each is not rule)
        self._rules = tuple(each for each in self._rules if each is not rule)
        self._timed = tuple(each for each in self._timed if each is not rule)
