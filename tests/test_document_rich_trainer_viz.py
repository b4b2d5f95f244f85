"""Every Python block of docs/rich_trainer_viz.md runs as printed, with the reader's own functions as stand-ins."""

from __future__ import annotations

import dataclasses
import inspect
import io
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from document_checks import (
    assert_nothing_was_missed,
    documented_parameters,
    emitted,
    real_parameters,
    remember_hubs,
    same_fields,
)
from markdown_blocks import DOCS, Block, blocks_of
from rich.console import Console
from rich.table import Table

import m.rich_trainer_viz as module
from m.rich_trainer_viz import RichTrainerVisualizer, TrainingSnapshot, VisualizationConfig, create_default_visualizer

BLOCKS = blocks_of(DOCS / "rich_trainer_viz.md")
PNG = b"\x89PNG\r\n\x1a\n"


def block(heading: str, number: int = 0) -> Block:
    found = [each for each in BLOCKS if each.heading == heading]
    return found[number]


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What a reader has defined by the time of a block; every hub that the block leaves open is closed."""
    monkeypatch.chdir(tmp_path)
    hubs = remember_hubs(monkeypatch)
    scheduler = SimpleNamespace(get_last_lr=lambda: [3e-4], step=lambda: None)
    model = SimpleNamespace(
        get_aux_loss=lambda: 0.012,
        get_expert_utilization=lambda: dict.fromkeys(range(8), 0.125),
        get_routing_entropy=lambda: 2.01,
        get_load_balance_factor=lambda: 0.95,
        get_routing_confidence=lambda: 0.8,
        get_expert_specialization=lambda: 0.6,
    )
    yield {
        "__name__": "__main__",
        "hubs": hubs,
        "train_one_step": lambda: 0.5,
        "get_current_lr": lambda: 3e-4,
        "train_moe_step": lambda: (0.5, 0.01, {0: 0.2, 1: 0.3, 2: 0.5}),
        "scheduler": scheduler,
        "training_step": lambda *given: 0.5,
        "validation_step": lambda: 0.6,
        "get_lr": lambda: 3e-4,
        "perform_training_step": lambda: 0.5,
        "perform_validation": lambda: 0.6,
        "model": model,
        "calculate_position_error": lambda: 0.134,
        "calculate_velocity_error": lambda: 0.044,
        "calculate_throughput": lambda: 120.5,
        "get_gpu_memory_usage": lambda: 41_200.0,
        "get_gradient_norm": lambda: 0.87,
        "create_model": lambda config: SimpleNamespace(config=config),
        "create_moe_visualizer": __import__("m.training_viz", fromlist=["x"]).create_moe_visualizer,
        "RichTrainerVisualizer": RichTrainerVisualizer,
        "VisualizationConfig": VisualizationConfig,
        "TrainingSnapshot": TrainingSnapshot,
        "create_default_visualizer": create_default_visualizer,
        "dataclass": dataclass,
        "field": field,
        "Any": Any,
        "Callable": Callable,
        "Table": Table,
    }
    for hub in hubs:
        hub.close()


def test_basic_training(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    block("Basic Training Visualization").run(names)
    assert emitted(names) == [1000]
    assert_nothing_was_missed(names)
    assert "1000/1000 100%" in capsys.readouterr().out


def test_the_factory_function(names: dict[str, Any]) -> None:
    block("Using the Factory Function").run(names)
    config = names["visualizer"].config
    assert (config.show_progress_bar, config.show_tables, config.table_update_interval) == (True, True, 25)


def test_training_snapshot_is_the_documented_class(names: dict[str, Any]) -> None:
    block("TrainingSnapshot").run(names)
    same_fields(names["TrainingSnapshot"], TrainingSnapshot)
    assert [str(each) for each in inspect.signature(TrainingSnapshot).parameters] == [
        each.name for each in dataclasses.fields(names["TrainingSnapshot"])
    ]


def test_visualization_config_is_the_documented_class(names: dict[str, Any]) -> None:
    block("VisualizationConfig").run(names)
    same_fields(names["VisualizationConfig"], VisualizationConfig, and_more=True)


def test_metric_classes_are_the_documented_ones(names: dict[str, Any]) -> None:
    block("Metric Data Classes").run(names)
    same_fields(names["ThroughputMetrics"], module.ThroughputMetrics)
    same_fields(names["SystemMetrics"], module.SystemMetrics)


@pytest.mark.parametrize(
    ("heading", "function"),
    [("Constructor", RichTrainerVisualizer), ("create_default_visualizer", create_default_visualizer)],
)
def test_printed_signatures_are_the_real_ones(heading: str, function: Callable[..., Any]) -> None:
    assert documented_parameters(block(heading).text) == real_parameters(function)


def test_methods_take_what_their_headings_say() -> None:
    start = inspect.signature(RichTrainerVisualizer.start).parameters
    assert list(start)[1:3] == ["total_steps", "description"]
    assert start["description"].default == "Training"
    assert list(inspect.signature(RichTrainerVisualizer.update).parameters) == ["self", "snapshot"]
    assert list(inspect.signature(RichTrainerVisualizer.close).parameters) == ["self"]


def test_custom_configuration(names: dict[str, Any]) -> None:
    block("Custom Configuration").run(names)
    config = names["visualizer"].config
    assert (config.table_update_interval, config.refresh_per_second, config.show_system_metrics) == (10, 8, False)


def test_custom_table_builder(names: dict[str, Any]) -> None:
    block("Custom Table Builder").run(names)
    console = Console(file=io.StringIO(), width=100)
    visualizer = RichTrainerVisualizer(names["config"], console)
    visualizer.start(10)
    visualizer.update(TrainingSnapshot(step=0, train_loss=0.5, custom_metrics={"position_error": 0.12345}))
    visualizer.close()
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Custom Metrics" in text
    assert "Position Error" in text
    assert "0.1235" in text or "0.1234" in text


def test_moe_training(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    block("MoE Training Example").run(names)
    assert emitted(names) == [5000]
    assert_nothing_was_missed(names)
    out = capsys.readouterr().out
    for part in ("routing_entropy", "load_balance", "position_error", "3 experts", "5000/5000 100%"):
        assert part in out


def test_basic_training_loop(names: dict[str, Any]) -> None:
    block("Basic Training Loop").run(names)
    names["train_model"](None, None, None, names["scheduler"], 60)
    assert emitted(names) == [60]
    assert_nothing_was_missed(names)


def test_with_validation(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    block("With Validation").run(names)
    names["train_with_validation"]()
    assert emitted(names) == [1000]
    assert_nothing_was_missed(names)
    assert re.search(r"val_loss +0\.6000 ", capsys.readouterr().out)


def test_create_default_visualizer(names: dict[str, Any]) -> None:
    block("create_default_visualizer", 1).run(names)
    assert names["visualizer"].config.table_update_interval == 50


def test_error_handling(names: dict[str, Any]) -> None:
    console = Console(file=io.StringIO(), width=100)
    seen: list[TrainingSnapshot] = []
    names["visualizer"] = visualizer = RichTrainerVisualizer(console=console)
    visualizer.hub.subscribe(seen.append)
    block("Error Handling").run(names)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "nan" in text
    assert "inf" in text
    assert "no utilization given" in text
    assert [each.step for each in seen] == [1, 2, 3]
    assert math.isnan(seen[0].train_loss)
    assert_nothing_was_missed(names)


def test_the_dual_setup_and_its_loop(names: dict[str, Any], tmp_path: Path) -> None:
    block("Complete Dual Visualization Setup").run(names)
    block("Training Loop Integration").run(names)
    names["train_with_comprehensive_visualization"]()
    assert sorted(emitted(names)) == [1000, 1000]
    assert_nothing_was_missed(names)
    saved = sorted(path.name for path in tmp_path.iterdir())
    assert saved == [f"training_plots_step_{step}.png" for step in (200, 400, 600, 800)]
    assert all((tmp_path / name).read_bytes().startswith(PNG) for name in saved)


def test_the_production_pattern(names: dict[str, Any]) -> None:
    block("Real-World Production Pattern").run(names)

    class Trainer(names["ProductionTrainer"]):  # type: ignore[misc]
        checkpoints: list[int] = []  # noqa: RUF012

        def _train_step(self) -> dict[str, float]:
            return {"train_loss": 0.5}

        def _save_checkpoint(self, step: int) -> None:
            self.checkpoints.append(step)

        def _prepare_plot_metrics(self, metrics: dict[str, float]) -> dict[str, float]:
            return metrics

        def _create_training_snapshot(self, step: int, metrics: dict[str, float]) -> TrainingSnapshot:
            return TrainingSnapshot(step=step, train_loss=metrics["train_loss"])

    model_config = SimpleNamespace(block=SimpleNamespace(moe=SimpleNamespace(router=SimpleNamespace(n_experts=8))))
    training_config = SimpleNamespace(training={"max_steps": 30}, checkpoint_interval=10)
    Trainer(model_config, training_config).train()
    assert Trainer.checkpoints == [0, 10, 20]
    assert emitted(names) == [30, 30]
    assert_nothing_was_missed(names)


@pytest.mark.parametrize(
    ("heading", "plots_every", "tables_every"),
    [
        ("Pattern 1: Research Training", 1, 25),
        ("Pattern 2: Production Training", 10, 5),
        ("Pattern 3: Long Training Runs", 100, 50),
    ],
)
def test_integration_patterns(names: dict[str, Any], heading: str, plots_every: int, tables_every: int) -> None:
    block(heading).run(names)
    assert names["plot_viz"].sink.config.update_interval == plots_every
    assert names["terminal_viz"].config.table_update_interval == tables_every


def test_no_block_is_left_out() -> None:
    headings = {each.heading for each in BLOCKS}
    here = Path(__file__).read_text(encoding="utf-8")
    assert [heading for heading in headings if f'"{heading}"' not in here] == []
