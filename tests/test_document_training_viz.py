"""Every Python block of docs/training_viz.md runs as printed, with the reader's own functions as stand-ins."""

from __future__ import annotations

import inspect
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

import m.training_viz as module

BLOCKS = blocks_of(DOCS / "training_viz.md")
PNG = b"\x89PNG\r\n\x1a\n"
FULL = {
    "train_loss": 0.245,
    "val_loss": 0.267,
    "aux_loss": 0.012,
    "learning_rate": 3e-4,
    "position_error": 0.134,
    "expert_entropy": 2.1,
    "load_balance": 0.85,
    "samples_per_sec": 120.5,
}


def block(heading: str, number: int = 0) -> Block:
    return [each for each in BLOCKS if each.heading == heading][number]


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What a reader has defined by the time of a block; every hub that the block leaves open is closed."""
    monkeypatch.chdir(tmp_path)
    hubs = remember_hubs(monkeypatch)
    model = SimpleNamespace(
        get_expert_entropy=lambda: 2.0,
        get_load_balance=lambda: 0.9,
        get_task_metrics=lambda: {"position_error": 0.1, "accuracy": 0.9},
        get_auxiliary_loss=lambda: 0.012,
        compute_routing_entropy=lambda: 2.0,
        get_load_balance_factor=lambda: 0.9,
        get_expert_utilization_dict=lambda: dict.fromkeys(range(16), 1 / 16),
        get_prediction_confidence=lambda: 0.8,
    )
    documented = {name: getattr(module, name) for name in module.__all__}
    yield {
        "__name__": "__main__",
        "hubs": hubs,
        **documented,
        "train_loss_value": 0.5,
        "validation_loss_value": 0.6,
        "current_lr": 3e-4,
        "max_steps": 40,
        "eval_interval": 10,
        "save_interval": 20,
        "perform_training_step": lambda: 0.5,
        "perform_validation": lambda: 0.6,
        "calculate_throughput": lambda: 120.5,
        "save_checkpoint": lambda *given: None,
        "save_model_checkpoint": lambda *given: None,
        "save_experiment_summary": lambda *given: None,
        "model": model,
        "scheduler": SimpleNamespace(get_last_lr=lambda: [3e-4]),
        "metrics": dict(FULL),
        "training_step": lambda: 0.5,
        "validation_step": lambda: 0.6,
        "compute_position_rmse": lambda: 0.1,
        "compute_velocity_rmse": lambda: 0.05,
        "get_gpu_memory_usage": lambda: 41_200.0,
        "compute_gradient_norm": lambda: 0.9,
        "compute_smoothness_metric": lambda: 0.7,
        "compute_routing_consistency": lambda: 0.6,
        "detailed_metrics": {**FULL, "expert_utilization": dict.fromkeys(range(32), 1 / 32)},
        "essential_metrics": dict(FULL),
        "core_metrics": {"train_loss": 0.5},
        "train_step": lambda: 0.5,
        "get_learning_rate": lambda: 3e-4,
        "dataclass": dataclass,
        "field": field,
        "ExperimentConfig": SimpleNamespace,
    }
    for hub in hubs:
        hub.close()


def with_the_dual_system(names: dict[str, Any]) -> None:
    block("Complete Integration Example").run(names)


def test_basic_loss_monitoring(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    block("Basic Loss Monitoring").run(names)
    assert emitted(names) == [1000]
    assert_nothing_was_missed(names)
    summary = names["visualizer"].get_metrics_summary()
    assert {name: each["count"] for name, each in summary.items()} == dict.fromkeys(
        ("train_loss", "val_loss", "learning_rate"), 1000
    )
    assert "train_loss" in capsys.readouterr().out  # the summary printed at close


def test_moe_visualization(names: dict[str, Any]) -> None:
    block("MoE Training Visualization").run(names)
    summary = names["visualizer"].get_metrics_summary()
    assert len(summary) == 7
    assert summary["expert_entropy"]["current"] == 2.1


@pytest.mark.parametrize("name", ["TrainingVisualizerConfig", "PlotConfig", "MetricConfig"])
def test_configuration_classes_are_the_documented_ones(names: dict[str, Any], name: str) -> None:
    if name == "TrainingVisualizerConfig":
        names["PlotConfig"], names["MetricConfig"] = module.PlotConfig, module.MetricConfig
    real = names[name]
    block(f"`{name}`").run(names)
    same_fields(names[name], real, and_more=name == "TrainingVisualizerConfig")


def test_custom_visualizer(names: dict[str, Any]) -> None:
    block("`create_custom_visualizer(metrics_config, plot_titles, subplot_layout, ...)`").run(names)
    config = names["visualizer"].sink.config
    assert (config.subplot_rows, config.subplot_cols, config.update_interval) == (1, 2, 75)
    assert config.title == "Custom Training Dashboard"
    assert [(each.metric_name, each.plot_index, each.color) for each in config.metrics] == [
        ("accuracy", 0, "blue"),
        ("f1_score", 0, "red"),
        ("learning_rate", 1, "green"),
    ]


def test_printed_factory_signatures_are_the_real_ones() -> None:
    assert real_parameters(module.create_loss_visualizer) == [("update_interval", "100")]
    assert real_parameters(module.create_moe_visualizer) == [
        ("update_matplotlib", "1"),
        ("update_rich_tables", "25"),
        ("n_experts", "None"),
    ]
    custom = real_parameters(module.create_custom_visualizer)
    assert [name for name, _ in custom[:3]] == ["metrics_config", "plot_titles", "subplot_layout"]


def test_custom_configuration(names: dict[str, Any]) -> None:
    block("Custom Configuration Example").run(names)
    visualizer = names["visualizer"]
    for step in range(20):
        visualizer.update_metrics({"train_loss": 1.0 / (step + 1), "val_accuracy": step / 20, "gpu_memory": 4.0})
    figure = visualizer.figure
    shown = [axes.get_title() or axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()]
    assert shown[:6] == [
        "Loss Curves",
        "Accuracy Metrics",
        "Learning Rate",
        "Gradient Norms",
        "Memory Usage",
        "Throughput",
    ]


def test_integration_into_a_training_loop(names: dict[str, Any], tmp_path: Path) -> None:
    block("Integration into Training Loop").run(names)
    names["train_model"]()
    assert emitted(names) == [40]
    assert_nothing_was_missed(names)
    saved = sorted(path.name for path in tmp_path.iterdir())
    assert saved == ["training_progress_step_0.png", "training_progress_step_20.png"]
    assert all((tmp_path / name).read_bytes().startswith(PNG) for name in saved)


def test_the_constructor_takes_a_configuration() -> None:
    assert documented_parameters(block("Constructor").text) == real_parameters(module.RealTimeTrainingVisualizer)


def test_update_metrics_example(names: dict[str, Any]) -> None:
    names["visualizer"] = module.create_loss_visualizer()
    block("`update_metrics(metrics: dict[str, float]) -> None`").run(names)
    assert set(names["visualizer"].get_metrics_summary()) == {"train_loss", "val_loss", "accuracy"}


def test_the_summary_has_the_printed_structure() -> None:
    printed = ast_dict(block("`get_metrics_summary() -> dict[str, dict[str, float]]`").text)
    visualizer = module.create_loss_visualizer()
    visualizer.update_metrics({"metric_name": 0.5})
    real = visualizer.get_metrics_summary()
    visualizer.close()
    assert list(real) == list(printed)
    assert list(real["metric_name"]) == list(printed["metric_name"])
    assert {key: type(value) for key, value in real["metric_name"].items()} == {
        key: type(value) for key, value in printed["metric_name"].items()
    }


def ast_dict(text: str) -> dict[str, dict[str, float]]:
    result = eval(text, {})
    assert isinstance(result, dict)
    return result


@pytest.mark.parametrize("heading", ["1. Memory Management", "5. Performance Optimization"])
def test_configurations_of_the_best_practices_work(names: dict[str, Any], heading: str) -> None:
    block(heading).run(names)
    visualizer = module.RealTimeTrainingVisualizer(names["config"])
    for step in range(2000):
        visualizer.update_metrics({"train_loss": 1.0 / (step + 1)})
    (line,) = [line for axes in visualizer.figure.axes for line in axes.lines if line.get_label() == "train_loss"]
    assert len(line.get_xdata()) <= names["config"].max_points + 1
    assert visualizer.get_metrics_summary()["train_loss"]["count"] == 2000
    visualizer.close()


def test_metric_naming_and_update_intervals(names: dict[str, Any]) -> None:
    block("2. Metric Naming").run(names)
    visualizer = module.create_moe_visualizer()
    visualizer.update_metrics(names["metrics"])
    assert set(visualizer.get_metrics_summary()) == set(names["metrics"])
    block("3. Update Intervals").run(names)
    assert module.create_loss_visualizer(names["update_interval"]).sink.config.update_interval == 10


def test_error_handling(names: dict[str, Any]) -> None:
    block("4. Error Handling").run(names)
    assert emitted(names) == [40]
    assert_nothing_was_missed(names)


def test_research_training_with_several_experiments(names: dict[str, Any], tmp_path: Path) -> None:
    kept: list[Any] = []
    names["save_experiment_summary"] = lambda *given: kept.append(given)
    block("Pattern 1: Research Training").run(names)
    names["train_experiment"]("baseline", SimpleNamespace(max_steps=1001))
    assert sorted(path.name for path in (tmp_path / "experiments" / "baseline").iterdir()) == [
        "step_0.png",
        "step_1000.png",
    ]
    assert kept[0][0] == "baseline"
    assert kept[0][1]["train_loss"]["count"] == 1001


def test_a_sweep_that_never_closes_its_visualizers(names: dict[str, Any]) -> None:
    block("Pattern 2: Hyperparameter Tuning").run(names)
    names["hyperparameter_sweep"]()
    assert len(names["hubs"]) == 9


def test_multi_task_learning(names: dict[str, Any]) -> None:
    made: list[Any] = []
    real = module.create_custom_visualizer
    names["create_custom_visualizer"] = lambda **given: made.append(real(**given)) or made[-1]
    block("Pattern 3: Multi-Task Learning").run(names)
    names["train_multitask"]()
    assert [each.plot_index for each in made[0].sink.config.metrics] == [0, 1, 0, 1, 2, 3]


def test_the_advice_on_backends_does_no_harm(names: dict[str, Any]) -> None:
    block("Common Issues").run(names)
    assert names["plt"].get_backend().lower() == "agg"


def test_the_dual_system(names: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_the_dual_system(names)
    block("Real-World Training Integration").run(names)
    names["train_with_dual_visualization"]()
    assert sorted(emitted(names)) == [2000, 2000]
    assert_nothing_was_missed(names)
    saved = sorted(path.name for path in tmp_path.iterdir())
    assert saved == [f"training_analysis_step_{step}.png" for step in (1000, 1500, 500)]
    out = capsys.readouterr().out
    assert "Training failed" not in out
    assert "Dual visualization systems closed successfully" in out
    assert "metrics tracked" in out


@pytest.mark.parametrize(
    ("heading", "number", "steps", "pictures"),
    [
        ("Pattern 1: Research & Development", 0, 5000, 100),
        ("Pattern 2: Production Training", 0, 10_000, 10),
        ("Pattern 3: Long-Running Experiments", 0, 50_000, 10),
    ],
)
def test_integration_patterns(
    names: dict[str, Any], tmp_path: Path, heading: str, number: int, steps: int, pictures: int
) -> None:
    with_the_dual_system(names)
    block(heading, number).run(names)
    assert sorted(emitted(names)) == [steps, steps]
    assert_nothing_was_missed(names)
    saved = list(tmp_path.rglob("*.png"))
    assert len(saved) == pictures
    assert all(path.read_bytes().startswith(PNG) for path in saved)


def test_the_optimised_system_updates_its_plots_less_often(names: dict[str, Any]) -> None:
    with_the_dual_system(names)
    block("Performance Optimization").run(names)
    system = names["OptimizedDualVisualization"](total_steps=40, n_experts=8)
    system.initialize("optimised")
    for step in range(40):
        system.update_training_metrics(step, dict(FULL))
    assert sorted(emitted(names)) == [4, 40]
    system.cleanup()


def test_memory_management(names: dict[str, Any]) -> None:
    with_the_dual_system(names)
    block("Memory Management").run(names)
    assert names["scientific_viz"].sink.config.update_interval == 5
    system = names["create_memory_efficient_dual_viz"](10)
    assert system.total_steps == 10


def test_integration_with_existing_loops(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    with_the_dual_system(names)
    block("Integration with Existing Training Loops").run(names)
    names["existing_training_loop"]()
    names["enhanced_training_loop"]()
    assert sorted(emitted(names)) == [1000, 1000]
    assert_nothing_was_missed(names)
    assert "Step 999: Loss = 0.5000" in capsys.readouterr().out


def test_documented_methods_exist_with_their_parameters() -> None:
    visualizer = module.RealTimeTrainingVisualizer
    signatures: dict[str, list[str]] = {
        "update_metrics": ["self", "metrics"],
        "force_update": ["self"],
        "save_plot": ["self", "save_path"],
        "get_metrics_summary": ["self"],
        "close": ["self"],
    }
    for name, parameters in signatures.items():
        method: Callable[..., Any] = getattr(visualizer, name)
        assert list(inspect.signature(method).parameters)[: len(parameters)] == parameters


def test_no_block_is_left_out() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    classes = (
        "TrainingVisualizerConfig",
        "PlotConfig",
        "MetricConfig",
    )  # one test for the three, named by its parameter
    headings = {each.heading for each in BLOCKS} - {f"`{name}`" for name in classes}
    assert [heading for heading in headings if f'"{heading}"' not in here] == []
