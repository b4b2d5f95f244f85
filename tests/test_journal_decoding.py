import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_files import UNHURRIED

from m.journal.decoding import Decoder, NewerVersionError, decode
from m.journal.encoding import SnapshotEncoder, encode
from m.journal.records import MAX_DEPTH, MAX_LINE, MAX_NAMES, MAX_TEXT, End, Gap, Unknown
from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot


@pytest.mark.fault("G10")
def test_unknown_keys_of_a_snapshot_are_kept_and_unknown_types_passed_on():
    line = snapshot_line("a")
    newer = decode(line.replace(b'"seq"', b'"z_loss":0.5,"seq"'))
    assert newer.extra == {"z_loss": 0.5}
    assert (newer.snapshot, decode(line).extra) == (decode(line).snapshot, {})
    line = encode(Run("Training", run_id="abc", started_at=1.0))
    assert decode(line.replace(b'"attempt"', b'"host":"node7","attempt"')) == decode(line)
    assert decode(b'{"type":"histogram","bins":[1,2]}') == Unknown("histogram", {"type": "histogram", "bins": [1, 2]})


@pytest.mark.fault("G10")
def test_a_newer_version_is_named_and_not_misread():
    line = encode(Run()).replace(b'"version":1', b'"version":2')
    with pytest.raises(NewerVersionError, match="version 2 of the format, and this library reads up to 1"):
        decode(line)


@pytest.mark.fault("G9")
@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"\x00\x00\x00\n",
        b"\xff\xfe\n",
        b"[]\n",
        b"12\n",
        b"{}\n",
        b'{"type":7}\n',
        b'{"type":"snapshot","seq":1,"time":1.0}\n',
        b'{"type":"snapshot","seq":true,"time":1.0,"step":1}\n',
        b'{"type":"snapshot","seq":1,"time":1.0,"step":1.5}\n',
        b'{"type":"snapshot","seq":1,"time":1.0,"step":1,"train_loss":NaN}\n',
        b'{"type":"snapshot","seq":1,"time":1.0,"step":1,"train_loss":"nan"}\n',
        b'{"type":"snapshot","seq":1,"time":1.0,"step":1,"train_loss":null}\n',
        b'{"type":"snapshot","seq":1,"time":1.0,"step":1,"train_loss":[0.5]}\n',
        b'{"type":"snapshot","seq":1,"time":1.0,"step":1,"expert_utilization":{"a":1}}\n',
        b'{"type":"snapshot","seq":1,"time":1.0,"step":1,"custom_metrics":[]}\n',
        b'{"type":"snapshot","seq":1,"time":1.0,"step":' + b"9" * 5000 + b"}\n",
        b'{"type":"snapshot","seq":1,"time":1.0,"st',
        b'{"type":"snapshot","seq":1,"time":1' + b"0" * 400 + b',"step":1}\n',
        b'{"type":"run","version":1}\n',
        b'{"type":"run","version":"1"}\n',
        b'{"type":"alert","step":1}\n',
        b'{"type":"alert","step":1' + b"0" * 300 + b',"rule":"rule","message":"up","value":0.5}\n',
        b'{"type":"gap"}\n',
        b'{"type":"end"}\n',
        b'{"type":"x","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
        b'{"type":"x","a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}\n",
        b'{"type":"x","a":"' + b"x" * MAX_LINE + b'"}\n',
    ],
    ids=lambda line: line[:60].decode("latin-1"),
)
def test_what_is_no_record_is_a_value_error(line):
    with pytest.raises(ValueError):  # noqa: PT011 - many reasons, one consequence: the line is skipped
        decode(line)


def test_depth_is_counted_outside_of_text():
    inside = b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1)
    assert isinstance(decode(b'{"type":"x","a":' + inside + b"}"), Unknown)
    assert isinstance(decode(b'{"type":"x","a":"' + b"[{" * 100 + b'"}'), Unknown)


def test_a_header_of_before_there_were_ranks_is_of_the_first():
    assert decode(encode(Run()).replace(b'"rank":0,', b"")).rank == 0


# -- whatever somebody puts there -------------------------------------------------------------------------------------

SOUND = [
    encode(Run("Training", 10, 1, "abc", 1, 5.0)),
    encode(Alert(1, "rule", "up", 0.5)),
    encode(Gap(1, 2, 2)),
    encode(End(1, 0, 5.0)),
    SnapshotEncoder().encode(TrainingSnapshot(1, 0.5, expert_utilization={0: 1.0}, custom_metrics={"a": 1.0}), 1, 5.0),
    SnapshotEncoder().encode(TrainingSnapshot(1, 0.5, expert_utilization={"a": [1.0], "7": {7: 1}}), 1, 5.0),
    b'{"type":"snapshot","seq":1,"time":1.0,"step":0,"expert_layers":{"a":{"f8":"AAAAAAAA8D8=","ids":[7]}}}\n',
]
odd = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        st.text(max_size=5),
        st.sampled_from([10**400, "NaN", "Infinity", "1", "9" * 5000]),
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("a7"), inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from(SOUND), st.data())
@settings(UNHURRIED, max_examples=400)
def test_whatever_stands_in_a_line_is_a_record_or_a_value_error(line, data):
    content = json.loads(line)
    content |= data.draw(st.dictionaries(st.sampled_from(sorted(content.keys() - {"type"})), odd, max_size=3))
    try:
        decode(json.dumps(content).encode())
    except ValueError:
        pass


@given(st.binary(max_size=60))
@settings(UNHURRIED)
def test_bytes_of_any_kind_are_a_record_or_a_value_error(data):
    for line in (data, b'{"type":"gap","lost":1' + data, encode(Run())[: len(data)] + data):
        try:
            decode(line)
        except ValueError:
            pass


# -- many lines -------------------------------------------------------------------------------------------------------


def snapshot_line(custom=(), experts=()):
    content = {"type": "snapshot", "seq": 1, "time": 1.0, "step": 1}
    content["custom_metrics"] = dict.fromkeys(custom, 1.0)
    content["expert_utilization"] = dict.fromkeys(experts, 0.5)
    return json.dumps(content).encode()


def test_what_is_no_record_is_skipped_and_counted():
    decoder = Decoder()
    records = list(decoder.records([b"?\n", b" \n", encode(Run()), b"\n", b"[]\n", encode(Run())]))
    assert [type(record) for record in records] == [Run, Run]
    assert decoder.bad_lines == 2


def test_a_name_that_comes_too_late_is_left_out_and_said_once(caplog):
    decoder = Decoder(max_names=3)
    lines = [snapshot_line("ab", "0"), snapshot_line("abcd", "01"), snapshot_line("dcba", "10")]
    kept = [recorded.snapshot for recorded in decoder.records(lines)]
    assert [list(snapshot.custom_metrics) for snapshot in kept] == [["a", "b"], ["a", "b"], ["b", "a"]]
    assert [list(snapshot.expert_utilization) for snapshot in kept] == [[0], [0], [0]]
    assert decoder.left_out == 6
    assert caplog.text.count("names of metrics past the first 3 ") == 1


def test_a_name_that_is_too_long_is_left_out_and_takes_no_place():
    decoder = Decoder(max_names=2)
    lines = [snapshot_line(["x" * (MAX_TEXT + 1), "a", "y" * MAX_TEXT])] * 2
    kept = [list(recorded.snapshot.custom_metrics) for recorded in decoder.records(lines)]
    assert kept == [["a", "y" * MAX_TEXT]] * 2
    assert decoder.left_out == 2


def test_a_file_that_makes_up_names_in_every_line_fills_no_memory():
    decoder = Decoder()
    names = [snapshot_line([f"name {line}.{number}" for number in range(1000)]) for line in range(15)]
    kept = {name for recorded in decoder.records(names) for name in recorded.snapshot.custom_metrics}
    assert len(kept) == len(decoder._names) == MAX_NAMES
    assert decoder.left_out == 5000


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "9", None])
def test_a_bad_limit_of_names_is_refused(bad):
    with pytest.raises(ValueError, match="max_names must be a whole number of 1 or more"):
        Decoder(bad)
