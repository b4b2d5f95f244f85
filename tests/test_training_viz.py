from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import m.training_viz
from m.hub.hub import MetricsHub
from m.metrics.snapshot import TrainingSnapshot
from m.training_viz import (
    MetricConfig,
    PlotConfig,
    RealTimeTrainingVisualizer,
    TrainingVisualizerConfig,
    create_custom_visualizer,
    create_loss_visualizer,
    create_moe_visualizer,
)


@pytest.fixture(autouse=True)
def close_all(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what a test leaves open: otherwise it would print its summary when pytest exits."""
    made: list[RealTimeTrainingVisualizer] = []
    join = RealTimeTrainingVisualizer._join

    def joined(visualizer: RealTimeTrainingVisualizer, *arguments: Any) -> None:
        join(visualizer, *arguments)
        made.append(visualizer)

    monkeypatch.setattr(RealTimeTrainingVisualizer, "_join", joined)
    yield
    for visualizer in made:
        visualizer.close()


def lines(visualizer: RealTimeTrainingVisualizer) -> dict[str, list[tuple[float, float]]]:
    return {
        line.get_label(): [tuple(point) for point in line.get_xydata().tolist()]
        for axes in visualizer.figure.axes
        for line in axes.lines
        if not line.get_label().startswith("_")
    }


def test_the_public_names() -> None:
    assert sorted(m.training_viz.__all__) == [
        *("MetricConfig", "PlotConfig", "RealTimeTrainingVisualizer", "TrainingVisualizerConfig"),
        *("create_custom_visualizer", "create_loss_visualizer", "create_moe_visualizer"),
    ]


@pytest.mark.parametrize(
    ("function", "documented"),
    [
        (create_loss_visualizer, {"update_interval": 100}),
        (create_moe_visualizer, {"update_matplotlib": 1, "update_rich_tables": 25, "n_experts": None}),
    ],
)
def test_the_documented_signatures(function: Any, documented: dict[str, Any]) -> None:
    parameters = inspect.signature(function).parameters.values()
    positional = {each.name: each.default for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD}
    assert positional == documented


def test_without_a_step_x_is_the_number_of_the_call_for_all_metrics() -> None:
    visualizer = create_loss_visualizer(update_interval=50)
    visualizer.update_metrics({"train_loss": 3.0, "learning_rate": 1e-3})
    visualizer.update_metrics({"learning_rate": 1e-3})
    visualizer.update_metrics({"train_loss": 1.0, "val_loss": None})
    assert lines(visualizer) == {
        "train_loss": [(0.0, 3.0), (2.0, 1.0)],
        "learning_rate": [(0.0, 1e-3), (1.0, 1e-3)],
    }
    visualizer.update_metrics({"train_loss": 0.5}, step=10)
    visualizer.update(TrainingSnapshot(20, 0.25))
    assert lines(visualizer)["train_loss"][2:] == [(10.0, 0.5), (20.0, 0.25)]


def test_the_documented_moe_example(capsys: pytest.CaptureFixture[str]) -> None:
    visualizer = create_moe_visualizer(update_matplotlib=1, update_rich_tables=25)
    metrics = {
        "train_loss": 0.245,
        "val_loss": 0.267,
        "aux_loss": 0.012,
        "position_error": 0.134,
        "expert_entropy": 2.1,
        "load_balance": 0.85,
        "samples_per_sec": 120.5,
    }
    visualizer.update_metrics(metrics)
    assert set(lines(visualizer)) == set(metrics)
    loss = visualizer.get_metrics_summary()["train_loss"]
    assert loss == {"current": 0.245, "min": 0.245, "max": 0.245, "mean": 0.245, "count": 1}
    visualizer.close()
    out = capsys.readouterr().out
    assert all(name in out for name in metrics)


def test_the_documented_configuration() -> None:
    config = TrainingVisualizerConfig(
        subplot_rows=2,
        subplot_cols=3,
        figure_size=(18, 10),
        title="Multi-Task Training Dashboard",
        max_points=500,
        plots=[PlotConfig("Loss Curves", "Loss", yscale="log"), PlotConfig("Accuracy Metrics", "Score")],
        metrics=[
            MetricConfig("train_loss", 0, color="blue", label="Training"),
            MetricConfig("val_accuracy", 1, color="darkgreen", line_style="--", alpha=0.5),
        ],
    )
    visualizer = RealTimeTrainingVisualizer(config)
    visualizer.update_metrics({"train_loss": 1.0, "val_accuracy": 0.5})
    loss, accuracy = visualizer.figure.axes
    assert (loss.get_title(), loss.get_yscale()) == ("Loss Curves", "log")
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["Training"]
    line = next(each for each in accuracy.lines if each.get_label() == "val_accuracy")
    assert (line.get_color(), line.get_linestyle(), line.get_alpha()) == ("darkgreen", "--", 0.5)
    assert visualizer.figure.get_suptitle() == "Multi-Task Training Dashboard"
    assert visualizer.figure.get_size_inches().tolist() == [18.0, 10.0]


@pytest.mark.parametrize(
    "config",
    [
        TrainingVisualizerConfig(max_points=1000, update_interval=100),
        TrainingVisualizerConfig(update_interval=200, max_points=500, use_blit=True, pause_duration=0.001),
    ],
)
def test_a_config_without_panels_lays_itself_out(config: TrainingVisualizerConfig) -> None:
    visualizer = RealTimeTrainingVisualizer(config)
    visualizer.update_metrics({"train_loss": 1.0, "reward": 2.0})
    visualizer.force_update()
    assert set(lines(visualizer)) == {"train_loss", "reward"}


def test_a_custom_visualizer() -> None:
    visualizer = create_custom_visualizer(
        metrics_config={"train_loss": (0, "blue"), "val_loss": (0, "red")},
        plot_titles=["Loss Curves"],
        subplot_layout=(1, 1),
        title="Training: LR=0.1, BS=16",
        figure_size=(5, 3),
        max_points=1,
    )
    for loss in (3.0, 2.0):
        visualizer.update_metrics({"train_loss": loss})
    assert lines(visualizer) == {"train_loss": [(1.0, 2.0)]}
    assert visualizer.get_metrics_summary()["train_loss"]["count"] == 2
    assert visualizer.figure.get_size_inches().tolist() == [5.0, 3.0]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: RealTimeTrainingVisualizer(None), TypeError, "config must be a TrainingVisualizerConfig"),  # type: ignore[arg-type]
        (lambda: RealTimeTrainingVisualizer(TrainingVisualizerConfig(subplot_rows=0)), ValueError, "subplot_rows"),
        (lambda: create_loss_visualizer(0), ValueError, "update_interval"),
        (lambda: create_moe_visualizer(0), ValueError, "update_matplotlib"),
        (lambda: create_moe_visualizer(update_rich_tables=0), ValueError, "update_rich_tables"),
        (lambda: create_moe_visualizer(update_rich_tables="25"), TypeError, "update_rich_tables"),  # type: ignore[arg-type]
        (lambda: create_moe_visualizer(n_experts=0), ValueError, "n_experts"),
        (lambda: create_custom_visualizer({"a": (3, "blue")}, ["A"], (1, 1)), ValueError, "plot_index"),
        (lambda: create_loss_visualizer(hub="hub"), TypeError, "hub must be a MetricsHub"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_work_is_an_error_at_once(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_any_values_are_taken() -> None:
    visualizer = create_moe_visualizer()
    visualizer.update_metrics({"train_loss": math.nan, "accuracy": True, "note": "text", "list": [1, 2], "none": None})
    visualizer.update_metrics({})
    visualizer.force_update()
    assert set(visualizer.get_metrics_summary()) == {"train_loss", "accuracy"}


def test_close_twice_and_what_comes_after(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    visualizer = create_loss_visualizer()
    visualizer.save_plot(tmp_path / "before.png")
    visualizer.update_metrics({"train_loss": 1.0})
    visualizer.close()
    visualizer.close()
    assert capsys.readouterr().out.count("Training summary") == 1
    visualizer.update_metrics({"train_loss": 2.0})
    visualizer.update(TrainingSnapshot(5, 2.0))
    visualizer.force_update()
    visualizer.save_plot(str(tmp_path / "deep" / "after.png"))
    assert visualizer.get_metrics_summary()["train_loss"]["count"] == 1
    assert lines(visualizer) == {"train_loss": [(0.0, 1.0)]}


def test_a_shared_hub_drives_it_and_stays_open(capsys: pytest.CaptureFixture[str]) -> None:
    hub = MetricsHub(strict=True)
    seen: list[TrainingSnapshot] = []
    hub.subscribe(seen.append)
    with create_moe_visualizer(n_experts=2, hub=hub) as visualizer:
        hub.emit(TrainingSnapshot(0, 1.0, expert_utilization={0: 0.5, 1: 0.5}))
        visualizer.update_metrics({"train_loss": 0.5})
        assert lines(visualizer)["train_loss"] == [(0.0, 1.0), (1.0, 0.5)]
    assert "train_loss" in capsys.readouterr().out
    visualizer.update_metrics({"train_loss": 9.0})
    hub.emit(TrainingSnapshot(2, 0.25))
    assert [snapshot.train_loss for snapshot in seen] == [1.0, 0.5, 0.25]
    assert lines(visualizer)["train_loss"] == [(0.0, 1.0), (1.0, 0.5)]
    assert [subscription.sink for subscription in hub.subscriptions] == [seen.append]
    hub.close()
    assert capsys.readouterr().out == ""


def test_its_parts_are_to_be_seen() -> None:
    visualizer = create_loss_visualizer()
    assert visualizer.hub.subscriptions[0].sink is visualizer.sink
    assert visualizer.figure is visualizer.sink.figure


def test_a_new_run_on_the_hub_begins_a_new_figure() -> None:
    visualizer = create_loss_visualizer()
    visualizer.hub.start(100, "trial 1")
    visualizer.update_metrics({"train_loss": 3.0})
    visualizer.hub.start(100, "trial 2")
    visualizer.update_metrics({"train_loss": 1.0})
    assert lines(visualizer) == {"train_loss": [(0.0, 1.0)]}
    assert visualizer.figure.get_suptitle() == "trial 2"


def test_every_point_is_there_even_one_that_is_late() -> None:
    """A number on a device is delivered one step late: asking for the figure must not lose the newest step."""

    class OnDevice:
        shape = ()
        size = 1

        def item(self) -> float:
            return 7.0

        def copy_to_host_async(self) -> None:
            pass

    visualizer = create_loss_visualizer()
    visualizer.update_metrics({"train_loss": OnDevice()})
    assert visualizer.get_metrics_summary()["train_loss"]["current"] == 7.0
