"""Numbers as the display writes them: short, in their width, never cut."""

from __future__ import annotations

import math
import random

import pytest

from m.metrics.numbers import count, duration, exponent, memory, number, percent, step


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.2451, "0.2451"),
        (12.34567, "12.3457"),
        (0.0, "0.0000"),
        (-1.5, "-1.5000"),
        (0.0003, "3.00e-4"),
        (2_500_000.0, "2.50e6"),
        (7, "7"),
        (True, "yes"),
        (None, "-"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
    ],
)
def test_a_number_in_ten_cells(value: float | None, text: str) -> None:
    assert number(value) == text.rjust(10)


@pytest.mark.parametrize(("width", "error"), [(8, 0.5), (9, 0.06), (10, 0.006)])
def test_every_number_fits_and_says_its_value(width: int, error: float) -> None:
    generator = random.Random(1)
    for _ in range(3000):
        value = generator.choice([-1, 1]) * generator.random() * 10 ** generator.randint(-300, 300)
        text = number(value, width)
        assert len(text) == width
        assert float(text) == pytest.approx(value, rel=error, abs=1e-3 if abs(value) >= 1e-3 else 0)


def test_big_whole_numbers_change_to_an_exponent_instead_of_growing() -> None:
    assert number(123_456_789, 9) == "123456789"
    assert number(1_234_567_890, 9) == "   1.23e9"


def test_exponents_are_not_padded() -> None:
    assert exponent(3e-4) == "3.00e-4"
    assert exponent(-1.5e-12) == "-1.50e-12"
    assert exponent(None) == "-"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.766, "3.77"),
        (120.5, "120.5"),
        (9999.0, "9999.0"),
        (181_230.0, "181.2k"),
        (2.4e6, "2.40M"),
        (0.53, "0.53"),
        (1 / 60, "0.0167"),
        (0.004153, "4.2e-3"),
        (0.0, "0.00"),
        (None, "-"),
        (math.nan, "nan"),
    ],
)
def test_rates_carry_their_magnitude(value: float | None, text: str) -> None:
    assert count(value) == text


@pytest.mark.parametrize("power", range(-9, 12))
def test_rates_take_six_cells_at_the_most(power: int) -> None:
    assert len(count(9.99951 * 10**power)) <= 7
    assert len(count(1.0 * 10**power)) <= 6


DAY = 86_400
DURATIONS = (0.4, 7, 94, 761, 3723, 274_000, DAY * 1000 - 1, DAY * 1000, DAY * 10**7 - 1, DAY * 10**7, 2e300 * DAY)


def test_memory_percent_and_time_spans() -> None:
    assert memory(512.4) == "512 MB"
    assert memory(41_200.0) == "41.2 GB"
    assert memory(None) == "-"
    assert percent(64.2) == " 64 %"
    assert percent(None) == "    -"
    assert [duration(seconds) for seconds in (*DURATIONS, None, math.inf)] == [
        "0:00",
        "0:07",
        "1:34",
        "12:41",
        "1:02:03",
        "3d 04h",
        "999d 23h",
        "1000d",
        "9999999d",
        "1e7d",
        "2e300d",
        "-",
        "-",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999_999, "999999"),
        (1_234_567, "1.234M"),
        (-1_234_567, "-1.23M"),
        (12_345_678, "12.34M"),
        (199_999_999, "199.9M"),
        (-199_999_999, "-199M"),
        (10**12, "1.000T"),
        (10**21 - 1, "999.9E"),
        (10**21, "1e21"),
        (10**500, "1e500"),
    ],
)
def test_a_step_has_as_many_digits_as_there_is_room_for(value: int, text: str) -> None:
    assert step(value, 6) == text
