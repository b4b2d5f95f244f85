"""The layout of a figure that was given no configuration: panels by what the names of the metrics say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from m.metrics.derived import RATES
from m.metrics.named import SETTING_FIELDS, expert_of
from sinks.plotting.colors import CYCLE
from sinks.plotting.config import DEFAULT_FIGURE_SIZE, DEFAULT_GRID, PlotConfig, TrainingVisualizerConfig
from sinks.plotting.layouts import painted, panel_of, size_of, smoothed
from sinks.plotting.moe import experts_panel, throughput_panel
from sinks.plotting.naming import kind_of, without_role, words
from sinks.plotting.plan import Panel, Plan

MOST_PANELS: Final = 9
_PANEL_SIZE: Final = (5.6, 3.8)  # inches
_GRIDS: Final = {1: (1, 1), 2: (1, 2), 3: (1, 3), 4: (2, 2), 5: (2, 3), 6: (2, 3)}

_ORDER: Final = (
    "loss",
    "error",
    "score",
    "perplexity",
    "experts",
    "learning rate",
    "gradient",
    "throughput",
    "memory",
    "utilization",
)
_TITLES: Final = {
    "loss": "Loss",
    "error": "Error",
    "score": "Score",
    "perplexity": "Perplexity",
    "learning rate": "Learning rate",
    "gradient": "Norm",
    "memory": "Memory",
    "utilization": "Utilization",
}
_UNITS: Final = {"bytes": "bytes", "kb": "KB", "mb": "MB", "gb": "GB", "kib": "KiB", "mib": "MiB", "gib": "GiB"}
_LARGER: Final = {small: (1000.0, large) for small, large in (("KB", "MB"), ("MB", "GB"), ("GB", "TB"))}
_LOG: Final = frozenset({"loss", "learning rate", "gradient", "perplexity"})


class AutomaticLayout:
    """A panel for each kind of metric that was given, and one for each metric whose name says nothing.

    At most 3 x 3 panels, or as many as the configuration's grid has when that is not the default; what finds no room
    is named in the plan's ``left_out``.
    """

    def __init__(self, config: TrainingVisualizerConfig) -> None:
        grid = (int(config.subplot_rows), int(config.subplot_cols))
        self._grid = None if grid == DEFAULT_GRID else grid
        size = size_of(config)
        self._size = None if size == DEFAULT_FIGURE_SIZE else size
        self._smoothing = config.smoothing

    def plan(self, names: Sequence[str]) -> Plan:
        groups: dict[str, list[str]] = {kind: [] for kind in _ORDER}
        for name in names:
            if name not in SETTING_FIELDS:
                groups.setdefault(_group_of(name), []).append(name)
        present = [(group, members) for group, members in groups.items() if members]
        room = MOST_PANELS if self._grid is None else self._grid[0] * self._grid[1]
        panels = [_panel(group, members) for group, members in present[:room]] or [Panel("Metrics", "")]
        rows, cols = self._grid or _GRIDS.get(len(panels), (3, 3))
        width, height = _PANEL_SIZE
        plan = Plan(
            rows,
            cols,
            self._size or (width * cols, height * rows + 0.3),
            tuple(panels),
            left_out=tuple(name for _, members in present[room:] for name in members),
        )
        return smoothed(plan, self._smoothing)


def _group_of(name: str) -> str:
    if expert_of(name) is not None:
        return "experts"
    kind = kind_of(name)
    if kind == "throughput":
        return "throughput" if name in RATES else f"={without_role(name)}"
    if kind == "memory":
        return f"memory {words(name)[-1]}"
    return kind or f"={without_role(name)}"


def _panel(group: str, names: list[str]) -> Panel:
    cycle = list(CYCLE)
    if group == "experts":
        n_experts = sum(expert_of(name) is not None for name in names)
        plot = PlotConfig("Expert utilization", "load", color_cycle=cycle)
        return experts_panel(plot, names, n_experts or None)
    if group == "throughput":
        title = names[0] if len(names) == 1 else "Throughput"
        return throughput_panel(PlotConfig(title, "samples/s", color_cycle=cycle), names)
    kind = group.split()[0] if group.startswith("memory") else group
    unit = _UNITS.get(words(names[0])[-1]) if kind == "memory" else None
    # the title is the name of a single metric; what it says is not said again at the axis
    title = names[0] if len(names) == 1 else _TITLES.get(kind) or without_role(names[0])
    plot = PlotConfig(title, unit or "", yscale="log" if kind in _LOG else "linear")
    if kind in _TITLES:
        return panel_of(plot, painted(names), larger=_LARGER.get(unit or ""), log_while_positive=True)
    return panel_of(plot, painted(names))
