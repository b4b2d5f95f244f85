"""Makes the pictures of the README and of the gallery from real runs of the demo: ``python docs/gallery.py``.

With ``--all FOLDER`` it also writes every size of screen in every theme, on a dark and on a light terminal, with few
and many experts, with and without validation, of a healthy and of a diverging run. Takes some minutes.
"""

# ruff: noqa: E402 - it runs from a checkout, installed or not

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

_HERE: Final = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parent)]

from recorded_screen import BACKGROUNDS, RecordedScreen

from m.examples.trajectory_3d.demo import DEFAULT_STEPS, FAULT_AFTER, snapshot_of_step, training
from m.hub.hub import MetricsHub
from m.metrics.snapshot import TrainingSnapshot
from sinks.plotting.sink import PlotSink
from sinks.terminal.config import VisualizationConfig
from sinks.terminal.sink import TerminalSink

IMAGES = _HERE / "images"
SIZES: Final = ((40, 15), (80, 24), (120, 40), (200, 50))
THEMES: Final = ("default", "high_contrast", "mono")
SHOWN_AT: Final = round((FAULT_AFTER + 0.25) * DEFAULT_STEPS)
"""The step at which screens are pictured: some seconds after a planted fault."""
FAULTS: Final = ("dead_experts", "loss_spike", "non_finite_loss", "divergence")


@dataclass(frozen=True)
class Training:
    """One run of the demo."""

    experts: int = 8
    fault: str | None = None
    validation: bool = True

    def snapshots(self) -> Iterator[TrainingSnapshot]:
        for result in training(DEFAULT_STEPS, self.experts, fault=self.fault):
            snapshot = snapshot_of_step(result)
            if not self.validation:
                metrics = {name: value for name, value in snapshot.custom_metrics.items() if name != "specialization"}
                snapshot = replace(snapshot, val_loss=None, custom_metrics=metrics)
            yield snapshot

    @property
    def name(self) -> str:
        parts = [f"{self.experts}-experts", self.fault or "healthy"]
        return "-".join(parts if self.validation else [*parts, "no-validation"]).replace("_", "-")


@dataclass(frozen=True)
class Terminal:
    """One size of screen in one theme."""

    columns: int
    lines: int
    theme: str = "default"

    @property
    def name(self) -> str:
        return f"{self.columns}x{self.lines}-{self.theme.replace('_', '-')}"


class Recorded:
    """What a training left: its screens, each by its terminal, and its figure."""

    def __init__(self, of: Training, terminals: Iterable[Terminal]) -> None:
        """Train once, with all terminals subscribed to the same hub."""
        screens = {terminal: RecordedScreen(terminal.columns, terminal.lines) for terminal in terminals}
        self.plots = PlotSink.moe(n_experts=of.experts, display="off", summary=False)
        sinks = [
            TerminalSink(VisualizationConfig(table_update_interval=10, theme=terminal.theme), console=screen.console)
            for terminal, screen in screens.items()
        ]
        self.shots: dict[Terminal, dict[str, str]] = {}
        self.texts: dict[Terminal, list[str]] = {}
        with MetricsHub([self.plots, *sinks]) as hub:
            hub.start(DEFAULT_STEPS, "trajectory MoE")
            for snapshot in of.snapshots():
                hub.emit(snapshot)
                if snapshot.step == SHOWN_AT:
                    for terminal, screen in screens.items():
                        title = "python -m m demo" + (f" --fault {of.fault}" if of.fault else "")
                        self.shots[terminal] = {ground: screen.svg(title, ground) for ground in BACKGROUNDS}
                        self.texts[terminal] = screen.lines_shown()
        for screen in screens.values():
            screen.close()

    def save_screen(self, terminal: Terminal, background: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.shots[terminal][background], encoding="utf-8")


SMALL, USUAL, LARGE, HUGE = (Terminal(*size) for size in SIZES)


def make_gallery() -> None:
    """Write the pictures that the README and ``docs/gallery.md`` show."""
    healthy = Recorded(Training(), [SMALL, USUAL, LARGE, HUGE])
    healthy.save_screen(USUAL, "dark", IMAGES / "terminal.svg")
    healthy.save_screen(USUAL, "light", IMAGES / "terminal-light.svg")
    for terminal in (SMALL, LARGE, HUGE):
        healthy.save_screen(terminal, "dark", IMAGES / f"terminal-{terminal.columns}x{terminal.lines}.svg")
    healthy.plots.save_plot(IMAGES / "figure.png")
    healthy.plots.save_plot(IMAGES / "figure-dark.png", style="dark")
    healthy.plots.save_plot(IMAGES / "figure-paper.png", style="paper")
    many = Recorded(Training(experts=64), [LARGE])
    many.save_screen(LARGE, "dark", IMAGES / "terminal-64-experts.svg")
    many.plots.save_plot(IMAGES / "figure-64-experts.png")
    for fault in FAULTS:
        name = fault.replace("_", "-")
        terminals = [USUAL]
        if fault == "dead_experts":
            terminals += [replace(USUAL, theme=theme) for theme in THEMES[1:]]
        broken = Recorded(Training(fault=fault), terminals)
        broken.save_screen(USUAL, "dark", IMAGES / f"terminal-{name}.svg")
        for terminal in terminals[1:]:
            broken.save_screen(terminal, "light", IMAGES / f"terminal-{terminal.theme.replace('_', '-')}.svg")
        if fault in ("loss_spike", "non_finite_loss"):
            broken.plots.save_plot(IMAGES / f"figure-{name}.png")
    make_layers()


def make_layers() -> None:
    """Write the pictures of a model of 16 layers of 16 experts. No demo is that large: its loads are made up."""
    screen = RecordedScreen(LARGE.columns, LARGE.lines)
    plots = PlotSink(display="off", summary=False)
    terminal = TerminalSink(VisualizationConfig(table_update_interval=10), console=screen.console)
    random = np.random.default_rng(0)
    skew = random.normal(0.0, 0.35, (16, 16)) * np.linspace(0.4, 1.6, 16)[:, None]
    with MetricsHub([plots, terminal], rules=()) as hub:
        hub.start(DEFAULT_STEPS, "16 layers of 16 experts")
        for step in range(SHOWN_AT):
            weights = np.exp(skew * (0.3 + step / SHOWN_AT))
            if step > SHOWN_AT // 2:
                weights[11, 5] = weights[14, [8, 12]] = 0.0  # these experts die
            counts = random.poisson(256 * weights / weights.mean(axis=1, keepdims=True))
            loss = 2.3 / (1 + step / 40) + random.normal(0.0, 0.01)
            hub.emit(TrainingSnapshot(step, loss, learning_rate=3e-4, expert_utilization=counts))
            time.sleep(0.008)
        shot = screen.svg("16 layers of 16 experts", "dark")
    screen.close()
    (IMAGES / "terminal-layers.svg").write_text(shot, encoding="utf-8")
    plots.save_plot(IMAGES / "figure-layers.png")


def make_all(folder: Path) -> None:
    """Write every combination below ``folder``."""
    terminals = [Terminal(*size, theme) for size in SIZES for theme in THEMES]
    for experts in (8, 256):
        for validation in (True, False):
            for fault in (None, "divergence"):
                training = Training(experts, fault, validation)
                recorded = Recorded(training, terminals)
                for terminal in terminals:
                    for ground in BACKGROUNDS:
                        recorded.save_screen(terminal, ground, folder / training.name / f"{terminal.name}-{ground}.svg")
                    text = "\n".join(recorded.texts[terminal])
                    (folder / training.name / f"{terminal.name}.txt").write_text(f"{text}\n", encoding="utf-8")
                recorded.plots.save_plot(folder / training.name / "figure.png")


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", type=Path, metavar="FOLDER", default=None, help="write every combination there")
    given = parser.parse_args(words)
    make_gallery()
    if given.all is not None:
        make_all(given.all)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
