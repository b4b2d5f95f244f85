"""The documented layout for a Mixture of Experts: losses, metrics of the task, experts, throughput.

How a plan is drawn is not known here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Final

from m.metrics.derived import RATES
from m.metrics.layers import layer_of
from m.metrics.named import expert_of
from sinks.plotting.colors import CYCLE, nth
from sinks.plotting.config import MetricConfig, PlotConfig, TrainingVisualizerConfig, whole_number
from sinks.plotting.layouts import painted, panel_of, size_of, smoothed
from sinks.plotting.naming import is_task_metric, kind_of
from sinks.plotting.plan import HeatMap, Panel, Plan, RightAxis, Series

MOST_EXPERT_LINES: Final = 12
"""More experts than this are drawn as a heat map."""

_INDICATORS: Final = {
    "expert_entropy": "entropy (nats)",
    "load_balance": "balance",
    "routing_loss": "loss",
}
_OVER_LAYERS: Final = {
    "load_balance": "mean of layers",
    "load_balance_worst": "worst layer",
    "dead_experts": "dead experts, all layers",
}


def moe_config(update_interval: int = 1) -> TrainingVisualizerConfig:
    """The documented 2 x 2 grid, with the metrics that it names; `MoeLayout` adds to them."""
    names = (
        ("train_loss", "val_loss", "aux_loss"),
        ("position_error", "velocity_error", "accuracy"),
        tuple(_INDICATORS),
        RATES,
    )
    return TrainingVisualizerConfig(
        update_interval=update_interval,
        plots=[
            PlotConfig("Loss", "loss", yscale="log", color_cycle=list(CYCLE)),
            PlotConfig("Task metrics", "error", color_cycle=list(CYCLE)),
            PlotConfig("Expert utilization", "load", color_cycle=list(CYCLE)),
            PlotConfig("Throughput", "samples/s", color_cycle=list(CYCLE)),
        ],
        metrics=[MetricConfig(name, index) for index, panel in enumerate(names) for name in panel],
    )


class MoeLayout:
    """Four panels; custom metrics whose names say that they speak of the task join the second.

    With ``n_experts`` the experts' utilization is drawn too, as lines or, past `MOST_EXPERT_LINES`, as a heat map.
    Where it is given by layer, a heat map of the layers is drawn in any case.
    """

    def __init__(self, config: TrainingVisualizerConfig, n_experts: int | None = None) -> None:
        if n_experts is not None:
            whole_number(n_experts, "n_experts", at_least=1, otherwise=" or None")
        self._config = config
        self._n_experts = n_experts

    def plan(self, names: Sequence[str]) -> Plan:
        losses, task, experts, throughput = self._config.plots
        listed = {metric.metric_name: metric.plot_index for metric in self._config.metrics}
        of_task = [name for name in names if listed.get(name) == 1 or (name not in listed and is_task_metric(name))]
        panels = (
            panel_of(losses, painted([name for name in names if listed.get(name) == 0], losses.color_cycle)),
            task_panel(task, of_task),
            experts_panel(experts, names, self._n_experts),
            throughput_panel(throughput, names),
        )
        return smoothed(Plan(2, 2, size_of(self._config), panels), self._config.smoothing)


def task_panel(plot: PlotConfig, names: Sequence[str]) -> Panel:
    """Errors on the left-hand axis; scores, which lie in 0 to 1, on the right-hand one when there are both."""
    scores = {name for name in names if kind_of(name) == "score"}
    series = painted(names, plot.color_cycle)
    if not scores or len(scores) == len(names):
        return panel_of(plot, series, ylabel="score" if scores else plot.ylabel)
    return panel_of(plot, **_split(series, scores, "score"))


def experts_panel(plot: PlotConfig, names: Sequence[str], n_experts: int | None) -> Panel:
    """The indicators of how evenly the experts are used; with ``n_experts``, below each one's utilization. By layer:
    a map of the layers' variation, and below it how well the loads are balanced in all of them."""
    layers = [(found[1], name) for name in names if (found := layer_of(name)) is not None and found[0] == "load_cv"]
    if layers:
        return _layers_panel(plot, names, layers)
    indicators = [name for name in _INDICATORS if name in names]
    experts = sorted((expert, name) for name in names if (expert := expert_of(name)) is not None)
    evenness = _evenness_panel(plot, indicators)
    if n_experts is None or not experts:
        return evenness
    below = replace(evenness, title="") if indicators else None
    count = max(n_experts, len(experts))
    if count > MOST_EXPERT_LINES:
        heat_map = HeatMap(tuple(experts), count)
        return panel_of(plot, (), ylabel="expert", grid=False, heat_map=heat_map, below=below)
    lines = [
        Series(name, f"expert {expert}" if index == 0 else str(expert), *nth(index), width=1.0)
        for index, (expert, name) in enumerate(experts)
    ]
    return panel_of(plot, lines, fair_among=count, below=below)


def _layers_panel(plot: PlotConfig, names: Sequence[str], layers: Sequence[tuple[str, str]]) -> Panel:
    present = [name for name in _OVER_LAYERS if name in names]
    series = [replace(each, label=_OVER_LAYERS[each.name]) for each in painted(present, plot.color_cycle)]
    label = "load balance"
    if "dead_experts" in present:
        split = _split(series, ["dead_experts"], "dead", from_zero=True, whole=True)
        below = panel_of(plot, **split, title="", ylabel=label)
    else:
        below = panel_of(plot, series, title="", ylabel=label)
    heat_map = HeatMap(tuple(layers), len(layers), tuple(f"dead_experts/{layer}" for layer, _ in layers))
    return panel_of(plot, (), ylabel="layer", grid=False, heat_map=heat_map, below=replace(below, from_zero=True))


def _evenness_panel(plot: PlotConfig, names: Sequence[str]) -> Panel:
    """Entropy reaches ln n, the others 1 or so: it has the left-hand axis for itself where there are others."""
    series = painted(names, plot.color_cycle)
    others = [name for name in names if name != "expert_entropy"]
    label = ", ".join(_INDICATORS[name] for name in others) or _INDICATORS["expert_entropy"]
    if len(others) in (0, len(names)):
        return panel_of(plot, series, ylabel=label, from_zero=True)
    split = _split(series, others, label, from_zero=True)
    return panel_of(plot, ylabel=_INDICATORS["expert_entropy"], from_zero=True, **split)


def throughput_panel(plot: PlotConfig, names: Sequence[str]) -> Panel:
    """Samples per second, and tokens per second on the right-hand axis when there are both."""
    present = [name for name in RATES if name in names]
    series = painted(present, plot.color_cycle)
    if len(present) < 2:
        label = "tokens/s" if present == ["tokens_per_sec"] else plot.ylabel
        return panel_of(plot, series, ylabel=label, from_zero=True)
    # as a rule one is a multiple of the other: without the headroom the two curves would lie on each other
    split = _split(series, ["tokens_per_sec"], "tokens/s", from_zero=True, headroom=0.3)
    return panel_of(plot, from_zero=True, **split)


def _split(
    series: Sequence[Series],
    names: Collection[str],
    label: str,
    *,
    from_zero: bool = False,
    headroom: float = 0.0,
    whole: bool = False,
) -> dict[str, Any]:
    """The fields of a panel that has the series called ``names`` on its right-hand axis."""
    split = tuple(replace(each, right=each.name in names) for each in series)
    colors = {each.color for each in split if each.right}
    axis = RightAxis(label, colors.pop() if len(colors) == 1 else None, from_zero, headroom, whole)
    return {"series": split, "right": axis}
