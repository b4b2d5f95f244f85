"""Curves of a training run in one call per step: the documented visualizer, its configuration and its factories.

A visualizer is a hub and one sink: what it shows is decided in ``sinks.plotting``, and nothing is displayed here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Unpack

from m.hub.hub import MetricsHub
from m.metrics.snapshot import TrainingSnapshot
from sinks.plotting.appearance import DisplayOptions
from sinks.plotting.config import (
    DEFAULT_TITLE,
    MetricConfig,
    PlotConfig,
    TrainingVisualizerConfig,
    validate,
    whole_number,
)
from sinks.plotting.sink import PlotSink

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "MetricConfig",
    "PlotConfig",
    "RealTimeTrainingVisualizer",
    "TrainingVisualizerConfig",
    "create_custom_visualizer",
    "create_loss_visualizer",
    "create_moe_visualizer",
]


WAIT_FOR_DEVICE_S: Final = 0.5
"""So long whoever asks for the figure may wait for numbers that are still on their way from a device."""


class RealTimeTrainingVisualizer:
    """Keeps the metrics of a run and draws them as ``config`` says.

    Makes a hub of its own, or joins ``hub``: then everything that is emitted there is drawn here too, and what is
    updated here reaches the other sinks of that hub. Updating costs microseconds and never raises for what a metric
    holds. Raises ``TypeError``/``ValueError`` for a ``config`` that cannot work.

    ``config`` says where the figure appears while training goes on, as for `PlotSink`: ``display`` is ``"window"``,
    ``"image"`` with ``image_path``, ``"notebook"``, ``"off"``, or ``"auto"``, a cell's output in a notebook and a
    window where there is a screen; also ``image_every_s``, ``keep_open`` and ``draw_budget``. It says how it looks
    by ``style``, ``"screen"``, ``"dark"`` or ``"paper"``, by ``smoothing``, the factor of a moving average in front of
    the curves, and by ``second_axis``, ``"time"`` or ``"tokens"``. The keywords ``where`` take the place of what it
    says; the factories take them too. Whatever it is, the figure can be asked for and saved at any time.
    """

    def __init__(
        self,
        config: TrainingVisualizerConfig,
        *,
        hub: MetricsHub | None = None,
        **where: Unpack[DisplayOptions],
    ) -> None:
        validate(config)
        self._join(PlotSink(config, **where), hub)

    @classmethod
    def _showing(cls, sink: PlotSink, hub: MetricsHub | None) -> RealTimeTrainingVisualizer:
        visualizer = cls.__new__(cls)
        visualizer._join(sink, hub)
        return visualizer

    def _join(self, sink: PlotSink, hub: MetricsHub | None) -> None:
        if hub is not None and not isinstance(hub, MetricsHub):
            raise TypeError(f"hub must be a MetricsHub, or None for one of its own; got {hub!r:.80}")
        self._sink = sink
        self._owns_hub = hub is None
        self._hub = MetricsHub() if hub is None else hub
        self._closed = False
        self._hub.subscribe(sink)

    @property
    def sink(self) -> PlotSink:
        """The sink that records and draws."""
        return self._sink

    @property
    def hub(self) -> MetricsHub:
        """The hub that this visualizer made or joined."""
        return self._hub

    @property
    def figure(self) -> Figure:
        """The matplotlib figure, with every point up to now."""
        self._deliver()
        return self._sink.figure

    def update_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add one point to each of ``metrics``, a mapping of names to numbers; None values are skipped.

        Without ``step`` it is the number of the call, from 0. Names that are in no panel are kept for the summary.
        """
        if not self._closed:
            self._hub.log(metrics, step)

    def update(self, snapshot: TrainingSnapshot) -> None:
        """Add the numbers of ``snapshot``; the same as emitting it on `hub`."""
        if not self._closed:
            self._hub.emit(snapshot)

    def force_update(self) -> None:
        """Draw the figure now, with every point up to now, whatever the update interval. Never raises."""
        self._deliver()
        self._sink.force_update()

    def save_plot(self, save_path: str | os.PathLike[str], *, style: str | None = None) -> None:
        """Save the figure to ``save_path``: PNG, PDF or SVG by its extension. Missing folders are made.

        ``style`` is that of this file, such as ``"paper"``; None: that of the configuration. Raises ``ValueError`` for
        another extension or an unknown style, and ``OSError`` when the file cannot be written.
        """
        self._deliver()
        self._sink.save_plot(save_path, style=style)

    def get_metrics_summary(self) -> dict[str, dict[str, float]]:
        """For each metric its ``current``, ``min``, ``max``, ``mean`` and ``count`` over the whole run.

        NaN and infinities count, but do not enter ``min``, ``max`` and ``mean``; ``current`` may be nan.
        """
        self._deliver()
        return self._sink.get_metrics_summary()

    def close(self) -> None:
        """Print the summary and let go of the figure. A hub that was joined stays open. Again: nothing.

        Afterwards updates do nothing; the figure and the summary can still be had.
        """
        if self._closed:
            return
        self._closed = True
        if self._owns_hub:
            self._hub.close()
        else:
            self._deliver()
            self._hub.unsubscribe(self._sink)
        self._sink.close()

    def __enter__(self) -> RealTimeTrainingVisualizer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _deliver(self) -> None:
        # a snapshot with numbers from a device is delivered one step late, unless somebody asks for it
        self._hub.flush(WAIT_FOR_DEVICE_S)


def create_loss_visualizer(
    update_interval: int = 100,
    *,
    hub: MetricsHub | None = None,
    **where: Unpack[DisplayOptions],
) -> RealTimeTrainingVisualizer:
    """Training and validation loss beside the learning rate, both on log axes.

    ``update_interval`` is the number of steps from one redraw to the next, where the figure is shown live.
    """
    sink = PlotSink.loss(update_interval, **where)
    return RealTimeTrainingVisualizer._showing(sink, hub)


def create_moe_visualizer(
    update_matplotlib: int = 1,
    update_rich_tables: int = 25,
    n_experts: int | None = None,
    *,
    hub: MetricsHub | None = None,
    **where: Unpack[DisplayOptions],
) -> RealTimeTrainingVisualizer:
    """Losses, metrics of the task, experts and throughput of a Mixture of Experts, in 2 x 2 panels.

    ``update_matplotlib`` is the number of steps from one redraw to the next, where the figure is shown live.
    ``update_rich_tables`` is accepted for callers who also have a terminal display; this one has no tables.
    ``n_experts`` draws the utilization of each expert as well; None draws how even it is as a whole.
    """
    interval = whole_number(update_matplotlib, "update_matplotlib", at_least=1)
    whole_number(update_rich_tables, "update_rich_tables", at_least=1)
    sink = PlotSink.moe(n_experts, interval, **where)
    return RealTimeTrainingVisualizer._showing(sink, hub)


def create_custom_visualizer(
    metrics_config: Mapping[str, tuple[int, str | None]],
    plot_titles: Sequence[str],
    subplot_layout: tuple[int, int],
    update_interval: int = 100,
    title: str = DEFAULT_TITLE,
    *,
    figure_size: tuple[float, float] | None = None,
    max_points: int | None = None,
    hub: MetricsHub | None = None,
    **where: Unpack[DisplayOptions],
) -> RealTimeTrainingVisualizer:
    """Panels with the titles ``plot_titles`` in a grid of ``subplot_layout``, (rows, columns), all on linear axes.

    ``metrics_config`` gives each metric's panel, by its position in ``plot_titles``, and its colour; a colour of None
    is chosen. ``update_interval`` is the number of steps from one redraw to the next, where the figure is shown live.
    ``figure_size`` is width and height in inches, 6 x 4 for each panel by default. ``max_points`` limits how many of
    the newest points are drawn.
    """
    sink = PlotSink.custom(
        metrics_config,
        plot_titles,
        subplot_layout,
        update_interval,
        title,
        figure_size=figure_size,
        max_points=max_points,
        **where,
    )
    return RealTimeTrainingVisualizer._showing(sink, hub)
