"""Pictures drawn in the training process: when they are drawn, and what happens when they cannot be."""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

import pytest
from matplotlib.figure import Figure

from m.hub.hub import MetricsHub
from m.metrics.snapshot import TrainingSnapshot
from sinks.plotting.budget import DrawBudget
from sinks.plotting.config import TrainingVisualizerConfig
from sinks.plotting.inline import Inline
from sinks.plotting.shown import Shown
from sinks.plotting.sink import PlotSink


class Viewer:
    """A user's own place for the figure."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.figures: set[Figure] = set()

    def show(self, figure: Figure) -> None:
        self.figures.add(figure)
        self.seen.append(
            max(line.get_xdata().size for line in figure.axes[0].lines if line.get_label() == "train_loss")
        )


def sink_for(display: Any, clock: list[float], **config: Any) -> PlotSink:
    sink = PlotSink(TrainingVisualizerConfig(display=display, **config), summary=False)
    sink._budget._clock = lambda: clock[0]
    sink._budget.begin()
    return sink


def test_a_function_gets_the_figure_with_every_point_when_a_redraw_is_due() -> None:
    viewer, now = Viewer(), [0.0]
    sink = sink_for(viewer.show, now, update_interval=10)
    for step in range(1, 31):
        sink.record(TrainingSnapshot(step, 0.5))
        now[0] += 1.0
    assert viewer.seen == [10, 20, 30]
    assert viewer.figures == {sink.figure}
    sink.record(TrainingSnapshot(31, 0.5))
    sink.close()
    assert viewer.seen == [10, 20, 30, 31], "the last points too"


def test_redraws_that_are_due_too_often_become_one() -> None:
    viewer, now = Viewer(), [0.0]
    sink = sink_for(viewer.show, now, update_interval=1)
    for step in range(1000):
        sink.record(TrainingSnapshot(step, 0.5))
        now[0] += 0.01
    assert 15 <= len(viewer.seen) <= 20, "twice a second at most"
    sink.close()


def test_a_method_of_an_object_that_cannot_be_copied_is_a_place(hubs: Any) -> None:
    class Page:
        def __init__(self) -> None:
            self.lock = threading.Lock()  # which makes a deep copy fail
            self.shown = 0

        def show(self, figure: Figure) -> None:
            self.shown += 1

    page = Page()
    sink = PlotSink(TrainingVisualizerConfig(display=page.show), summary=False)
    hub = hubs([sink])
    hub.emit(TrainingSnapshot(0, 0.5))
    assert page.shown == 1


def test_each_run_ends_with_a_picture_of_all_of_it() -> None:
    viewer, now = Viewer(), [0.0]
    sink = sink_for(viewer.show, now, update_interval=1)
    with MetricsHub([sink]) as hub:
        hub.start(3, "one")
        for step in range(3):
            hub.emit(TrainingSnapshot(step, 0.5))
        hub.start(3, "two")
        for step in range(2):
            hub.emit(TrainingSnapshot(step, 0.5))
    assert viewer.seen == [1, 3, 1, 2]


def test_a_picture_that_fails_is_a_line_in_the_log_and_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    now, calls = [0.0], []

    def show(figure: Figure) -> None:
        calls.append(1)
        raise RuntimeError("no page")

    sink = sink_for(show, now, update_interval=1)
    with caplog.at_level(logging.WARNING):
        for step in range(5):
            sink.record(TrainingSnapshot(step, 0.5))
            now[0] += 10.0
        sink.close()
    assert len(calls) == 6
    assert [record.getMessage() for record in caplog.records] == ["the plot could not be shown: no page"] * 6
    assert [bool(record.exc_info) for record in caplog.records] == [True] + [False] * 5


def test_whoever_draws_in_another_thread_does_not_keep_the_training_waiting() -> None:
    viewer, now = Viewer(), [0.0]
    sink = sink_for(viewer.show, now, update_interval=1)
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with sink._drawing:
            held.set()
            go_on.wait(10.0)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10.0)
    sink.record(TrainingSnapshot(0, 0.5))  # would wait for ever
    assert viewer.seen == []
    go_on.set()
    thread.join()
    sink.close()
    assert viewer.seen == [1]


class Drawn:
    def __init__(self) -> None:
        self.drawn = 0
        self.forgotten = 0

    def draw(self, shown: Shown, *, last: bool = False) -> None:
        self.drawn += 1
        if self.drawn == 2:
            raise KeyboardInterrupt

    def forget(self) -> None:
        self.forgotten += 1


def test_what_was_interrupted_is_made_anew_and_the_interrupt_is_the_users() -> None:
    output, now = Drawn(), [0.0]
    sink = PlotSink(display="off", summary=False)
    inline = Inline(output, sink._shown, DrawBudget(0.05, lambda: now[0]))
    inline.redraw_due()
    now[0] += 10.0
    with pytest.raises(KeyboardInterrupt):
        inline.redraw_due()
    now[0] += 10.0
    inline.redraw_due()
    assert (output.drawn, output.forgotten) == (3, 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_draws_nothing() -> None:
    output = Drawn()
    inline = Inline(output, lambda: None, DrawBudget())
    inline._source = PlotSink(display="off", summary=False)._shown
    pid = os.fork()
    if not pid:
        inline.redraw_due()
        os._exit(output.drawn)
    assert os.waitpid(pid, 0)[1] == 0
    inline.redraw_due()
    assert output.drawn == 1


def test_the_summary_says_what_drawing_has_cost(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    sink = PlotSink(display="off")
    sink._budget._clock = lambda: now[0]
    sink._budget.begin()
    sink.record(TrainingSnapshot(0, 0.5))
    sink.force_update()
    now[0] = 10.0
    sink.close()
    assert "  figure drawn once in this process: 0.0 s, 0.0 % of the time\n" in capsys.readouterr().out


@pytest.mark.fault("D19")
@pytest.mark.parametrize(("on_rank", "shows"), [(0, False), (3, True), (None, True)])
def test_of_many_processes_one_shows_and_prints(
    on_rank: int | None, shows: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    viewer = Viewer()
    sink = PlotSink(TrainingVisualizerConfig(update_interval=1), display=viewer.show, on_rank=on_rank)
    monkeypatch.setenv("RANK", "3")  # as launchers and late set-up code do
    sink.record(TrainingSnapshot(0, 0.5))
    sink.close()
    assert bool(viewer.seen) is shows
    assert ("Training summary" in capsys.readouterr().out) is shows
    assert sink.get_metrics_summary()["train_loss"]["count"] == 1, "what is asked for is had everywhere"
