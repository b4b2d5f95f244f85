"""The numbers of a run by the name that displays give them, each with its course so far.

A snapshot's fields go by their names, custom metrics by their keys, experts as ``expert_0``, ``expert_1``, ... What is
not given and can be derived goes by ``samples_per_sec``, ``tokens_per_sec``, ``expert_entropy`` and ``load_balance``.
Experts of several layers have no history each; theirs are those of `m.metrics.layers`.
Nothing here knows how, or whether, a number is shown.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection
from typing import Any, Final

from m.metrics.derived import BALANCE, RATES, RecentRate, entropy_and_balance
from m.metrics.history import NARROW, Appender, History
from m.metrics.layers import LayerHistories
from m.metrics.loads import Layers, Loads
from m.metrics.snapshot import TrainingSnapshot

SHOWN_FIELDS: Final = ("train_loss", "val_loss", "learning_rate", "aux_loss", "gradient_norm", "gpu_memory_mb")
"""The fields that are metrics. The sizes of a batch and of a sample are settings, kept only for who asks for them."""

SETTING_FIELDS: Final = ("batch_size", "sequence_length")

MAX_METRICS: Final = 2000
"""Custom metrics, and experts, that are kept; the names of a run that makes up new ones every step are counted."""

MOST_AMPLE: Final = 64
"""Custom metrics, experts and indicators of layers that get ample room; where there are more, all of them get narrow
room, since a thousand experts would take a gigabyte."""

LONGEST_NAME: Final = 1000
"""Characters in the name of a custom metric that is kept: names are copied to other processes and into files."""

_EXPERT = re.compile(r"expert_(0|[1-9][0-9]*)")
_FOLD_EVERY: Final = 2048
"""Within so many snapshots every history has its turn to fold: so many raw points it may have beyond its `Room`."""
_FOLD_TOGETHER: Final = 12
"""Of thousands of snapshots one waits for so many folds, some milliseconds, rather than each of a dozen for one."""

_HIGH: Final = 10**300  # not near the largest float: padded limits of an axis must fit as well
_LOW: Final = -_HIGH


def expert_name(expert: int) -> str:
    """The name under which an expert's utilization goes."""
    return f"expert_{expert}"


def expert_of(name: str) -> int | None:
    """The expert whose utilization goes by ``name``; None when ``name`` is no such name."""
    match = _EXPERT.fullmatch(name)
    return None if match is None else int(match[1])


class NamedHistories:
    """Takes snapshots, keeps a `History` of each number in them. `record` is for one thread at a time.

    The histories fold in turn, some at a time, so that one snapshot in thousands waits for them and for no more than
    a dozen (or, of thousands of metrics, a few more), and memory per metric is bounded (see `History`): at 1.1 MB, or
    at 0.2 MB for each custom metric, expert and indicator of a layer once there are more than `MOST_AMPLE` of those.

    Numbers only, and only those that were given: None, text and other objects leave no trace, a bool counts as 0 or
    1. A field stands before a custom metric of the same name, and what is given stands before what is derived: a
    name is derived until it is given for the first time, and from then on the given points alone are its history.

    ``settings`` names the fields among `SETTING_FIELDS` to keep as well. ``clock`` gives seconds for the rates.
    """

    def __init__(self, settings: Collection[str] = (), *, clock: Callable[[], float] = time.monotonic) -> None:
        self._fields = {name: History() for name in SHOWN_FIELDS}
        self._settings = {name: History() for name in SETTING_FIELDS if name in settings}
        self._customs: dict[str, History] = {}
        self._experts: dict[int, History] = {}
        self._derived = {name: History() for name in (*RATES, *BALANCE)}
        self._samples, self._tokens, self._entropy, self._balance = self._derived.values()
        self._rate = RecentRate(clock)
        self._clock = clock
        self._layers: LayerHistories | None = None
        # in the order of their turns
        self._all = [*self._fields.values(), *self._settings.values(), *self._derived.values()]
        self._ample: list[History] | None = []  # of those without a number; None when there were too many
        self._next = 0
        self._until_fold = _FOLD_EVERY
        self._interrupted = False
        self._field_appenders = tuple(history.appender for history in self._fields.values())
        self._custom_appenders: dict[str, Appender] = {}
        self._expert_appenders: dict[int, Appender] = {}
        self._derive_rates = True
        self._derive_balance = True
        self._left_out = 0  # values and steps

    @property
    def left_out(self) -> int:
        """Numbers that were not kept: past `MAX_METRICS` names, or under one longer than `LONGEST_NAME`."""
        return self._left_out // 2 + (0 if self._layers is None else self._layers.left_out)

    def record(self, snapshot: TrainingSnapshot) -> None:
        """Add the snapshot's numbers. Never raises for what a `TrainingSnapshot` can hold."""
        # Written out field by field, without History.append: this runs at every training step (benchmarks/emit.py).
        try:
            step = snapshot.step
            self._until_fold -= 1
            if not self._until_fold:
                self._fold()
            at = float(step)
            add, val, lr, aux, norm, memory = self._field_appenders
            number: float | None = snapshot.train_loss
            if number is not None:
                add(number)
                add(at)
            number = snapshot.val_loss
            if number is not None:
                val(number)
                val(at)
            number = snapshot.learning_rate
            if number is not None:
                lr(number)
                lr(at)
            number = snapshot.aux_loss
            if number is not None:
                aux(number)
                aux(at)
            number = snapshot.gradient_norm
            if number is not None:
                norm(number)
                norm(at)
            number = snapshot.gpu_memory_mb
            if number is not None:
                memory(number)
                memory(at)
            custom = snapshot.custom_metrics
            if custom:
                appenders = self._custom_appenders
                for name, value in custom.items():
                    kind = type(value)
                    if kind is float or ((kind is int or kind is bool) and _LOW < value < _HIGH):
                        try:
                            add = appenders[name]
                        except KeyError:
                            add = self._begin(name)
                        add(value)
                        add(at)
            if snapshot.expert_utilization:
                self._record_experts(at, snapshot.expert_utilization)
            if snapshot.batch_size is not None and self._derive_rates:
                self._record_rates(step, snapshot.batch_size, snapshot.sequence_length)
            if self._settings:
                for setting, history in self._settings.items():
                    number = getattr(snapshot, setting)
                    if number is not None:
                        history.append(at, number)
        except BaseException:  # Ctrl-C, perhaps between a value and its step
            self._interrupted = True  # should a second one come before all is mended, the next snapshot sees to it
            self._until_fold = 1
            self._mend()
            raise

    def histories(self) -> dict[str, History]:
        """The histories of all names that have a point by now: fields, custom metrics, derived ones, experts by id."""
        derived = self._derived.copy()
        layers = self._layers
        if layers is not None:
            # whoever gives one mapping at some steps and layers at others has two meanings of one name; layers win
            derived.update({name: history for name, history in layers.overall.items() if len(history)})
        found: dict[str, History] = {}
        for source in (
            {**self._fields, **self._settings},
            {name: history for name, history in self._customs.copy().items() if name not in SETTING_FIELDS},
            derived,
        ):
            for name, history in source.items():
                if len(history) and name not in found:
                    found[name] = history
        experts = {expert_name(expert): history for expert, history in sorted(self._experts.copy().items())}
        if layers is not None:
            for name, history in layers.by_layer.copy().items():
                if len(history) and name not in found:
                    experts.setdefault(name, history)
        return {**{name: history for name, history in found.items() if name not in experts}, **experts}

    def _record_experts(self, at: float, utilization: Any) -> None:
        """``utilization`` is a snapshot's: of single experts, or by layer."""
        appenders = self._expert_appenders
        for expert, load in utilization.items():
            if type(load) is Loads:
                self._record_layers(at, utilization)
                return
            try:
                add = appenders[expert]
            except KeyError:
                add = self._begin_expert(expert)
            add(load)
            add(at)
        if self._derive_balance:
            balance = entropy_and_balance(utilization)
            if balance is not None:
                self._entropy.append(at, balance[0])
                self._balance.append(at, balance[1])

    def _record_layers(self, at: float, layers: Layers) -> None:
        histories = self._layers
        if histories is None:
            histories = self._layers = LayerHistories(self._clock)
            self._all += histories.overall.values()
        histories.record(at, layers)
        if histories.new:
            for history in histories.new:
                self._add(history)
            histories.new.clear()

    def _record_rates(self, step: int, batch_size: float, sequence_length: float | None) -> None:
        rate = self._rate.at(step)
        if rate is None:
            return
        samples = rate * batch_size
        self._samples.append(step, samples)
        if sequence_length is not None:
            self._tokens.append(step, samples * sequence_length)

    def _fold(self) -> None:
        """Give the next histories their turn, and say after how many snapshots the ones after them have theirs."""
        if self._interrupted:
            self._mend()
        turns = min(-(-len(self._all) // _FOLD_TOGETHER), _FOLD_EVERY)
        self._until_fold = _FOLD_EVERY // turns
        for _ in range(-(-len(self._all) // turns)):
            self._next = (self._next + 1) % len(self._all)
            self._all[self._next].fold()

    def _mend(self) -> None:
        for history in self._all:
            history.mend()
        self._interrupted = False

    def _begin(self, name: str) -> Appender:
        """Start the history of a custom metric that is seen for the first time."""
        if len(self._customs) >= MAX_METRICS or len(name) > LONGEST_NAME:
            return self._leave_out
        history = self._customs[name] = History()
        self._add(history)
        self._custom_appenders[name] = history.appender
        self._derive_rates = not self._customs.keys() >= {*RATES}
        self._derive_balance = not self._customs.keys() >= {*BALANCE}
        return history.appender

    def _begin_expert(self, expert: int) -> Appender:
        if len(self._experts) >= MAX_METRICS:
            return self._leave_out
        history = self._experts[expert] = History()
        self._add(history)
        self._expert_appenders[expert] = history.appender
        return history.appender

    def _add(self, history: History) -> None:
        """Give it its turns, and the room that there is for one of so many."""
        self._all.append(history)
        if self._ample is None:
            history.room = NARROW
            return
        self._ample.append(history)
        if len(self._ample) > MOST_AMPLE:
            for each in self._ample:
                each.room = NARROW
            self._ample = None

    def _leave_out(self, value: float) -> None:
        self._left_out += 1
