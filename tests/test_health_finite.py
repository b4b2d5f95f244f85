"""NaN and infinities are told once each time they begin."""

from __future__ import annotations

import math

import pytest
from health_doubles import losses, raised

from m import NonFiniteGradient, NonFiniteLoss, TrainingSnapshot


def test_ten_thousand_nans_are_one_alert_at_the_first() -> None:
    alerts = raised(NonFiniteLoss(), losses([1.0] * 5 + [math.nan] * 10_000))
    assert [str(alert) for alert in alerts] == ["step 5  non finite loss: train_loss is nan"]


def test_a_nan_every_other_step_is_one_alert() -> None:
    assert len(raised(NonFiniteLoss(), losses([1.0, math.inf] * 500))) == 1


def test_it_is_told_again_after_it_was_well_for_a_while() -> None:
    alerts = raised(NonFiniteLoss(), losses([math.nan] + [1.0] * 100 + [-math.inf]))
    assert [alert.step for alert in alerts] == [0, 101]


def test_what_was_not_measured_is_no_recovery() -> None:
    sparse = [math.nan if step % 100 == 0 else None for step in range(1000)]
    assert [alert.step for alert in raised(NonFiniteLoss(), losses(sparse))] == [0]


def test_losses_of_one_step_are_named_together_and_later_ones_by_themselves() -> None:
    nan = math.nan
    snapshots = [
        TrainingSnapshot(0, nan, aux_loss=nan),
        *[TrainingSnapshot(step, nan, aux_loss=nan) for step in range(1, 60)],
        TrainingSnapshot(60, nan, val_loss=math.inf),
    ]
    assert [alert.message for alert in raised(NonFiniteLoss(), snapshots)] == [
        "train_loss is nan and aux_loss is nan",
        "val_loss is inf",
    ]


def test_a_custom_metric_that_is_a_loss_is_watched_and_no_other() -> None:
    nan = math.nan
    steps = [
        {"loss_g": 1.0, "reward": nan, "note": "nan"},
        {"D_Loss": nan, "reward": nan},
        {"D_Loss": nan, "loss_g": math.inf},
        *[{"loss_g": 1.0}] * 50,
        {"loss_g": nan},
    ]
    alerts = raised(
        NonFiniteLoss(), [TrainingSnapshot(step, 1.0, custom_metrics=each) for step, each in enumerate(steps)]
    )
    assert [(alert.step, alert.message) for alert in alerts] == [
        (1, "D_Loss is nan"),
        (2, "loss_g is inf"),
        (53, "loss_g is nan"),
    ]


def test_many_losses_that_break_together_are_one_short_sentence_and_new_names_do_not_pile_up() -> None:
    rule = NonFiniteLoss()
    snapshots = [
        TrainingSnapshot(step, 1.0, custom_metrics={f"loss_{step}_{i}": math.nan for i in range(100)})
        for step in range(20)
    ]
    alerts = raised(rule, snapshots)
    assert alerts[0].message == "loss_0_0 is nan and loss_0_1 is nan and loss_0_2 is nan and 97 more"
    assert [alert.step for alert in alerts] == list(range(10))
    assert len(rule._broken) == 1000


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["train_loss", "val_loss", "aux_loss"])
def test_whatever_is_no_finite_number_is_told_of_each_loss(name: str, value: float) -> None:
    (alert,) = raised(NonFiniteLoss(), [TrainingSnapshot(0, **{"train_loss": 1.0, name: value})])
    assert alert.message == f"{name} is {value}"


def gradients(values: list[float | None]) -> list[TrainingSnapshot]:
    return [TrainingSnapshot(step, 1.0, gradient_norm=value) for step, value in enumerate(values)]


def test_the_overflows_of_a_loss_scale_are_no_alert() -> None:
    inf = math.inf
    search = [inf] * 9 + [1.0] * 2000 + [inf] + [1.0] * 2000 + [inf, math.nan]
    assert raised(NonFiniteGradient(), gradients([*search])) == []


def test_a_gradient_that_stays_non_finite_is_one_alert() -> None:
    alerts = raised(NonFiniteGradient(), gradients([1.0] * 3 + [math.nan] * 5000))
    assert [str(alert) for alert in alerts] == ["step 12  non finite gradient: gradient_norm is nan, 10 times in a row"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_gradient_may_be_told_and_is_told_again_after_so_many_finite_ones_in_a_row(value: float) -> None:
    rule = NonFiniteGradient(in_a_row=1, recovery=3)
    alerts = raised(rule, gradients([value, 1.0, 1.0, value, 1.0, 1.0, value, 1.0, 1.0, 1.0, value]))
    assert [(alert.step, alert.message) for alert in alerts] == [
        (0, f"gradient_norm is {value}"),
        (10, f"gradient_norm is {value}"),
    ]


@pytest.mark.parametrize("given", [0, -1, 1.5, True, "3"])
def test_a_count_is_a_positive_whole_number(given: object) -> None:
    with pytest.raises((TypeError, ValueError), match="in_a_row must be"):
        NonFiniteGradient(in_a_row=given)  # type: ignore[arg-type]


def test_a_short_recovery_that_was_asked_for_is_one() -> None:
    values = [math.nan if step in (100, 120, 140, 300) else 1.0 for step in range(400)]
    assert [alert.step for alert in raised(NonFiniteLoss(recovery=5), losses(values))] == [100, 120, 140, 300]
    norms = [TrainingSnapshot(step, 1.0, gradient_norm=value) for step, value in enumerate(values)]
    assert [alert.step for alert in raised(NonFiniteGradient(in_a_row=1, recovery=5), norms)] == [100, 120, 140, 300]
