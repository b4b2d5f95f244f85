"""One vertical axis of a panel: its scale, its limits and the numbers on it, which are there where data is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from sinks.plotting.glyphs import width_of
from sinks.plotting.limits import Limits, calm, calm_log, padded, symlog_threshold
from sinks.plotting.points import Points
from sinks.plotting.said import Said
from sinks.plotting.ticks import AlikeNumbers, limit_ticks, set_value_ticks


class ValueAxis:
    """That of ``axes``, at their left, or at the ``right``."""

    def __init__(self, axes: Axes, *, right: bool = False, whole: bool = False) -> None:
        """``whole``: as long as the scale is linear, it has whole numbers alone."""
        self.axes = axes
        self.unit: str | None = None
        """The larger unit that it counts in; None: that of the values."""
        self._right = right
        self._said = Said()
        self._scale: tuple[str, float] = ("linear", 1.0)
        self._range: Limits | None = None  # of the values, where it has room to grow
        self._most = 6  # numbers that there is room for
        self._numbers_width = 0.0
        set_value_ticks(axes.yaxis, "linear", whole=whole)

    def show(
        self,
        points: Sequence[Points],
        scale: str,
        *,
        room: float,
        stays: bool,
        from_zero: bool,
        headroom: float = 0.0,
        larger: tuple[float, str] | None = None,
    ) -> None:
        """Scale, limits and numbers for what the lines of ``points`` draw.

        ``room``: so much of it may stay empty so that it need not move. ``stays``: its limits are somebody else's.
        ``larger`` is as in `sinks.plotting.plan.Panel`.
        """
        self.set_scale(scale, symlog_threshold([each.y for each in points]) if scale == "symlog" else 1.0)
        found = [each.values for each in points if each.values is not None]
        there = bool(found)
        if there and room and scale != "symlog":
            span = min(low for low, _ in found), max(high for _, high in found)
            self._range = (calm_log if scale == "log" else calm)(self._range, span, room)
            found = [self._range]
        wanted = padded(found, scale, from_zero=from_zero, headroom=headroom)
        if not stays and self.axes.get_ylim() != wanted:
            self.axes.set_ylim(wanted)
        if scale == "linear" and larger is not None:
            self._use_unit(*larger, self.axes.get_ylim()[1])
        self.show_ticks(there)

    def set_scale(self, scale: str, threshold: float = 1.0) -> None:
        """Be of another scale, unless it is; the limits are to be set then."""
        if self._scale != (scale, threshold):
            self.axes.set_ylim(0.1, 1.0)  # limits that every scale takes without a warning
            self.axes.set_yscale(scale, **_scale_options(scale, threshold))
            self._scale = (scale, threshold)
            self.begin_anew()

    def begin_anew(self) -> None:
        """Have the ticks of the scale, and any limits, as after a heat map had others."""
        set_value_ticks(self.axes.yaxis, *self._scale)
        self._range = None

    def show_ticks(self, there: bool) -> None:
        """Show ticks and numbers where data is ``there``."""
        if self._said.new("ticks", there):
            left, right = there and not self._right, there and self._right
            self.axes.tick_params(axis="y", which="major", left=left, labelleft=left, right=right, labelright=right)
            self.axes.tick_params(axis="y", which="minor", left=left)

    def limit_numbers(self, most: int) -> None:
        """Leave no more than about ``most`` numbers."""
        self._most = most
        limit_ticks(self.axes.yaxis, most)

    def numbers_width(self, letters: float, of: object) -> float:
        """Width in points of the numbers in letters of that size; ``of`` differs where these do at equal limits."""
        axis = self.axes.yaxis
        low, high = (float(limit) for limit in axis.get_view_interval())
        if self._said.new("numbers", low, high, self._scale, of, self._most):
            limit_ticks(axis, self._most)
            ticks = [tick for tick in axis.get_majorticklocs() if low <= tick <= high]
            texts = axis.get_major_formatter().format_ticks(ticks)
            self._numbers_width = max((width_of(text, letters) for text in texts), default=0.0)
        return self._numbers_width

    def forget_unit(self) -> None:
        """Count in the unit of the values again."""
        if self.unit is not None:
            self.unit = None
            self._said.forget("unit")
            set_value_ticks(self.axes.yaxis, *self._scale)

    def _use_unit(self, larger: float, name: str, highest: float) -> None:
        """Count in the ``larger`` unit where the numbers would be long."""
        large = highest >= 10.0 * larger
        self.unit = name if large else None
        if self._said.new("unit", large):
            self.axes.yaxis.set_major_formatter(AlikeNumbers(larger if large else 1.0))
            self._said.forget("numbers")


def _scale_options(scale: str, threshold: float) -> dict[str, Any]:
    return {"nonpositive": "mask"} if scale == "log" else {"linthresh": threshold} if scale == "symlog" else {}
