"""A loss that demonstrably stands still is told once; one that is noisy, slow or at the end of its schedule is not."""

from __future__ import annotations

import math

import pytest
from health_doubles import losses, noisy, raised

from m import Plateau, TrainingSnapshot


def test_a_loss_that_never_moves_is_told_once() -> None:
    alerts = raised(Plateau(), losses(noisy(lambda step: 2.3, 20_000, noise=0.02)))
    assert [alert.rule for alert in alerts] == ["plateau"]
    assert alerts[0].step == 1999
    assert "it moved by less than 1 % in 2000 snapshots" in alerts[0].message


def test_a_loss_that_stops_moving_is_told_after_it_stood_a_third_of_the_run() -> None:
    (alert,) = raised(Plateau(), losses(noisy(lambda step: max(2.3 - step / 4000, 1.3), 12_000, noise=0.02)))
    assert 5000 < alert.step < 9000


def test_a_slow_power_law_still_moves() -> None:
    assert raised(Plateau(), losses(noisy(lambda step: 11 * (step + 10) ** -0.15, 60_000, noise=0.02))) == []


def test_a_loss_too_noisy_to_tell_and_one_around_zero_are_not_told() -> None:
    assert raised(Plateau(), losses(noisy(lambda step: 1.0, 10_000, noise=0.8))) == []
    assert raised(Plateau(), losses([math.sin(step) for step in range(10_000)])) == []
    assert raised(Plateau(), losses([0.0] * 10_000)) == []


def test_the_end_of_a_schedule_is_no_plateau() -> None:
    def rate(step: int) -> float:
        return 1e-3 if step < 1000 else 5e-5

    values = noisy(lambda step: 1.0 + (1.0 if step < 1000 else 0.0), 8000, noise=0.01)
    snapshots = [TrainingSnapshot(step, loss, learning_rate=rate(step)) for step, loss in enumerate(values)]
    assert raised(Plateau(), snapshots) == []
    assert len(raised(Plateau(), losses(values))) == 1


def test_the_end_of_a_schedule_is_known_when_the_rate_is_given_now_and_then() -> None:
    snapshots = [
        TrainingSnapshot(step, 1.0, learning_rate=(1.0 if step < 1000 else 0.01) if step % 70 == 0 else None)
        for step in range(6000)
    ]
    assert raised(Plateau(), snapshots) == []


def test_a_loss_that_moves_to_another_level_and_stands_there_is_told_again() -> None:
    alerts = raised(Plateau(), losses(noisy(lambda step: 2.3 if step < 5000 else 1.3, 20_000, noise=0.02)))
    assert [f"{alert.value:.1f}" for alert in alerts] == ["2.3", "1.3"]


def test_a_tolerance_is_a_share() -> None:
    assert Plateau(tolerance=1).tolerance == 1.0
    for given in (0.0, 1.01, 5):
        with pytest.raises(ValueError, match="tolerance must be"):
            Plateau(tolerance=given)
