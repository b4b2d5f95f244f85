"""The table of experts: loads against the fair share, who is dead, by layer, and what stays in little room."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from m.metrics.snapshot import TrainingSnapshot
from sinks.terminal.experts import experts, over_time
from sinks.terminal.load_course import LoadCourse
from sinks.terminal.look import ASCII, DEFAULT, Look, Row
from sinks.terminal.rows import row_width

PLAIN_TEXT = replace(DEFAULT, glyphs=ASCII)


def texts(level: list[Row]) -> list[str]:
    return ["".join(text for text, _ in row).rstrip() for row in level]


def by_layer(given: Any) -> Any:
    return TrainingSnapshot(0, 1.0, expert_utilization=given).expert_utilization


def some_layers(layers: int, count: int, dead: tuple[tuple[int, int], ...] = ()) -> Any:
    counts = np.random.default_rng(0).integers(900, 1100, (layers, count))
    for layer, expert in dead:
        counts[layer, expert] = 0
    return by_layer(counts)


def test_experts_are_shown_against_their_fair_share() -> None:
    title, *rows = experts({0: 0.5, 1: 0.25, 2: 0.25, 3: 0.0}, 79, DEFAULT)[0]
    title_text = "".join(text for text, _ in title)
    for note in ("4 experts", "effective 2.8", "cv 0.71", "overloaded #0", "dead #3"):
        assert note in title_text
    cells = "".join(texts(rows))
    assert re.search(r"0 █{10} 0\.500", cells)  # twice the fair share and more: the bar is full
    assert re.search(r"1 █{8}   0\.250", cells)  # the fair share is eight cells
    assert "3 × dead     0.000" in cells  # a word, and no bar that a style could fill
    assert any(text == "0.000" and style is DEFAULT.worse for text, style in rows[0])
    assert any(text == "0.500" and style is DEFAULT.notice for text, style in rows[0])


def test_counts_are_shown_as_shares_of_their_sum() -> None:
    shares = texts(experts({0: 0.125, 1: 0.25, 2: 0.625}, 79, DEFAULT)[0])
    assert texts(experts({0: 512, 1: 1024, 2: 2560}, 79, DEFAULT)[0]) == shares
    assert "0.625" in shares[1]


@pytest.mark.fault("D15")
def test_many_experts_become_a_strip_and_then_one_line() -> None:
    loads = dict.fromkeys(range(64), 1.0)
    loads[7] = 0.0
    levels = experts(loads, 79, DEFAULT)
    assert len(levels[0]) == 2
    assert texts(levels[0])[1].strip() == "▄" * 7 + "×" + "▄" * 56
    assert len(levels[2]) == 1
    assert "dead #7" in texts(levels[2])[0]


def test_strips_of_several_rows_begin_with_the_number_of_their_first_expert() -> None:
    loads = {expert + 100: 1.0 for expert in range(200)}
    rows = texts(experts(loads, 80, DEFAULT)[0])[1:]
    assert [row.split()[0] for row in rows] == ["100", "174", "248"]
    assert sum(len(row.split()[1]) for row in rows) == 200


@pytest.mark.parametrize("count", [256, 1024])
def test_a_line_with_fewer_characters_than_experts_still_shows_the_dead_one(count: int) -> None:
    loads = dict.fromkeys(range(count), 1.0)
    loads[100] = 0.0
    for look, cross in ((DEFAULT, "×"), (PLAIN_TEXT, "x")):
        for level in experts(loads, 60, look)[:3]:
            strip = [text for row in level for text, style in row if style is DEFAULT.worse and text == cross]
            assert len(strip) == 1


@pytest.mark.parametrize("loads", [{0: 0.0, 1: 0.0}, {0: math.nan, 1: math.nan}, {0: -1.0, 1: 0.0}])
def test_experts_without_any_load_say_so(loads: dict[int, float]) -> None:
    assert "no load" in texts(experts(loads, 79, DEFAULT)[0])[0]
    assert "no load" in texts(experts(by_layer({0: loads, 1: loads}), 79, DEFAULT)[0])[0]


# -- by layer -----------------------------------------------------------------------------------------------------


def test_each_layer_has_a_row_with_its_strip_and_numbers() -> None:
    given = by_layer({0: [1, 1, 1, 1], 1: [1, 0, 1, 2], "head": [0, 0, 0, 0]})
    title, *rows = texts(experts(given, 80, DEFAULT)[0])
    assert "3 layers of 4 · cv 0.35 · overloaded 1 · dead 5 in 2 layers" in title
    assert rows == [
        "    0 ▄▄▄▄  effective 4.0  cv 0.00  dead 0",
        "    1 ▄×▄█  effective 2.8  cv 0.71  dead 1",
        " head ××××  no load",
    ]


def test_layers_are_called_what_tells_them_apart() -> None:
    """In the narrow column of a wide screen ``model.layers.3.mlp`` and all others were ``model….mlp``."""
    given = by_layer({f"model.layers.{layer}.mlp": [1, 1, 1, int(layer != 9)] for layer in (8, 9, 10)})
    course = LoadCourse()
    course.see(given)
    course.see(by_layer({label: dict(loads) for label, loads in given.items()}))
    full, _, one, _ = experts(given, 41, DEFAULT, course=course, past=over_time(course, 41, DEFAULT, 8))
    rows = [row.split()[0] for row in texts(full)[1:]]
    assert rows == ["8", "9", "10", "imbalance", "8", "9", "10"]
    assert texts(one)[0].startswith(" experts  9 ")


def test_where_not_all_layers_fit_the_worst_come_first() -> None:
    given = some_layers(100, 64, ((99, 3), (50, 7), (50, 9)))
    title, *rows = texts(experts(given, 80, DEFAULT)[0])
    assert "dead 3 in 2 layers" in title
    assert [row.split()[0] for row in rows[:2]] == ["50", "99"]
    assert rows[-1] == " +93 more layers"
    assert len(rows) == 8
    assert len(experts(given, 80, DEFAULT, most_rows=40)[0]) == 41
    assert texts(experts(given, 80, DEFAULT)[1])[-1] == " +99 more layers"
    (line,) = texts(experts(given, 80, DEFAULT)[2])
    assert line.startswith(" experts  50 ")
    assert "×" in line
    assert line.endswith("dead 3")


def test_layers_with_short_strips_stand_beside_each_other() -> None:
    rows = texts(experts(some_layers(24, 8), 200, DEFAULT)[0])[1:]
    assert len(rows) == 6
    assert all(row.count("effective") == 4 for row in rows)


@pytest.mark.parametrize("look", [DEFAULT, PLAIN_TEXT])
@pytest.mark.parametrize("width", [1, 5, 12, 20, 40, 60, 80, 98, 200])
@pytest.mark.parametrize("shape", [(1, 4), (1, 256), (1, 1024), (4, 4), (48, 8), (100, 64), (48, 1024), (3, 1)])
def test_nothing_is_wider_than_its_room(shape: tuple[int, int], width: int, look: Look) -> None:
    layers, count = shape
    given = some_layers(layers, count, ((layers - 1, 0),))
    if layers == 1:
        given = dict(given[0])
    course = LoadCourse()
    course.see(given)
    course.see(dict(given) if layers == 1 else by_layer(given))
    for level in experts(given, width, look, course=course, most_rows=5, past=over_time(course, width, look, 4)):
        assert all(row_width(row) <= max(width, 11) for row in level)  # the word "experts" and its rule take eleven
        assert len(level) <= 1 + 5 + 4
    if look is PLAIN_TEXT:
        text = "".join(text for level in experts(given, width, look) for row in level for text, _ in row)
        assert text.isascii() or "…" in text


def test_labels_are_made_harmless_and_cut_in_the_middle() -> None:
    given = by_layer({"transformer.blocks.17.feed_forward": [1, 1], "evil\x1b[31m": [1, 1]})
    rows = texts(experts(given, 80, DEFAULT)[0])[1:]
    assert rows[0].startswith(" transfo")
    assert "…" in rows[0]
    assert "\x1b" not in "".join(rows)


def test_columns_keep_their_places_while_loads_change() -> None:
    generator = np.random.default_rng(1)
    places = set()
    for _ in range(50):
        given = by_layer(generator.integers(1, 50, (6, 16)))
        for row in texts(experts(given, 80, DEFAULT)[0])[1:]:
            places.add((row.index("effective"), row.index("cv"), row.index("dead")))
    assert len(places) == 1


# -- over time ----------------------------------------------------------------------------------------------------


def test_the_course_says_how_much_moved_and_where_the_balance_goes() -> None:
    course = LoadCourse()
    even, skewed = {0: 0.5, 1: 0.5}, {0: 0.75, 1: 0.25}
    course.see(even)
    assert "moved   - %" in texts(experts(even, 79, DEFAULT, course=course)[0])[0]
    course.see(skewed)
    title = texts(experts(skewed, 79, DEFAULT, course=course)[0])[0]
    assert "moved  25 % · 2 experts" in title
    assert "cv 0.50 ↑" in title
    assert "↑" not in texts(experts(even, 79, DEFAULT, course=course)[0])[0]  # the course is of another table


def test_where_there_is_room_each_expert_has_a_strip_of_time() -> None:
    course = LoadCourse()
    for table in range(10):
        loads = {0: 1.0, 1: 1.0, 2: 0.0 if table >= 6 else 1.0, 3: 3.0 if table == 2 else 1.0}
        course.see(loads)
    rows = texts(experts(loads, 98, DEFAULT, course=course, past=over_time(course, 98, DEFAULT, 5))[0])
    assert rows[-5:] == [
        " load of each expert, table by table",
        " 0 ▄▄▃▄▄▄▅▅▅▅",
        " 1 ▄▄▃▄▄▄▅▅▅▅",
        " 2 ▄▄▃▄▄▄××××",
        " 3 ▄▄█▄▄▄▅▅▅▅",
    ]


@pytest.mark.parametrize("nothing", [0.0, math.nan])
def test_layers_that_have_no_load_yet_at_the_first_table_get_their_strips_when_they_have(nothing: float) -> None:
    course, silent = LoadCourse(), by_layer({0: [nothing] * 2, 1: [nothing] * 2})
    for _ in range(2):
        course.see(silent)
        past = over_time(course, 98, DEFAULT, 5)
        assert "no load" in texts(experts(silent, 98, DEFAULT, course=course, past=past)[0])[0]
    course.see(by_layer({0: [1, 1], 1: [1, 1]}))
    assert [label for label, _ in course.rows(98, 5)] == ["0", "1"]
    assert len(over_time(course, 98, DEFAULT, 5)) == 3
