"""The documented terminal visualizer: a thin facade over a hub and the terminal sink that it subscribes."""

from __future__ import annotations

from rich.console import Console

from m.hub.hub import MetricsHub
from m.metrics.performance import SystemMetrics, ThroughputMetrics
from m.metrics.snapshot import TrainingSnapshot
from sinks.terminal.config import VisualizationConfig
from sinks.terminal.sink import TerminalSink

__all__ = [
    "RichTrainerVisualizer",
    "SystemMetrics",
    "ThroughputMetrics",
    "TrainingSnapshot",
    "VisualizationConfig",
    "create_default_visualizer",
]


class RichTrainerVisualizer:
    """Progress and metrics in the terminal.

    ``config`` None takes the defaults; ``console`` None makes a new one on standard output. ``hub`` is the hub to
    join; None makes one of its own. On a shared hub one ``hub.emit`` drives every display that has joined.

    Raises ``TypeError``/``ValueError`` naming the field when the configuration cannot work; nothing later does.
    """

    def __init__(
        self,
        config: VisualizationConfig | None = None,
        console: Console | None = None,
        *,
        hub: MetricsHub | None = None,
    ) -> None:
        if hub is not None and not isinstance(hub, MetricsHub):
            raise TypeError(f"hub must be a MetricsHub or None; got {hub!r:.80} ({type(hub).__name__})")
        self.sink = TerminalSink(config, console=console)
        self._closed = False
        self._owns_hub = hub is None
        self.hub = MetricsHub() if hub is None else hub
        self.hub.subscribe(self.sink)

    @property
    def config(self) -> VisualizationConfig:
        """The configuration in use."""
        return self.sink.config

    @property
    def console(self) -> Console:
        """The console that is written to."""
        return self.sink.console

    def start(self, total_steps: int | None = None, description: str = "Training", initial_step: int = 0) -> None:
        """Show the progress of a run of ``total_steps`` (None: unknown length), named ``description``.

        ``initial_step`` is above 0 after resuming from a checkpoint. Starting again begins another run.
        """
        if not self._closed:
            self.hub.start(total_steps, description, initial_step)

    def update(self, snapshot: TrainingSnapshot) -> None:
        """Emit ``snapshot``. Before ``start`` it starts a run of unknown length; after ``close`` it does nothing."""
        if not self._closed:
            self.hub.emit(snapshot)

    def close(self) -> None:
        """Show the final state and a summary and give the terminal back. Safe to call twice.

        On a shared hub only this display ends; the hub and the others go on.
        """
        if self._closed:
            return
        self._closed = True
        if self._owns_hub:
            self.hub.close()
        else:
            try:
                self.hub.unsubscribe(self.sink)
            finally:
                self.sink.close()

    def __enter__(self) -> RichTrainerVisualizer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def create_default_visualizer(
    show_progress: bool = True,
    show_tables: bool = True,
    table_interval: int = 25,
) -> RichTrainerVisualizer:
    """A visualizer with the settings that are changed most often.

    ``show_progress``: the progress line. ``show_tables``: the tables. ``table_interval``: steps between their updates.
    """
    return RichTrainerVisualizer(
        VisualizationConfig(
            show_progress_bar=show_progress,
            show_tables=show_tables,
            table_update_interval=table_interval,
        )
    )
