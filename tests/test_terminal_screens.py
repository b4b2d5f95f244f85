"""The screen as a person sees it, at every size and in every theme: nothing wrapped, nothing cut, nothing jumping."""

from __future__ import annotations

import io
import math
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import pyte
import pytest
from rich.console import Console

from m.metrics import numbers
from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot
from m.metrics.system import Machine
from sinks.terminal.config import VisualizationConfig
from sinks.terminal.dashboard import Dashboard
from sinks.terminal.look import THEMES, look_for
from sinks.terminal.painter import Painter
from sinks.terminal.spark import PER_COLUMN
from sinks.terminal.state import State

SIZES = [(40, 15), (80, 24), (120, 40), (200, 50)]
TOTAL = 1000
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e-?\d+)?[kMG]?(?![\w.])|\bnan\b|\binf\b")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class FixedMachine:
    def read(self) -> Machine:
        return Machine(52.0, 6100.0, 40.0, 41_200.0, 80_000.0, 93.0)


def training(steps: int, experts: int, validation: bool, diverging: bool) -> Iterator[TrainingSnapshot]:
    noise = random.Random(3)
    for step in range(steps):
        loss = 2.1 * math.exp(-step / 180) + 0.22 + 0.04 * noise.random()
        if diverging and step > 60:
            loss *= math.exp((step - 60) / 4)
        if diverging and step > 150:
            loss = math.nan
        loads = [1 + 0.35 * math.sin(2.1 * expert + step / 90) for expert in range(experts)]
        yield TrainingSnapshot(
            step=step,
            train_loss=loss,
            val_loss=1.08 * loss if validation and step % 20 == 0 else None,
            learning_rate=3e-4 * min(1, step / 60),
            aux_loss=0.012 + 0.003 * noise.random(),
            expert_utilization={expert: load / sum(loads) for expert, load in enumerate(loads)},
            batch_size=32,
            sequence_length=1500,
            gpu_memory_mb=41_200.0,
            gradient_norm=0.8 + 0.3 * noise.random() + (3.0 if step == 100 else 0.0),
            custom_metrics={
                "position_error": 0.13 + 0.5 * math.exp(-step / 200),
                "accuracy": 0.95 - 0.6 * math.exp(-step / 250),
                "routing_confidence_of_the_first_layer": noise.random(),
                "phase": "warmup",
            },
        )


class Watched:
    """A run on a screen in memory, frame by frame."""

    def __init__(self, columns: int, lines: int, theme: str = "default") -> None:
        self.columns, self.lines = columns, lines
        self._console = Console(
            file=io.StringIO(), width=columns, height=lines, force_terminal=True, color_system="256"
        )
        self.state = State(1, Run("Training MoE", TOTAL))
        self._clock = Clock()
        config = VisualizationConfig(theme=theme, table_update_interval=1)
        look = look_for(theme)
        self.dashboard = Dashboard(config, self.state, look, self._clock, FixedMachine())  # type: ignore[arg-type]
        self._painter = Painter(self._console)
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)

    def take(self, snapshot: TrainingSnapshot) -> None:
        self._clock.now += 0.25
        self.state.take(snapshot)
        self.dashboard.observe()

    def frame(self) -> list[str]:
        """The next frame, painted, as the terminal then shows it."""
        rows = self.dashboard.rows(self.columns - 1, self.lines - 1, self._console)
        self._stream.feed(self._painter.paint(rows, self.columns).encode())
        shown = [line.rstrip() for line in self._screen.display]
        sent = ["".join(text for text, _ in row).rstrip() for row in rows]
        assert shown[: len(sent)] == sent  # no row was wrapped, none scrolled away
        assert all(len(line) < self.columns for line in shown)
        return sent


@pytest.mark.parametrize("diverging", [False, True], ids=["healthy", "diverging"])
@pytest.mark.parametrize("validation", [True, False], ids=["validated", "not validated"])
@pytest.mark.parametrize("experts", [8, 256])
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("columns", "lines"), SIZES)
def test_no_row_is_wrapped_and_no_number_cut(
    columns: int, lines: int, theme: str, experts: int, validation: bool, diverging: bool
) -> None:
    watched = Watched(columns, lines, theme)
    for snapshot in training(200, experts, validation, diverging):
        watched.take(snapshot)
        if snapshot.step == 155 and diverging:
            watched.state.add_alert(Alert(151, "non_finite_loss", "train_loss is nan"))
        if snapshot.step not in (0, 1, 59, 100, 149, 160, 199):
            continue
        frame = watched.frame()
        row = next(line for line in frame if line.startswith(" train_loss"))
        value = numbers.number(snapshot.train_loss, 10 if columns > 60 else 8).strip()
        assert _NUMBER.findall(row)[0] == value
        assert f"{snapshot.step + 1:>4}/{TOTAL}" in frame[-1]
        if diverging and snapshot.step > 150:
            assert "since" in row
            assert "151" in row
    if diverging:
        assert any("! step 151  non finite loss" in line for line in frame)


@pytest.mark.parametrize("experts", [8, 256])
@pytest.mark.parametrize(("columns", "lines"), SIZES)
def test_nothing_jumps_over_200_frames(columns: int, lines: int, experts: int) -> None:
    """Rows keep their order, and numbers end where the same number ended before."""
    watched = Watched(columns, lines)
    frames = []
    for snapshot in training(210, experts, validation=True, diverging=False):
        watched.take(snapshot)
        if snapshot.step in (0, 9):
            watched.frame()  # what a table has to say about the one before comes with the second
        elif snapshot.step >= 10:
            frames.append(watched.frame())
    assert len(frames) == 200
    assert len({len(frame) for frame in frames}) == 1
    names = {tuple(re.match(r" ?(?:── )?([a-z_]*)", line)[1] for line in frame) for frame in frames}  # type: ignore[index]
    assert len(names) == 1
    ends: dict[int, list[set[int]]] = defaultdict(list)
    for frame in frames:
        for place, line in enumerate(frame):
            ends[place].append({number.end() for number in _NUMBER.finditer(line)})
    for place, found in ends.items():
        together = set().union(*found)
        assert len(together) == max(map(len, found)), (frames[0][place], frames[-1][place], sorted(together))


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("columns", "lines"), SIZES)
def test_each_metric_has_its_whole_and_its_recent_past_but_on_the_smallest_screen(
    columns: int, lines: int, theme: str
) -> None:
    """Each below its heading, with space between, in the same place in each frame."""
    watched = Watched(columns, lines, theme)
    known = {f"error_{number}": 0.5 for number in range(2)}
    places = set()
    for snapshot in training(200, 8, validation=True, diverging=True):
        watched.take(replace(snapshot, custom_metrics=known))
        if snapshot.step < 100:
            continue
        frame = watched.frame()
        if columns == 40:
            assert not any("last " in line for line in frame)
            continue
        title = next(line for line in frame if line.startswith("── status"))
        heading = re.search(r"history ([ ─]*)last (\d+)", title)
        assert heading is not None
        cells = int(heading[2]) // PER_COLUMN
        whole, newest = heading.start(), heading.end(1)
        places.add((whole, newest, cells))
        rows = [line for line in frame if re.match(r" (\w+_loss|error_\d|learning_rate|gradient_norm) ", line)]
        assert len(rows) == 7
        for row in rows:
            assert row[whole - 2 : whole] == "  "
            assert re.fullmatch(r"[▁-▇×][▁-▇× ]* ", row[whole:newest].ljust(newest - whole))
            assert re.fullmatch(r"[▁-▇×]+ *", row[newest : newest + cells])  # without blanks between
            assert row[newest + cells : newest + cells + 2].strip() == ""
        if snapshot.step > 180:
            loss = next(row for row in rows if row.startswith(" train_loss"))
            assert set(loss[newest + cells - 7 : newest + cells]) == {"×"}
    assert [place[2] for place in places] == {40: [], 80: [8], 120: [8], 200: [16]}[columns]


def test_a_run_with_an_alert_a_dead_expert_and_no_validation_moves_no_row() -> None:
    watched = Watched(80, 24)
    frames = []
    for snapshot in training(40, 8, validation=False, diverging=False):
        watched.take(snapshot)
        if snapshot.step == 20:
            before = watched.frame()
            watched.state.add_alert(Alert(20, "loss_spike", "4.9, 12 deviations above the running median"))
        frames.append(watched.frame())
    places = {tuple(place for place, line in enumerate(frame) if line.startswith("──")) for frame in frames}
    assert len(places) == 1
    assert " no alerts" in before
    assert " ! step 20  loss spike: 4.9, 12 deviations above the running median" in frames[-1]
