"""The training of `training` with every display on: one hub, one emit a step."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from m.examples.trajectory_3d.faults import train_with
from m.examples.trajectory_3d.training import StepResult, TrajectoryTrainer
from m.hub.hub import MetricsHub
from m.journal.file import checked_path
from m.metrics.snapshot import TrainingSnapshot
from sinks.jsonl import JsonlSink
from sinks.plotting.sink import PlotSink
from sinks.terminal.config import VisualizationConfig
from sinks.terminal.sink import TerminalSink

DEFAULT_STEPS = 1000
JOURNAL = "journal.jsonl"
FAULT_AFTER = 0.6
"""Part of the run after which a planted fault happens."""


def run_demo(
    *,
    steps: int | None = None,
    experts: int = 8,
    out: Path | None = None,
    plots: bool = True,
    seed: int = 0,
    fault: str | None = None,
) -> int:
    """Train and show; gives the exit status: 0, 130 after Ctrl-C, or 1 when the figure could not be saved.

    ``steps`` None means `DEFAULT_STEPS`. ``out`` is the folder for the journal and the figure, None a new one named
    after the time below ``runs``. ``fault``, one of `m.examples.trajectory_3d.faults.FAULTS`, happens after six tenths
    of the run. Whatever was recorded is kept when the run is interrupted.
    """
    total = DEFAULT_STEPS if steps is None else steps
    folder = folder_for(out)
    journal = JsonlSink(folder / JOURNAL)
    figure = PlotSink.moe(n_experts=experts) if plots else None
    terminal = TerminalSink(VisualizationConfig(table_update_interval=10))
    results = training(total, experts, seed, fault)
    status = 0
    # the first is closed last: what the others print at the end stands above its summary
    with MetricsHub([terminal, journal, *([figure] if figure is not None else [])]) as hub:
        hub.start(total_steps=total, description="trajectory MoE")
        try:
            for result in results:
                hub.emit(snapshot_of_step(result))
        except KeyboardInterrupt:
            status = 130
        if figure is not None:
            try:
                figure.save_plot(folder / "training.png")
            except OSError as error:
                print(f"the figure could not be saved: {error}", file=sys.stderr)
                status = status or 1
    return status


def folder_for(out: Path | None) -> Path:
    """The folder ``out``, None a new one named after the time below ``runs``, made unless it is there.

    Raises ``OSError`` when it cannot be made, or the journal not be written in it.
    """
    folder = out if out is not None else Path("runs") / time.strftime("%Y-%m-%d_%H-%M-%S")
    folder.mkdir(parents=True, exist_ok=True)
    checked_path(folder / JOURNAL)
    return folder


def training(
    steps: int = DEFAULT_STEPS, experts: int = 8, seed: int = 0, fault: str | None = None
) -> Iterator[StepResult]:
    """The steps that the demo shows."""
    trainer = TrajectoryTrainer(n_experts=experts, seed=seed, total_steps=steps)
    return trainer.train() if fault is None else train_with(fault, trainer, at=round(FAULT_AFTER * steps))


def snapshot_of_step(result: StepResult) -> TrainingSnapshot:
    """What the hub is told of one step of the example."""
    return TrainingSnapshot(
        step=result.step,
        train_loss=result.train_loss,
        val_loss=result.val_loss,
        learning_rate=result.learning_rate,
        aux_loss=result.aux_loss,
        expert_utilization=result.expert_utilization,
        batch_size=result.batch_size,
        gradient_norm=result.gradient_norm,
        custom_metrics={
            "position_error": result.position_error,
            "velocity_error": result.velocity_error,
            "routing_entropy": result.routing_entropy,
            "specialization": result.specialization,
        },
    )
