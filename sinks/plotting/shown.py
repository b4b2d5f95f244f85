"""What a sink has to show at one moment, for whoever shows it live. No copy: the histories grow on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from m.metrics.history import History
from m.metrics.named import NamedHistories
from sinks.plotting.plan import Plan, Show

UNSEEN_ROOM: Final = 0.03
"""Of an axis: as much as its margins, so that nobody sees whether it is there."""
BLIT_ROOM: Final = 0.25
"""Of an axis, for ``use_blit``: a run grows by an eighth before its axes move."""


@dataclass(slots=True, frozen=True)
class Shown:
    """The numbers of the current run, and what a figure shows of them."""

    numbers: NamedHistories
    """Another object for each run."""
    histories: dict[str, History]
    """Those of the numbers that there are by now."""
    show: Show


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
