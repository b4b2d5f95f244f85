"""The sink that turns a run into a figure: it records numbers at every step and draws when somebody asks.

Recording takes a few microseconds and loads no matplotlib; memory does not grow with the length of the run.
"""

from __future__ import annotations

import copy
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

from m.metrics.alerts import Alert
from m.metrics.history import load_numpy
from m.metrics.named import LONGEST_NAME, SETTING_FIELDS, NamedHistories
from m.metrics.pickled import say_that_it_was_pickled
from m.metrics.rank import is_to_show
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot
from m.metrics.text import harmless
from sinks.plotting.appearance import Appearance, DisplayOptions, Off, appearance_for, check_place
from sinks.plotting.automatic import AutomaticLayout
from sinks.plotting.budget import DrawBudget
from sinks.plotting.config import DEFAULT_TITLE, TrainingVisualizerConfig, check_style, validate
from sinks.plotting.layouts import ConfiguredLayout, custom_config, loss_config, size_of
from sinks.plotting.milestones import Milestones
from sinks.plotting.moe import MoeLayout, moe_config
from sinks.plotting.plan import MOST_ALERTS, Layout, Plan, Show
from sinks.plotting.saving import checked_path, save, version
from sinks.plotting.shown import BLIT_ROOM, UNSEEN_ROOM, Shown
from sinks.plotting.styles import STYLE_BY_NAME
from sinks.plotting.summary import print_safely, summary_of, summary_table, width_of_output

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sinks.plotting.figure import TrainingFigure

logger = logging.getLogger(__name__)

_NO_DESCRIPTION: Final = Run().description


class PlotSink:
    """Curves of every metric as one figure.

    ``config`` says what goes where; without one, or when it names neither plots nor metrics, the figure lays itself
    out by the metrics it is given. It is copied: changes made to it afterwards have no effect. ``summary`` prints a
    table of the numbers at the end of each run. ``clock`` gives the seconds from which throughput is derived.

    ``display`` says where the figure appears while training goes on. A process of its own draws ``"window"``, which
    goes at `close` unless ``keep_open``, and ``"image"``, the PNG or SVG file at ``image_path``, replaced at most every
    ``image_every_s`` seconds and at `close`. The training process itself draws, on the thread that emits, the output
    of a cell for ``"notebook"``, updated in place; or calls a function that is given as ``display`` with the up-to-date
    matplotlib figure. That happens when ``update_interval`` steps have passed, at most twice a second, and takes at
    most ``draw_budget`` of the time. ``"off"`` is nowhere; ``"auto"`` is the cell in a notebook, else a window where
    there is a screen, else nowhere. When the window is closed or cannot be had, that is a line in the log, and the run
    goes on. Of a training in several processes only the one of rank ``on_rank`` shows and prints anything by itself,
    with None each of them; the rank is looked up at the first point of a run (`m.metrics.rank`).

    ``style`` is how it looks: ``"screen"``, ``"dark"`` or ``"paper"``. ``smoothing`` is the factor of a moving average
    in front of each curve, or a mapping of metrics to such factors; ``second_axis`` puts ``"time"`` or ``"tokens"``
    along the top (see `TrainingVisualizerConfig`). ``where``, the keywords of these two paragraphs, take the place of
    what ``config`` says.

    Asked for by `figure`, `force_update` or `save_plot`, the figure shows every point up to that moment; of thousands
    it shows the extremes, and every one of them. All of these may be called from any thread, before the first snapshot
    and after `close`. Raises ``TypeError``/``ValueError`` for a configuration that cannot work.
    """

    def __init__(
        self,
        config: TrainingVisualizerConfig | None = None,
        *,
        summary: bool = True,
        clock: Callable[[], float] = time.monotonic,
        **where: Unpack[DisplayOptions],
    ) -> None:
        config = TrainingVisualizerConfig() if config is None else config
        validate(config)
        config = copy.deepcopy(config, {id(config.display): config.display})  # the method's object is not ours to copy
        configured = bool(config.plots or config.metrics)
        self._set_up(config, ConfiguredLayout if configured else AutomaticLayout, summary, clock, where)

    @classmethod
    def moe(
        cls,
        n_experts: int | None = None,
        update_interval: int = 1,
        *,
        summary: bool = True,
        clock: Callable[[], float] = time.monotonic,
        **where: Unpack[DisplayOptions],
    ) -> PlotSink:
        """Losses, metrics of the task, experts and throughput, in 2 x 2 panels.

        With ``n_experts`` each expert's utilization is drawn, as lines or, for more than a dozen, as a heat map. A
        custom metric joins the task's panel when its name says that it is an error, an accuracy or another score.
        """
        sink = cls.__new__(cls)
        sink._set_up(moe_config(update_interval), lambda config: MoeLayout(config, n_experts), summary, clock, where)
        return sink

    @classmethod
    def loss(cls, update_interval: int = 100, **options: Any) -> PlotSink:
        """Losses and the learning rate, side by side, both on log axes. ``options`` are those of the class."""
        return cls(loss_config(update_interval), **options)

    @classmethod
    def custom(
        cls,
        metrics_config: Mapping[str, tuple[int, str | None]],
        plot_titles: Sequence[str],
        subplot_layout: tuple[int, int],
        update_interval: int = 100,
        title: str = DEFAULT_TITLE,
        *,
        figure_size: tuple[float, float] | None = None,
        max_points: int | None = None,
        **options: Any,
    ) -> PlotSink:
        """Panels with these titles in a grid of (rows, columns); each metric with its panel's position and its colour.

        ``figure_size`` None gives each panel 6 x 4 inches. ``options`` are those of the class.
        """
        config = custom_config(
            metrics_config,
            plot_titles,
            subplot_layout,
            update_interval,
            title,
            figure_size=figure_size,
            max_points=max_points,
        )
        return cls(config, **options)

    def _set_up(
        self,
        config: TrainingVisualizerConfig,
        layout_of: Callable[[TrainingVisualizerConfig], Layout],
        summary: bool,
        clock: Callable[[], float],
        where: DisplayOptions,
    ) -> None:
        unknown = [name for name in where if name not in DisplayOptions.__annotations__]
        if unknown:
            known = ", ".join(DisplayOptions.__annotations__)
            raise TypeError(f"unknown keyword {unknown[0]!r}; where a plot appears is said by {known}")
        self._config = config = replace(config, **where)
        validate(config)
        if isinstance(config.smoothing, Mapping):
            config.smoothing = dict(config.smoothing)
        self._layout = layout_of(config)
        self._planned: tuple[tuple[str, ...], Plan] | None = None  # the newest plan, and for which names
        check_place(config)
        if config.image_path is not None:  # as it is now: the training may go to another folder
            config.image_path = Path(os.path.abspath(config.image_path))
        self._budget = DrawBudget(float(config.draw_budget))
        self._prints_summary = summary
        self._clock = clock
        self._interval = int(config.update_interval)
        self._settings = {metric.metric_name for metric in config.metrics} & set(SETTING_FIELDS)
        self._drawing = threading.RLock()  # never taken by record
        self._figure: TrainingFigure | None = None
        self._failed_before = False
        self._closed = False
        self._run: Run | None = None
        self._begin()
        me = weakref.ref(self)
        self._appearance: Appearance = appearance_for(config, _source(me), _figure_shower(me), self._budget)

    def _begin(self) -> None:
        self._numbers = NamedHistories(self._settings, clock=self._clock)
        axis = self._config.second_axis
        self._milestones = None if axis is None else Milestones(axis, self._clock)
        self._record = self._numbers.record if axis is None else self._record_both
        self._alerts: deque[tuple[int, str]] = deque(maxlen=MOST_ALERTS)
        self._interval_of_last: int | None = None
        self._saved: list[str] = []
        image = self._config.image_path
        self._image_before = None if image is None else version(image)
        self._speaks = True
        self._budget.begin()

    # -- what the hub calls -------------------------------------------------------------------------------------------

    def start(self, run: Run) -> None:
        """A run begins. What was recorded before belongs to another run: that is summed up and forgotten.

        Loads NumPy, which a run of more than ten thousand steps needs and which takes time in the middle of one.
        """
        if self._closed:
            return
        load_numpy()
        self._appearance.run_ended()
        self._sum_up()
        with self._drawing:
            self._run = run
            self._begin()
            if self._milestones is not None:
                self._milestones.start()

    def record(self, snapshot: TrainingSnapshot) -> None:
        """Keep the snapshot's numbers. Draws nothing and takes no lock; for one thread at a time."""
        self._record(snapshot)
        interval = snapshot.step // self._interval
        if interval != self._interval_of_last:
            self._next_interval(interval, snapshot.step)

    def alert(self, alert: Alert) -> None:
        """Mark the alert's step in the panels."""
        if not self._closed:
            self._alerts.append((alert.step, alert.rule[:LONGEST_NAME]))

    def close(self) -> None:
        """Print the summary and let go of the figure. Again: nothing. Whoever asks for the figure still gets it."""
        if self._closed:
            return
        self._closed = True
        self._record = _ignore
        self._appearance.close()
        self._appearance = Off()
        self._sum_up()
        with self._drawing:
            self._figure = None

    # -- what its owner asks for --------------------------------------------------------------------------------------

    @property
    def config(self) -> TrainingVisualizerConfig:
        """The configuration that the figure follows; a copy of the one that was given."""
        return self._config

    @property
    def figure(self) -> Figure:
        """The matplotlib figure, with every point up to now. The same object until `close`."""
        with self._drawing:
            return self._up_to_date().figure

    @property
    def written(self) -> list[str]:
        """The files of this run: those that were saved, and the live image, unless it could not be drawn; for the
        closing summary."""
        image = self._config.image_path
        if image is None or self._interval_of_last is None or not self._speaks:
            return list(self._saved)
        is_of_this_run = version(image) not in (None, self._image_before)
        return [os.fspath(image), *self._saved] if self._appearance.shows or is_of_this_run else list(self._saved)

    def force_update(self) -> None:
        """Bring the figure up to date and draw it now, whatever the update interval.

        Never raises: a training loop calls it. What goes wrong is logged, the first time with its traceback.
        """
        try:
            with self._drawing, self._budget.measured():
                self._up_to_date().draw()
        except Exception as error:
            logger.error("the figure could not be drawn: %s", harmless(str(error)), exc_info=not self._failed_before)
            self._failed_before = True

    def save_plot(self, path: str | os.PathLike[str], *, style: str | None = None) -> None:
        """Save the figure, with every point up to now, as PNG, PDF or SVG by the extension of ``path``.

        ``style`` is that of this file, such as ``"paper"``; None: that of the configuration. Missing folders are made;
        the file is replaced at once and whole. Raises ``ValueError`` for another extension or an unknown style, and
        ``OSError`` when it cannot be written.
        """
        target = checked_path(path)
        style = self._config.style if style is None else style
        check_style(style)
        with self._drawing, self._budget.measured():
            if style == self._config.style:
                figure = self._up_to_date()
            else:
                figure = self._new_figure(style)
                self._bring_up_to_date(figure)
            save(figure.figure, target, dpi=STYLE_BY_NAME[style].png_dpi)
        if str(target) not in self._saved:
            self._saved.append(str(target))

    def get_metrics_summary(self) -> dict[str, dict[str, float]]:
        """``current``, ``min``, ``max``, ``mean`` and ``count`` of every metric of this run, drawn or not.

        Over the whole run, whatever ``max_points`` is. NaN and infinities count, and are left out of the rest;
        ``current`` may be nan.
        """
        with self._drawing:
            return summary_of(self._numbers.histories())

    def __copy__(self) -> PlotSink:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> PlotSink:
        return self  # as with the hub: the copy of a model that holds its sink reports to the same sink

    def __reduce__(self) -> tuple[Any, ...]:
        # in another process there is nothing to record, and nowhere to show it
        return (_closed_sink, (replace(self._config, display="off", image_path=None),))

    # -- parts --------------------------------------------------------------------------------------------------------

    def _record_both(self, snapshot: TrainingSnapshot) -> None:
        assert self._milestones is not None  # this is what a sink with a second axis records by
        self._numbers.record(snapshot)
        self._milestones.record(snapshot)

    def _next_interval(self, interval: int, step: int) -> None:
        if self._interval_of_last is None:
            self._speaks = is_to_show(self._config.on_rank)
            if self._speaks:
                self._appearance.first_point()
        # The first step of a run is due only when it is a multiple; a later one also when it went past a multiple.
        if self._speaks and (self._interval_of_last is not None or step % self._interval == 0):
            self._appearance.redraw_due()
        self._interval_of_last = interval

    def _shown(self) -> Shown:
        config, numbers = self._config, self._numbers
        histories = numbers.histories()
        names = tuple(histories)
        planned = self._planned
        if planned is None or planned[0] != names:
            planned = self._planned = names, self._layout.plan(names)
        show = Show(
            planned[1],
            self._title(),
            config.max_points,
            tuple(self._alerts),
            BLIT_ROOM if config.use_blit else UNSEEN_ROOM,
            None if self._milestones is None else self._milestones.scale(),
            config.style,
        )
        return Shown(numbers, histories, show)

    def _up_to_date(self) -> TrainingFigure:
        if self._figure is None:
            self._figure = self._new_figure(self._config.style)
        self._bring_up_to_date(self._figure)
        return self._figure

    def _new_figure(self, style: str) -> TrainingFigure:
        from sinks.plotting.figure import TrainingFigure

        return TrainingFigure(size_of(self._config), style=STYLE_BY_NAME[style])

    def _bring_up_to_date(self, figure: TrainingFigure) -> None:
        shown = self._shown()
        figure.show(replace(shown.show, room=0.0), shown.histories)

    def _title(self) -> str:
        described = self._run is not None and self._run.description not in ("", _NO_DESCRIPTION)
        if self._run is not None and described and self._config.title == DEFAULT_TITLE:
            return self._run.description[:LONGEST_NAME]
        return self._config.title

    def _sum_up(self) -> None:
        if not self._prints_summary or not self._speaks:
            return
        title = self._title()
        with self._drawing:
            text = summary_table(
                self._numbers.histories(),
                "" if title == DEFAULT_TITLE else title,
                self._numbers.left_out,
                self._budget.report(),
                width_of_output(),
            )
        if text:
            print_safely(text)


def _ignore(snapshot: TrainingSnapshot) -> None:
    """What a closed sink does with a snapshot."""


def _say_and_ignore(snapshot: TrainingSnapshot) -> None:
    """What a sink that was pickled does with one."""
    say_that_it_was_pickled("sink")


def _source(sink: weakref.ref[PlotSink]) -> Callable[[], Shown | None]:
    """What ``sink`` has to show; a sink that nobody has any more is not kept by whoever shows it."""

    def source() -> Shown | None:
        there = sink()
        return None if there is None else there._shown()

    return source


def _figure_shower(sink: weakref.ref[PlotSink]) -> Callable[[Callable[[Figure], object]], None]:
    def show_figure(show: Callable[[Figure], object]) -> None:
        there = sink()
        if there is None or not there._drawing.acquire(blocking=False):
            return  # another thread has it drawn, and the one that trains does not wait
        try:
            show(there._up_to_date().figure)
        finally:
            there._drawing.release()

    return show_figure


def _closed_sink(config: TrainingVisualizerConfig) -> PlotSink:
    sink = PlotSink(config, summary=False)
    sink.close()
    sink._record = _say_and_ignore
    return sink
