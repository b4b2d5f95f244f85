import contextlib
import copy
import errno
import gc
import json
import math
import os
import pickle
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import pytest
from journal_files import needs_proc, open_files_stay

from m import Background, MetricsHub
from m.journal import file as journal_file
from m.journal import lock as journal_lock
from m.journal.follower import Follower
from m.journal.reader import read
from m.journal.records import Gap, Recorded, Unrepresentable
from m.journal.segments import segment_numbers, segment_path
from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot
from sinks import jsonl
from sinks.jsonl import RETRY_EVERY_S, JsonlSink

ROOT = Path(__file__).parents[1]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
needs_locks = pytest.mark.skipif(journal_lock.fcntl is None, reason="no flock here")


def snap(step, loss=0.5, **custom):
    return TrainingSnapshot(step, loss, custom_metrics=custom)


def steps(path):
    return [recorded.snapshot.step for recorded in read(path).merged()]


def lines(path):
    return [json.loads(line) for line in Path(path).read_bytes().splitlines()]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "moe" / "run.jsonl"


class Disk:
    """``os.write`` of a disk that has ``room`` more bytes; None: no limit."""

    def __init__(self, monkeypatch):
        self.room = None
        self.error = errno.ENOSPC
        self.writes = []
        self.now = 1000.0
        self._write = os.write
        monkeypatch.setattr(journal_file.os, "write", self.write)
        monkeypatch.setattr(jsonl, "_monotonic", lambda: self.now)

    def write(self, descriptor, data):
        if self.room is not None:
            if self.room == 0:
                raise OSError(self.error, os.strerror(self.error))
            data = data[: self.room]
            self.room -= len(data)
        self.writes.append(bytes(data))
        return self._write(descriptor, data)

    def later(self):
        self.now += RETRY_EVERY_S


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


# -- what ends up in the file -----------------------------------------------------------------------------------------


def test_a_run_through_a_real_hub(path):
    sink = JsonlSink(path)
    with MetricsHub([sink], strict=True) as hub:
        run = hub.start(total_steps=3, description="Training MoE")
        for step in range(3):
            hub.emit(TrainingSnapshot(step, 0.5, expert_utilization={0: 0.25, 1: 0.75}, custom_metrics={"a": math.nan}))
        hub.alert(Alert(2, "loss_spike", "up", math.inf))
        hub.log({"train_loss": 0.25, "phase": "late"})
    journal = read(path)
    (attempt,) = journal.attempts
    assert attempt.run == run
    assert [recorded.seq for recorded in attempt.snapshots] == [1, 2, 3, 4]
    assert math.isnan(attempt.snapshots[0].snapshot.custom_metrics["a"])
    assert attempt.snapshots[0].snapshot.expert_utilization == {0: 0.25, 1: 0.75}
    assert attempt.snapshots[3].snapshot == snap(3, 0.25, phase="late")
    assert attempt.alerts == [Alert(2, "loss_spike", "up", math.inf)]
    assert (attempt.end.seq, attempt.end.lost) == (4, 0)
    assert abs(attempt.snapshots[0].time - time.time()) < 60
    assert (journal.bad_lines, journal.torn, sink.lost) == (0, False, 0)


@pytest.mark.fault("G1")
def test_each_record_is_one_write_and_there_before_record_returns(path, disk):
    sink = JsonlSink(path)
    sink.start(Run())
    for step in range(3):
        sink.record(snap(step, **{"new\nline \u2028": 1.0}))
        assert steps(path) == list(range(step + 1))
    sink.alert(Alert(2, "rule", "two\nlines"))
    sink.close()
    assert len(disk.writes) == 6
    assert all(write.count(b"\n") == 1 and write.endswith(b"\n") for write in disk.writes)


def test_nothing_is_made_before_a_run_starts(path):
    sink = JsonlSink(path)
    sink.flush()
    assert not path.parent.exists()
    sink.close()
    sink.record(snap(0))
    assert not path.parent.exists()


@pytest.mark.fault("A7")
def test_a_record_without_a_start_starts_a_run_of_unknown_length(path):
    sink = JsonlSink(path)
    sink.record(snap(500))
    sink.close()
    (attempt,) = read(path).attempts
    assert (attempt.run.initial_step, attempt.run.total_steps) == (500, None)
    assert steps(path) == [500]


def test_closing_twice_and_recording_afterwards_changes_nothing(path):
    sink = JsonlSink(path)
    sink.record(snap(0))
    sink.close()
    before = path.read_bytes()
    sink.close()
    sink.record(snap(1))
    sink.alert(Alert(1, "rule", "late"))
    sink.flush()
    assert path.read_bytes() == before
    assert sink.lost == 2


def test_what_comes_after_a_close_before_the_first_record_is_counted(path, caplog):
    sink = JsonlSink(path)
    sink.close()
    sink.record(snap(0))
    assert (sink.lost, path.exists()) == (1, False)
    assert caplog.text.count("was closed") == 1


def test_what_a_second_hub_emits_after_the_first_has_closed_the_sink_is_lost_and_said_once(path, caplog):
    sink = JsonlSink(path)
    first, second = MetricsHub([sink], rules=[]), MetricsHub([sink], rules=[])
    first.emit(snap(0))
    second.emit(snap(0))
    first.close()
    for step in range(1, 4):
        second.emit(snap(step))
    second.close()
    assert (sink.lost, second.stats().emitted) == (3, 4)
    (message,) = [record.getMessage() for record in caplog.records]
    assert f"journal {path} was closed, maybe by another hub that had the same sink" in message
    with MetricsHub([sink], rules=[]) as third:
        third.start(1)
        third.emit(snap(7))
    assert read(path).attempts[-1].end.lost == 0


def test_a_metric_that_cannot_be_written_is_marked_and_counted(path):
    sink = JsonlSink(path)
    sink.record(snap(0, table=[1, 2], fine=1.0))
    sink.close()
    assert read(path).merged()[0].snapshot.custom_metrics == {"table": Unrepresentable("list"), "fine": 1.0}
    assert (sink.unrepresentable, sink.lost) == (1, 0)


def test_a_record_that_cannot_be_written_is_a_gap_and_not_an_error(path, caplog):
    sink = JsonlSink(path)
    sink.record(snap(0))
    sink.record(TrainingSnapshot(1, 0.5, expert_utilization={1 << 20_000: 1.0}))
    sink.record(snap(2))
    sink.close()
    assert steps(path) == [0, 2]
    assert read(path).attempts[0].gaps == [Gap(1, 2, 2)]
    assert sink.lost == 1
    assert "a record cannot be written" in caplog.text


# -- attempts ---------------------------------------------------------------------------------------------------------


@pytest.mark.fault("I2")
def test_opening_a_journal_again_goes_on_with_its_run(path):
    for attempt in range(3):
        with MetricsHub([JsonlSink(path)], strict=True) as hub:
            hub.start(initial_step=attempt * 2)
            for step in range(attempt * 2, attempt * 2 + 3):
                hub.emit(snap(step, float(attempt)))
    journal = read(path)
    assert len({attempt.run.run_id for attempt in journal.attempts}) == 1
    assert [attempt.run.attempt for attempt in journal.attempts] == [1, 2, 3]
    assert [recorded.seq for recorded in journal.attempts[2].snapshots] == [1, 2, 3]
    assert [recorded.snapshot.train_loss for recorded in journal.merged()] == [0, 0, 1, 1, 2, 2, 2]


def test_starting_again_is_another_run(path):
    runs = []
    with MetricsHub([JsonlSink(path)], strict=True) as hub:
        for trial in range(3):
            runs.append(hub.start(description=f"trial {trial}"))
            hub.emit(snap(0, float(trial)))
    journal = read(path)
    assert [attempt.run for attempt in journal.attempts] == runs
    assert [attempt.end.seq for attempt in journal.attempts] == [1, 1, 1]
    assert journal.merged(runs[0].run_id)[0].snapshot.train_loss == 0.0
    JsonlSink(path).start(Run())
    resumed = read(path).attempts[-1].run
    assert (resumed.run_id, resumed.attempt) == (runs[-1].run_id, 2)


def test_the_same_run_announced_again_is_another_attempt(path):
    sink, run = JsonlSink(path), Run()
    sink.start(run)
    sink.start(run)
    sink.close()
    sink.start(run)
    sink.close()
    assert [(each.run.run_id, each.run.attempt) for each in read(path).attempts] == [(run.run_id, n) for n in (1, 2, 3)]


def test_a_run_that_says_what_it_resumes_is_believed(path):
    first, second = Run(), Run(attempt=7)
    for run in (first, second):
        sink = JsonlSink(path)
        sink.start(run)
        sink.close()
    assert [attempt.run for attempt in read(path).attempts] == [first, second]


@pytest.mark.fault("G2")
def test_a_torn_line_is_closed_off_before_the_next_attempt(path):
    sink = JsonlSink(path)
    sink.record(snap(0))
    sink.record(snap(1))
    sink.close()
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b'"seq":2') + 12])
    sink = JsonlSink(path)
    sink.record(snap(1))
    sink.close()
    journal = read(path)
    assert (steps(path), journal.bad_lines, journal.torn) == ([0, 1], 1, False)
    assert [attempt.run.attempt for attempt in journal.attempts] == [1, 2]


# -- one writer -------------------------------------------------------------------------------------------------------


@pytest.mark.fault("G7")
@needs_locks
def test_a_second_writer_gets_a_file_of_its_own(path, caplog):
    first, second = JsonlSink(path), JsonlSink(path)
    first.record(snap(0))
    second.record(snap(10))
    first.record(snap(1))
    second.record(snap(11))
    first.close()
    second.close()
    assert first.path == path
    assert second.path != path
    assert second.path.parent == path.parent
    assert second.path.name.startswith(f"run-{os.getpid()}-")
    assert second.path.suffix == ".jsonl"
    assert steps(path) == [0, 1]
    assert steps(second.path) == [10, 11]
    (message,) = [record.getMessage() for record in caplog.records]
    assert str(path) in message
    assert str(second.path) in message
    assert "another JsonlSink of this process (close its hub" in message


@needs_locks
@pytest.mark.parametrize("starts", [True, False])
def test_a_cell_that_is_run_again_without_a_close_goes_on_in_the_same_file(path, caplog, starts):
    def cell(names):
        names["hub"] = MetricsHub([JsonlSink(path)], rules=[])
        if starts:
            names["hub"].start(3)
        for step in range(3):
            names["hub"].emit(snap(step))

    names = {}
    gc.collect()
    for _ in range(3):
        cell(names)
    names["hub"].close()
    assert os.listdir(path.parent) == ["run.jsonl"]
    assert [len(attempt.snapshots) for attempt in read(path).attempts] == [3, 3, 3]
    assert all(attempt.end is not None for attempt in read(path).attempts)
    assert [record.getMessage() for record in caplog.records] == []


@needs_locks
@pytest.mark.parametrize("chained", ["not", "as context", "as cause", "to itself"])
def test_a_cell_that_was_interrupted_and_is_run_again_goes_on_in_the_same_file(path, caplog, monkeypatch, chained):
    def train(hub):
        for step in range(3):
            hub.emit(snap(step))
        raise KeyboardInterrupt

    def cell(names):
        names["hub"] = MetricsHub([JsonlSink(path)], rules=[])
        names["hub"].start(3)
        cause = None
        try:
            train(names["hub"])
        except KeyboardInterrupt as interrupt:
            if chained == "not":
                raise
            if chained == "as context":
                raise ValueError from None
            if chained == "to itself":
                raise interrupt from interrupt
            cause = interrupt
        raise ValueError from cause

    names = {}
    for _ in range(3):
        with pytest.raises((KeyboardInterrupt, ValueError)) as interrupt:
            cell(names)
        assert [frame.f_locals for frame, _ in traceback.walk_tb(interrupt.tb)]  # shown, as IPython does
        monkeypatch.setattr(sys, "last_value", interrupt.value, raising=False)  # as an interactive Python does
    names["hub"].close()
    assert os.listdir(path.parent) == ["run.jsonl"]
    assert [len(attempt.snapshots) for attempt in read(path).attempts] == [3, 3, 3]
    assert all(attempt.end is not None for attempt in read(path).attempts)
    assert [record.getMessage() for record in caplog.records] == []


@needs_locks
def test_a_hub_in_use_keeps_its_journal_after_an_error_in_a_function_that_had_it(path, monkeypatch):
    def train(hub):
        hub.emit(snap(0))
        raise KeyboardInterrupt

    with MetricsHub([JsonlSink(path)], rules=[]) as hub, MetricsHub([JsonlSink(path)], rules=[]) as other:
        with pytest.raises(KeyboardInterrupt) as interrupt:
            train(hub)
        monkeypatch.setattr(sys, "last_value", interrupt.value, raising=False)
        other.emit(snap(1))
        hub.emit(snap(2))
    assert steps(path) == [0, 2]


@needs_locks
@needs_proc
def test_functions_that_forget_their_hub_leave_no_descriptors_and_one_journal(path):
    def train():
        hub = MetricsHub([JsonlSink(path)], rules=[])
        hub.start(1)
        hub.emit(snap(0))

    train()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        train()
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(read(path).attempts) == 6
    assert os.listdir(path.parent) == ["run.jsonl"]


@needs_locks
def test_garbage_is_collected_for_a_journal_only_when_a_run_starts(path, monkeypatch):
    first = JsonlSink(path)
    first.record(snap(0))
    collections = []
    monkeypatch.setattr(journal_lock.gc, "collect", lambda: collections.append(True))
    with MetricsHub([JsonlSink(path)], rules=[]) as hub:
        hub.start(9)
        for step in range(9):
            hub.emit(snap(step))
    first.close()
    assert len(collections) == 1


@pytest.mark.fault("C7", "G7")
@needs_locks
def test_another_process_gets_a_file_of_its_own(path):
    first = JsonlSink(path)
    first.record(snap(0))
    code = """
import sys
from m.metrics.snapshot import TrainingSnapshot
from sinks.jsonl import JsonlSink
sink = JsonlSink(sys.argv[1])
sink.record(TrainingSnapshot(10, 0.5))
sink.close()
print(sink.path)
"""
    done = python(code, path, capture_output=True, text=True, check=True)
    assert "is being written" in done.stderr  # logging's last resort
    assert steps(done.stdout.strip()) == [10]
    first.close()
    assert steps(path) == [0]
    done = python(code, path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(path), "a writer that is done is in nobody's way"


@needs_proc
def test_where_there_is_no_flock_a_file_beside_it_is_the_lock(path, disk, monkeypatch):
    monkeypatch.setattr(journal_lock, "fcntl", None)
    open_files_stay(monkeypatch)
    lock = path.with_name("run.jsonl.lock")
    first, second = JsonlSink(path), JsonlSink(path)
    first.record(snap(0))
    assert lock.exists()
    second.record(snap(10))
    os.close(first._file._descriptor)
    first.record(snap(1))
    disk.later()
    first.record(snap(2))
    second.close()
    first.close()
    assert not lock.exists()
    assert first.path == path, "its own lock is in nobody's way"
    assert (steps(path), steps(second.path)) == ([0, 2], [10])
    assert read(path).attempts[0].gaps == [Gap(1, 2, 2)]


def test_a_journal_is_kept_where_the_system_has_neither_locks_nor_their_flags(path):
    """As on Windows, where there is no ``fcntl`` and ``os`` knows fewer flags."""
    code = """
import os, sys
sys.modules["fcntl"] = None
for name in ("O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY"):
    if hasattr(os, name):
        delattr(os, name)
from m.metrics.snapshot import TrainingSnapshot
from sinks.jsonl import JsonlSink
sink = JsonlSink(sys.argv[1])
sink.record(TrainingSnapshot(10, 0.5))
print(os.path.exists(sys.argv[1] + ".lock"))
sink.close()
"""
    done = python(code, path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
    assert steps(path) == [10]
    assert os.listdir(path.parent) == ["run.jsonl"]


def test_a_file_that_is_no_journal_is_left_alone(tmp_path, caplog):
    path = tmp_path / "model.pt"
    path.write_bytes(b"weights")
    sink = JsonlSink(path)
    sink.record(snap(0))
    sink.close()
    assert path.read_bytes() == b"weights"
    assert steps(sink.path) == [0]
    assert "exists and is no journal" in caplog.text


@pytest.mark.fault("C3", "C5")
@needs_fork
def test_a_forked_child_writes_nothing_and_holds_no_lock(path):
    sink = JsonlSink(path)
    sink.record(snap(0))
    ready, tell = os.pipe()
    wait, release = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            sink.record(snap(99))
            sink.alert(Alert(99, "rule", "child"))
            sink.flush()
            sink.close()
            os.write(tell, b"x")
            os.read(wait, 1)
        os._exit(0)
    try:
        assert os.read(ready, 1) == b"x"
        sink.record(snap(1))
        sink.close()
        resumed = JsonlSink(path)
        resumed.record(snap(2))
        resumed.close()
        assert resumed.path == path, "a worker that outlives the trainer must not keep its lock"
    finally:
        os.write(release, b"x")
        os.waitpid(child, 0)
        for descriptor in (ready, tell, wait, release):
            os.close(descriptor)
    assert steps(path) == [0, 1, 2]
    assert not any(line.get("step") == 99 for line in lines(path))


@needs_fork
def test_a_child_that_no_hook_saw_writes_nothing_either(path, monkeypatch):
    sink = JsonlSink(path)
    sink.record(snap(0))
    before = path.read_bytes()
    with monkeypatch.context() as elsewhere:
        pid = os.getpid() + 1
        elsewhere.setattr(jsonl.os, "getpid", lambda: pid)
        sink.record(snap(1))
        sink.alert(Alert(1, "rule", "child"))
        sink.flush()
        sink.close()
    assert path.read_bytes() == before
    sink.close()
    assert steps(path) == [0]


@pytest.mark.fault("A21")
def test_copies_and_pickles_are_new_sinks_for_the_same_path(path):
    sink = JsonlSink(path, fsync_every=5, rotate_mb=0.0004, rank=3)
    sink.record(snap(0))
    for other in (copy.copy(sink), copy.deepcopy(sink), pickle.loads(pickle.dumps(sink))):
        for step in range(10, 20):
            other.record(snap(step))
        assert other.path != sink.path
        assert len(segments(other.path)) > 1
        assert read(other.path).attempts[0].run.rank == 3
        assert other._fsync_every == 5
        other.close()
    sink.record(snap(1))
    sink.close()
    assert steps(path) == [0, 1]


# -- segments ---------------------------------------------------------------------------------------------------------


def segments(path):
    return [segment_path(path, number) for number in segment_numbers(path)]


@pytest.mark.fault("G12")
def test_a_journal_that_rotates_reads_as_one_and_each_segment_by_itself(path):
    sink = JsonlSink(path, rotate_mb=0.001)
    with MetricsHub([sink], strict=True) as hub:
        run = hub.start(total_steps=40)
        for step in range(40):
            hub.emit(snap(step, a=step / 3))
    files = segments(path)
    assert len(files) > 3
    assert all(file.stat().st_size <= 1000 for file in files)
    assert sorted(each for each in path.parent.iterdir()) == files
    journal = read(path)
    (attempt,) = journal.attempts
    assert attempt.run == run
    assert [recorded.seq for recorded in attempt.snapshots] == list(range(1, 41))
    assert (attempt.end.seq, attempt.missing, journal.bad_lines) == (40, 0, 0)
    parts = [read(file) for file in files[1:]]
    assert [part.attempts[0].run for part in parts] == [run] * len(parts)
    apart = [recorded for part in parts for recorded in part.attempts[0].snapshots]
    assert apart == attempt.snapshots[-len(apart) :]
    assert sink.path == path


def test_attempts_go_on_in_the_newest_segment(path):
    for attempt in range(3):
        with MetricsHub([JsonlSink(path, rotate_mb=0.001)], strict=True) as hub:
            hub.start(initial_step=attempt * 10)
            for step in range(attempt * 10, attempt * 10 + 15):
                hub.emit(snap(step, float(attempt)))
    journal = read(path)
    assert [attempt.run.attempt for attempt in journal.attempts] == [1, 2, 3]
    assert len({attempt.run.run_id for attempt in journal.attempts}) == 1
    assert [len(attempt.snapshots) for attempt in journal.attempts] == [15, 15, 15]
    assert [each.snapshot.train_loss for each in journal.merged()] == [0.0] * 10 + [1.0] * 10 + [2.0] * 15
    headers = [json.loads(file.read_bytes().splitlines()[0]) for file in segments(path)]
    assert [header["attempt"] for header in headers] == sorted(header["attempt"] for header in headers)


def test_rotation_may_be_taken_up_and_given_up_from_attempt_to_attempt(path):
    for attempt, rotate_mb in enumerate([None, 0.001, None, 0.001]):
        sink = JsonlSink(path, rotate_mb=rotate_mb)
        for step in range(12):
            sink.record(snap(attempt * 12 + step))
        sink.close()
    assert steps(path) == list(range(48))
    assert len(segments(path)) > 3


@pytest.mark.fault("G3", "G4", "G12")
def test_a_disk_that_is_full_at_every_byte_in_turn_of_a_rotating_journal(path, disk):
    """A segment is begun with whatever room there is: what is lost is counted, once, and nothing else is."""
    sink = JsonlSink(path, rotate_mb=0.0012)
    follower = Follower(path)
    followed = []
    sink.start(Run())
    for step in range(400):
        disk.room = step * 2
        sink.record(snap(step))
        disk.later()
        followed += follower.new()
    disk.room = None
    sink.close()
    followed += follower.new()
    journal = read(path)
    (attempt,) = journal.attempts
    assert len(segments(path)) > 10
    assert sink.lost > 0
    assert attempt.end.seq == 400
    assert (attempt.end.lost, attempt.lost, attempt.missing) == (sink.lost, sink.lost, 0)
    missing = [seq for gap in attempt.gaps for seq in range(gap.from_seq, gap.to_seq + 1)]
    assert sorted(missing + [recorded.seq for recorded in attempt.snapshots]) == list(range(1, 401))
    assert [each for each in followed if isinstance(each, Recorded)] == attempt.snapshots
    assert (follower.bad_lines, follower.torn) == (journal.bad_lines, False)


@pytest.mark.skipif(sys.platform == "win32", reason="no limits here")
def test_a_limit_of_open_files_stops_the_rotation_and_not_the_journal(path):
    code = """
import resource, sys
from m.metrics.snapshot import TrainingSnapshot
from sinks.jsonl import JsonlSink
sink = JsonlSink(sys.argv[1], rotate_mb=0.001)
sink.record(TrainingSnapshot(0, 0.5))
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
for step in range(1, 40):
    sink.record(TrainingSnapshot(step, 0.5))
resource.setrlimit(resource.RLIMIT_NOFILE, limits)
for step in range(40, 80):
    sink.record(TrainingSnapshot(step, 0.5))
sink.close()
print(sink.lost)
"""
    done = python(code, path, capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
    assert done.stderr.count("no further segment can be begun") == 1
    assert steps(path) == list(range(80))
    sizes = [file.stat().st_size for file in segments(path)]
    assert sizes[0] > 2000
    assert len(sizes) > 2


# -- when writing fails -----------------------------------------------------------------------------------------------


@pytest.mark.fault("G4")
def test_a_full_disk_is_counted_and_leaves_a_gap_record(path, disk, caplog):
    sink = JsonlSink(path)
    sink.record(snap(0))
    disk.room = 0
    sink.record(snap(1))
    for step in range(2, 5):
        sink.record(snap(step))
    sink.alert(Alert(4, "rule", "lost too"))
    assert sink.lost == 5
    disk.room = None
    sink.record(snap(5))
    assert sink.lost == 6, "within 5 s nothing is tried"
    disk.later()
    sink.record(snap(6))
    sink.close()
    assert [line["type"] for line in lines(path)] == ["run", "snapshot", "gap", "snapshot", "end"]
    (attempt,) = read(path).attempts
    assert attempt.gaps == [Gap(6, 2, 6)]
    assert [recorded.seq for recorded in attempt.snapshots] == [1, 7]
    assert (attempt.end.seq, attempt.end.lost, attempt.lost) == (7, 6, 6)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert "No space left" in messages[0]
    assert "lacks 6 records" in messages[1]


def test_alerts_alone_make_a_gap_without_snapshots(path, disk):
    sink = JsonlSink(path)
    sink.record(snap(0))
    disk.room = 0
    sink.alert(Alert(0, "rule", "lost"))
    disk.room = None
    disk.later()
    sink.record(snap(1))
    sink.close()
    assert read(path).attempts[0].gaps == [Gap(1, None, None)]


def test_a_lost_alert_does_not_hide_which_snapshots_were_lost_before_it(path, disk):
    sink = JsonlSink(path)
    sink.record(snap(0))
    disk.room = 0
    sink.record(snap(1))
    sink.alert(Alert(1, "rule", "lost too"))
    disk.room = None
    sink.close()
    assert read(path).attempts[0].gaps == [Gap(2, 2, 2)]


def test_a_flush_says_what_is_missing_when_there_is_space_again(path, disk):
    sink = JsonlSink(path)
    sink.record(snap(0))
    disk.room = 0
    sink.record(snap(1))
    disk.room = None
    sink.flush()
    assert "gap" not in [line["type"] for line in lines(path)], "within 5 s nothing is tried"
    disk.later()
    sink.flush()
    assert [line["type"] for line in lines(path)] == ["run", "snapshot", "gap"]
    sink.close()


def test_at_the_end_it_is_tried_at_once_and_a_run_after_that_loses_nothing(path, disk):
    sink = JsonlSink(path)
    sink.start(Run(description="first"))
    disk.room = 0
    sink.record(snap(0))
    disk.room = None
    sink.close()
    assert [line["type"] for line in lines(path)] == ["run", "gap", "end"]
    sink.start(Run(description="second"))
    sink.record(snap(0))
    sink.close()
    assert (sink.lost, steps(path)) == (1, [0])


def test_what_the_end_could_not_write_is_not_written_into_the_next_attempt(path, disk):
    sink = JsonlSink(path)
    sink.record(snap(0))
    disk.room = 0
    sink.record(snap(1))
    sink.close()
    disk.room = None
    disk.later()
    sink.start(Run())
    sink.record(snap(2))
    sink.close()
    assert [line["type"] for line in lines(path)] == ["run", "snapshot", "run", "snapshot", "end"]


@pytest.mark.fault("G3")
def test_a_short_write_is_finished(path, disk, monkeypatch):
    whole = disk.write
    monkeypatch.setattr(journal_file.os, "write", lambda descriptor, data: whole(descriptor, data[:7]))
    sink = JsonlSink(path)
    sink.record(snap(0))
    sink.record(snap(1))
    sink.close()
    assert steps(path) == [0, 1]
    assert (read(path).bad_lines, sink.lost) == (0, 0)


@pytest.mark.parametrize("room", [1, 40, 60])
def test_a_line_that_did_not_fit_is_closed_off_when_there_is_space(path, disk, room):
    sink = JsonlSink(path)
    sink.record(snap(0))
    disk.room = room
    sink.record(snap(1))
    assert read(path).torn
    disk.later()
    disk.room = None
    sink.record(snap(2))
    sink.close()
    journal = read(path)
    assert (steps(path), journal.bad_lines, sink.lost) == ([0, 2], 1, 1)
    assert journal.attempts[0].gaps == [Gap(1, 2, 2)]


@pytest.mark.fault("G4")
def test_a_disk_that_is_full_at_every_byte_in_turn(path, disk):
    """However the space runs out and comes back, every record is in the file or counted, and no line is glued."""
    sink = JsonlSink(path)
    sink.start(Run())
    for step in range(200):
        disk.room = step * 3
        sink.record(snap(step))
        disk.later()
    disk.room = None
    sink.close()
    (attempt,) = read(path).attempts
    assert attempt.end.seq == 200
    assert sink.lost > 0
    assert len(attempt.snapshots) + sink.lost == 200
    assert sum(gap.lost for gap in attempt.gaps) == sink.lost
    missing = [seq for gap in attempt.gaps for seq in range(gap.from_seq, gap.to_seq + 1)]
    assert sorted(missing + [recorded.seq for recorded in attempt.snapshots]) == list(range(1, 201))


def test_a_disk_that_is_full_from_the_start(path, disk):
    disk.room = 20
    sink = JsonlSink(path)
    sink.start(Run(description="first"))
    sink.record(snap(0))
    sink.start(Run(description="second"))
    sink.record(snap(0))
    disk.later()
    disk.room = None
    sink.record(snap(1))
    sink.close()
    first, second = read(path).attempts
    assert (first.run.description, first.gaps, first.snapshots) == ("first", [Gap(1, 1, 1)], [])
    assert (second.run.description, second.gaps) == ("second", [Gap(1, 1, 1)])
    assert (first.end.lost, second.end.lost, sink.lost) == (1, 1, 2)
    assert [recorded.seq for recorded in second.snapshots] == [2]


@pytest.mark.fault("G5")
def test_a_folder_that_cannot_be_made_is_tried_again(tmp_path, disk, caplog):
    path = tmp_path / "runs" / "run.jsonl"
    sink = JsonlSink(path)
    (tmp_path / "runs").write_text("in the way")
    sink.start(Run())
    sink.record(snap(0))
    assert sink.lost == 1
    (tmp_path / "runs").unlink()
    disk.later()
    sink.record(snap(1))
    sink.close()
    assert steps(path) == [1]
    assert read(path).attempts[0].gaps == [Gap(1, 1, 1)]
    assert caplog.text.count("cannot be written") == 1


def test_a_descriptor_that_somebody_closed_is_opened_again(path, disk):
    sink = JsonlSink(path)
    sink.record(snap(0))
    os.close(sink._file._descriptor)
    sink.record(snap(1))
    disk.later()
    sink.record(snap(2))
    sink.close()
    (attempt,) = read(path).attempts
    assert [recorded.seq for recorded in attempt.snapshots] == [1, 3]
    assert attempt.gaps == [Gap(1, 2, 2)]


def test_a_lost_mount_that_comes_back_empty_gets_its_header_again(path, disk):
    sink, run = JsonlSink(path), Run()
    sink.start(run)
    sink.record(snap(0))
    disk.error, disk.room = errno.ESTALE, 0
    sink.record(snap(1))
    path.unlink()
    disk.room = None
    disk.later()
    sink.record(snap(2))
    sink.close()
    (attempt,) = read(path).attempts
    assert attempt.run == run
    assert [recorded.seq for recorded in attempt.snapshots] == [3]


def test_failing_to_close_raises_nothing(path, disk):
    sink = JsonlSink(path)
    sink.record(snap(0))
    disk.room = 0
    sink.close()
    sink.close()
    assert steps(path) == [0]
    assert read(path).attempts[0].end is None


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_device_that_is_always_full(caplog):
    sink = JsonlSink("/dev/full", fsync_every=1)
    for step in range(3):
        sink.record(snap(step))
    sink.close()
    assert sink.lost == 3
    assert caplog.text.count("cannot be written") == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_that_nobody_reads_does_not_hold_up_the_training(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    sink = JsonlSink(tmp_path / "pipe")
    sink.record(snap(0))
    sink.close()
    assert sink.lost == 1


@pytest.mark.fault("G6")
def test_a_write_that_hangs_holds_nothing_up_where_the_journal_is_in_the_background(path, monkeypatch):
    """As on a network file system whose server is gone: no error comes, and no end."""
    sink = JsonlSink(path)
    hangs, goes_on = threading.Event(), threading.Event()
    write = os.write

    def hang(descriptor, data):
        hangs.set()
        assert goes_on.wait(20)
        return write(descriptor, data)

    with MetricsHub(strict=True) as hub:
        subscription = hub.subscribe(sink, background=Background("drop_oldest", capacity=10))
        with monkeypatch.context() as server_is_gone:
            server_is_gone.setattr(journal_file.os, "write", hang)
            hub.start()
            assert hangs.wait(20)
            for step in range(50):
                hub.emit(snap(step))
            assert subscription.stats().delivered == 0
            goes_on.set()
            assert hub.flush(20)
    stats = subscription.stats()
    assert (stats.delivered, stats.dropped) == (10, 40)
    assert steps(path) == list(range(40, 50))


def python(code, *arguments, **options):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment, timeout=30, **options)


@pytest.mark.fault("G4")
@pytest.mark.skipif(sys.platform == "win32", reason="no limits here")
def test_a_quota_that_is_lifted_again(path):
    """The real thing: the write that crosses the limit is short and raises nothing, the next one raises EFBIG."""
    code = """
import os, resource, sys
from m.metrics.snapshot import TrainingSnapshot
from sinks import jsonl
now = 0.0
jsonl._monotonic = lambda: now
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
sink = jsonl.JsonlSink(sys.argv[1])
for step in range(20):
    if step == 10:  # in the middle of the next line, however long those before have become
        resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(sys.argv[1]) + 30, limits[1]))
    sink.record(TrainingSnapshot(step, 0.5))
    now += 1.0
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
now += 5.0
sink.record(TrainingSnapshot(20, 0.5))
sink.close()
print(sink.lost)
"""
    done = python(code, path, capture_output=True, text=True, check=True)
    lost = int(done.stdout)
    journal = read(path)
    (attempt,) = journal.attempts
    assert lost > 5
    assert attempt.gaps == [Gap(lost, 21 - lost, 20)]
    assert [recorded.seq for recorded in attempt.snapshots] == [*range(1, 21 - lost), 21]
    assert journal.bad_lines == 1


# -- fsync and settings -----------------------------------------------------------------------------------------------


@pytest.mark.fault("G11")
def test_fsync_only_when_asked_and_only_so_often(path, disk, monkeypatch):
    synced = []
    monkeypatch.setattr(journal_file.os, "fsync", synced.append)
    monkeypatch.setattr(journal_file, "_sync_folder", lambda folder: None)
    sink = JsonlSink(path)
    sink.record(snap(0))
    sink.flush()
    sink.close()
    assert synced == []
    sink = JsonlSink(path, fsync_every=2)
    for step in range(9):
        sink.record(snap(step))
        disk.now += 0.5
    assert len(synced) == 3
    sink.flush()
    assert len(synced) == 4
    sink.close()
    assert len(synced) == 5


def test_a_failing_fsync_loses_nothing_and_is_said_once(path, monkeypatch, caplog):
    def fail(descriptor):
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(journal_file.os, "fsync", fail)
    sink = JsonlSink(path, fsync_every=1e-9)
    for step in range(3):
        sink.record(snap(step))
    sink.close()
    assert (steps(path), sink.lost) == ([0, 1, 2], 0)
    assert caplog.text.count("cannot be forced to the disk (OSError: [Errno 5] broken disk)") == 1


def test_a_segment_that_is_left_is_forced_to_the_disk_only_when_asked(path, monkeypatch):
    synced = []
    monkeypatch.setattr(journal_file.os, "fsync", synced.append)
    monkeypatch.setattr(journal_file, "_sync_folder", lambda folder: None)
    for fsync_every, expected in ((None, 0), (1000, 1 + 1 + 1)):  # the first record, the segment, the end
        sink = JsonlSink(path, fsync_every=fsync_every, rotate_mb=0.0004)
        while not path.with_name("run.jsonl.002").exists():
            sink.record(snap(0))
        sink.close()
        assert len(synced) == expected
        path.with_name("run.jsonl.002").unlink()
        path.unlink()


@pytest.mark.parametrize("bad", [0, -1, math.nan, math.inf, True, "5"])
def test_a_bad_interval_or_size_is_refused(path, bad):
    with pytest.raises(ValueError, match="fsync_every must be a positive number of seconds"):
        JsonlSink(path, fsync_every=bad)
    with pytest.raises(ValueError, match="rotate_mb must be a positive number of MB"):
        JsonlSink(path, rotate_mb=bad)


@pytest.mark.parametrize("bad", [-1, 0.5, True, "0"])
def test_a_bad_rank_is_refused(path, bad):
    with pytest.raises(ValueError, match="rank must be a whole number of 0 or more"):
        JsonlSink(path, rank=bad)


def test_the_header_says_which_rank_wrote_it(path, monkeypatch):
    monkeypatch.setenv("RANK", "5")
    for rank in (None, 7, 0):
        with MetricsHub([JsonlSink(path, rank=rank)], strict=True) as hub:
            hub.start()
    assert [(each.run.rank, each.run.attempt) for each in read(path).attempts] == [(5, 1), (7, 2), (0, 3)]


@pytest.mark.parametrize("bad", [None, 5, b"run.jsonl", open])
def test_what_is_no_path_is_refused(bad):
    with pytest.raises(TypeError, match="path must be a str or a path"):
        JsonlSink(bad)


@pytest.mark.fault("A22", "G5")
def test_paths_that_cannot_work_are_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(IsADirectoryError, match="must name a file"):
        JsonlSink(tmp_path)
    with pytest.raises(NotADirectoryError, match="is no folder"):
        JsonlSink(tmp_path / "file" / "deep" / "run.jsonl")
    for bad in ("", "run\0.jsonl"):
        with pytest.raises(ValueError, match="path must name a file"):
            JsonlSink(bad)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not hold for this user")
def test_folders_and_files_without_permission_are_refused_at_once(tmp_path):
    run = tmp_path / "run.jsonl"
    run.touch(mode=0o400)
    with pytest.raises(PermissionError, match="cannot be written"):
        JsonlSink(run)
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="no permission to write in"):
        JsonlSink(tmp_path / "deep" / "run.jsonl")
    tmp_path.chmod(0o700)


def test_a_later_change_of_folder_does_not_move_the_journal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sink = JsonlSink("run.jsonl")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    sink.record(snap(0))
    sink.close()
    assert sink.path == tmp_path / "run.jsonl"
    assert steps(tmp_path / "run.jsonl") == [0]


def test_a_run_that_cannot_be_announced_is_an_error_and_changes_nothing(path):
    sink = JsonlSink(path)
    with pytest.raises(ValueError, match="many"):
        sink.start(Run(total_steps="many"))
    sink.record(snap(0))
    sink.close()
    assert steps(path) == [0]


def test_its_repr_says_where_it_writes(path):
    sink = JsonlSink(path)
    assert repr(sink) == f"<JsonlSink {path}: not writing>"
    sink.start(Run())
    assert repr(sink) == f"<JsonlSink {path}: writing>"
    sink.close()


def test_descriptors_are_given_back(path):
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc here")
    before = len(os.listdir("/proc/self/fd"))
    for step in range(20):
        first, second = JsonlSink(path), JsonlSink(path)
        first.record(snap(step))
        second.record(snap(step))
        first.close()
        second.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_importing_the_sink_loads_nothing_heavy():
    code = "import sys, sinks.jsonl; print(sorted({'rich', 'matplotlib', 'numpy', 'torch'} & set(sys.modules)))"
    done = python(code, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_journal_is_a_written_file_once_there_is_something_in_it(path):
    sink = JsonlSink(path)
    assert sink.written == []
    sink.record(TrainingSnapshot(0, 1.0))
    sink.close()
    assert sink.written == [str(path)]
