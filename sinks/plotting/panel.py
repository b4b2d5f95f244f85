"""One panel: its axes and lines are made once and kept; an update changes their data, and what else is different.

Lines and images are the *front*: in a figure that keeps its background they are drawn over it, by themselves
(`sinks.plotting.background`). So everything else is touched only when it changes.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import ScaledTranslation

from m.metrics.buckets import Floats
from m.metrics.history import History
from sinks.plotting.dress import dress, new_axes, show_grid
from sinks.plotting.glyphs import beginning, drawable, fitted, plain, width_of
from sinks.plotting.heatmap import HeatMapView
from sinks.plotting.legend import LegendRows, arranged, draw_legend, moved
from sinks.plotting.lines import FRONT, Course, average_label, set_average, set_average_looks, set_looks, set_points
from sinks.plotting.milestones import SecondScale
from sinks.plotting.plan import Panel, Series
from sinks.plotting.points import FARTHEST, Points, note_of
from sinks.plotting.said import Said
from sinks.plotting.second_axis import SecondAxisView
from sinks.plotting.styles import Style
from sinks.plotting.ticks import limit_ticks, set_step_ticks
from sinks.plotting.value_axis import ValueAxis

_MOST_MARKS: Final = 300
_PAD: Final = 4.0


class PanelView:
    """The artists of one panel. Rectangles and sizes are in points, from the figure's lower left corner."""

    def __init__(self, figure: Figure, style: Style, *, front: bool = False) -> None:
        """``front``: whether somebody else draws the lines and images, over a background that is kept."""
        self._figure = figure
        self._style = style
        self._front = front
        self._said = Said()
        self._plan: Panel | None = None
        self._lines: dict[str, Line2D] = {}
        self._averages: dict[str, Line2D] = {}
        self._legend_keys: dict[bool, object] = {}
        self._legends = {False: LegendRows(), True: LegendRows()}
        self._stacked = False  # whether the two legends do not fit beside each other
        self._above = 0.0
        self._note_text = self._remark_text = ""
        self.steps: tuple[float, float] | None = None
        """First and last step of the data; None without any."""
        self.broken: Floats = np.empty(0)
        """Steps at which a value was NaN or infinite."""
        self._right: ValueAxis | None = None
        self._heat: HeatMapView | None = None
        self._second: SecondAxisView | None = None
        self.axes = new_axes(figure, style)
        self.axes.set_ylim(0.1, 1.0)
        set_step_ticks(self.axes.xaxis)
        self._left = ValueAxis(self.axes)
        self._broken = self._mark(self.axes, marker="x", color=style.broken, markersize=5.0, zorder=6.0)
        self._alerts = self._mark(self.axes, marker="none", color=style.alert, linestyle=(0, (3, 2)), zorder=FRONT)
        self._fair = Line2D(
            [0, 1], [0, 0], transform=self.axes.get_yaxis_transform(), linestyle=":", linewidth=1.2 * style.line
        )
        self._fair.set(color=style.dim, marker="none", zorder=FRONT + 0.1, visible=False, animated=front)
        self.axes.add_line(self._fair)
        self._empty = plain(self.axes.text(0.5, 0.5, "no data yet", transform=self.axes.transAxes))
        self._empty.set(
            color=style.dim, fontsize=style.labels, ha="center", va="center", fontstyle="normal", fontweight="normal"
        )
        self._note, self._remark = (plain(self.axes.text(1.0, 1.0, "")) for _ in range(2))
        for words in (self._note, self._remark):
            words.set(color=style.dim, fontsize=style.letters, ha="right", va="baseline", fontweight="normal")

    # -- what is shown ------------------------------------------------------------------------------------------------

    def show(
        self,
        plan: Panel,
        courses: Mapping[str, Course],
        histories: Mapping[str, History],
        newest: int | None,
        *,
        room: float = 0.0,
        leave: Collection[Axes] = (),
    ) -> list[Points]:
        """Make the artists say what ``plan`` and the data do. The time axis and the places come later. Gives what the
        lines draw.

        ``room``: so much of a vertical axis may stay empty so that it need not move. The limits of the axes
        in ``leave`` are somebody else's.
        """
        if self._plan != plan:
            self._follow(plan)
        points = [courses[series.name].points for series in plan.series]
        for series in plan.series:
            set_points(self._lines[series.name], courses[series.name])
            if series.name in self._averages:
                line, raw = self._averages[series.name], self._lines[series.name]
                set_average(line, raw, series, courses[series.name], self._style)
        self.steps = union([each.steps for each in points])
        self.broken = np.concatenate([np.empty(0), *(each.broken for each in points)])
        self._remark_text = ""
        if self._heat is not None and plan.heat_map is not None:
            self.steps = self._heat.show(plan.heat_map, histories, newest)
            self._remark_text = self._heat.note
        else:
            self._set_values(plan, courses, room, leave)
        if plan.fair_among is not None:
            self._set_fair([histories[each.name] for each in plan.series if not each.right], plan.fair_among)
        there = self.steps is not None
        numbers = plan.below is None and there
        if self._said.new("steps", there, numbers, plan.grid):
            self._empty.set_visible(not there)
            show_grid(self.axes, self._style, plan.grid and there)
            self.axes.tick_params(axis="x", which="major", bottom=there, labelbottom=numbers)
        return points

    def set_note(self, points: Sequence[Points]) -> None:
        """Own up to what the lines of ``points``, those of the panel and of the part below it, cannot show."""
        self._note_text = note_of(points)
        some = any(each.nan or each.infinite for each in points)
        if self._said.new("note", some):
            self._note.set_color(self._style.broken if some else self._style.dim)

    def set_steps(self, first: float, last: float, alerts: Sequence[int], leave: Collection[Axes] = ()) -> None:
        """Set the time axis, unless it is one of those in ``leave``, and the marks on it."""
        if self.axes in leave:
            first, last = self.axes.get_xlim()
        elif self.axes.get_xlim() != (first, last):
            self.axes.set_xlim(first, last)
        # marks nearer to each other than the eye can tell would only make the file large
        places = np.unique(np.round((self.broken - first) / (last - first) * _MOST_MARKS))
        self._broken.set_data(first + places / _MOST_MARKS * (last - first), np.zeros(places.size))
        at = [step for step in alerts if first <= step <= last] if self.steps is not None else []
        self._alerts.set_data([x for step in at for x in (step, step, math.nan)], [0.0, 1.0, math.nan] * len(at))

    def set_second(self, scale: SecondScale | None) -> None:
        """Have the second axis say ``scale`` of the steps, once they are set and it is placed; without any data there
        is none."""
        if scale is None or self.steps is None:
            if self._second is not None:
                self._second.axis.remove()
                self._second = None
            return
        if self._second is None:
            self._second = SecondAxisView(self.axes, self._style)
        self._second.scale = scale

    # -- where it is --------------------------------------------------------------------------------------------------

    def header(self, width: float) -> float:
        """Height in points that title and legends need above axes that are ``width`` points wide."""
        assert self._plan is not None  # shown before it is placed
        for right in (False, True):
            entries = self._entries([each for each in self._plan.series if each.right is right])
            if not right and self._fair.get_visible():
                entries.append((self._fair, "fair share"))
            if [label for _, label in entries] == [self._plan.title] or not self._plan.legend:
                entries = []  # of a single curve the title is the name
            self._legends[right] = arranged(entries, width, self._style)
        left, right_rows = self._legends[False], self._legends[True]
        beside = max(left.rows, right_rows.rows) <= 1 and left.width + right_rows.width + 16.0 <= width
        self._stacked = bool(left.rows and right_rows.rows) and not beside
        rows = left.rows + right_rows.rows if self._stacked else max(left.rows, right_rows.rows)
        self._above = HeatMapView.HEIGHT if self._heat is not None else rows * self._style.legend_row
        second = 0.0 if self._second is None else self._style.letters + 5.0
        return self._above + _PAD + second + (self._style.title_row if self._plan.title else 0.0)

    def _entries(self, series: Sequence[Series]) -> list[tuple[Line2D, str]]:
        """Of the legend of one axis. A single curve with an average and the average have one each; of several, the
        averages stand for the curves, and a remark says so."""
        averaged = [each for each in series if each.name in self._averages and self._averages[each.name].get_visible()]
        entries = []
        for each in series:
            if each not in averaged or len(averaged) == 1:
                entries.append((self._lines[each.name], each.label))
            if each in averaged:
                entries.append((self._averages[each.name], each.label if len(averaged) > 1 else average_label(each)))
        if len(averaged) > 1:
            factors = {each.smoothing for each in averaged}
            self._remark_text = f"{average_label(averaged[0]) if len(factors) == 1 else 'EMA'}, raw faint"
        return entries

    def limit_numbers(self, height: float) -> None:
        """Leave as many numbers on the vertical axes as ``height`` points have room for."""
        for axis in (self._left, self._right):
            if axis is not None:
                axis.limit_numbers(int(height / (2.2 * self._style.letters)))

    def numbers_width(self) -> float:
        """Width in points of the numbers on the left-hand axis."""
        if self.steps is None:
            return 0.0
        return self._left.numbers_width(self._style.letters, None if self._heat is None else self._heat.ids)

    def place(
        self, rect: tuple[float, float, float, float], size: tuple[float, float], header: float, label_at: float
    ) -> None:
        """Put the axes at ``rect``, in a figure of ``size``; the title at the top of the ``header`` above them, the
        legends under it, the vertical label ``label_at`` to the left; words are cut to the room there is."""
        assert self._plan is not None
        left, bottom, width, height = rect
        across, up = size
        if self._said.new("place", rect, size, label_at):
            self.axes.set_position((left / across, bottom / up, width / across, height / up))
            shift = ScaledTranslation(-label_at / 72.0, 0.0, self._figure.dpi_scale_trans)
            self.axes.yaxis.set_label_coords(0.0, 0.5, transform=self.axes.transAxes + shift)
        limit_ticks(self.axes.xaxis, int(width / (4.0 * self._style.letters)))
        if self._second is not None:
            self._second.show(width)
        lift = header - self._above - (self._style.title_row if self._plan.title else 0.0)
        if self._heat is not None:
            self._heat.place(left + width, bottom + height + lift, size)
        side = None if self._right is None else self._plan.right
        title_at = header - self._style.title_row + 3.5
        words = (
            self._remark_text,
            self._left.unit,
            self._plan.title,
            self._plan.xlabel,
            self._plan.ylabel,
            self._plan.below is None,
            side,
        )
        if self._said.new("words", title_at, width, height, self._note_text, *words):
            self._write(title_at, width, height + (12.0 if self._plan.title else 24.0))
        for right, axis in ((False, self._left), (True, self._right)):
            rows = self._legends[right]
            key = (rows.key(), lift)
            if axis is not None and self._legend_keys.get(right) != key:
                draw_legend(axis.axes, rows, lift, self._style, at_right=right)
                self._legend_keys[right] = key
            lift += rows.rows * self._style.legend_row if self._stacked else 0.0

    def remove(self) -> None:
        """Take the panel off the figure."""
        if self._heat is not None:
            self._heat.remove()
        if self._right is not None:
            self._right.axes.remove()
        self.axes.remove()

    # -- the parts ----------------------------------------------------------------------------------------------------

    def _follow(self, plan: Panel) -> None:
        """Another plan: lines come, go or change their looks; what stays is kept."""
        if plan.larger is None:
            self._left.forget_unit()
        self._plan = plan
        wanted = {series.name: series for series in plan.series}
        self._forget([name for name in self._lines if name not in wanted])
        if plan.right is None and self._right is not None:
            self._forget_right()
        if plan.right is not None and self._right is None:
            twin = self.axes.twinx()
            dress(twin, self._style, right=True)
            twin.patch.set_visible(False)
            self._right = ValueAxis(twin, right=True, whole=plan.right.whole)
            self._said.forget("words")
        for name, series in wanted.items():
            axes = self._right.axes if series.right and self._right is not None else self.axes
            line = self._lines.get(name)
            if line is not None and line.axes is not axes:
                self._forget([name])
                line = None
            if line is None:
                line = self._lines[name] = self._line(axes)
            set_looks(line, series, self._style)
            average = self._averages.get(name)
            if not series.smoothing and average is not None:
                self._averages.pop(name).remove()
            elif series.smoothing:
                if average is None:
                    average = self._averages[name] = self._line(axes)
                set_average_looks(average, series, self._style)
        if self._heat is not None and plan.heat_map is None:
            self._heat.remove()
            self._heat = None
            self._left.begin_anew()
        if self._heat is None and plan.heat_map is not None:
            self._left.set_scale("linear")
            self._left.show_ticks(True)
            self._heat = HeatMapView(self._figure, self.axes, self._style, front=self._front)
        self._fair.set_visible(False)

    def _line(self, axes: Axes) -> Line2D:
        line = Line2D([], [], animated=self._front)
        axes.add_line(line)
        return line

    def _forget(self, names: Sequence[str]) -> None:
        """Take these metrics off the panel."""
        for name in names:
            for lines in (self._lines, self._averages):
                if name in lines:
                    lines.pop(name).remove()

    def _forget_right(self) -> None:
        assert self._right is not None
        self._forget([name for name, line in self._lines.items() if line.axes is self._right.axes])
        self._right.axes.remove()
        self._right = None
        self._legend_keys.pop(True, None)

    def _set_values(self, plan: Panel, courses: Mapping[str, Course], room: float, leave: Collection[Axes]) -> None:
        """Scale, limits and numbers of both vertical axes."""
        of_left = [courses[each.name].points for each in plan.series if not each.right]
        self._left.show(
            of_left,
            plan.yscale,
            room=room,
            stays=self.axes in leave,
            from_zero=plan.from_zero,
            larger=plan.larger,
        )
        if self._right is not None and plan.right is not None:
            self._right.show(
                [courses[each.name].points for each in plan.series if each.right],
                "linear",
                room=room,
                stays=self._right.axes in leave,
                from_zero=plan.right.from_zero,
                headroom=plan.right.headroom,
            )

    def _set_fair(self, histories: Sequence[History], among: int) -> None:
        means = [summary.mean for summary in (history.summary() for history in histories) if summary.count]
        finite = [mean for mean in means if math.isfinite(mean)]
        if finite:
            fair = min(math.fsum(mean / among for mean in finite), FARTHEST)  # a sum of the largest floats overflows
            self._fair.set_ydata([fair, fair])
        self._fair.set_visible(bool(finite))

    def _mark(self, axes: Axes, **looks: object) -> Line2D:
        """A line with steps for x and parts of the panel's height for y."""
        line = Line2D([], [], transform=axes.get_xaxis_transform(), clip_on=False, animated=self._front)
        line.set(
            **{
                "linestyle": "none",
                "linewidth": 0.9 * self._style.line,
                "markeredgewidth": 1.3 * self._style.line,
                **looks,
            }
        )
        axes.add_line(line)
        return line

    def _write(self, lift: float, width: float, height: float) -> None:
        """Title and note ``lift`` points above the axes, and the axis labels. Where there is not room for all, up to
        half of it is the title's."""
        assert self._plan is not None
        letters, title = self._style.letters, drawable(self._plan.title)
        taken, note, remark = 0.0, self._note_text, self._remark_text
        if width_of(" ".join((title, remark, note)), self._style.title) > width:
            remark = remark.split(",")[0]  # the title is more
        room = width - min(width_of(title, self._style.title, bold=True) + 10.0, 0.5 * width) if title else width
        for words in (" not shown", " values", " value"):
            if width_of(note, letters) > room:
                note = note.replace(words, "")
        for artist, text in ((self._note, note), (self._remark, remark)):
            text = fitted(text, room - taken, letters)
            if width_of(text, letters) > room - taken:
                text = ""
            artist.set_text(text)
            artist.set_transform(self.axes.transAxes + moved(self.axes, -taken, lift))
            taken += width_of(text, letters) + 10.0 if text else 0.0
        title = beginning(title, width - taken, self._style.title, bold=True)
        artist = self.axes.set_title(title, loc="center", x=0.0, y=1.0, pad=lift)
        plain(artist).set(
            ha="left", va="baseline", fontsize=self._style.title, fontweight="bold", color=self._style.ink, rotation=0
        )
        xlabel = drawable(self._plan.xlabel) if self._plan.below is None else ""
        self._label(self.axes.set_xlabel(xlabel, labelpad=2.0, loc="center"), width)
        ylabel = drawable(self._left.unit or self._plan.ylabel)
        self._label(self.axes.set_ylabel(ylabel, labelpad=3.0, loc="center"), height)
        if self._right is not None and self._plan.right is not None:
            side = self._plan.right
            color = None if side.color is None else self._style.color(side.color)
            label = self._right.axes.set_ylabel(drawable(side.label), labelpad=3.0, loc="center")
            self._label(label, height).set_color(color or self._style.ink)
            self._right.axes.tick_params(axis="y", which="both", labelcolor=color or self._style.dim)

    def _label(self, artist: Text, room: float) -> Text:
        """``artist`` as the label of an axis that has ``room`` points: smaller, or cut, where there is too little."""
        text, size = artist.get_text(), self._style.labels
        if width_of(text, size) > room:
            size = self._style.letters
        plain(artist).set(text=fitted(text, room, size), fontsize=size, color=self._style.ink, fontweight="normal")
        return artist


def union(spans: Sequence[tuple[float, float] | None]) -> tuple[float, float] | None:
    """From the first to the last step of all spans; None where there is none."""
    there = [span for span in spans if span is not None]
    return (min(first for first, _ in there), max(last for _, last in there)) if there else None
