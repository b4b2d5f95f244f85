"""What a figure shows, in plain data: the layouts write a `Plan`, the figure draws it. No matplotlib here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sinks.plotting.milestones import SecondScale
from sinks.plotting.styles import Style

MOST_ALERTS: Final = 20
"""So many newest alerts are marked."""


@dataclass(slots=True, frozen=True)
class Series:
    """One metric as a line."""

    name: str
    """The metric's name."""
    label: str
    """Its name in the legend."""
    color: str
    style: str = "-"
    width: float = 1.2
    """Line width in points."""
    alpha: float = 1.0
    right: bool = False
    """Whether it is measured on the right-hand axis."""
    front: bool = False
    """Whether it is drawn over the others, such as validation over training."""
    smoothing: float = 0.0
    """Factor of the moving average that is drawn in front of it, below 1.0; 0.0: none."""
    always_smooth: bool = False
    """Whether it is smoothed even where it is sparse."""
    named: bool = False
    """Whether the user asked for this colour, so that no style may draw another."""
    tone: bool = False
    """Whether it is drawn in another tone of ``color``, as validation is in that of its training curve."""


@dataclass(slots=True, frozen=True)
class RightAxis:
    """The right-hand vertical axis of a panel. Linear."""

    label: str
    color: str | None = None
    """Of its label and numbers: that of the line, when it is for one line. None: as the other axes."""
    from_zero: bool = False
    headroom: float = 0.0
    """Part of the range left empty at the top, so that curves of the same shape do not lie on those of the left."""
    whole: bool = False
    """Whether it counts things, so that no number stands between two whole ones."""


@dataclass(slots=True, frozen=True)
class HeatMap:
    """Many experts, or layers, over time as an image instead of lines."""

    experts: tuple[tuple[int | str, str], ...]
    """Id, or label of the layer, and metric name of each row, from below."""
    among: int
    """How many experts there are, those without a row included: their number makes the fair share."""
    dead: tuple[str, ...] | None = None
    """Rows are layers: the metrics in ``experts`` are coefficients of variation, and these say, for each row, how many
    experts are dead. None: rows are experts, and their metrics loads."""


@dataclass(slots=True, frozen=True)
class Panel:
    """One cell of the figure."""

    title: str
    ylabel: str
    series: tuple[Series, ...] = ()
    xlabel: str = "Step"
    yscale: str = "linear"
    """Of a logarithmic axis that would show nothing, since no value is above 0, a linear one takes the place."""
    log_while_positive: bool = False
    """Nobody asked for the logarithmic axis: it is linear once a value is below 0."""
    grid: bool = True
    legend: bool = True
    from_zero: bool = False
    """Whether the left-hand axis starts at 0."""
    right: RightAxis | None = None
    fair_among: int | None = None
    """The number of experts whose fair share is drawn as a dotted line; None draws none."""
    larger: tuple[float, str] | None = None
    """A larger unit than that of ``ylabel``, and how many of those it is: used where the numbers are longer than four
    digits. None: there is none."""
    heat_map: HeatMap | None = None
    """Drawn instead of lines."""
    below: Panel | None = None
    """A lower part of the cell with the same time axis and no title of its own."""

    def parts(self) -> tuple[Panel, ...]:
        """The panel, and the one below it where there is one."""
        return (self,) if self.below is None else (self, self.below)


@dataclass(slots=True, frozen=True)
class Plan:
    """The figure."""

    rows: int
    cols: int
    size: tuple[float, float]
    """Width and height in inches."""
    panels: tuple[Panel, ...]
    """Row by row; cells past the last one stay empty."""
    left_out: tuple[str, ...] = ()
    """Metrics that found no room in the figure and that it should own up to."""

    def size_in(self, style: Style) -> tuple[float, float]:
        """The figure's size in inches where its looks are those of ``style``."""
        row = 2.7 if any(panel.below for panel in self.panels) else 1.9  # where words and numbers have room
        return style.size(self.size, self.cols, row * self.rows)


@dataclass(slots=True, frozen=True)
class Show:
    """What a figure shows besides points."""

    plan: Plan
    title: str = ""
    newest: int | None = None
    """So many newest points of each metric are drawn; None draws all."""
    alerts: tuple[tuple[int, str], ...] = ()
    """Steps and rules to mark."""
    room: float = 0.0
    """So much of an axis may stay empty so that its limits need not move with every point; 0.0 makes them follow
    exactly."""
    second: SecondScale | None = None
    """What an axis along the top of each panel says; None: there is none."""
    style: str = "screen"
    """A name of `sinks.plotting.styles`, for whoever makes the figure."""


class Layout(Protocol):
    """Decides what goes where, from the names of the metrics that have a point by now, in the order of appearance."""

    def plan(self, names: Sequence[str]) -> Plan: ...
