"""Loads by layer in a journal: few as numbers at every step, many packed and now and then, none of them ever a loss."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from m.hub.hub import MetricsHub
from m.journal import encoding, read
from m.journal.decoding import Decoder, decode
from m.journal.encoding import LOADS_BYTES_PER_S, MOST_DOUBLES, SPELLED_LOADS, SnapshotEncoder
from m.journal.records import MAX_LINE, Recorded
from m.metrics.snapshot import TrainingSnapshot
from sinks.jsonl import JsonlSink


@pytest.fixture(params=["orjson", "by hand"])
def encoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> SnapshotEncoder:
    if request.param == "by hand":
        monkeypatch.setattr(encoding, "orjson", None)
    else:
        pytest.importorskip("orjson")
    return SnapshotEncoder()


def snapshot(layers: Any, step: int = 0) -> TrainingSnapshot:
    return TrainingSnapshot(step, 0.5, expert_utilization=layers, custom_metrics={"accuracy": 0.25})


def recorded(line: bytes) -> Recorded:
    record = decode(line)
    assert isinstance(record, Recorded)
    return record


def test_few_loads_are_written_as_numbers_at_every_step(encoder: SnapshotEncoder) -> None:
    given = snapshot({0: {0: 3, 1: 5}, "decoder": [0.1, 0.2]})
    for seq in range(1, 4):
        line = encoder.encode(given, seq, 0.0)
        assert json.loads(line)["expert_layers"] == {"0": {"0": 3, "1": 5}, "decoder": {"0": 0.1, "1": 0.2}}
        assert "expert_utilization" not in json.loads(line)
        assert recorded(line).snapshot == given


def test_loads_that_are_no_finite_numbers_survive(encoder: SnapshotEncoder) -> None:
    back = recorded(encoder.encode(snapshot({0: [math.nan, math.inf, -math.inf, 1.0]}), 1, 0.0)).snapshot
    assert str(back.expert_utilization) == "{0: {0: nan, 1: inf, 2: -inf, 3: 1.0}}"


def test_many_loads_are_packed_without_losing_a_digit(encoder: SnapshotEncoder) -> None:
    generator = np.random.default_rng(0)
    loads = generator.random((4, SPELLED_LOADS))
    loads[1, 1:4] = math.nan, math.inf, 5e-324
    given = snapshot({**dict(enumerate(loads)), "odd": {7: 0.5, 3: 2**53 - 1.0}})
    line = encoder.encode(given, 1, 0.0)
    back = recorded(line).snapshot.expert_utilization
    for layer, column in enumerate(loads):
        assert np.array_equal(np.frombuffer(back[layer].numbers), column, equal_nan=True)  # type: ignore[index, union-attr]
    assert back["odd"] == {7: 0.5, 3: 2**53 - 1.0}  # type: ignore[index]
    assert list(back) == [0, 1, 2, 3, "odd"]


def test_many_loads_are_written_as_often_as_their_size_allows(encoder: SnapshotEncoder) -> None:
    given = snapshot(np.ones((48, 1024)))
    written = [
        second
        for second in range(100)
        if "expert_layers" in json.loads(encoder.encode(given, second + 1, 1000.0 + second))
    ]
    assert written == [0, 27, 54, 81]
    line = encoder.encode(given, 101, 1100.0)
    assert json.loads(line)["expert_layers_left_out"] == 48 * 1024
    assert recorded(line).extra == {"expert_layers_left_out": 48 * 1024}
    assert recorded(line).snapshot.train_loss == 0.5
    assert len(line) < 300
    assert pytest.approx(26.2, abs=0.1) == 48 * 1024 * 8 * 4 / 3 / LOADS_BYTES_PER_S


def test_a_clock_that_is_set_back_does_not_stop_the_loads(encoder: SnapshotEncoder) -> None:
    given = snapshot(np.ones((48, 1024)))
    encoder.encode(given, 1, 1e9)
    assert "expert_layers" in json.loads(encoder.encode(given, 2, 1000.0))


def test_more_loads_than_a_line_holds_lose_precision_and_then_themselves_but_never_the_record(
    encoder: SnapshotEncoder,
) -> None:
    many = snapshot(np.full((100, MOST_DOUBLES // 64), 0.1))
    line = encoder.encode(many, 1, 0.0)
    assert len(line) <= MAX_LINE
    back = recorded(line).snapshot.expert_utilization
    assert back[99][5] == pytest.approx(0.1, rel=1e-7)  # type: ignore[index]
    too_many = recorded(encoder.encode(snapshot(np.ones((200, 1000))), 2, 100.0))
    assert too_many.snapshot.expert_utilization == {}
    assert too_many.extra == {"expert_layers_left_out": 200_000}
    assert too_many.snapshot.custom_metrics == {"accuracy": 0.25}


def test_labels_too_long_for_a_line_cost_the_loads_and_not_the_record(encoder: SnapshotEncoder) -> None:
    back = recorded(encoder.encode(snapshot({f"{layer}" + "x" * 400_000: [1.0] for layer in range(3)}), 1, 0.0))
    assert back.snapshot.train_loss == 0.5
    assert back.extra == {"expert_layers_left_out": 3}


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ("[1]", "cannot be"),
        ('{"0":[1]}', "not the loads of a layer"),
        ('{"0":{"f8":"AAA"}}', "padding"),
        ('{"0":{"f8":"AAAA"}}', "multiple of item size"),
        ('{"0":{"f8":7}}', "'f8' cannot be 7"),
        ('{"0":{"f8":"AAAAAAAA8D8=","ids":[1,2]}}', "shorter"),
        ('{"0":{"f8":"AAAAAAAA8D8=","ids":["x"]}}', "whole numbers"),
        ('{"0":{"x":1}}', "invalid literal"),
        ('{"0":{"1":"x"}}', "not a number"),
    ],
)
def test_what_is_no_layer_makes_a_bad_line(layers: str, reason: str) -> None:
    line = f'{{"type":"snapshot","seq":1,"time":1.0,"step":0,"expert_layers":{layers}}}'.encode()
    with pytest.raises(ValueError, match=reason):
        decode(line)


def test_labels_without_end_are_limited_by_a_reader() -> None:
    encoder = SnapshotEncoder()
    lines = [encoder.encode(snapshot({f"layer {step}": [1.0]}, step), step + 1, 0.0) for step in range(10)]
    decoder = Decoder(max_names=5)
    read_back = [record.snapshot for record in decoder.records(lines) if isinstance(record, Recorded)]
    assert len(read_back) == 10
    assert sum(bool(each.expert_utilization) for each in read_back) == 4  # the fifth name is the custom metric's
    assert decoder.left_out == 6


def test_layers_come_back_from_a_file_through_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with MetricsHub([JsonlSink(path)]) as hub:
        for step in range(3):
            hub.emit(snapshot({"a": [step, 1], "b": {5: 1.0}}, step))
    merged = read(path).merged()
    assert [each.snapshot.expert_utilization for each in merged] == [
        {"a": {0: step, 1: 1}, "b": {5: 1.0}} for step in range(3)
    ]
