"""The tables as pure functions: what they say, at every width, without a cut number or a row too long."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from rich.cells import cell_len

from m.metrics.alerts import Alert
from m.metrics.performance import SystemMetrics, ThroughputMetrics
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot
from m.metrics.system import Machine
from sinks.terminal import groups
from sinks.terminal.experts import experts
from sinks.terminal.look import DEFAULT, PLAIN, Row
from sinks.terminal.rows import Levels
from sinks.terminal.spark import recent, sparkline
from sinks.terminal.state import State
from sinks.terminal.table import Sparks, columns_for
from sinks.terminal.trends import Trends

WIDTHS = [10, 20, 39, 58, 79, 119, 199]


def texts(level: list[Row]) -> list[str]:
    return ["".join(text for text, _ in row).rstrip() for row in level]


def status_of(width: int = 79, **fields: float | None) -> Levels:
    return status_after([{"train_loss": 2.0 - step / 2, "learning_rate": 3e-4, **fields} for step in range(3)], width)


def status_after(
    steps: list[dict[str, float | None]], width: int = 79, first: int = 0, total: int | None = 1000
) -> Levels:
    state, trends = State(interval=1, run=Run(total_steps=total)), Trends()
    for step, fields in enumerate(steps, first):
        state.take(TrainingSnapshot(**{"step": step, "train_loss": None, **fields}))  # type: ignore[arg-type]
    for name, series in state.past.series.items():
        trends.see(name, series.mean)

    def whole(name: str, width: int) -> Row:
        return sparkline(name, state.past.series.get(name), width, DEFAULT)

    def newest(name: str, width: int) -> Row:
        return recent(name, state.past.series.get(name), width, DEFAULT)

    columns = columns_for(width, 14, groups.digits_of(state), ema=True)
    return groups.status(state, trends, columns, Sparks(whole, newest), DEFAULT, experts_missing=True)


def metrics_of(known: dict[str, Any], width: int = 79) -> Levels:
    state = State(interval=1)
    columns = columns_for(width, 14, 4, ema=True)

    def blank(name: str, cells: int) -> Row:
        return ((" " * cells, PLAIN),)

    return groups.metrics(known, 0, state, Trends(), columns, Sparks(blank, blank), DEFAULT)


def every_level(width: int) -> list[Levels]:
    loads = {expert: 0.125 + expert / 1000 for expert in range(8)}
    many = dict.fromkeys(range(300), 1 / 300)
    known = {"position_error": 0.134, "a_rather_long_name_of_a_metric": 1e-9, "phase": "warmup", "损失": 1.0, "n": 12}
    speed = groups.speed_rows(ThroughputMetrics(3.77, 3.77, 120.5, 181_230.0))
    system = groups.system_rows(SystemMetrics(41_200.0, 80_000.0, 93.0, 0.87), Machine(cpu_percent=50.0))
    return [
        status_of(width),
        experts(loads, width, DEFAULT),
        experts(many, width, DEFAULT),
        groups.performance(speed, system, width, DEFAULT),
        metrics_of(known, width),
        groups.alerts([Alert(588, "loss_spike", "0.91, 6.2 deviations above the running median")], width, DEFAULT),
    ]


@pytest.mark.parametrize("width", WIDTHS)
def test_no_group_has_a_row_wider_than_the_screen_at_any_level(width: int) -> None:
    for levels in every_level(width):
        for level in levels:
            assert all(cell_len(text) <= width for text in texts(level))


@pytest.mark.parametrize("width", WIDTHS)
def test_levels_only_shrink(width: int) -> None:
    for levels in every_level(width):
        sizes = [len(level) for level in levels]
        assert sizes == sorted(sizes, reverse=True)


def test_the_status_shows_each_loss_with_its_best_and_where_it_was() -> None:
    rows = texts(status_of(val_loss=0.7)[0])
    assert re.match(r"── status · step    2 ─+ ema  history ─+ last 32 ─+ best +step$", rows[0])
    assert re.match(r" train_loss +1\.0000 ↓ +1\.\d{4}  ▇▄▁ +▇▄▁ +1\.0000 +2$", rows[1])
    assert re.match(r" val_loss +0\.7000 → +at 2  ▄▄▄ +▄▄▄ +0\.7000 +0$", rows[2])
    assert re.match(r" learning_rate +3\.00e-4 → +▄▄▄ +▄▄▄$", rows[3])
    assert {row.index("▄▄▄", rows[0].index("last")) for row in rows[2:4]} == {rows[0].index("last")}
    assert re.match(r" experts +- +no utilization given$", rows[4])
    ends = [row.index("1.0000") + 6 for row in rows[1:2]] + [rows[2].index("0.7000") + 6, rows[3].index("e-4") + 3]
    assert len(set(ends)) == 1  # values end in one column


@pytest.mark.parametrize("total", [None, 100_000, 10**6, 10**9, 10**12])
@pytest.mark.parametrize("width", [50, 54, 55, 60, 61, 79, 119])
def test_every_step_has_its_place_however_long_it_is(width: int, total: int | None) -> None:
    places = set()
    for part in (0.0, 0.000_01, 0.012_345, 0.999_99):
        at = int(part * (total or 10**6))
        fields = {"learning_rate": 3e-4, "aux_loss": math.nan, "val_loss": 0.5}
        level = status_after([fields], width, at, total)[0]
        heading, *rows = texts(level)
        assert all(cell_len(text) <= width for text in (heading, *rows))
        said = str(at) if at < 10**10 else f"{at / 10**9:.9f}"[:8]  # as many digits as ten cells hold
        assert re.search(rf" step +{said}", heading)
        assert re.search(r"best +0\.5000|0\.5000 +\d", next(row for row in rows if row.startswith(" val_loss")))
        assert re.search(r"since +\d", next(row for row in rows if row.startswith(" aux_loss")))
        places.add(tuple(heading.find(word) for word in ("step", "ema", "history", "best")))
    assert len(places) == 1 or total is None


def test_where_a_step_is_too_long_for_its_column_its_first_digits_are_shown() -> None:
    rows = texts(status_after([{"val_loss": 0.5}], 79, 212_345_678, 10**9)[0])
    assert re.match(r" val_loss +0\.5000 +at 212\.3M  ▄ +0\.5000 +212345678$", rows[1])
    narrow = texts(status_after([{"val_loss": 0.5}], 57, 212_345_678, 10**9)[0])
    assert re.match(r" val_loss +0\.5000 +best +0\.5000 at 212\.345M$", narrow[1])


@pytest.mark.parametrize("ema", [True, False])
@pytest.mark.parametrize("longest", [5, 14, 20, 40])
def test_the_recent_past_takes_nothing_that_a_name_needs_and_leaves_most_to_the_whole(longest: int, ema: bool) -> None:
    found = set()
    for width in range(60, 240):
        columns = columns_for(width, longest, 4, ema)
        sparklines = 2 + columns.spark + (1 + columns.recent if columns.recent else 0) + 2
        others = columns.name + columns.value + 2 + columns.ema + columns.best + columns.step
        assert others + sparklines <= width
        assert columns.recent in (0, 8, 16)
        assert columns.recent <= columns.spark >= 8
        if columns.recent:
            assert columns.name == min(longest + 1, 26) + 1 or columns.name == 15  # the least
        found.add(columns.recent)
    assert found == {0, 8, 16}


def test_a_falling_loss_is_green_and_a_rising_one_red() -> None:
    falling = status_of()[0][1]
    assert ("↓", DEFAULT.better) in falling
    rising = status_after([{"train_loss": 1.0}, {"train_loss": 2.0}])[0][1]
    assert ("↑", DEFAULT.worse) in rising


@pytest.mark.parametrize(("value", "word"), [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf")])
def test_a_loss_that_is_not_finite_is_red_and_says_since_when(value: float, word: str) -> None:
    row = status_of(train_loss=value)[0][1]
    assert (word, DEFAULT.worse) in row
    assert ("×", DEFAULT.worse) in row
    assert ("since     0", DEFAULT.worse) in row


def test_speed_and_system_stand_side_by_side_where_there_is_room() -> None:
    speed = groups.speed_rows(ThroughputMetrics(3.77, 3.77, 120.5, 181_230.0))
    system = groups.system_rows(
        SystemMetrics(41_200.0, 80_000.0, 93.0, 0.87), Machine(process_memory_mb=6100.0, memory_percent=40.0)
    )
    # the first reading cannot say how busy the cores were, and the row has its place all the same
    assert system[-3:] == [("cpu busy", "       -"), ("process memory", "  6.1 GB"), ("machine memory", "    40 %")]
    rows = texts(groups.performance(speed, system, 79, DEFAULT)[0])
    assert "── speed ──" in rows[0]
    assert "── system ──" in rows[0]
    assert re.match(r" steps/s +3\.77 +gpu memory +41\.2 GB  52 %", rows[1])
    assert re.match(r" samples/s +120\.5 +gpu busy +93 %", rows[2])
    assert re.match(r" tokens/s +181\.2k +cpu busy +-", rows[3])
    narrow = texts(groups.performance(speed, system, 39, DEFAULT)[0])
    assert len(narrow) == len(speed) + len(system) + 2
    assert texts(groups.performance(speed, system, 79, DEFAULT)[1])[0].startswith(" steps/s 3.77  samples/s 120.5")


def test_rates_that_are_not_known_are_not_shown() -> None:
    assert groups.speed_rows(ThroughputMetrics()) == [("steps/s", "       -")]
    assert groups.system_rows(SystemMetrics(), Machine()) == []


def test_custom_metrics_show_numbers_and_short_strings_and_skip_the_rest() -> None:
    known = {
        "accuracy": 0.912,
        "phase": "warmup",
        "histogram": [1, 2],
        "essay": "x" * 100,
        "flag": True,
        "nan": math.nan,
    }
    text = " ".join(texts(metrics_of(known)[0]))
    assert re.search(r"accuracy +0\.9120", text)
    assert re.search(r"phase +warmup", text)
    assert re.search(r"flag +yes", text)
    assert re.search(r"nan +nan", text)
    assert "histogram" not in text
    assert "xxx" not in text


@pytest.mark.fault("D15")
def test_custom_metrics_that_do_not_fit_are_counted() -> None:
    known = {f"metric_{index}": float(index) for index in range(20)}
    rows = texts(metrics_of(known)[1])
    assert rows[-1].endswith("more")
    shown = len(re.findall(r"metric_\d+", " ".join(rows)))
    assert f"+{20 - shown} more" in rows[-1]


def test_alerts_keep_to_one_row_each() -> None:
    raised = [Alert(step, "loss_spike", "long " * 60 + "\n\x1b[2J") for step in range(5)]
    level = groups.alerts(raised, 79, DEFAULT)[0]
    assert len(level) == 3
    assert all(text.startswith(" ! step ") and cell_len(text) <= 79 and "\n" not in text for text in texts(level))


@pytest.mark.parametrize(
    ("per_second", "kept", "name", "text"),
    [
        (241_000.0, (), "ms/step", "4.1e-3"),  # it was 0.00
        (100.0, (), "ms/step", "10.00"),
        (1 / 60, (), "s/step", "60.00"),  # it was 60.00k ms
        (0.25, (), "ms/step", "4000.0"),
        (0.25, ("s/step",), "s/step", "4.00"),
        (None, ("s/step",), "s/step", "-"),
        (None, ("ms/step",), "ms/step", "-"),
    ],
)
def test_the_time_of_a_step_has_digits_that_say_something(
    per_second: float | None, kept: tuple[str, ...], name: str, text: str
) -> None:
    rates = ThroughputMetrics(per_second, None, None, None)
    assert (name, text.rjust(8)) in groups.speed_rows(rates, kept)
    assert len(groups.speed_rows(rates, kept)) == (2 if per_second else 1)
