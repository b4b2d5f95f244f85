"""Whatever a snapshot holds, writing and reading gives it back; one record is one line; every line is plain JSON."""

import decimal
import fractions
import json
import math
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from journal_files import UNHURRIED

from m.journal import encoding
from m.journal.decoding import decode
from m.journal.encoding import SnapshotEncoder, encode
from m.journal.follower import Follower
from m.journal.reader import read
from m.journal.records import End, Gap, Recorded, Unrepresentable
from m.journal.redaction import redacted
from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import FIELDS, NUMBER_FIELDS, TrainingSnapshot
from sinks.jsonl import JsonlSink

WAYS = ["by hand", "careful"] + ["orjson"] * (encoding.orjson is not None)

# -- what a snapshot can hold -----------------------------------------------------------------------------------------

characters = st.one_of(
    st.characters(),
    st.characters(categories=["Cs"]),  # lone surrogates
    st.sampled_from("\n\r\x00\x1b\x7f\x85\u2028\u2029\\\"'{}[],:$_<0"),
)
texts = st.one_of(
    st.text(characters, max_size=12),
    st.sampled_from(
        ["", "NaN", "Infinity", "-Infinity", "nan", "null", "true", "text", "unrepresentable", "__class__"]
    ),
    st.sampled_from(['{"text": "NaN"}', '"},{"type":"run"', '{"type":"run",', "損失 🔥", "\ud83d", "\udd25"]),
)
numbers = st.one_of(
    st.floats(),
    st.integers(),
    st.booleans(),
    st.sampled_from([0.0, -0.0, 5e-324, 1.7976931348623157e308, math.nan, math.inf, -math.inf, 1e16, 0.1 + 0.2]),
    st.sampled_from([2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64]),
    st.just(400).map(lambda digits: -(10**digits)),
    st.floats(width=32).map(np.float32),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.decimals() | st.fractions(),
)
anything = st.one_of(
    numbers,
    texts,
    st.none(),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["text", "unrepresentable", "a"]), st.just("NaN"), max_size=2),
    st.binary(max_size=3),
    st.sampled_from([object(), np.zeros(3), 1j, Unrepresentable("list")]),
)
snapshots = st.builds(
    TrainingSnapshot,
    step=st.integers() | st.integers(0, 10**6),
    train_loss=st.none() | numbers,
    expert_utilization=st.dictionaries(st.integers() | st.integers(0, 200), numbers, max_size=6),
    custom_metrics=st.dictionaries(texts | st.integers(), anything, max_size=6),
    **{name: st.none() | numbers for name in NUMBER_FIELDS if name != "train_loss"},
)


def test_the_snapshots_below_hold_what_they_should():
    """Among what is drawn there must be each kind of thing that ever was trouble."""
    assert isinstance(TrainingSnapshot(0, decimal.Decimal("0.1")).train_loss, float)
    assert isinstance(TrainingSnapshot(0, fractions.Fraction(1, 3)).train_loss, float)
    odd = TrainingSnapshot(0, 10**5000, custom_metrics={"none": None, 5: "five", "list": [1], "text": "\ud83d"})
    assert odd.train_loss is None
    assert odd.custom_metrics == {"5": "five", "list": [1], "text": "\ud83d"}


# -- and what is read of it -------------------------------------------------------------------------------------------


def joined(text):
    """Two lone surrogates that make a pair become one character: the one thing that JSON cannot tell apart."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def as_read(snapshot):
    """``snapshot`` as a reader has it: its custom metrics are numbers, texts, or marked as what they were."""
    metrics = {}
    for name, value in snapshot.custom_metrics.items():
        if isinstance(value, str):
            value = joined(value)
        elif not isinstance(value, (bool, int, float, Unrepresentable)):
            value = Unrepresentable(type(value).__name__)
        metrics[joined(name)] = value
    values = {name: getattr(snapshot, name) for name in FIELDS}
    loads = values["expert_utilization"] or None
    return TrainingSnapshot(**{**values, "expert_utilization": loads, "custom_metrics": metrics})


def assert_same(read_back, snapshot):
    expected = as_read(snapshot)
    for name in FIELDS:
        ours, theirs = getattr(expected, name), getattr(read_back, name)
        assert repr(theirs) == repr(ours), name  # tells -0.0 from 0.0, 1 from 1.0 and True, and NaN is NaN
        assert type(theirs) is type(ours), name


def assert_one_plain_line(line):
    assert line.endswith(b"\n")
    assert len(line.splitlines()) == line.count(b"\n") == 1
    assert line.isascii()

    def refuse(constant):
        raise AssertionError(f"bare {constant}")

    json.loads(line, parse_constant=refuse)


class WithoutOrjson(SnapshotEncoder):
    def encode(self, snapshot, seq, time):
        with mock.patch.object(encoding, "orjson", None):
            return super().encode(snapshot, seq, time)


def encoder_that_writes(way):
    encoder = SnapshotEncoder() if way == "orjson" else WithoutOrjson()
    if way == "careful":
        encoder._by_hand = lambda *_: None
    return encoder


@pytest.mark.fault("F1", "F16")
@pytest.mark.parametrize("way", WAYS)
@given(snapshots, st.integers(1, 10**12), st.floats(0, 4e9))
@example(TrainingSnapshot(0, math.nan, custom_metrics={"\ud83d": 1.0, "a": "\udd25"}), 1, 0.0)
@example(TrainingSnapshot(2**70, math.inf, -math.inf, expert_utilization={-1: math.nan}), 1, 0.0)
@settings(UNHURRIED, max_examples=300)
def test_any_snapshot_is_one_line_of_plain_json_and_reads_back(way, snapshot, seq, time):
    line = encoder_that_writes(way).encode(snapshot, seq, time)
    assert_one_plain_line(line)
    recorded = decode(line)
    assert isinstance(recorded, Recorded)
    assert recorded.seq == seq
    assert abs(recorded.time - time) < 0.000501
    assert_same(recorded.snapshot, snapshot)


@pytest.mark.parametrize("way", WAYS)
@given(st.dictionaries(st.integers(0, 10**4), st.floats(0, 1), min_size=64, max_size=256))
@settings(UNHURRIED, max_examples=20)
def test_the_load_of_any_number_of_experts_reads_back(way, shares):
    snapshot = TrainingSnapshot(0, 0.5, expert_utilization=shares)
    assert_same(decode(encoder_that_writes(way).encode(snapshot, 1, 0.0)).snapshot, snapshot)


@pytest.mark.parametrize("rotate_mb", [None, 0.0005], ids=["one file", "segments"])
@given(st.lists(snapshots, max_size=8), texts)
@settings(UNHURRIED, max_examples=60)
def test_any_run_that_a_sink_writes_is_read_and_followed_as_it_was(rotate_mb, emitted, description):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        follower, followed = Follower(path), []
        sink = JsonlSink(path, rotate_mb=rotate_mb)
        sink.start(Run(description))
        for snapshot in emitted:
            sink.record(snapshot)
            followed += follower.new()
        sink.close()
        followed += follower.new()
        journal = read(path)
        (attempt,) = journal.attempts
        assert attempt.run.description == joined(description)
        assert [recorded.seq for recorded in attempt.snapshots] == list(range(1, len(emitted) + 1))
        for recorded, snapshot in zip(attempt.snapshots, emitted, strict=True):
            assert_same(recorded.snapshot, snapshot)
        assert journal.marks == sink.unrepresentable
        assert journal.marks or journal.shortfall() == ""
        assert repr([each for each in followed if isinstance(each, Recorded)]) == repr(attempt.snapshots)


plain_numbers = st.integers() | st.floats()
records = st.one_of(
    st.builds(
        Run,
        description=texts,
        total_steps=st.none() | st.integers(),
        initial_step=st.integers(),
        run_id=texts,
        attempt=st.integers(),
        started_at=st.floats(allow_nan=False, allow_infinity=False),
        rank=st.integers(),
    ),
    st.builds(
        Alert,
        step=st.integers(),
        rule=texts.filter(bool),
        message=texts,
        value=st.none() | st.booleans() | plain_numbers,
    ),
    st.builds(Gap, st.integers(), st.none() | st.integers(), st.none() | st.integers()),
    st.builds(End, st.integers(), st.integers(), st.floats(0, 4e9).map(lambda time: round(time, 3))),
)


@given(records)
@settings(UNHURRIED, max_examples=300)
def test_any_other_record_is_one_line_of_plain_json_and_reads_back(record):
    line = encode(record)
    assert_one_plain_line(line)
    expected = repr(record).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    assert repr(decode(line)) == expected


@given(st.text(max_size=40) | st.text("token=:/@ \"'5a", max_size=40))
@settings(UNHURRIED)
def test_a_text_for_people_is_what_it_was_but_for_secrets(text):
    assert decode(encode(Run(text))).description == redacted(text)
