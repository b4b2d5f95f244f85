"""A plan drawn as a matplotlib figure of its own: no pyplot, no backend chosen, nothing global changed.

The figure is made once and kept; what it shows is brought up to date by `TrainingFigure.show`. Where it appears, and
where the data comes from, is not known here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from m.metrics.history import History
from sinks.plotting.background import Background, can_be_kept
from sinks.plotting.glyphs import drawable, fitted, plain, width_of
from sinks.plotting.limits import Limits, calm
from sinks.plotting.lines import Course
from sinks.plotting.panel import PanelView, union
from sinks.plotting.plan import MOST_ALERTS, Panel, Plan, Show
from sinks.plotting.points import FARTHEST, Points, points_of
from sinks.plotting.said import Said
from sinks.plotting.settings import own_settings
from sinks.plotting.styles import SCREEN, Style

DPI: Final = 100.0

# Room around the axes of a panel, and around all panels, in points; styles have more or less of it.
_LEFT, _RIGHT, _RIGHT_AXIS, _BELOW, _ABOVE = 52.0, 12.0, 48.0, 32.0, 8.0
_EDGE, _FIGURE_TITLE_ROW, _BESIDE_TITLE = 6.0, 20.0, 16.0
_BEFORE_NUMBERS, _LABEL = 11.0, 24.0  # from the axes to the vertical label beyond its numbers, and past that label
_LOWER_PART, _PARTS_APART = 0.32, 3.0

_Key: TypeAlias = tuple[str, bool, int | None, int, float]
"""A metric's name, whether its axis is logarithmic, how many newest points are drawn, by how many at most, and the
factor of their average."""
_Known: TypeAlias = tuple[History, int, Points]
"""A history, its length when it was drawn, and what was drawn of it."""


class TrainingFigure:
    """The figure and its panels. One thread at a time.

    One that is ``live`` is drawn again and again: it keeps its background, and draws the curves alone while nothing
    else changes. Its lines are animated, so only `draw` and files show them on another canvas than its own.
    """

    def __init__(
        self,
        size: tuple[float, float],
        figure: Figure | None = None,
        *,
        style: Style = SCREEN,
        live: bool = False,
        dpi: float = DPI,
    ) -> None:
        """``size`` is width and height in inches. ``figure`` is an empty one of that size that has a canvas already,
        such as that of a window; None makes one that is drawn in memory, with ``dpi`` pixels to the inch."""
        self._style = style
        with own_settings():
            if figure is None:
                figure = Figure(figsize=size, dpi=dpi)
                FigureCanvasAgg(figure)
            self.figure = figure
            self.figure.set(frameon=True, facecolor=style.page, edgecolor=style.page)
            self.figure.set_layout_engine("none")
            self._title = plain(self.figure.suptitle("", ha="left", va="baseline"))
            self._title.set(fontsize=style.figure_title or style.title, fontweight="bold", color=style.ink)
            self._alert_note = plain(self.figure.text(1.0, 1.0, ""))
            self._alert_note.set(fontsize=style.letters, color=style.alert, ha="right", va="baseline")
            self._left_out_note = plain(self.figure.text(1.0, 0.0, ""))
            self._left_out_note.set(fontsize=style.letters, color=style.dim, ha="right", va="baseline")
        self._background = Background(figure) if live and can_be_kept(figure) else None
        self._size = size
        self._said = Said()
        self._cells: list[list[PanelView]] = []  # of each cell the panel and the part below it
        self._drawn: dict[_Key, _Known] = {}
        self._times: dict[int, Limits] = {}  # the range of each cell's time axis, where it has room; of all at -1

    def show(
        self,
        told: Show,
        histories: Mapping[str, History],
        *,
        leave: Collection[Axes] = (),
    ) -> None:
        """Bring every artist up to date; the canvas is not drawn yet.

        The limits of the axes in ``leave`` are somebody else's and stay.
        """
        plan = told.plan
        with own_settings():
            size = plan.size_in(self._style)
            if size != self._size:
                self.figure.set_size_inches(*size)
                self._size = size
            self._have_views(plan)
            self._show_panels(told, histories, leave)
            for upper, *_ in self._cells:
                upper.set_second(told.second)
            self._place(plan, told.alerts)
            self._write(plan, told.title, told.alerts)

    def draw(self) -> bool:
        """Draw the canvas now. Gives whether all of it was drawn, rather than the curves alone."""
        with own_settings():
            if self._background is not None:
                return self._background.draw()
            self.figure.canvas.draw()
            return True

    def _have_views(self, plan: Plan) -> None:
        """As many views as there are panels and parts of panels; those there are stay."""
        while len(self._cells) > len(plan.panels):
            for view in self._cells.pop():
                view.remove()
        while len(self._cells) < len(plan.panels):
            self._cells.append([])
        for views, panel in zip(self._cells, plan.panels, strict=True):
            while len(views) > len(panel.parts()):
                views.pop().remove()
            while len(views) < len(panel.parts()):
                views.append(PanelView(self.figure, self._style, front=self._background is not None))
                if len(views) > 1:  # the numbers of steps stand below the last part: a zoom in one is one in all
                    views[-1].axes.sharex(views[0].axes)

    def _show_panels(self, told: Show, histories: Mapping[str, History], leave: Collection[Axes]) -> None:
        plan, newest, room = told.plan, told.newest, told.room
        alerts = [step for step, _ in told.alerts]
        longest = max((len(history) for history in histories.values()), default=0)
        most = self._most_points(plan)
        known, self._drawn = self._drawn, {}  # what is not drawn any more is let go
        for views, panel in zip(self._cells, plan.panels, strict=True):
            drawn: list[Points] = []
            for view, part in zip(views, panel.parts(), strict=True):
                courses = self._courses(part, histories, newest, most, longest, known)
                if part.yscale == "log" and _hides_too_much(part, courses, histories):
                    part = replace(part, yscale="linear")
                    courses = self._courses(part, histories, newest, most, longest, known)
                drawn += view.show(part, courses, histories, newest, room=room, leave=leave)
            views[0].set_note(drawn)
        # With all points drawn the panels share one time axis; the newest points of each metric span their own time.
        shared = union([view.steps for views in self._cells for view in views]) if newest is None else None
        for cell, views in enumerate(self._cells):
            span = shared or union([view.steps for view in views])
            if span is not None and room:
                whose = cell if shared is None else -1
                span = self._times[whose] = calm(self._times.get(whose), span, room)
            for view in views:
                view.set_steps(*_time_limits(span), alerts, leave)

    def _most_points(self, plan: Plan) -> int:
        """Of one line: fewer than two for each pixel of its axes, in the sharpest picture that is drawn of them."""
        dpi = (
            float(self.figure.dpi) if self._background is not None else max(float(self.figure.dpi), self._style.png_dpi)
        )
        return max(100, round(1.4 * dpi * self._size[0] / plan.cols))

    def _courses(
        self,
        panel: Panel,
        histories: Mapping[str, History],
        newest: int | None,
        most: int,
        longest: int,
        known: Mapping[_Key, _Known],
    ) -> dict[str, Course]:
        """What each line of ``panel`` draws; ``longest`` is the length of the longest history."""
        courses = {}
        for series in panel.series:
            history = histories[series.name]
            sparse = len(history) * 2 <= longest or len(history) == 1
            smoothing = series.smoothing if series.always_smooth or not sparse else 0.0
            key = (series.name, panel.yscale == "log" and not series.right, newest, most, smoothing)
            courses[series.name] = Course(self._points(key, history, known.get(key)), sparse)
        return courses

    def _points(self, key: _Key, history: History, known: _Known | None) -> Points:
        """The points of one metric, those of the last time where nothing came since."""
        length = len(history)
        if known is not None and known[0] is history and known[1] == length:
            points = known[2]
        else:
            points = points_of(history, log=key[1], newest=key[2], most=key[3], smoothing=key[4])
        self._drawn[key] = (history, length, points)
        return points

    def _place(self, plan: Plan, alerts: Sequence[tuple[int, str]]) -> None:
        width, height = (72.0 * side for side in self.figure.get_size_inches())
        room = self._style.room
        edge = _EDGE * room
        cell = (width - 2 * edge) / plan.cols
        with_right = [
            any(part.right for panel in plan.panels[col :: plan.cols] for part in panel.parts())
            for col in range(plan.cols)
        ]
        right = [(_RIGHT_AXIS if there else _RIGHT) * room for there in with_right]
        top = height - edge - self._title_row(alerts)
        bottom = edge + (self._style.letters + 4.0 if plan.left_out else 0.0)
        numbers = self._numbers(plan)
        for _ in range(2):  # how many numbers there are, and so how wide they are, depends on the height left for them
            left = [max(_LEFT * room, width_of_numbers + _LABEL * room) for width_of_numbers in numbers]
            across = [max(cell - left[col] - right[col], 0.25 * cell) for col in range(plan.cols)]
            headers = [
                [view.header(across[index % plan.cols]) for view in views] for index, views in enumerate(self._cells)
            ]
            row_headers = [
                max((parts[0] for parts in headers[row * plan.cols : (row + 1) * plan.cols]), default=0.0)
                for row in range(plan.rows)
            ]
            # all axes get the same height; in a figure too small for its letters they overlap rather than vanish
            tall = (top - bottom - sum(row_headers)) / plan.rows - (_BELOW + _ABOVE) * room
            tall = max(tall, 0.2 * height / plan.rows)
            for views, parts in zip(self._cells, headers, strict=True):
                lower = [_LOWER_PART * tall for _ in parts[1:]]
                upper = tall - sum(lower) - sum(parts[1:]) - _PARTS_APART * len(lower)
                for view, its in zip(views, [upper, *lower], strict=True):
                    view.limit_numbers(its)
            before, numbers = numbers, self._numbers(plan)
            if numbers == before:
                break
        y = top
        for row in range(plan.rows):
            y -= _ABOVE * room + row_headers[row] + tall
            for col in range(plan.cols):
                index = row * plan.cols + col
                if index >= len(self._cells):
                    break
                x, wide = edge + col * cell + left[col], across[col]
                label_at = numbers[col] + _BEFORE_NUMBERS * room
                uppermost, *others = self._cells[index]
                below = 0.0
                for view, header in zip(others, headers[index][1:], strict=True):
                    view.place((x, y, wide, _LOWER_PART * tall), (width, height), header, label_at)
                    below = _LOWER_PART * tall + header + _PARTS_APART
                rect = (x, y + below, wide, max(tall - below, 1.0))
                uppermost.place(rect, (width, height), row_headers[row], label_at)
            y -= _BELOW * room
        if self._said.new("title at", left[0], width, height):
            self._title.set_position(((edge + left[0]) / width, (height - edge - self._title_size) / height))

    def _numbers(self, plan: Plan) -> list[float]:
        """Of each column of panels the width in points of the widest numbers on a left-hand axis."""
        columns = [self._cells[col :: plan.cols] for col in range(plan.cols)]
        return [max((view.numbers_width() for views in cells for view in views), default=0.0) for cells in columns]

    def _write(self, plan: Plan, title: str, alerts: Sequence[tuple[int, str]]) -> None:
        width, height = (72.0 * side for side in self.figure.get_size_inches())
        if not self._said.new("words", width, height, title, tuple(alerts), plan.left_out):
            return
        style = self._style
        y = (height - _EDGE * style.room - self._title_size) / height
        room = width - (_EDGE + _LEFT + _RIGHT) * style.room
        title = drawable(title, 90) if style.figure_title else ""
        taken = width_of(title, style.figure_title, bold=True) + _BESIDE_TITLE if title else 0.0
        note = _alerts_text(alerts, max(0.5 * room, room - taken), style.letters) if alerts else ""
        self._alert_note.set_text(note)
        self._alert_note.set_position((1.0 - _RIGHT * style.room / width, y))
        room -= width_of(note, style.letters) + _BESIDE_TITLE if note else 0.0
        if style.figure_title:
            self._title.set_text(fitted(title, room, style.figure_title, bold=True))
        left_out = "not drawn: " + ", ".join(plan.left_out) if plan.left_out else ""
        self._left_out_note.set_text(fitted(drawable(left_out, 200), width - 24.0, style.letters) if left_out else "")
        self._left_out_note.set_position((1.0 - _RIGHT * style.room / width, _EDGE * style.room / height))

    @property
    def _title_size(self) -> float:
        """Of the row with the title and the alerts, its letters."""
        return self._style.figure_title or self._style.letters

    def _title_row(self, alerts: Sequence[tuple[int, str]]) -> float:
        """Height of that row; 0.0 when nothing stands there."""
        if self._style.figure_title:
            return _FIGURE_TITLE_ROW
        return self._style.letters + 4.0 if alerts else 0.0


def _hides_too_much(panel: Panel, courses: Mapping[str, Course], histories: Mapping[str, History]) -> bool:
    """Whether a logarithmic axis would show nothing of what there is, or hides values although nobody asked for it."""
    left = [series.name for series in panel.series if not series.right]
    points = [courses[name].points for name in left]
    if not any(each.not_positive for each in points):
        return False
    if all(each.values is None for each in points):
        return True
    return panel.log_while_positive and any(histories[name].summary().min < 0.0 for name in left)


def _alerts_text(alerts: Sequence[tuple[int, str]], room: float, letters: float) -> str:
    """The newest alerts, as many as ``room`` has place for but three at the most, and how many came before them."""
    names = [f"{drawable(rule.replace('_', ' '), 40)} at step {step}" for step, rule in alerts[-3:]]
    more = "+" if len(alerts) >= MOST_ALERTS else ""  # nobody has counted those before
    while True:
        before = len(alerts) - len(names)
        text = f"┆ {' · '.join(names)}{f' · {before}{more} earlier' if before else ''}"
        if len(names) == 1 or width_of(text, letters) <= room:
            return fitted(text, room, letters)
        del names[0]


def _time_limits(span: tuple[float, float] | None) -> tuple[float, float]:
    """Limits with a little room; a single step stands in the middle."""
    if span is None:
        return 0.0, 1.0
    first, last = (min(max(step, -FARTHEST), FARTHEST) for step in span)
    room = 0.015 * (last - first) or max(0.5, 1e-6 * abs(first))
    return first - room, last + room
