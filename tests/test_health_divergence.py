"""A loss that goes up and stays up is told; what swings, drifts or comes back is not."""

from __future__ import annotations

import math

import pytest
from health_doubles import losses, noisy, raised

from m import Divergence

learned = noisy(lambda step: 2.5 + 8 * math.exp(-step / 60), 1000)


@pytest.mark.parametrize(
    "after",
    [
        lambda step: 7.5,  # a language model that has forgotten everything but frequencies
        lambda step: 2.5 + 0.2 * step,
        lambda step: 2.5 * 1.05**step,
    ],
    ids=["jump", "line", "growth"],
)
def test_a_diverging_loss_is_told_once_within_fifty_steps(after) -> None:  # type: ignore[no-untyped-def]
    alerts = raised(Divergence(), losses(learned + noisy(after, 2000)))
    assert len(alerts) == 1
    assert 1000 < alerts[0].step <= 1050
    assert alerts[0].rule == "divergence"


def test_it_is_armed_again_after_the_loss_came_back() -> None:
    again = learned + noisy(lambda step: 7.5, 200) + noisy(lambda step: 2.5, 600) + noisy(lambda step: 7.5, 200)
    assert [alert.step // 100 for alert in raised(Divergence(), losses(again))] == [10, 18]


@pytest.mark.parametrize(
    "level",
    [
        lambda step: 1.0 + 0.5 * math.sin(step / 40),
        lambda step: -step / 100,
        lambda step: 0.01 * step,
        lambda step: 0.05 + 0.4 * ((step % 500) < 60) + 2 * math.exp(-step / 30),  # restarts of the learning rate
        lambda step: 5.0 if step < 300 else 1.0,
    ],
    ids=["swing", "falls below zero", "drift", "restarts", "drop"],
)
def test_what_is_no_divergence_is_not_told(level) -> None:  # type: ignore[no-untyped-def]
    assert raised(Divergence(), losses(noisy(level, 5000))) == []


def test_a_loss_that_keeps_half_of_what_was_learned_has_not_diverged() -> None:
    learning = noisy(lambda step: 10.0 if step < 200 else 2.0, 1000)
    assert raised(Divergence(), losses(learning + noisy(lambda step: 5.0, 1000))) == []
    assert len(raised(Divergence(), losses(learning + noisy(lambda step: 7.0, 1000)))) == 1


def test_a_loss_without_any_noise_may_rise_a_little() -> None:
    assert raised(Divergence(), losses([1.0] * 500 + [1.04] * 500)) == []
    assert len(raised(Divergence(), losses([1.0] * 500 + [1.06] * 500))) == 1


def test_a_spike_that_comes_back_is_no_divergence() -> None:
    values = list(learned)
    values[500:515] = [40.0] * 15
    assert raised(Divergence(), losses(values)) == []


def test_a_loss_that_is_back_is_not_said_to_stay_away() -> None:
    """Away for a while, and back in the middle of the block of losses that is looked at."""
    for length in range(1, 40):
        values = noisy(lambda step, length=length: 10.0 if 800 <= step < 800 + length else 1.0, 1200)  # type: ignore[misc]
        for alert in raised(Divergence(), losses(values)):
            assert values[alert.step] > 5.0
