"""Rules that hear of many snapshots at a time say what they would have said of each by itself."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

import pytest
from health_doubles import Clock, losses, noisy

from m import Alert, Divergence, LossSpike, Plateau, Run, Stall, ThroughputDrop, TrainingSnapshot, default_rules
from m.health.patient import PatientRule, Row, is_patient, row_of


def eventful() -> list[Row]:
    """A run that stands still, then diverges and becomes slow, with values that are missing or no numbers."""
    draw = random.Random(0)
    values: list[float | None] = [*noisy(lambda step: 2.0 if step < 3000 else 9.0, 6000, noise=0.01)]
    for broken in (None, math.nan, math.inf):
        for place in draw.sample(range(6000), 40):
            values[place] = broken
    now, rows = 1000.0, []
    for snapshot in losses(values, learning_rate=1e-3, batch_size=32):
        now += 0.01 if snapshot.step < 4000 else 0.05
        rows.append(row_of(snapshot, now))
    return rows


def heard(rule: PatientRule, rows: list[Row], sizes: Callable[[], int]) -> list[Alert]:
    rule.start(Run())  # type: ignore[attr-defined]
    alerts: list[Alert] = []
    while rows:
        size = sizes()
        alerts += rule.watch_rows(rows[:size])
        rows = rows[size:]
    return alerts


@pytest.mark.parametrize(
    "rule", [Divergence(), Plateau(patience=400), ThroughputDrop()], ids=lambda rule: type(rule).__name__
)
def test_it_makes_no_difference_how_many_are_told_at_a_time(rule: PatientRule) -> None:
    rows = eventful()
    alone = heard(rule, rows, lambda: 1)
    assert len(alone) == (2 if isinstance(rule, Plateau) else 1)
    draw = random.Random(1)
    assert heard(rule, rows, lambda: draw.randint(1, 300)) == alone
    assert heard(rule, rows, lambda: len(rows)) == alone


def test_a_stall_is_expected_at_the_same_time_however_many_are_told() -> None:
    looks = []
    for size in (1, 7, 6000):
        rule = Stall(at_least_s=0.3)
        assert heard(rule, eventful(), lambda size=size: size) == []
        looks.append(rule.next_look)
    assert looks[0] > eventful()[-1][0]
    assert len(set(looks)) == 1


def test_told_of_a_snapshot_it_goes_by_its_clock() -> None:
    clock = Clock()
    rule = ThroughputDrop(clock=clock)
    alerts = []
    for step in range(600):
        clock.now += 0.1 if step < 300 else 0.6
        alerts.append(rule.watch(TrainingSnapshot(step, 1.0)))
    assert [alert.rule for alert in alerts if alert is not None] == ["throughput_drop"]


def test_a_row_has_what_such_rules_look_at() -> None:
    snapshot = TrainingSnapshot(7, 0.5, learning_rate=0.1, batch_size=8, sequence_length=16)
    assert row_of(snapshot, 3.0) == (3.0, 7, 0.5, 0.1, 8, 16)


class Own(Divergence):
    """Somebody's own, which looks at the snapshots themselves."""

    def watch(self, snapshot: TrainingSnapshot) -> Alert | None:
        return None


def test_patient_are_those_that_go_by_the_usual_clock_and_look_at_nothing_else() -> None:
    names = {type(rule).__name__ for rule in default_rules() if is_patient(rule, time.monotonic)}
    assert names == {"Divergence", "Plateau", "ThroughputDrop", "Stall"}
    patched = Divergence()
    patched.watch = lambda snapshot: None  # type: ignore[method-assign]
    clock = Clock()
    others = [Own(), patched, Stall(clock=clock), LossSpike(), len, Divergence]
    assert not any(is_patient(rule, time.monotonic) for rule in others)
    assert is_patient(Stall(clock=clock), clock)
