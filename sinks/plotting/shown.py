"""What a sink has to show at one moment, for whoever shows it live. No copy: the histories grow on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from m.metrics.named import NamedHistories
from sinks.plotting.milestones import SecondScale
from sinks.plotting.plan import Layout, Plan

UNSEEN_ROOM: Final = 0.03
"""Of an axis: as much as its margins, so that nobody sees whether it is there."""
BLIT_ROOM: Final = 0.25
"""Of an axis, for ``use_blit``: a run grows by an eighth before its axes move."""


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
    room: float = 0.0
    """So much of an axis may stay empty so that its limits need not move with every point."""
    second: SecondScale | None = None
    """What a second axis says; None: there is none."""
    style: str = "screen"
    """A name of `sinks.plotting.styles`."""


def drawn_names(plan: Plan) -> list[str]:
    """The metrics that ``plan`` draws, each once, in order."""
    names: dict[str, None] = {}
    for panel in plan.panels:
        for part in panel.parts():
            names.update(dict.fromkeys(series.name for series in part.series))
            if part.heat_map is not None:
                names.update(dict.fromkeys(name for _, name in part.heat_map.experts))
                names.update(dict.fromkeys(part.heat_map.dead or ()))
    return list(names)
