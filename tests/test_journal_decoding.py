import pytest

from m.journal.decoding import NewerVersionError, decode
from m.journal.encoding import encode
from m.journal.records import MAX_DEPTH, MAX_LINE, Unknown
from m.metrics.run import Run


@pytest.mark.fault("G10")
def test_unknown_keys_are_ignored_and_unknown_types_passed_on():
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
        b'{"type":"run","version":1}\n',
        b'{"type":"run","version":"1"}\n',
        b'{"type":"alert","step":1}\n',
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
