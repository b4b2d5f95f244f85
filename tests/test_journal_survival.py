"""Whatever was emitted is in the journal, wherever its writer is killed; and the next attempt goes on cleanly."""

import json
import mmap
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_files import UNHURRIED

from m.journal.follower import Follower
from m.journal.reader import read
from m.journal.records import Recorded
from m.journal.segments import segment_numbers, segment_path
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot
from sinks.jsonl import JsonlSink

ROOT = Path(__file__).parents[1]

# -- killed between any two system calls ------------------------------------------------------------------------------


class Killed(BaseException):
    """What the process that is killed sees of it, in place of nothing."""


class System:
    """The calls with which a journal is written; the process is killed before one of them, or in the middle of it.

    ``at`` counts the moments: one before each call, and one in which a write has taken half of its bytes. Before each
    moment ``watch`` is called, as another process that reads. A dead process can do nothing any more, and what it had
    open is closed.
    """

    CALLS = ("open", "write", "close", "unlink", "fstat", "fsync")

    def __init__(self, at, watch):
        self.left = at
        self.watch = watch
        self.dead = False
        self.descriptors = set()

    def __enter__(self):
        self.real = {name: getattr(os, name) for name in self.CALLS}
        self.patch(lambda name: lambda *arguments: self.call(name, *arguments))
        return self

    def __exit__(self, *_):
        self.patch(self.real.get)
        for descriptor in self.descriptors:
            os.close(descriptor)

    def patch(self, call_for):
        for name in self.CALLS:
            setattr(os, name, call_for(name))

    def moment(self):
        if not self.dead:
            self.patch(self.real.get)
            self.watch()
            self.patch(lambda name: lambda *arguments: self.call(name, *arguments))
        self.left -= 1
        if self.dead or self.left < 0:
            self.dead = True
            raise Killed

    def call(self, name, *arguments):
        self.moment()
        if name == "write":
            descriptor, data = arguments
            half = len(data) // 2
            self.real["write"](descriptor, data[:half])
            self.moment()
            return half + self.real["write"](descriptor, data[half:])
        result = self.real[name](*arguments)
        if name == "open":
            self.descriptors.add(result)
        elif name == "close":
            self.descriptors.discard(arguments[0])
        return result


def live(path, first, at, watch, **options):
    """The steps whose ``record`` returned before the process was killed at moment ``at``; and whether it was."""
    acknowledged = []
    sink = JsonlSink(path, **options)
    with System(at, watch) as system:
        try:
            sink.start(Run())
            for step in range(first, first + 8):
                sink.record(TrainingSnapshot(step, 0.5))
                acknowledged.append(step)
            sink.close()
        except Killed:
            pass
    return acknowledged, system.dead


def assert_survived(path, lives, followed):
    """``lives`` are the steps that each life knows to be recorded."""
    journal = read(path)
    recorded = journal.merged(overlap="all")
    steps = [each.snapshot.step for each in recorded]
    assert len(set(steps)) == len(steps), "nothing twice"
    assert set().union(*lives) <= set(steps)
    assert len(steps) <= sum(map(len, lives)) + len(lives), "at most the one that was being written when it died"
    assert journal.bad_lines <= len(lives)
    assert [each for each in followed if isinstance(each, Recorded)] == recorded
    assert all(attempt.missing == 0 for attempt in journal.attempts)
    keys = {(attempt.run.attempt, each.seq) for attempt in journal.attempts for each in attempt.snapshots}
    assert len(keys) == len(recorded)


@pytest.mark.fault("G1", "G2", "G12")
@pytest.mark.parametrize("options", [{}, {"rotate_mb": 0.0004}, {"rotate_mb": 0.0004, "fsync_every": 3600}], ids=str)
def test_a_writer_that_is_killed_at_any_moment_loses_nothing(tmp_path, options):
    moments = 0
    while True:
        path = tmp_path / str(moments) / "run.jsonl"
        follower, followed = Follower(path), []

        def watch(follower=follower, followed=followed):
            followed.extend(follower.new())

        first, killed = live(path, 0, moments, watch, **options)
        second, _ = live(path, 100, 10**9, watch, **options)
        watch()
        assert_survived(path, [first, second], followed)
        assert second == list(range(100, 108))
        assert follower.bad_lines == read(path).bad_lines
        if not killed:
            break
        moments += 1
    assert moments > 20
    segments = len(segment_numbers(path))
    assert segments > 3 if options else segments == 1


@given(st.lists(st.integers(0, 70), min_size=1, max_size=6), st.sampled_from([None, 0.0003, 0.0006]))
@settings(UNHURRIED, max_examples=60)
def test_a_writer_that_is_killed_again_and_again_loses_nothing(moments, rotate_mb):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        follower, followed, lives = Follower(path), [], []
        for number, moment in enumerate(moments):
            steps, _ = live(path, number * 100, moment, lambda: followed.extend(follower.new()), rotate_mb=rotate_mb)
            lives.append(steps)
        steps, _ = live(path, 9000, 10**9, lambda: followed.extend(follower.new()), rotate_mb=rotate_mb)
        followed += follower.new()
        assert_survived(path, [*lives, steps], followed)


# -- kill -9 ----------------------------------------------------------------------------------------------------------

TRAINER = """
import os, random, sys, time
from m.hub.hub import MetricsHub
from m.metrics.snapshot import TrainingSnapshot
from sinks.jsonl import JsonlSink
path, trial, first, rotate_mb, slowly = sys.argv[1], *map(float, sys.argv[2:])
write = os.write
def write_slowly(descriptor, data):
    if descriptor == 1 or len(data) < 2:
        return write(descriptor, data)
    part = random.randrange(1, len(data))
    write(descriptor, data[:part])
    time.sleep(random.random() / 1000)
    return part + write(descriptor, data[part:])
if slowly:
    os.write = write_slowly
hub = MetricsHub([JsonlSink(path, rotate_mb=rotate_mb or None)])
hub.start(description=f"trial {trial:.0f}", initial_step=int(first))
for step in range(int(first), 10**9):
    hub.emit(TrainingSnapshot(step, trial, custom_metrics={"third": step / 3, "odd": float("nan"), "text": "a\\\\n"}))
    write(1, b"%d\\n" % step)
"""


def torn_ends(path):
    """Where in its file each line ends that is only the beginning of one."""
    ends = []
    for number in segment_numbers(path):
        end = 0
        for line in segment_path(path, number).read_bytes().splitlines(keepends=True):
            end += len(line)
            try:
                json.loads(line)
            except ValueError:
                ends.append(end - line.endswith(b"\n"))
    return ends


def kill_at_random(path, kills, seed, rotate_mb=0.0, slowly=False):
    """Train, be killed, resume from some checkpoint before that, be killed again ...; then see what there is."""
    chance = random.Random(seed)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    follower, followed = Follower(path), []
    acknowledged, checkpoint = {}, 0
    for trial in range(kills):
        command = [sys.executable, "-c", TRAINER, path, trial, checkpoint, rotate_mb, int(slowly)]
        with subprocess.Popen([*map(str, command)], env=environment, stdout=subprocess.PIPE) as trainer:
            told = b""
            if chance.random() < 0.8:
                told = trainer.stdout.readline()
                time.sleep(chance.random() * 0.05)
            else:
                time.sleep(chance.random() * 0.5)  # perhaps before it has written anything at all
            followed += follower.new()
            trainer.send_signal(signal.SIGKILL)
            told += trainer.stdout.read()
        steps = [int(step) for step in told.splitlines()]
        assert steps == list(range(checkpoint, checkpoint + len(steps)))
        acknowledged[f"trial {trial}"] = steps
        checkpoint = chance.randint(max(checkpoint - 50, 0), checkpoint + len(steps))
        followed += follower.new()

    journal = read(path)
    attempts = {attempt.run.description: attempt for attempt in journal.attempts}
    assert len(attempts) == len(journal.attempts)
    assert len({attempt.run.run_id for attempt in journal.attempts}) == 1
    assert [attempt.run.attempt for attempt in journal.attempts] == list(range(1, len(attempts) + 1))
    for trial, steps in acknowledged.items():
        if trial not in attempts:
            assert steps == [], f"{trial} left no header, though a record of it was acknowledged"
            continue
        written = [recorded.snapshot.step for recorded in attempts[trial].snapshots]
        assert written[: len(steps)] == steps, f"a record of {trial} whose emit returned is missing"
        assert len(written) <= len(steps) + 1
        assert [recorded.seq for recorded in attempts[trial].snapshots] == list(range(1, len(written) + 1))
        assert (attempts[trial].missing, attempts[trial].end) == (0, None)
    assert journal.bad_lines + journal.torn <= kills, "a kill tears one line at the most"
    if not slowly:
        ends = torn_ends(path)
        assert journal.bad_lines <= len(ends) <= journal.bad_lines + journal.torn
        assert all(end % mmap.PAGESIZE == 0 for end in ends), "a kill ends a write between two pages, if at all"
    assert [each for each in followed if isinstance(each, Recorded)] == journal.merged(overlap="all")
    merged = [recorded.snapshot.step for recorded in journal.merged()]
    assert merged == list(range(len(merged))), "each step once, from the latest attempt that made it"
    return journal


needs_kill = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")


@pytest.mark.fault("B14", "G1")
@needs_kill
@pytest.mark.parametrize(("rotate_mb", "slowly"), [(0, False), (0.002, True)], ids=["as it is", "torn and rotated"])
def test_whatever_was_emitted_survives_kill_9(tmp_path, rotate_mb, slowly):
    kill_at_random(tmp_path / "run.jsonl", 4, seed=5, rotate_mb=rotate_mb, slowly=slowly)


@pytest.mark.fault("G1")
@needs_kill
@pytest.mark.storm
@pytest.mark.parametrize("rotate_mb", [0, 0.02], ids=["one file", "segments"])
@pytest.mark.parametrize("slowly", [False, True], ids=["as it is", "torn"])
def test_fifty_random_kills_lose_nothing(tmp_path, rotate_mb, slowly):
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    journal = kill_at_random(tmp_path / "run.jsonl", 50, seed, rotate_mb, slowly)
    print(f"{len(journal.attempts)} attempts, {len(journal.merged(overlap='all'))} records, {journal.bad_lines} torn")
