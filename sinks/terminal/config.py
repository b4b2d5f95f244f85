"""What a user can set about the terminal display, and the checks that name what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from m.metrics.snapshot import TrainingSnapshot
from sinks.terminal.look import THEMES
from sinks.terminal.past import SMOOTHED

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(slots=True)
class VisualizationConfig:
    """What the terminal shows and how often."""

    show_progress_bar: bool = True
    """Show the progress line."""
    show_tables: bool = True
    """Show the tables of metrics."""
    table_update_interval: int = 25
    """Steps between table updates: they change at multiples of it, or at the first step past one."""
    refresh_per_second: int = 4
    """Screen updates per second at the most; nothing is drawn when nothing changed. May be a fraction."""
    show_throughput: bool = True
    """Show steps, samples and tokens per second."""
    show_system_metrics: bool = True
    """Show GPU memory, the gradient norm and, with the extra ``system`` installed, GPU, CPU and memory use."""
    show_expert_utilization: bool = True
    """Show the load of each expert of a Mixture of Experts."""
    custom_table_builder: Callable[[TrainingSnapshot], Table] | None = None
    """Makes the table that replaces the one of custom metrics; called off the training thread, at table updates. If
    it raises, the display says so and shows its own table."""
    ema: bool | tuple[str, ...] = True
    """Show an exponential moving average beside the value: of the training loss, the auxiliary loss and the gradient
    norm (True), of none (False), or of the metrics named. See `sinks.terminal.past.Average` for the formula."""
    theme: str = "default"
    """How it looks: ``"default"``, ``"high_contrast"`` or ``"mono"``. Where there are no colours (``NO_COLOR``, or a
    terminal that has none) the default is mono."""


_SWITCHES = (
    "show_progress_bar",
    "show_tables",
    "show_throughput",
    "show_system_metrics",
    "show_expert_utilization",
)


def check(config: VisualizationConfig) -> None:
    """Raise ``TypeError`` or ``ValueError`` naming the field, what is accepted and what was given."""
    if not isinstance(config, VisualizationConfig):
        raise TypeError(f"config must be a VisualizationConfig or None; got {config!r:.80} ({type(config).__name__})")
    for name in _SWITCHES:
        value = getattr(config, name)
        if not isinstance(value, bool):
            raise TypeError(f"VisualizationConfig.{name} must be True or False; got {value!r:.80}")
    interval = config.table_update_interval
    if isinstance(interval, bool) or not isinstance(interval, int):
        raise TypeError(
            f"VisualizationConfig.table_update_interval must be a whole number of steps; got {interval!r:.80}"
        )
    if interval < 1:
        raise ValueError(f"VisualizationConfig.table_update_interval must be 1 or more steps; got {interval}")
    rate = config.refresh_per_second
    if isinstance(rate, bool) or not isinstance(rate, (int, float)):
        raise TypeError(f"VisualizationConfig.refresh_per_second must be a number; got {rate!r:.80}")
    if not 0 < rate <= 60:
        raise ValueError(f"VisualizationConfig.refresh_per_second must be above 0 and at most 60; got {rate}")
    builder = config.custom_table_builder
    if builder is not None and not callable(builder):
        raise TypeError(
            "VisualizationConfig.custom_table_builder must be a function from TrainingSnapshot to rich.table.Table, "
            f"or None; got {builder!r:.80}"
        )
    ema = config.ema
    if not isinstance(ema, bool) and not (isinstance(ema, tuple) and all(isinstance(name, str) for name in ema)):
        raise TypeError(
            f"VisualizationConfig.ema must be True, False or a tuple of names of metrics; got {config.ema!r:.80}"
        )
    if config.theme not in THEMES:
        names = ", ".join(repr(name) for name in THEMES)
        raise ValueError(f"VisualizationConfig.theme must be one of {names}; got {config.theme!r:.80}")


def smoothed(config: VisualizationConfig) -> tuple[str, ...]:
    """The metrics whose average is shown."""
    if isinstance(config.ema, tuple):
        return config.ema
    return SMOOTHED if config.ema else ()
