"""A metric's past in one row: what stands out is seen, what is noise is not, what broke is marked."""

from __future__ import annotations

import math
import random

import pytest

from m.metrics.snapshot import TrainingSnapshot
from sinks.terminal.look import DEFAULT, look_for
from sinks.terminal.past import Past, Series
from sinks.terminal.spark import sparkline


def series_of(values: list[float | None]) -> Series:
    past = Past()
    past.waiting.extend(TrainingSnapshot(step=step, train_loss=value) for step, value in enumerate(values))  # type: ignore[arg-type]
    past.fold()
    return past.series["train_loss"]


def text_of(values: list[float | None], width: int, name: str = "train_loss") -> str:
    return "".join(text for text, _ in sparkline(name, series_of(values), width, DEFAULT))


def test_few_values_get_a_character_each_from_the_left() -> None:
    assert text_of([1.0, 2.0, 3.0], 6) == "▁▄▇   "


def test_what_was_not_measured_is_blank() -> None:
    assert text_of([4.0, None, 2.0, None, 1.0], 5) == "▇ ▃ ▁"


def test_one_nan_in_thousands_is_a_red_cross() -> None:
    values: list[float | None] = [1.0] * 5000
    values[2500] = math.nan
    row = sparkline("train_loss", series_of(values), 20, DEFAULT)
    assert "".join(text for text, _ in row) == "▄" * 10 + "×" + "▄" * 9
    assert ("×", DEFAULT.worse) in row


@pytest.mark.parametrize(("spike", "height"), [(9.0, "▇"), (-7.0, "▁")])
def test_a_spike_of_one_step_stands_at_its_extreme(spike: float, height: str) -> None:
    noise = random.Random(1)
    values: list[float | None] = [1.0 + 0.1 * noise.random() for _ in range(4000)]
    values[3000] = spike
    text = text_of(values, 20)
    assert text[15] == height
    assert text.count(height) == 1


def test_a_spike_in_a_metric_measured_now_and_then_is_no_mean_of_two() -> None:
    values = [1.0 if step % 20 == 0 else None for step in range(1000)]
    values[500] = 9.0
    assert text_of(values, 20)[10] == "▇"


def test_noise_is_shown_by_its_means_and_a_constant_is_flat() -> None:
    noise = random.Random(1)
    assert set(text_of([1.0 + 0.01 * noise.random() for _ in range(4000)], 20)) == {"▄"}
    assert text_of([3e-4] * 10, 10) == "▄" * 10
    assert text_of([0.0] * 10, 10) == "▄" * 10


def test_losses_that_span_decades_are_shown_by_their_logarithm() -> None:
    falling: list[float | None] = [10.0 ** -(step / 100) for step in range(401)]
    straight = text_of(falling, 20)
    assert sorted(straight, reverse=True) == list(straight)
    assert straight.count("▁") <= 4  # on a linear scale nearly all
    assert text_of(falling, 20, "entropy").count("▁") > 10


@pytest.mark.parametrize("value", [1e308, -1e308, 5e-324])
def test_the_farthest_floats_are_shown_too(value: float) -> None:
    assert len(text_of([value, 0.0, -value, value], 4)) == 4


def test_a_metric_without_a_past_is_blank_and_ascii_is_ascii() -> None:
    assert sparkline("x", None, 5, DEFAULT)[0][0] == " " * 5
    row = sparkline("x", series_of([1.0, math.nan, 2.0]), 5, look_for("default", "ascii"))
    assert "".join(text for text, _ in row).isascii()
