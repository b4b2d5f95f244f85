from __future__ import annotations

import json
import math
import random
from array import array
from typing import Any

import pytest

from m.metrics.history import AMPLE, NARROW, History
from m.metrics.named import NamedHistories
from m.metrics.snapshot import TrainingSnapshot
from sinks.plotting.automatic import AutomaticLayout
from sinks.plotting.config import TrainingVisualizerConfig
from sinks.plotting.mirror import Mirror
from sinks.plotting.moe import MoeLayout, moe_config
from sinks.plotting.news import MOST_POINTS, TOGETHER, News, together
from sinks.plotting.plan import Plan, Show
from sinks.plotting.points import points_of
from sinks.plotting.protocol import (
    KEPT,
    LARGEST,
    POINTS,
    RUN,
    SERIES,
    SHOW,
    Frames,
    frame,
    kept,
    points,
    read_kept,
    read_points,
    read_show,
    read_words,
    show,
    words,
)
from sinks.plotting.shown import Shown, drawn_names

NASTY = ["_x", "$\\frac$", "a\nb", "\x1b[31m", "\U0001f680", "\ud800", "", "größe"]


def one(data: bytes) -> tuple[bytes, bytes]:
    [only] = Frames().add(data)
    return only


# -- frames


def test_frames_survive_any_cutting_into_pieces() -> None:
    sent = [(SERIES, b""), (POINTS, b"x"), (SHOW, bytes(range(256)) * 50), (RUN, b"{}")]
    stream = b"".join(frame(kind, body) for kind, body in sent)
    cut = random.Random(1)
    for largest in (1, 3, 7, 1000, len(stream)):
        frames, got, at = Frames(), [], 0
        while at < len(stream):
            size = cut.randint(1, largest)
            got += frames.add(stream[at : at + size])
            at += size
        assert got == sent


@pytest.mark.parametrize("head", [b"\0\0\0\0h", b"\xff\xff\xff\xffh"])
def test_what_is_no_frame_is_refused(head: bytes) -> None:
    with pytest.raises(ValueError, match="a frame must have 1 to"):
        list(Frames().add(head))


def test_a_frame_that_nobody_would_read_is_not_made() -> None:
    with pytest.raises(ValueError, match="a frame holds at most"):
        frame(SHOW, bytes(LARGEST))


def test_points_arrive_bit_by_bit_as_they_were() -> None:
    steps = array("d", [0.0, 1.0, 5.0, 2.0, 1e300])
    values = array("d", [math.nan, -math.inf, 5e-324, -0.0, 1.7e308])
    number, got_steps, got_values = read_points(one(points(7, steps, values))[1])
    assert number == 7
    assert got_steps.tobytes() == steps.tobytes()
    assert got_values.tobytes() == values.tobytes()


def test_points_are_little_endian_doubles() -> None:
    assert points(1, array("d", [1.0]), array("d", [2.0])).hex() == (
        "15000000" + "70" + "01000000" + "000000000000f03f" + "0000000000000040"
    )


def test_columns_of_different_length_are_refused() -> None:
    for body in (b"", bytes(4 + 8), bytes(4 + 15)):
        with pytest.raises(ValueError, match="two columns of doubles"):
            read_points(body)


@pytest.mark.parametrize("name", NASTY)
def test_any_name_survives(name: str) -> None:
    assert read_words(one(words(SERIES, {"id": 1, "name": name}))[1]) == {"id": 1, "name": name}


@pytest.mark.parametrize("body", [b"[]", b"3", b"null"])
def test_words_are_an_object(body: bytes) -> None:
    with pytest.raises(ValueError, match="must hold a JSON object"):
        read_words(body)


def plans() -> list[Plan]:
    experts = tuple(f"expert_{expert}" for expert in range(20))
    names = ("train_loss", "val_loss", "accuracy", "position_error", "expert_entropy", "load_balance")
    names += ("samples_per_sec", "tokens_per_sec")
    return [
        MoeLayout(moe_config(), 4).plan((*names, *experts[:4])),
        MoeLayout(moe_config(), 20).plan((*names, *experts)),
        MoeLayout(moe_config()).plan((*names, "load_balance_worst", "load_cv/0", "dead_experts/0", "load_cv/\ud800")),
        AutomaticLayout(TrainingVisualizerConfig()).plan((*names, *NASTY, *(f"metric {i}" for i in range(12)))),
    ]


@pytest.mark.parametrize("plan", plans())
def test_a_plan_arrives_equal(plan: Plan) -> None:
    told = Show(plan, "\ud800 title", 500, ((3, "loss_spike"), (10**30, "x")))
    body = one(show(told))[1]
    json.loads(body)
    assert read_show(body) == told


# -- what is new


class Run:
    """Numbers of a run, and a mirror that is told of them."""

    def __init__(self, **more: Any) -> None:
        self.news, self.mirror, self.more = News(), Mirror(), more
        self.begin()

    def begin(self) -> None:
        self.numbers = NamedHistories()

    def record(self, step: int, loss: float, **metrics: float) -> None:
        self.numbers.record(TrainingSnapshot(step, loss, custom_metrics=dict(metrics)))

    def tell(self, most_frames: int | None = None) -> list[bytes]:
        histories = self.numbers.histories()
        plan = AutomaticLayout(TrainingVisualizerConfig()).plan(tuple(histories))
        shown = Shown(self.numbers, histories, Show(plan, **self.more))
        kinds = []
        for count, data in enumerate(self.news.frames(shown), 1):
            for kind, body in Frames().add(data):
                kinds.append(kind)
                self.mirror.take(kind, body)
            if count == most_frames:
                break
        return kinds

    def mirrored(self) -> dict[str, list[float]]:
        seen = self.mirror.seen()
        return {} if seen is None else {name: list(history.columns()[1]) for name, history in seen[2].items()}


def test_only_what_is_new_is_told() -> None:
    run = Run()
    run.record(0, 3.0)
    assert run.tell() == [RUN, SERIES, SHOW, POINTS]
    assert run.tell() == []
    run.record(1, 2.0)
    run.record(2, 1.0)
    assert run.tell() == [POINTS]
    assert run.mirrored() == {"train_loss": [3.0, 2.0, 1.0]}


def test_a_metric_that_comes_late_comes_whole() -> None:
    run = Run()
    run.record(0, 3.0)
    run.tell()
    run.record(1, 2.0, accuracy=0.5)
    assert run.tell() == [SERIES, SHOW, POINTS, POINTS]
    assert run.mirrored() == {"train_loss": [3.0, 2.0], "accuracy": [0.5]}


def test_who_stops_in_the_middle_gets_the_rest_next_time() -> None:
    """A full pipe is no reason to lose or repeat a point."""
    run = Run(title="t")
    expected = [float(index) for index in range(MOST_POINTS + 5)]
    for step, loss in enumerate(expected):
        run.record(step, loss, other=-loss)
    rounds = 0
    while run.tell(most_frames=1):
        rounds += 1
    assert rounds == 1 + 2 + 1 + 2 * 2
    assert run.mirrored() == {"train_loss": expected, "other": [-value for value in expected]}


def test_another_run_begins_anew() -> None:
    run = Run()
    run.record(0, 3.0, accuracy=0.5)
    run.tell()
    run.begin()
    run.record(0, 9.0)
    assert run.tell() == [RUN, SERIES, SHOW, POINTS]
    assert run.mirrored() == {"train_loss": [9.0]}


def test_title_and_alerts_are_told_when_they_change() -> None:
    run = Run()
    run.record(0, 3.0)
    run.tell()
    run.more = {"title": "MoE", "alerts": ((0, "spike"),), "newest": 10}
    assert run.tell() == [SHOW]
    seen = run.mirror.seen()
    assert seen is not None
    assert (seen[1].title, seen[1].alerts, seen[1].newest) == ("MoE", ((0, "spike"),), 10)


def test_a_history_that_is_replaced_is_told_anew() -> None:
    """A rate is derived until it is given: from then on the given points alone are its course."""
    run = Run()
    run.record(0, 3.0)
    run.tell()
    run.numbers._fields["train_loss"] = other = History()
    other.append(5, 5.0)
    assert run.tell() == [SERIES, POINTS]
    assert run.mirrored() == {"train_loss": [5.0]}


def test_a_history_with_narrow_room_has_it_on_both_sides() -> None:
    """From the moment in which it gets it, and what was told before is there as well."""
    run = Run()
    for step in range(30_000):
        run.record(step, float(step), accuracy=-float(step))
        if step % 5000 == 4999:
            run.tell()
        if step == 14_999:
            run.numbers.histories()["accuracy"].room = NARROW
    assert run.tell() == []
    seen = run.mirror.seen()
    assert seen is not None
    assert seen[2]["train_loss"].room == AMPLE
    narrow = seen[2]["accuracy"]
    assert narrow.room == NARROW
    assert len(narrow) == 30_000
    assert len(narrow.columns()[0]) < NARROW.raw + NARROW.fold
    assert len(narrow.kept().folded.levels) == 1
    assert (narrow.summary().max, narrow.summary().min) == (0.0, -29_999.0)


def long_history(points: int, *, spike_at: int) -> History:
    """Noise with one spike, folded as it grew, so that most of it is buckets."""
    history = History()
    generator = random.Random(points)
    for start in range(0, points, 5000):
        many = range(start, min(start + 5000, points))
        values = [99.0 if index == spike_at else math.nan if index == 77 else generator.random() for index in many]
        history.extend(array("d", many), array("d", values))
    assert len(history.columns()[0]) < points
    return history


def drawn(history: History) -> tuple[list[float], list[float]]:
    result = points_of(history)
    return list(result.x), list(result.y)


def test_what_a_history_put_together_before_it_was_told_is_told_as_it_is_kept() -> None:
    """The drawing process was stopped while a fast run went on: its curve must be the run's all the same."""
    run = Run()
    history = run.numbers._fields["train_loss"] = long_history(60_000, spike_at=1234)
    assert run.tell() == [RUN, SERIES, SHOW, KEPT]
    mirror = run.mirror.seen()
    assert mirror is not None
    twin = mirror[2]["train_loss"]
    assert repr(drawn(twin)) == repr(drawn(history))  # nan is not equal to itself, its text is
    assert 99.0 in drawn(twin)[1]
    assert (twin.summary().mean, twin.summary().count) == (history.summary().mean, 60_000)
    assert run.tell() == []
    history.append(60_000.0, 0.5)
    assert run.tell() == [POINTS]
    assert len(twin) == 60_001


def test_a_drawing_process_keeps_a_long_run_in_bounded_memory_too() -> None:
    run = Run()
    history = run.numbers._fields["train_loss"] = History()
    for start in range(0, 40_000, 2000):
        history.extend(array("d", range(start, start + 2000)), array("d", [float(start)] * 2000))
        run.tell()
    seen = run.mirror.seen()
    assert seen is not None
    twin = seen[2]["train_loss"]
    assert len(twin) == 40_000
    assert len(twin.columns()[0]) < 20_000
    assert drawn(twin) == drawn(history)


def test_a_frame_of_what_is_kept_reads_back_as_it_was() -> None:
    history = long_history(30_000, spike_at=5)
    everything = history.kept()
    ((kind, body),) = Frames().add(kept(7, everything))
    number, twin = read_kept(body)
    assert (kind, number) == (KEPT, 7)
    assert twin.folded.running == everything.folded.running
    assert (twin.steps, twin.start, twin.folded.last_step) == (
        everything.steps,
        everything.start,
        everything.folded.last_step,
    )
    for one, other in zip(twin.folded.levels, everything.folded.levels, strict=True):
        assert one.tobytes() == other.tobytes()
    with pytest.raises(ValueError, match="points"):
        read_kept(body[:-16])


def test_the_names_that_a_plan_draws() -> None:
    lines, heat_map, *_ = plans()
    assert [name for name in drawn_names(lines) if name.startswith("expert_")] == [
        *("expert_0", "expert_1", "expert_2", "expert_3"),
        "expert_entropy",
    ]
    assert {f"expert_{expert}" for expert in range(20)} < set(drawn_names(heat_map))


def test_frames_go_together_and_in_order_up_to_a_size() -> None:
    frames = [bytes([number]) * 1000 for number in range(100)]
    pieces = list(together(frames))
    assert b"".join(pieces) == b"".join(frames)
    assert len(pieces) == -(-100 // -(-TOGETHER // 1000))
    assert all(TOGETHER <= len(piece) < TOGETHER + 1000 for piece in pieces[:-1])
    assert list(together([])) == []
