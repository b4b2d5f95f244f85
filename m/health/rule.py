"""What a rule is, and what it may say."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from m.metrics.alerts import Alert
from m.metrics.snapshot import TrainingSnapshot

Said: TypeAlias = Alert | str | None
"""What a rule says of a snapshot: an alert, one sentence for a person, or nothing."""


class Watching(Protocol):
    """A rule with a memory. Besides ``watch`` it may have:

    - ``start(run)``: a run begins, forget the one before;
    - ``next_look``, a time in ``time.monotonic`` seconds, and ``look(now)``: unless a snapshot comes before, ``look``
      is called at that time, and may say something as ``watch`` does. ``math.inf`` means never.
    - ``rest()``: no snapshot is expected until one comes, so that none coming means nothing;
    - ``says_once = True``: it sees by itself to it that each thing is said once, so that all it says is news.

    All of them are called one at a time, as sinks are.
    """

    def watch(self, snapshot: TrainingSnapshot, /) -> Said: ...


Rule: TypeAlias = Watching | Callable[[TrainingSnapshot], Said]
"""Any function that takes a snapshot and says what is wrong with it, or an object with ``watch``."""


def watch_of(rule: Any) -> Callable[[TrainingSnapshot], Said]:
    """What to call with each snapshot. Raises ``TypeError`` that says what a rule is when ``rule`` is none."""
    if isinstance(rule, type):
        raise TypeError(f"a rule must be an instance, got the class {rule.__name__}; write {rule.__name__}(...)")
    watch = getattr(rule, "watch", None)
    if not callable(watch):
        watch = rule
    if not callable(watch):
        raise TypeError(
            "a rule must be a function that takes a TrainingSnapshot and gives an Alert, a sentence or None, or an "
            f"object with a method watch(snapshot); got {rule!r:.80} ({type(rule).__name__})"
        )
    if inspect.iscoroutinefunction(watch):
        raise TypeError(f"a rule must be a plain function, {rule_name(rule)} is a coroutine function")
    return watch  # type: ignore[no-any-return]


def rule_name(rule: Any) -> str:
    """How alerts call a rule that says a sentence: a function by its name, an object by its class (``loss_spike``)."""
    name = getattr(rule, "__name__", None)
    if isinstance(name, str):
        return "own_rule" if name == "<lambda>" else name
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(rule).__name__).lower()
