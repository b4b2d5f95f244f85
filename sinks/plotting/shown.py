"""What a sink has to show at one moment, for whoever shows it live. No copy: the histories grow on."""

from __future__ import annotations

from dataclasses import dataclass

from m.metrics.named import NamedHistories
from sinks.plotting.plan import Layout, Plan


@dataclass(slots=True, frozen=True)
class Shown:
    """The numbers of the current run, and how they are to be drawn."""

    numbers: NamedHistories
    """Another object for each run."""
    layout: Layout
    title: str = ""
    newest: int | None = None
    """So many newest points of each metric are drawn; None draws all."""
    alerts: tuple[tuple[int, str], ...] = ()
    """Steps and rules to mark."""


def drawn_names(plan: Plan) -> list[str]:
    """The metrics that ``plan`` draws, each once, in order."""
    names: dict[str, None] = {}
    for panel in plan.panels:
        for part in panel.parts():
            names.update(dict.fromkeys(series.name for series in part.series))
            if part.heat_map is not None:
                names.update(dict.fromkeys(name for _, name in part.heat_map.experts))
    return list(names)
