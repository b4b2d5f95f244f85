"""A loss that jumps is told; noise, however it is made, is not."""

from __future__ import annotations

import math
import random

import pytest
from health_doubles import losses, noisy, raised

from m import LossSpike, TrainingSnapshot


def test_a_jump_is_told_with_its_height() -> None:
    values = noisy(lambda step: 1.0, 300)
    values[200] = 3.0
    (alert,) = raised(LossSpike(), losses(values))
    assert (alert.step, alert.rule, alert.value) == (200, "loss_spike", 3.0)
    assert alert.message.startswith("3, ")
    assert "deviations above the running median 1" in alert.message or "median 0.9" in alert.message


def test_a_spike_of_many_steps_is_one_alert() -> None:
    values = noisy(lambda step: 1.0, 600)
    values[200:230] = [8.0 * math.exp(-step / 10) + 1.0 for step in range(30)]
    assert [alert.step for alert in raised(LossSpike(), losses(values))] == [200]


def test_later_spikes_are_news_when_they_are_higher() -> None:
    values = noisy(lambda step: 1.0, 1000)
    values[200], values[400], values[600] = 3.0, 3.0, 30.0
    assert [alert.step for alert in raised(LossSpike(), losses(values))] == [200, 600]


def test_a_spike_like_one_long_ago_is_told_again() -> None:
    values = noisy(lambda step: 1.0, 4000)
    values[200] = values[3500] = 3.0
    assert [alert.step for alert in raised(LossSpike(), losses(values))] == [200, 3500]


def test_none_and_nan_in_between_change_nothing() -> None:
    values: list[float | None] = list(noisy(lambda step: 1.0, 300))
    values[200] = 3.0
    with_gaps = [value for each in values for value in (each, None, math.nan)]
    assert [alert.step for alert in raised(LossSpike(), losses(with_gaps))] == [600]


@pytest.mark.parametrize("loss", [0.0, 1.0, -3.0])
def test_a_loss_without_any_noise_may_rise_a_little(loss: float) -> None:
    assert raised(LossSpike(), losses([loss] * 200 + [loss + 0.05 * abs(loss)] * 200)) == []


@pytest.mark.parametrize("loss", [1.0, -3.0])
def test_a_loss_without_any_noise_jumps_when_it_rises_by_more_than_a_tenth(loss: float) -> None:
    (alert,) = raised(LossSpike(), losses([loss] * 200 + [loss + 0.11 * abs(loss)]))
    assert alert.message == f"{loss + 0.11 * abs(loss):.4g}, 11 deviations above the running median {loss:.4g}"


def test_a_loss_that_was_zero_has_no_scale_to_jump_by() -> None:
    assert raised(LossSpike(), losses([0.0] * 200 + [1.0])) == []


def test_a_jump_at_an_unchanged_learning_rate_is_told() -> None:
    values = noisy(lambda step: 1.0, 300)
    values[200] = 3.0
    assert [alert.step for alert in raised(LossSpike(), losses(values, learning_rate=1e-3))] == [200]


def test_a_falling_loss_and_a_drop_are_no_spikes() -> None:
    falling = noisy(lambda step: 0.1 + 10 * math.exp(-step / 50), 500)
    assert raised(LossSpike(), losses(falling + noisy(lambda step: 0.02, 500))) == []


def test_one_task_in_five_with_a_higher_loss_is_no_spike() -> None:
    draw = random.Random(0)
    mixed = [draw.gauss(3.0, 0.1) if draw.random() < 0.2 else draw.gauss(1.0, 0.01) for _ in range(2000)]
    assert raised(LossSpike(), losses(mixed)) == []


def test_the_first_losses_are_only_looked_at() -> None:
    assert raised(LossSpike(), losses([1.0] * 20 + [50.0] + [1.0] * 100)) == []


def test_losses_at_the_end_of_the_floats_are_losses() -> None:
    assert raised(LossSpike(), losses([1e308, -1e308, 5e-324, 0.0] * 200)) == []


def test_a_bad_parameter_is_named() -> None:
    with pytest.raises(ValueError, match="deviations must be a finite number above 0; got -1"):
        LossSpike(deviations=-1)
    for given in (0.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="deviations must be a finite number above 0"):
            LossSpike(deviations=given)
    for no_number in ("10", True, None):
        with pytest.raises(TypeError, match="deviations must be a number above 0; got"):
            LossSpike(deviations=no_number)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"window must be a whole number; got 2\.5"):
        LossSpike(window=2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="window must be 8 or more; got 3"):
        LossSpike(window=3)


def test_the_jump_of_a_warm_restart_is_no_spike() -> None:
    values = noisy(lambda step: 0.1 + 0.4 * (step >= 500), 800)
    snapshots = [
        TrainingSnapshot(step, loss, learning_rate=1e-3 if step >= 500 else 1e-5) for step, loss in enumerate(values)
    ]
    assert raised(LossSpike(), snapshots) == []
    assert len(raised(LossSpike(), losses(values))) == 1


def test_a_spike_soon_after_a_smaller_one_is_told_but_one_jump_in_stairs_is_one() -> None:
    values = noisy(lambda step: 1.0, 800)
    values[500], values[540] = 3.0, 500.0
    assert [alert.step for alert in raised(LossSpike(), losses(values))] == [500, 540]
    values = noisy(lambda step: 1.0, 800)
    values[500:505] = [3.0, 10.0, 100.0, 1000.0, 20.0]
    assert [alert.step for alert in raised(LossSpike(), losses(values))] == [500]


def test_a_learning_rate_that_is_given_now_and_then_is_known_in_between() -> None:
    """The jump of a warm restart, with the rate at every tenth snapshot."""
    values = noisy(lambda step: 0.5 + 1.0 * (step % 500 < 100 and step >= 500), 2000)
    rates = [1.0 if step % 500 < 100 else 0.01 for step in range(2000)]
    snapshots = [
        TrainingSnapshot(step, loss, learning_rate=rate if step % 10 == 0 else None)
        for step, (loss, rate) in enumerate(zip(values, rates, strict=True))
    ]
    assert raised(LossSpike(), snapshots) == []
    assert len(raised(LossSpike(), losses(values))) > 0
