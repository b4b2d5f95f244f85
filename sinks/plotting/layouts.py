"""What goes into which panel when the configuration says so, and the ready-made configurations for that.

The layout for Mixture of Experts is in ``moe``, the one without any configuration in ``automatic``. How a plan is
drawn is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from m.metrics.named import expert_of
from sinks.plotting.colors import CYCLE, nth
from sinks.plotting.config import (
    DEFAULT_CYCLE,
    DEFAULT_TITLE,
    MetricConfig,
    PlotConfig,
    TrainingVisualizerConfig,
    whole_number,
)
from sinks.plotting.naming import is_validation, kind_of, trained_beside, words
from sinks.plotting.plan import Panel, Plan, Series

USUAL_SMOOTHING: Final = 0.95
"""The factor for single experts where none is given: the newest 20 points have about two thirds of the weight."""


class ConfiguredLayout:
    """Panels and metrics as the configuration names them, whatever else is recorded."""

    def __init__(self, config: TrainingVisualizerConfig) -> None:
        self._config = config
        self._paints = [_paints_of(index, config) for index in range(len(config.plots))]

    def plan(self, names: Sequence[str]) -> Plan:
        config = self._config
        panels = []
        for index, plot in enumerate(config.plots):
            series = tuple(
                Series(
                    metric.metric_name,
                    metric.metric_name if metric.label is None else metric.label,
                    style=metric.line_style,
                    alpha=float(metric.alpha),
                    front=is_validation(metric.metric_name),
                    **self._paints[index][metric.metric_name],
                )
                for metric in config.metrics
                if metric.plot_index == index and metric.metric_name in names
            )
            panels.append(panel_of(plot, series))
        plan = Plan(int(config.subplot_rows), int(config.subplot_cols), size_of(config), tuple(panels))
        return smoothed(plan, config.smoothing, of_experts=0.0)


def _paints_of(index: int, config: TrainingVisualizerConfig) -> dict[str, dict[str, Any]]:
    """How the metrics of one panel are coloured: as named; else in the tone of the training curve, where the cycle is
    not the user's own and no other metric has that tone; else by the cycle, first with the colours that nobody
    named."""
    metrics = [metric for metric in config.metrics if metric.plot_index == index]
    colors = {metric.metric_name: metric.color for metric in metrics}
    cycle = config.plots[index].color_cycle
    ours = tuple(cycle) in (CYCLE, DEFAULT_CYCLE)
    free = [color for color in cycle if color not in set(colors.values())] or list(cycle)
    paints: dict[str, dict[str, Any]] = {}
    beside: dict[str, str] = {}
    used = 0
    for name, color in colors.items():
        trained = trained_beside(name, colors) if ours and color is None else None
        if trained is not None and trained not in beside.values():
            beside[name] = trained
            continue
        named = color is not None
        if color is None:
            color, used = free[used % len(free)], used + 1
        paints[name] = {"color": color, "named": named or not ours}
    for name, trained in beside.items():
        paints[name] = {**paints[trained], "tone": True}
    return paints


def size_of(config: TrainingVisualizerConfig) -> tuple[float, float]:
    """The figure's width and height in inches."""
    width, height = config.figure_size
    return float(width), float(height)


def panel_of(plot: PlotConfig, series: Iterable[Series] = (), **more: Any) -> Panel:
    """The panel that ``plot`` describes, with ``series`` in it; ``more`` are further fields of `Panel`."""
    fields: dict[str, Any] = {
        "title": plot.title,
        "ylabel": plot.ylabel,
        "xlabel": plot.xlabel,
        "yscale": plot.yscale,
        "grid": plot.show_grid,
        "legend": plot.show_legend,
    }
    return Panel(**{**fields, "series": tuple(series), **more})


def painted(names: Sequence[str], cycle: Sequence[str] = CYCLE, **more: Any) -> list[Series]:
    """A series for each name in the colours of ``cycle``; validation in another tone of its training curve's hue, but
    of several that have the same training curve only the first."""
    colors: dict[str, tuple[str, str]] = {}
    beside: dict[str, str] = {}
    for name in names:
        trained = trained_beside(name, names)
        if trained is not None and trained not in beside.values():
            beside[name] = trained
        else:
            index = len(colors)
            colors[name] = cycle[index % len(cycle)], nth(index)[1]
    for name, trained in beside.items():
        colors[name] = colors[trained]
    return [Series(name, name, *colors[name], front=is_validation(name), tone=name in beside, **more) for name in names]


def smoothed(plan: Plan, smoothing: float | Mapping[str, float] | None, *, of_experts: float = USUAL_SMOOTHING) -> Plan:
    """``plan`` with the averages that ``smoothing`` asks for: for all, or for metrics by name. Where it does not say,
    the lines of single experts have ``of_experts`` and the others none."""
    named = smoothing if isinstance(smoothing, Mapping) else {}

    def factor_of(name: str) -> float:
        if smoothing is None or isinstance(smoothing, Mapping):
            return 0.0 if expert_of(name) is None else of_experts
        return 0.0 if kind_of(name) == "learning rate" else float(smoothing)

    def series_with(series: Series) -> Series:
        if series.name in named:
            return replace(series, smoothing=float(named[series.name]), always_smooth=True)
        return replace(series, smoothing=factor_of(series.name))

    def panel_with(panel: Panel) -> Panel:
        below = None if panel.below is None else panel_with(panel.below)
        return replace(panel, series=tuple(map(series_with, panel.series)), below=below)

    return replace(plan, panels=tuple(map(panel_with, plan.panels)))


def loss_config(update_interval: int = 100) -> TrainingVisualizerConfig:
    """The documented 1 x 2 layout for losses and the learning rate."""
    return TrainingVisualizerConfig(
        subplot_rows=1,
        subplot_cols=2,
        figure_size=(12, 5),
        update_interval=update_interval,
        plots=[
            PlotConfig("Loss", "loss", yscale="log", color_cycle=list(CYCLE)),
            PlotConfig("Learning rate", "learning rate", yscale="log", color_cycle=list(CYCLE)),
        ],
        metrics=[
            MetricConfig("train_loss", 0),
            MetricConfig("val_loss", 0),
            MetricConfig("learning_rate", 1),
        ],
    )


def custom_config(
    metrics_config: Mapping[str, tuple[int, str | None]],
    plot_titles: Sequence[str],
    subplot_layout: tuple[int, int],
    update_interval: int = 100,
    title: str = DEFAULT_TITLE,
    *,
    figure_size: tuple[float, float] | None = None,
    max_points: int | None = None,
) -> TrainingVisualizerConfig:
    """A figure from metric names, each with its panel and colour, and the panels' titles. All axes are linear.

    ``figure_size`` None gives each panel 6 x 4 inches. Raises for what cannot be read; the rest is for `validate`.
    """
    if not isinstance(metrics_config, Mapping):
        raise TypeError(
            "metrics_config must map each metric's name to (plot_index, color), "
            f"such as {{'accuracy': (0, 'blue')}}; got {metrics_config!r:.80}"
        )
    metrics = []
    for name, place in metrics_config.items():
        if not isinstance(place, (tuple, list)) or len(place) != 2:
            raise TypeError(
                f"metrics_config[{name!r:.60}] must be (plot_index, color), such as (0, 'blue'); got {place!r:.80}"
            )
        metrics.append(MetricConfig(name, place[0], color=place[1]))
    if isinstance(plot_titles, str) or not isinstance(plot_titles, Sequence):
        raise TypeError(f"plot_titles must be a list of texts; got {plot_titles!r:.80}")
    if not isinstance(subplot_layout, (tuple, list)) or len(subplot_layout) != 2:
        raise TypeError(f"subplot_layout must be (rows, columns), such as (1, 2); got {subplot_layout!r:.80}")
    rows = whole_number(subplot_layout[0], "subplot_layout[0]", at_least=1)
    cols = whole_number(subplot_layout[1], "subplot_layout[1]", at_least=1)
    plots = [
        PlotConfig(text, common_label([metric.metric_name for metric in metrics if metric.plot_index == index]))
        for index, text in enumerate(plot_titles)
    ]
    size: Any = (6 * cols, 4 * rows) if figure_size is None else figure_size
    return TrainingVisualizerConfig(
        subplot_rows=rows,
        subplot_cols=cols,
        figure_size=size,
        title=title,
        update_interval=update_interval,
        max_points=max_points,
        plots=plots,
        metrics=metrics,
    )


def common_label(names: Sequence[str]) -> str:
    """What the vertical axis of these metrics measures, as far as their names agree: ``loss`` for a_loss and b_loss.
    Nothing for a single one, whose name stands above the panel."""
    if len(names) < 2:
        return ""
    kinds = {kind_of(str(name)) for name in names}
    if len(kinds) == 1 and kinds <= {"loss", "error", "score", "perplexity"}:
        return str(kinds.pop())
    endings = {words(str(name))[-1] if words(str(name)) else "" for name in names}
    ending = endings.pop()
    return ending if ending and not endings else "value"
