import json
import math
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from m.journal import encoding
from m.journal.decoding import decode
from m.journal.encoding import SnapshotEncoder, encode
from m.journal.records import MAX_LINE, MAX_TEXT, End, Gap, Recorded, Unrepresentable
from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import FIELDS, TrainingSnapshot

try:
    import orjson
except ImportError:
    orjson = None

EVERYTHING = TrainingSnapshot(
    step=7,
    train_loss=0.1 + 0.2,
    val_loss=1e-320,
    learning_rate=3e-4,
    aux_loss=-0.0,
    expert_utilization={0: 0.25, 7: 0.75, -1: 1e22},
    batch_size=32,
    sequence_length=2**62,
    gpu_memory_mb=1.7976931348623157e308,
    gradient_norm=5.0,
    custom_metrics={"accuracy": 0.5, "tokens": 2**63 - 1, "phase": "warm-up", "resumed": True, "": 1.0},
)


@pytest.fixture(params=["by hand", "orjson", "careful"])
def encoder(request, monkeypatch):
    """Each of the three ways in which a line comes about; what they write must read back the same."""
    if request.param == "orjson" and orjson is None:
        pytest.skip("orjson is not installed")
    monkeypatch.setattr(encoding, "orjson", orjson if request.param == "orjson" else None)
    encoder = SnapshotEncoder()
    if request.param == "careful":
        encoder._by_hand = lambda *arguments: None
    return encoder


def back(encoder, snapshot, seq=1, time=1700000000.25):
    line = encoder.encode(snapshot, seq, time)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert line.isascii()
    strictly(line)
    recorded = decode(line)
    assert isinstance(recorded, Recorded)
    assert (recorded.seq, recorded.time) == (seq, time)
    return recorded.snapshot


def strictly(line):
    """Parse as a reader does that knows JSON and nothing of Python's additions to it."""

    def no(constant):
        raise AssertionError(f"bare {constant}")

    return json.loads(line, parse_constant=no)


def assert_same(one, other):
    for name in FIELDS:
        left, right = getattr(one, name), getattr(other, name)
        assert repr(left) == repr(right), name  # tells -0.0 from 0.0, 1 from 1.0 and True, and NaN is NaN
        assert type(left) is type(right)


def test_every_field_reads_back_exactly(encoder):
    assert_same(back(encoder, EVERYTHING), EVERYTHING)


def test_a_line_names_the_fields_and_leaves_out_what_was_not_measured(encoder):
    assert json.loads(encoder.encode(TrainingSnapshot(3, 0.5, gradient_norm=2.0), 9, 1.5)) == {
        "type": "snapshot",
        "seq": 9,
        "time": 1.5,
        "step": 3,
        "train_loss": 0.5,
        "gradient_norm": 2.0,
    }
    assert "train_loss" not in json.loads(encoder.encode(TrainingSnapshot(3, None), 1, 0.0))


@pytest.mark.fault("F1")
@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["train_loss", "learning_rate", "gpu_memory_mb", "batch_size"])
def test_numbers_that_json_lacks_are_strings_in_fields(encoder, name, odd):
    snapshot = TrainingSnapshot(1, 0.5, custom_metrics={"other": 1.0})
    values = {field: getattr(snapshot, field) for field in FIELDS} | {"expert_utilization": None, name: odd}
    snapshot = TrainingSnapshot(**values)
    spelled = json.loads(encoder.encode(snapshot, 1, 0.0))[name]
    assert spelled == {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(odd)]
    assert_same(back(encoder, snapshot), snapshot)


def test_a_line_does_not_depend_on_those_before_it(encoder):
    """The dictionary that is filled for a line is that of the line before."""
    kinds = [
        EVERYTHING,
        TrainingSnapshot(1, 0.5),
        TrainingSnapshot(2, None),
        TrainingSnapshot(3, 0.5, val_loss=0.25),
        TrainingSnapshot(4, 0.5, aux_loss=0.25),
        TrainingSnapshot(5, 0.5, custom_metrics={"a": 1.0, "b": 2}),
        TrainingSnapshot(6, 0.5, custom_metrics={"a": math.nan}),
        TrainingSnapshot(7, 0.5, custom_metrics={"dump": "x" * MAX_LINE, "n": 1.0}),
        TrainingSnapshot(8, 0.5, expert_utilization={0: 0.5, 1: 0.5}),
        TrainingSnapshot(9, 0.5, expert_utilization={0: {0: 0.5, 1: 0.5}, 1: {0: 1.0, 1: math.nan}}),
    ]
    for before in kinds:
        encoder.encode(before, 1, 0.0)
        for snapshot in kinds:
            alone = SnapshotEncoder()
            alone._by_hand = encoder._by_hand
            assert encoder.encode(snapshot, 2, 1.5) == alone.encode(snapshot, 2, 1.5)
            encoder.encode(before, 1, 0.0)


@pytest.mark.parametrize("time", [0.0, 0.0004, 0.0005, 1.9996, 1700000000.2494, 1700000000.2496, 4102444799.9999])
def test_the_time_is_rounded_to_milliseconds(encoder, time):
    written = json.loads(encoder.encode(TrainingSnapshot(1, 0.5), 1, time))["time"]
    assert abs(written - time) <= 0.000501
    assert round(written, 3) == written


def test_numbers_that_json_lacks_in_the_dictionaries(encoder):
    snapshot = TrainingSnapshot(
        1, 0.5, expert_utilization={0: math.nan, 1: 0.5}, custom_metrics={"a": math.inf, "b": -math.inf, "c": 1}
    )
    assert_same(back(encoder, snapshot), snapshot)


def test_infinities_that_cancel_and_sums_that_overflow_do_not_pass_for_finite(encoder):
    snapshot = TrainingSnapshot(1, math.inf, -math.inf, custom_metrics={"a": 1.7e308, "b": 1.7e308})
    assert_same(back(encoder, snapshot), snapshot)


def test_text_that_looks_like_a_number_stays_text(encoder):
    metrics = {
        "name": "NaN",
        "other": "Infinity",
        "third": "-Infinity",
        "number": math.nan,
        "near": "nan",
        "quoted": '{"text": "NaN"}',
        "null": None,
        "word": "null",
    }
    snapshot = TrainingSnapshot(1, 0.5, custom_metrics=metrics)
    assert_same(back(encoder, snapshot), snapshot)


@pytest.mark.fault("F16")
@pytest.mark.parametrize(
    "name",
    [
        "new\nline",
        "carriage\rreturn",
        "line\u2028separator\u2029",
        "next\x85line",
        "lone \ud800 surrogate",
        'quote " and \\ backslash',
        "\x00\x1b[2J\x7f",
        "損失 🔥",
        "%r %s {0}",
        '},{"type":"run"',
    ],
)
def test_any_name_and_text_makes_one_line_and_reads_back(encoder, name):
    snapshot = TrainingSnapshot(1, 0.5, custom_metrics={name: 1.0})
    assert_same(back(encoder, snapshot), snapshot)
    snapshot = TrainingSnapshot(1, 0.5, custom_metrics={"text": name, "nan": math.nan})
    assert_same(back(encoder, snapshot), snapshot)
    for record in (Run(description=name), Alert(1, name, name)):
        line = encode(record)
        assert line.count(b"\n") == 1
        assert line.isascii()
        assert decode(line) == record


@pytest.mark.fault("G9")
def test_what_cannot_be_written_is_marked_and_counted(encoder):
    metrics = {"list": [1, [2]], "own": EVERYTHING, "cycle": {}, "fine": 1.0}
    metrics["cycle"]["itself"] = metrics["cycle"]
    line = encoder.encode(TrainingSnapshot(1, 0.5, custom_metrics=metrics), 1, 0.0)
    written = json.loads(line)["custom_metrics"]
    assert written["list"] == {"unrepresentable": "list"}
    assert written["own"] == {"unrepresentable": "TrainingSnapshot"}
    assert written["fine"] == 1.0
    assert encoder.unrepresentable == 3
    read = decode(line).snapshot
    assert read.custom_metrics["cycle"] == Unrepresentable("dict")
    assert json.loads(encoder.encode(read, 1, 0.0))["custom_metrics"] == written, "a copy of a journal is the same"


@pytest.mark.fault("F13")
def test_steps_of_any_size_and_booleans(encoder):
    for step in (0, -5, 2**70):
        assert back(encoder, TrainingSnapshot(step, 0.5)).step == step
    assert back(encoder, TrainingSnapshot(True, 0.5)).step == 1
    assert_same(back(encoder, TrainingSnapshot(1, True, batch_size=2.0)), TrainingSnapshot(1, True, batch_size=2.0))


def test_a_number_on_a_device_is_waited_for(encoder):
    class OnDevice:
        size = 1

        def copy_to_host_async(self):
            pass

        def item(self):
            return 0.25

    pending = TrainingSnapshot(1, OnDevice(), custom_metrics={"a": OnDevice()})
    assert_same(back(encoder, pending), TrainingSnapshot(1, 0.25, custom_metrics={"a": 0.25}))


def test_a_line_is_never_longer_than_a_reader_takes(encoder):
    snapshot = TrainingSnapshot(1, 0.5, custom_metrics={"dump": "x" * MAX_LINE, "short": "y", "n": 1.0})
    read = back(encoder, snapshot)
    assert read.custom_metrics == {"dump": Unrepresentable("str"), "short": "y", "n": 1.0}
    with pytest.raises(ValueError, match="step 1 has"):
        encoder.encode(TrainingSnapshot(1, 0.5, custom_metrics={f"{i:01000}": 1.0 for i in range(1000)}), 1, 0.0)
    assert len(decode(encode(Alert(1, "rule", "x" * MAX_LINE))).message) == MAX_TEXT


def test_a_name_of_a_megabyte_costs_itself_and_not_the_record(encoder):
    snapshot = TrainingSnapshot(1, 0.5, custom_metrics={"x" * MAX_LINE: 1.0, "\x1b" * MAX_LINE: "text", "n": 1.0})
    read = back(encoder, snapshot)
    assert (read.train_loss, read.custom_metrics) == (0.5, {"n": 1.0})
    assert encoder.unrepresentable == 2
    assert sum(map(len, encoder._names)) < MAX_TEXT


@pytest.mark.fault("F17")
def test_names_that_never_repeat_do_not_fill_the_memory(encoder):
    for number in range(6000):
        encoder.encode(TrainingSnapshot(1, 0.5, custom_metrics={f"name {number}": 1.0}), 1, 0.0)
    assert len(encoder._names) <= 4096


@pytest.mark.parametrize(
    "record",
    [
        Run("Training MoE", 1000, 500, "abc", 3, 1700000000.123456),
        Run(total_steps=None),
        Alert(5, "non_finite_loss", "the loss is nan"),
        Alert(5, "loss_spike", "up", -math.inf),
        Gap(5, 10, 14),
        Gap(1),
        End(12, 3, 1700000000.5),
    ],
)
def test_other_records_read_back(record):
    assert decode(encode(record)) == record


def test_an_alert_with_nan_reads_back_as_nan():
    line = encode(Alert(5, "non_finite_loss", "the loss is nan", math.nan))
    assert strictly(line)["value"] == "NaN"
    assert math.isnan(decode(line).value)


def test_a_header_says_what_it_is():
    run = Run("Training", 10, 0, "abc", 1, 5.0)
    assert encode(run) == (
        b'{"type":"run","version":1,"run_id":"abc","attempt":1,"rank":0,"description":"Training",'
        b'"total_steps":10,"initial_step":0,"started_at":5.0}\n'
    )


@pytest.mark.fault("A23")
def test_a_broken_orjson_is_as_good_as_none(tmp_path):
    (tmp_path / "orjson.py").write_text("raise RuntimeError('built for another machine')")
    code = (
        "from m import TrainingSnapshot; from m.journal import encoding; "
        "print(encoding.orjson, encoding.SnapshotEncoder().encode(TrainingSnapshot(1, 0.5), 1, 2.0))"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    line = b'{"type":"snapshot","seq":1,"time":2.000,"step":1,"train_loss":0.5}\n'
    assert done.stdout == f"None {line!r}\n"


def test_a_run_is_written_under_any_of_its_numbers():
    run = Run(total_steps=5, run_id="abc", started_at=1)
    assert decode(encode(run)) == replace(run, started_at=1.0)
