"""The progress line as a pure function: every field, every width, unknown and exceeded totals."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.cells import cell_len

from sinks.terminal.look import DEFAULT, look_for
from sinks.terminal.progress import Progress, progress_row

HALFWAY = Progress(
    description="Training MoE",
    completed=641,
    total=1000,
    elapsed_s=761.0,
    remaining_s=94.0,
    steps_per_second=3.766,
    frame=2,
)


def line(progress: Progress, width: int = 100) -> str:
    return "".join(text for text, _ in progress_row(progress, width, DEFAULT))


def test_at_a_hundred_columns_everything_is_there() -> None:
    text = line(HALFWAY)
    for part in ("⠹", "Training MoE", "━", "641/1000", " 64%", "3.77/s", "12:41", "1:34 left"):
        assert part in text


@pytest.mark.parametrize("width", range(14, 220))
def test_it_never_exceeds_its_width_and_always_says_the_steps(width: int) -> None:
    for progress in (
        HALFWAY,
        replace(HALFWAY, total=None, remaining_s=None),
        replace(HALFWAY, finished=True),
        replace(HALFWAY, elapsed_s=12 * 3600.0, remaining_s=10 * 3600.0),
        replace(HALFWAY, elapsed_s=990 * 86_400.0, remaining_s=990 * 86_400.0),
        replace(HALFWAY, elapsed_s=1e9, remaining_s=1e30),
    ):
        text = line(progress, width)
        assert cell_len(text) <= width
        assert "641" in text


@pytest.mark.parametrize(
    ("completed", "full"), [(0, 0.0), (250, 8.5), (500, 17.0), (999, 33.5), (1000, 34.0), (3000, 34.0)]
)
def test_the_bar_is_as_full_as_the_steps_are_done_and_never_fuller(completed: int, full: float) -> None:
    text = line(replace(HALFWAY, completed=completed))
    assert text.count("━") + text.count("╸") / 2 == full
    assert text.count("━") + text.count("╸") + text.count("─") == 34


def test_below_a_title_line_a_narrow_one_says_what_is_trained_only_at_the_end() -> None:
    for width, titled, finished, said in ((80, False, False, True), (80, True, False, False), (80, True, True, True)):
        row = progress_row(replace(HALFWAY, finished=finished), width, DEFAULT, titled=titled)
        assert any("Training MoE" in text for text, _ in row) == said


def test_nothing_moves_while_the_numbers_change() -> None:
    later = replace(
        HALFWAY, completed=999, elapsed_s=40_000.0, remaining_s=40_000.0, steps_per_second=12_345.6, frame=3
    )
    earlier = replace(HALFWAY, completed=1, elapsed_s=0.3, remaining_s=None, steps_per_second=None)
    for width in (40, 79, 119):
        assert len({line(progress, width).index("/1000") for progress in (earlier, HALFWAY, later)}) == 1
        assert len({len(line(progress, width)) for progress in (earlier, HALFWAY, later)}) == 1


@pytest.mark.fault("D14")
def test_an_unknown_total_counts_steps_without_bar_or_percent() -> None:
    text = line(replace(HALFWAY, total=None, remaining_s=None))
    assert "641 steps" in text
    assert "%" not in text
    assert "━" not in text
    assert "left" not in text


@pytest.mark.fault("D14")
def test_more_steps_than_were_announced_are_shown_as_they_are() -> None:
    text = line(replace(HALFWAY, completed=1200))
    assert "1200/1000" in text
    assert "120%" in text


@pytest.mark.fault("D14")
def test_a_total_of_zero_divides_by_nothing() -> None:
    assert "0/0 100%" in line(replace(HALFWAY, completed=0, total=0))


def test_a_hundred_percent_is_said_only_when_it_is_true() -> None:
    assert " 99%" in line(replace(HALFWAY, completed=99_999, total=100_000))


def test_the_end_is_marked_as_reached_or_not() -> None:
    assert line(replace(HALFWAY, completed=1000, finished=True)).startswith(" ✓")
    assert line(replace(HALFWAY, finished=True)).startswith(" ■")


def test_ascii_is_ascii() -> None:
    for progress in (HALFWAY, replace(HALFWAY, finished=True), replace(HALFWAY, description="x" * 99)):
        assert "".join(text for text, _ in progress_row(progress, 100, look_for("default", "ascii"))).isascii()


@pytest.mark.fault("D13")
def test_a_hostile_description_is_one_visible_piece() -> None:
    text = line(replace(HALFWAY, description="a\x1b[2J\nb[/red]"))
    assert "\x1b" not in text
    assert "\n" not in text
    assert "a␛[2J␊b[/red]" in text


def test_at_the_end_the_bar_has_the_room_of_the_time_that_is_left() -> None:
    """An agent's million of steps at 40 columns ended without a bar and with the two ends of a name, "PP…h"."""
    row = progress_row(Progress("PPO", 1_226_753, 1_228_800, 11.0, 0.0, 2e5, 3, finished=True), 39, DEFAULT)
    assert "".join(text for text, _ in row).rstrip() == " ■ PPO  ━━━━━━━━╸ 1226753/1228800  99%"
