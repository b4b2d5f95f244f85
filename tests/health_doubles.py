"""Runs to try rules on: snapshots made of plain numbers, and a clock that is turned by hand."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from m.health.rule import Rule
from m.health.watcher import Watcher
from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def raised(rule: Rule, snapshots: Iterable[TrainingSnapshot]) -> list[Alert]:
    """The alerts that a hub with this one rule would raise; what the rule raises is raised here."""
    watcher = Watcher([rule], lambda name, error: True)
    watcher.start(Run())
    return [*(alert for snapshot in snapshots for alert in watcher.watch(snapshot)), *watcher.catch_up()]


def losses(values: Iterable[float | None], **others: Any) -> list[TrainingSnapshot]:
    """One snapshot for each loss, at steps from 0."""
    return [TrainingSnapshot(step, loss, **others) for step, loss in enumerate(values)]  # type: ignore[arg-type]


def noisy(level: Callable[[int], float], count: int, noise: float = 0.05, seed: int = 0) -> list[float]:
    """``count`` losses around ``level(step)``, with normal noise relative to it."""
    draw = random.Random(seed)
    return [level(step) * (1.0 + draw.gauss(0.0, noise)) for step in range(count)]


def experts(loads: Iterable[Mapping[Any, Any]]) -> list[TrainingSnapshot]:
    """One snapshot for each mapping of expert -> load."""
    return [TrainingSnapshot(step, 1.0, expert_utilization=each) for step, each in enumerate(loads)]


def routed(weights: list[float], tokens: int, count: int, seed: int = 0) -> list[dict[int, float]]:
    """``count`` mappings of shares, as ``tokens`` tokens are dealt out at random by ``weights``."""
    draw = random.Random(seed)
    dealt = []
    for _ in range(count):
        shares = dict.fromkeys(range(len(weights)), 0.0)
        for expert in draw.choices(range(len(weights)), weights, k=tokens):
            shares[expert] += 1.0 / tokens
        dealt.append(shares)
    return dealt
