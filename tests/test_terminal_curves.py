"""Panels of curves: as wide and high as asked for, with axes that are true."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from m.metrics.snapshot import TrainingSnapshot
from sinks.terminal.curves import LEAST_HEIGHT, LEAST_WIDTH, panel
from sinks.terminal.look import DEFAULT, look_for
from sinks.terminal.past import Past
from sinks.terminal.rows import row_width


def past_of(steps: int, **named: float) -> Past:
    past, snapshots = Past(), []
    for step in range(steps):
        loss = named.get(f"at_{step}", 2.0 - step / steps)
        snapshots.append(TrainingSnapshot(step=step, train_loss=loss, val_loss=loss if step % 10 == 0 else None))
    past.add(snapshots, range(steps), None)
    return past


def texts(past: Past, width: int = 60, height: int = 12, names: tuple[str, ...] = ("train_loss",)) -> list[str]:
    return ["".join(text for text, _ in row) for row in panel(names, past, width, height, DEFAULT)]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("steps", [1, 2, 50, 3000])
@pytest.mark.parametrize(("width", "height"), [(LEAST_WIDTH, LEAST_HEIGHT), (61, 12), (120, 20)])
def test_it_is_exactly_as_large_as_asked_for(width: int, height: int, steps: int, encoding: str) -> None:
    rows = panel(("train_loss", "val_loss"), past_of(steps), width, height, look_for("default", encoding))
    assert len(rows) == height
    assert all(row_width(row) <= width for row in rows)
    if encoding == "ascii":
        assert all(text.isascii() for row in rows for text, _ in row)


def test_the_axes_say_the_extremes_and_the_steps() -> None:
    rows = texts(past_of(40))
    assert rows[0].startswith("── train_loss ──")
    assert rows[1].startswith("  2.0000 ")
    assert rows[-2].startswith("  1.0250 ")
    assert rows[-1].split() == ["step", "0", "20", "39"]
    assert rows[-1].endswith("39")
    assert rows[1][9] == "⠉"  # the greatest at the top left, the least at the bottom right
    assert rows[-2].rstrip()[-1] in "⣀⡀⢀"


@pytest.mark.parametrize("level", [100.0, -100.0, 1.7e308])
def test_noise_about_a_constant_is_no_hill(level: float) -> None:
    rows = texts(past_of(40, **{f"at_{step}": level * (1 + 0.001 * (step % 2)) for step in range(40)}))[1:-1]
    assert sum(bool(row[9:].strip()) for row in rows) <= 2


def test_a_falling_line_falls_without_gaps() -> None:
    rows = texts(past_of(200))[1:-1]
    columns = [{y for y, row in enumerate(rows) if row.ljust(60)[x] != " "} for x in range(9, 60)]
    assert all(columns)
    assert all(max(now) >= max(before) for before, now in pairwise(columns))


def test_validation_is_marked_over_the_line_and_named() -> None:
    rows = texts(past_of(100), names=("train_loss", "val_loss"))
    assert rows[0].startswith("── train_loss  • val_loss ")
    assert sum(row.count("•") for row in rows[1:]) == 10


def test_nan_is_a_cross_at_the_axis_and_a_spike_reaches_its_value() -> None:
    rows = texts(past_of(500, at_100=math.nan, at_300=50.0))
    assert rows[1].startswith(" 50.0000 ")
    assert rows[-2].count("×") == 1
    assert rows[1][9:].strip()


def test_a_log_axis_is_named() -> None:
    falling = {f"at_{step}": 10.0 ** -(step / 50) for step in range(200)}
    assert " log " in texts(past_of(200, **falling))[0]
    assert " log " not in texts(past_of(200))[0]


@pytest.mark.parametrize("value", [0.0, 1e308, -1e308, 5e-324])
def test_constants_and_the_farthest_floats_are_drawn(value: float) -> None:
    assert len(texts(past_of(50, **{f"at_{step}": value for step in range(50)}))) == 12
    assert len(texts(past_of(50, at_3=value, at_4=-value))) == 12


def test_a_name_is_cut_only_where_the_title_has_no_room() -> None:
    """Twenty cells were kept free, and filled by the rule, while the name beside them was cut."""
    past = Past()
    name = "decoder_layer_11_accuracy"
    past.add([TrainingSnapshot(0, 1.0, custom_metrics={name: 0.5})], range(1), None)
    assert texts(past, 40, 8, (name,))[0].startswith(f"── {name} ──")
