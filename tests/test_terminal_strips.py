"""Codes of loads: one small number an expert, the worst of several, and what each looks like."""

from __future__ import annotations

import random

import pytest

from m.metrics.experts import expert_balance
from m.metrics.snapshot import TrainingSnapshot
from sinks.terminal.look import ASCII, DEFAULT, UNICODE
from sinks.terminal.strips import DEAD, FAIR, MISSING, OVERLOADED, layer_code, load_codes, sign, spans


def test_a_code_is_the_load_in_thirds_of_the_fair_share() -> None:
    loads = {0: 0.04, 1: 0.3, 2: 0.7, 3: 1.0, 4: 1.3, 5: 1.7, 6: 2.96, 7: 0.0}
    assert list(load_codes(loads, 8)) == [DEAD, 1, 2, FAIR, 4, 5, OVERLOADED, DEAD]


def test_experts_stand_in_the_order_of_their_numbers() -> None:
    assert list(load_codes({9: 0.0, 1: 2.0, 5: 1.0}, 3)) == [OVERLOADED, FAIR, DEAD]


@pytest.mark.parametrize("cells", [1, 7, 64, 255])
def test_few_and_many_experts_have_the_same_codes(cells: int) -> None:
    """Past a number of experts NumPy finds them; the worst of a group is the same either way."""
    generator = random.Random(3)
    few = [generator.choice([0.0, 0.5, 1.0, 1.0, 1.0, 1.5, 2.5]) for _ in range(255)]
    many = few * 4
    by_numpy = load_codes(TrainingSnapshot(0, 1.0, expert_utilization=[many, few]).expert_utilization[0], 4 * 255)  # type: ignore[index]
    one_by_one = load_codes(dict(enumerate(few)), 255)
    assert by_numpy == one_by_one * 4
    group = -(-255 // cells)
    severity = [4, 3, 2, 1, 2, 3, 4, 5, 6]
    grouped = load_codes(dict(enumerate(few)), cells)
    wanted = [max(severity[code] for code in one_by_one[at : at + group]) for at in range(0, 255, group)]
    assert [severity[code] for code in grouped] == wanted
    grouped_by_numpy = load_codes(dict(enumerate(many)), cells)
    assert DEAD in grouped_by_numpy
    assert len(grouped_by_numpy) <= cells


@pytest.mark.parametrize(
    ("loads", "code"),
    [
        ([2.0, 2.0], FAIR),
        ([1.0, 3.0], 5),  # a coefficient of variation of 1/2
        ([1.0] * 7 + [30.0], OVERLOADED),
        ([0.0, 1.0, 1.0], DEAD),
        ([0.0, 0.0], DEAD),
    ],
)
def test_the_code_of_a_layer_is_how_uneven_it_is(loads: list[float], code: int) -> None:
    assert layer_code(expert_balance(dict(enumerate(loads)))) == code


def test_dead_and_overloaded_differ_in_shape_and_not_only_in_colour() -> None:
    for glyphs in (UNICODE, ASCII):
        signs = [sign(code, glyphs) for code in range(MISSING + 1)]
        assert len(set(signs)) == len(signs)
        assert all(len(each) == 1 for each in signs)
    assert spans([FAIR, FAIR, DEAD, OVERLOADED], DEFAULT) == (
        ("▄▄", DEFAULT.bar),
        ("×", DEFAULT.worse),
        ("█", DEFAULT.notice),
    )
