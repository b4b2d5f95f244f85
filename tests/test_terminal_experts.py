"""The table of experts: loads against the fair share, who is dead, and what stays where there is little room."""

from __future__ import annotations

import math
import re

import pytest

from sinks.terminal.experts import experts
from sinks.terminal.look import DEFAULT, Row


def texts(level: list[Row]) -> list[str]:
    return ["".join(text for text, _ in row).rstrip() for row in level]


def test_experts_are_shown_against_their_fair_share() -> None:
    title, *rows = experts({0: 0.5, 1: 0.25, 2: 0.25, 3: 0.0}, 79, DEFAULT)[0]
    title_text = "".join(text for text, _ in title)
    for note in ("4 experts", "entropy 1.04", "effective 2.8", "cv 0.71", "dead 3"):
        assert note in title_text
    cells = "".join(texts(rows))
    assert re.search(r"0 █{10} 0\.500", cells)  # twice the fair share and more: the bar is full
    assert re.search(r"1 █{8}   0\.250", cells)  # the fair share is eight cells
    assert re.search(r"3 {12}0\.000", cells)
    assert any(text == " 0.000" and style is DEFAULT.worse for text, style in rows[0])


def test_an_overloaded_expert_stands_out() -> None:
    _, row = experts({0: 0.8, 1: 0.1, 2: 0.1}, 79, DEFAULT)[0]
    assert any(text == " 0.800" and style is DEFAULT.notice for text, style in row)


@pytest.mark.fault("D15")
def test_many_experts_become_a_strip_and_then_one_line() -> None:
    loads = dict.fromkeys(range(64), 1.0)
    loads[7] = 0.0
    levels = experts(loads, 79, DEFAULT)
    assert len(levels[0]) == 2
    assert texts(levels[0])[1].strip() == "▅" * 7 + "▁" + "▅" * 56
    assert len(levels[2]) == 1
    assert "dead 7" in texts(levels[2])[0]


def test_a_line_with_fewer_characters_than_experts_still_shows_the_dead_one() -> None:
    loads = dict.fromkeys(range(256), 1.0)
    loads[100] = 0.0
    (line,) = texts(experts(loads, 60, DEFAULT)[2])
    assert "▁" in line


@pytest.mark.parametrize("loads", [{0: 0.0, 1: 0.0}, {0: math.nan, 1: math.nan}, {0: -1.0, 1: 0.0}])
def test_experts_without_any_load_say_so(loads: dict[int, float]) -> None:
    assert "no load" in texts(experts(loads, 79, DEFAULT)[0])[0]
