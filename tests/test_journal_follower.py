import itertools
import threading

import pytest
from journal_files import header, snapshots, steps_of

from m.journal import follower as following
from m.journal.decoding import NewerVersionError
from m.journal.encoding import encode
from m.journal.follower import Follower
from m.journal.reader import read
from m.journal.records import MAX_LINE, End, Gap, Recorded
from m.journal.segments import segment_path
from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot
from sinks.jsonl import JsonlSink


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "run.jsonl"


@pytest.fixture
def naps(monkeypatch):
    """What happens at each sleep of a follower, instead of time passing: the next of these calls, one a sleep."""
    calls, taken = [], []

    def nap(seconds):
        taken.append(seconds)
        calls.pop(0)()

    monkeypatch.setattr(following, "_sleep", nap)
    yield calls, taken
    assert calls == [], "the follower slept less often than something happened"


def new_steps(follower):
    return steps_of(record for record in follower.new() if isinstance(record, Recorded))


def snap(step):
    return TrainingSnapshot(step, 0.5)


def test_a_journal_is_followed_from_before_it_is_there_to_its_end(path, naps):
    calls, taken = naps
    sink = JsonlSink(path)
    follower = Follower(path, poll_every_s=0.25)
    calls += [
        lambda: None,
        lambda: sink.start(Run(total_steps=2)),
        lambda: sink.record(snap(0)),
        lambda: [sink.record(snap(1)), sink.alert(Alert(1, "rule", "up"))],
        lambda: None,
        sink.close,
    ]
    kinds = []
    for record in follower:
        kinds.append(type(record).__name__)
        if isinstance(record, End):
            break
    assert kinds == ["Run", "Recorded", "Recorded", "Alert", "End"]
    assert taken == [0.25] * 6, "it sleeps whenever there is nothing new, and only then"


def test_a_look_does_not_wait(path, naps):
    follower = Follower(str(path))
    assert list(follower.new()) == []
    sink = JsonlSink(path)
    sink.record(snap(0))
    assert new_steps(follower) == [0]
    assert new_steps(follower) == []
    sink.record(snap(1))
    sink.close()
    assert new_steps(follower) == [1]


def test_a_new_attempt_begins_with_its_header(path):
    follower = Follower(path)
    for attempt in (1, 2):
        sink = JsonlSink(path)
        sink.record(snap(attempt * 10))
        sink.close()
        run, recorded, end = follower.new()
        assert (run.attempt, recorded.snapshot.step) == (attempt, attempt * 10)
        assert isinstance(end, End)


def test_a_torn_line_comes_when_it_is_whole_and_counts_as_bad_when_it_stays_torn(path):
    path.parent.mkdir()
    follower = Follower(path)
    whole = snapshots([0, 1])
    path.write_bytes(header() + whole[:-9])
    assert new_steps(follower) == [0]
    assert (follower.torn, follower.bad_lines) == (True, 0)
    path.write_bytes(header() + whole)
    assert new_steps(follower) == [1]
    path.write_bytes(header() + whole + snapshots([2])[:30])
    assert new_steps(follower) == []
    sink = JsonlSink(path)
    sink.record(snap(3))
    sink.close()
    assert new_steps(follower) == [3]
    assert (follower.torn, follower.bad_lines) == (False, 1)


@pytest.mark.fault("G12")
def test_rotation_is_not_seen_but_for_the_headers(path):
    sink = JsonlSink(path, rotate_mb=0.001)
    follower = Follower(path)
    steps, headers = [], set()
    for step in range(60):
        sink.record(snap(step))
        if step % 7 == 0:
            for record in follower.new():
                if isinstance(record, Run):
                    headers.add((record.run_id, record.attempt))
                else:
                    steps.append(record.snapshot.step)
    sink.close()
    steps += new_steps(follower)
    assert segment_path(path, 5).exists()
    assert steps == list(range(60))
    assert len(headers) == 1
    assert follower.bad_lines == 0


def test_gaps_bad_lines_and_names_past_the_limit_are_told_and_counted(path):
    path.parent.mkdir()
    names = b'{"type":"snapshot","seq":1,"time":1,"step":1,"custom_metrics":{"a":1,"b":2,"c":3}}\n'
    path.write_bytes(header() + b"?\n" + encode(Gap(2, 1, 2)) + names + b"x" * MAX_LINE + b"\n")
    follower = Follower(path, max_names=2)
    _, gap, recorded = follower.new()
    assert gap == Gap(2, 1, 2)
    assert recorded.snapshot.custom_metrics == {"a": 1, "b": 2}
    assert (follower.bad_lines, follower.left_out) == (2, 1)


def test_stopping_ends_the_iteration(path, naps):
    calls, _ = naps
    follower = Follower(path)
    calls.append(follower.stop)
    assert list(follower) == []
    assert list(follower) == [], "for good"


def test_stopping_in_the_middle_gives_nothing_more(path):
    path.parent.mkdir()
    path.write_bytes(header() + snapshots(range(5)))
    follower = Follower(path)
    seen = []
    for record in follower:
        seen.append(record)
        if len(seen) == 3:
            follower.stop()
    assert len(seen) == 3


def test_it_can_be_stopped_from_another_thread(path):
    follower = Follower(path, poll_every_s=0.01)
    ended = threading.Event()

    def work():
        for _ in follower:
            pass
        ended.set()

    threading.Thread(target=work, daemon=True).start()
    follower.stop()
    assert ended.wait(20)


def test_it_starts_no_thread(path, naps):
    calls, _ = naps
    before = threading.active_count()
    during = []
    follower = Follower(path)
    calls += [lambda: during.append(threading.active_count()), follower.stop]
    assert list(follower) == []
    assert during == [before]


def test_what_a_follower_saw_is_what_a_reader_reads(path):
    """Whatever the moment of each look, with rotation and several attempts."""
    follower = Follower(path)
    seen = []
    looks = itertools.cycle([True, False, False, True, False])
    for attempt in range(3):
        sink = JsonlSink(path, rotate_mb=0.002)
        for step in range(attempt * 10, attempt * 10 + 25):
            sink.record(snap(step))
            if next(looks):
                seen += follower.new()
        sink.close()
    seen += follower.new()
    journal = read(path)
    assert [each for each in seen if isinstance(each, Recorded)] == journal.merged(overlap="all")
    assert sum(isinstance(each, End) for each in seen) == 3


def test_a_later_change_of_folder_does_not_lose_the_journal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.jsonl").write_bytes(header() + snapshots([0]))
    follower = Follower("run.jsonl")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert new_steps(follower) == [0]


def test_a_newer_version_is_an_error(path):
    path.parent.mkdir()
    path.write_bytes(header().replace(b'"version":1', b'"version":9'))
    with pytest.raises(NewerVersionError):
        list(Follower(path).new())


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), True, "1", None])
def test_a_bad_interval_is_refused(path, bad):
    with pytest.raises(ValueError, match="poll_every_s must be a positive number of seconds"):
        Follower(path, poll_every_s=bad)


def test_a_bad_limit_of_names_is_refused(path):
    with pytest.raises(ValueError, match="max_names must be a whole number of 1 or more; got 0"):
        Follower(path, max_names=0)
