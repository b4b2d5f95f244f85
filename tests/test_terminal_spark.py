"""A metric's past in one row: what stands out is seen, what is noise is not, what broke is marked."""

from __future__ import annotations

import math
import random

import pytest

from m.metrics.snapshot import TrainingSnapshot
from sinks.terminal.look import DEFAULT, look_for
from sinks.terminal.past import NEWEST, Past, Series
from sinks.terminal.spark import PER_COLUMN, columns_of, newest_of, recent, sparkline


def series_of(values: list[float | None]) -> Series:
    past = Past()
    snapshots = [TrainingSnapshot(step=step, train_loss=value) for step, value in enumerate(values)]  # type: ignore[arg-type]
    past.add(snapshots, range(len(values)), None)
    return past.series["train_loss"]


def text_of(values: list[float | None], width: int, name: str = "train_loss") -> str:
    return "".join(text for text, _ in sparkline(name, series_of(values), width, DEFAULT))


def recent_text_of(values: list[float | None], width: int) -> str:
    return "".join(text for text, _ in recent("train_loss", series_of(values), width, DEFAULT))


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
    wide = series_of([noise.random() for _ in range(4000)])
    columns = columns_of(wide, 20)
    assert columns.shown() == columns.mean
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


def test_values_of_which_the_sum_is_no_float_have_a_mean_all_the_same() -> None:
    values: list[float | None] = [*([-1e308, 0.0, 0.0, 0.0] * 10), *([1.7e308] * 20)]
    assert text_of(values, 8) == "▁▁▁▁▁▅▇▇"
    assert recent_text_of(values, 8) == "▁▁▁▇▇▇▇▇"


def test_of_the_recent_past_few_values_get_a_character_each_and_many_four() -> None:
    rising: list[float | None] = [float(step) for step in range(1000)]
    assert recent_text_of(rising[:3], 8) == "▁▄▇     "
    assert recent_text_of(rising[:8], 8) == "▁▂▃▄▄▅▆▇"
    assert recent_text_of(rising[:10], 8) == "▁▃▄▅▇   "
    assert recent_text_of([1.0] * 900 + rising[:32], 8) == "▁▂▃▄▄▅▆▇"


def test_what_was_measured_now_and_then_has_a_recent_past_without_blanks() -> None:
    values = [float(step) if step % 20 == 0 else None for step in range(3000)]
    columns = newest_of(series_of(values), 16)
    assert columns.low == [float(20 * (150 - count)) for count in range(62, 0, -4)]
    assert recent_text_of(values, 16) == "▁▁▂▂▃▃▃▄▄▅▅▅▆▆▇▇"


@pytest.mark.parametrize("width", [8, 16])
def test_the_recent_past_moves_by_whole_columns_and_holds_the_newest_values(width: int) -> None:
    """Were the columns counted from the newest value, each character would change at each of them."""
    full = PER_COLUMN * width
    before = [float(step) for step in range(PER_COLUMN - 1, full, PER_COLUMN)]
    for last in range(full, full + 2 * NEWEST):
        columns = newest_of(series_of([float(step) for step in range(last + 1)]), width)
        moved = last % PER_COLUMN == 0
        assert columns.high == [*(before[1:] if moved else before[:-1]), float(last)]
        assert full - PER_COLUMN < last + 1 - columns.low[0] <= full  # type: ignore[operator]
        before = columns.high


def test_nan_and_infinities_in_the_recent_past_are_red_crosses() -> None:
    values: list[float | None] = [1.0] * 500
    values[470], values[490], values[491] = math.nan, math.inf, -math.inf
    values[499] = math.nan
    row = recent("train_loss", series_of(values), 8, DEFAULT)
    assert "".join(text for text, _ in row) == "×▄▄▄▄×▄×"
    assert row.count(("×", DEFAULT.worse)) == 3
    assert recent_text_of([math.nan] * 3, 8) == "×××     "
    assert recent_text_of([math.nan] * 30, 8) == "××××××××"


def test_a_spike_of_one_step_stands_out_in_the_recent_past_too() -> None:
    noise = random.Random(1)
    values: list[float | None] = [1.0 + 0.1 * noise.random() for _ in range(1000)]
    values[985] = 9.0
    assert recent_text_of(values, 16) == "▁" * 12 + "▇" + "▁" * 3


def test_a_metric_without_a_past_is_blank_and_ascii_is_ascii() -> None:
    for draw in (sparkline, recent):
        assert draw("x", None, 5, DEFAULT)[0][0] == " " * 5
        row = draw("x", series_of([1.0, math.nan, 2.0]), 5, look_for("default", "ascii"))
        assert "".join(text for text, _ in row) == ".X%  "
