"""All rules of a hub: each sees every snapshot, whatever the others do, and says each thing once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from m.health.rule import Rule, Said, rule_name, watch_of
from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot

QUIET: Final = 50
"""What a rule says again and again is one alert. It is news again when the rule did not say it at so many snapshots in
a row. A rule that ``says_once`` is taken at its word."""
_MOST_NAMES: Final = 1000


class Watcher:
    """Asks the rules in order. One call at a time.

    ``failed(name, error)`` is told of a rule that raises or gives what is no alert, and gives True when ``error`` must
    not be swallowed; else the rule is set aside for good.
    """

    def __init__(self, rules: Iterable[Rule], failed: Callable[[str, BaseException], bool]) -> None:
        self._failed = failed
        self._rules: tuple[Any, ...] = tuple(rules)
        self._watches = tuple(watch_of(rule) for rule in self._rules)
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
                    alerts = self._heard(self._rules[self._watches.index(watch)], said, snapshot.step, alerts)
            except BaseException as error:
                self._set_aside(self._rules[self._watches.index(watch)], error)
        if self._timed:
            self._step = snapshot.step
        return alerts

    @property
    def next_look(self) -> float:
        """When `look` is to be called unless a snapshot comes before, in monotonic seconds; infinite: not at all."""
        return min([rule.next_look for rule in self._timed], default=math.inf) if self._timed else math.inf

    def look(self, now: float) -> Sequence[Alert]:
        """What is new although no snapshot came."""
        alerts: Sequence[Alert] = ()
        for rule in self._timed:
            said = self._guarded(rule, rule.look, now)
            if said:
                alerts = self._guarded(rule, self._heard, rule, said, self._step, alerts) or alerts
        return alerts

    def rest(self) -> None:
        """No snapshot is expected until one comes."""
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
        kept = [place for place, each in enumerate(self._rules) if each is not rule]
        self._watches = tuple(self._watches[place] for place in kept)
        self._rules = tuple(self._rules[place] for place in kept)
        self._timed = tuple(each for each in self._timed if each is not rule)
