"""The terminal facade: alone, and on a hub that it shares with the plots."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

import m.rich_trainer_viz as module
from m.hub.hub import MetricsHub
from m.rich_trainer_viz import RichTrainerVisualizer, TrainingSnapshot, VisualizationConfig, create_default_visualizer
from m.training_viz import create_moe_visualizer


def console() -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, width=80), file


def test_everything_public_is_exported() -> None:
    assert sorted(module.__all__) == [
        "RichTrainerVisualizer",
        "SystemMetrics",
        "ThroughputMetrics",
        "TrainingSnapshot",
        "VisualizationConfig",
        "create_default_visualizer",
    ]
    assert all(hasattr(module, name) for name in module.__all__)


def test_the_data_classes_are_the_same_from_both_places() -> None:
    import m

    assert m.TrainingSnapshot is module.TrainingSnapshot
    assert m.SystemMetrics is module.SystemMetrics
    assert m.ThroughputMetrics is module.ThroughputMetrics


def test_one_emit_drives_both_displays() -> None:
    screen, file = console()
    hub = MetricsHub(strict=True)
    terminal = RichTrainerVisualizer(console=screen, hub=hub)
    plots = create_moe_visualizer(n_experts=8, hub=hub)
    hub.start(total_steps=10, description="both")
    for step in range(10):
        hub.emit(TrainingSnapshot(step=step, train_loss=1.0 / (step + 1)))
    assert plots.get_metrics_summary()["train_loss"]["count"] == 10
    hub.close()
    assert terminal.hub is plots.hub is hub
    assert "10/10 100%" in file.getvalue()


def test_closing_one_facade_of_a_shared_hub_leaves_the_other_going() -> None:
    screen, file = console()
    hub = MetricsHub(strict=True)
    terminal = RichTrainerVisualizer(console=screen, hub=hub)
    plots = create_moe_visualizer(hub=hub)
    hub.start(10)
    terminal.update(TrainingSnapshot(step=0, train_loss=1.0))
    terminal.close()
    terminal.close()
    assert "── summary" in file.getvalue()
    terminal.update(TrainingSnapshot(step=7, train_loss=0.5))  # closed: no longer its business
    hub.emit(TrainingSnapshot(step=1, train_loss=0.5))
    assert plots.get_metrics_summary()["train_loss"]["count"] == 2
    hub.close()
    terminal.close()


def test_every_order_of_calls_is_safe() -> None:
    screen, file = console()
    visualizer = RichTrainerVisualizer(console=screen)
    visualizer.update(TrainingSnapshot(step=0, train_loss=1.0))  # before start
    visualizer.start(total_steps=5, description="after all")
    visualizer.update(TrainingSnapshot(step=0, train_loss=1.0))
    visualizer.close()
    visualizer.close()
    text = file.getvalue()
    visualizer.update(TrainingSnapshot(step=1, train_loss=1.0))
    visualizer.start(5)
    assert file.getvalue() == text


@pytest.mark.fault("I4")
def test_a_resumed_run_starts_where_it_was() -> None:
    screen, file = console()
    with RichTrainerVisualizer(VisualizationConfig(table_update_interval=1), screen) as visualizer:
        visualizer.start(total_steps=1000, description="resumed", initial_step=500)
        visualizer.update(TrainingSnapshot(step=500, train_loss=1.0))
    assert "501/1000" in file.getvalue()
    assert "1 step in" in file.getvalue()


@pytest.mark.parametrize("total", [-1, 2.5, "ten", True])
def test_a_total_that_is_no_number_of_steps_is_refused(total: Any) -> None:
    visualizer = RichTrainerVisualizer(console=console()[0])
    with pytest.raises((TypeError, ValueError), match=rf"total_steps must be .*got {total!r}"):
        visualizer.start(total)
    visualizer.close()


def test_what_is_no_hub_is_refused() -> None:
    with pytest.raises(TypeError, match="hub must be a MetricsHub or None; got 'x'"):
        RichTrainerVisualizer(hub="x")  # type: ignore[arg-type]


def test_the_factory_sets_what_it_is_given() -> None:
    visualizer = create_default_visualizer(show_progress=False, show_tables=False, table_interval=7)
    config = visualizer.config
    assert (config.show_progress_bar, config.show_tables, config.table_update_interval) == (False, False, 7)
    with pytest.raises(ValueError, match="table_update_interval"):
        create_default_visualizer(table_interval=0)
    visualizer.close()
