import math

import pytest
from journal_files import header, snapshots, steps_of

from m.journal.decoding import NewerVersionError
from m.journal.encoding import SnapshotEncoder, encode
from m.journal.reader import Records, read
from m.journal.records import MAX_LINE, End, Gap, Recorded, Unknown
from m.journal.segments import segment_path
from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot


@pytest.fixture
def written(tmp_path):
    def write(*parts):
        path = tmp_path / "run.jsonl"
        path.write_bytes(b"".join(parts))
        return path

    return write


@pytest.mark.fault("I3")
def test_a_journal_reads_back_by_attempt(written):
    alert, gap, end = Alert(2, "loss_spike", "up", 9.0), Gap(1, 3, 3), End(3, 1, 5.0)
    journal = read(
        written(header(total_steps=10), snapshots([0, 1]), encode(alert), encode(gap), b'{"type":"x"}\n', encode(end))
    )
    (attempt,) = journal.attempts
    assert attempt.run == Run(total_steps=10, run_id="abc", started_at=1.0)
    assert attempt.snapshots[1] == Recorded(2, 102.0, TrainingSnapshot(1, 0.5))
    assert (attempt.alerts, attempt.gaps, attempt.end) == ([alert], [gap], end)
    assert attempt.unknown == [Unknown("x", {"type": "x"})]
    assert attempt.lost == 1
    assert (journal.bad_lines, journal.torn) == (0, False)


def test_a_killed_attempt_has_no_end_and_still_says_what_it_lost(written):
    (attempt,) = read(written(header(), encode(Gap(2, 1, 2)), encode(Gap(3, 4, 6)))).attempts
    assert attempt.end is None
    assert attempt.lost == 5


@pytest.mark.fault("I2")
def test_the_latest_attempt_wins_from_its_first_step_on(written):
    journal = read(
        written(header(1), snapshots([0, 1, 2, 3, 4, 5], 0.1), header(2, initial_step=3), snapshots([3, 4], 0.2))
    )
    merged = journal.merged()
    assert steps_of(merged) == [0, 1, 2, 3, 4]
    assert [each.snapshot.train_loss for each in merged] == [0.1, 0.1, 0.1, 0.2, 0.2]
    assert steps_of(journal.attempts[0].snapshots) == [0, 1, 2, 3, 4, 5], "nothing is thrown away"


def test_an_attempt_that_says_where_it_starts_holds_from_there(written):
    """Resumed at 3, it logs every other step: what the attempt before recorded at 3 was given up all the same."""
    journal = read(written(header(1), snapshots([1, 3, 5], 0.1), header(2, initial_step=3), snapshots([4, 6], 0.2)))
    assert steps_of(journal.merged()) == [1, 4, 6]
    journal = read(written(header(1), snapshots([1, 3, 5], 0.1), header(2, initial_step=9), snapshots([4, 6], 0.2)))
    assert steps_of(journal.merged()) == [1, 3, 4, 6], "what was recorded counts for more than what was said"


@pytest.mark.fault("I3")
def test_all_attempts_may_be_had_whole(written):
    journal = read(written(header(1), snapshots([0, 1, 2]), header(2), snapshots([1, 2]), header(run_id="def")))
    assert steps_of(journal.merged("abc", overlap="all")) == [0, 1, 2, 1, 2]
    assert steps_of(journal.merged("abc")) == [0, 1, 2]
    with pytest.raises(ValueError, match="overlap must be 'latest' or 'all'; got 'first'"):
        journal.merged(overlap="first")


def test_no_two_snapshots_have_the_same_key(written):
    journal = read(
        written(
            header(1, rank=3),
            snapshots([0, 1]),
            header(2, rank=3),
            snapshots([1, 1]),
            header(run_id="def"),
            snapshots([0]),
        )
    )
    keys = [
        (attempt.run.run_id, attempt.run.attempt, attempt.run.rank, recorded.seq)
        for attempt in journal.attempts
        for recorded in attempt.snapshots
    ]
    assert keys == [("abc", 1, 3, 1), ("abc", 1, 3, 2), ("abc", 2, 3, 1), ("abc", 2, 3, 2), ("def", 1, 0, 1)]


def test_an_attempt_that_recorded_nothing_takes_nothing_away(written):
    journal = read(written(header(1), snapshots([0, 1]), header(2), header(3), snapshots([1, 2]), header(4)))
    assert steps_of(journal.merged()) == [0, 1, 2]


def test_a_third_attempt_from_further_back_wins_over_both(written):
    journal = read(
        written(header(1), snapshots([0, 1, 2, 3]), header(2), snapshots([3, 4]), header(3), snapshots([1, 2]))
    )
    assert steps_of(journal.merged()) == [0, 1, 2]


@pytest.mark.fault("I1")
def test_steps_that_go_backwards_within_an_attempt_stay(written):
    assert steps_of(read(written(header(), snapshots([0, 1, 0, 1]))).merged()) == [0, 1, 0, 1]


def test_runs_in_one_file_do_not_overlay_each_other(written):
    journal = read(written(header(), snapshots([0, 1]), header(run_id="def"), snapshots([0])))
    assert list(journal.runs) == ["abc", "def"]
    assert steps_of(journal.merged()) == [0]
    assert steps_of(journal.merged("abc")) == [0, 1]
    with pytest.raises(KeyError, match="it has abc, def"):
        journal.merged("ghi")


def test_a_repeated_header_means_that_the_attempt_goes_on(written):
    journal = read(written(header(), snapshots([0]), header(), snapshots([1])))
    assert steps_of(journal.attempts[0].snapshots) == [0, 1]
    assert len(journal.attempts) == 1


@pytest.mark.fault("G2")
def test_bad_lines_are_skipped_and_counted(written):
    torn = snapshots([7])[:30] + b"\n"
    glued = snapshots([8])[:30] + snapshots([9])
    journal = read(written(header(), torn, b"\0\0\0\n", snapshots([0]), b"\n", b"hello\n", glued, snapshots([1])))
    assert steps_of(journal.merged()) == [0, 1]
    assert journal.bad_lines == 4
    assert not journal.torn


def test_a_torn_last_line_is_no_bad_line(written):
    whole = snapshots([0, 1])
    journal = read(written(header(), whole[:-10]))
    assert (steps_of(journal.merged()), journal.bad_lines, journal.torn) == ([0], 0, True)
    journal = read(written(header(), whole[:-1]))
    assert (steps_of(journal.merged()), journal.bad_lines, journal.torn) == ([0, 1], 0, True)


@pytest.mark.fault("G9")
def test_an_endless_line_costs_no_memory_and_one_count(written):
    long = b'{"type":"x","a":"' + b"x" * (3 * MAX_LINE) + b'"}\n'
    journal = read(written(header(), long, snapshots([0]), b"x" * (MAX_LINE - 1) + b"\n", snapshots([1]), long[:-1]))
    assert (steps_of(journal.merged()), journal.bad_lines, journal.torn) == ([0, 1], 2, True)


def test_lines_that_an_editor_ended_its_own_way_are_read(written):
    data = header() + snapshots([0, 1])
    assert steps_of(read(written(data.replace(b"\n", b"\r\n"))).merged()) == [0, 1]


def test_an_empty_file_and_one_without_a_header(written):
    journal = read(written(b""))
    assert (journal.attempts, journal.merged(), journal.torn) == ((), [], False)
    (attempt,) = read(written(snapshots([4]))).attempts
    assert attempt.run.run_id == "unknown"
    assert attempt.run.started_at == 101.0
    assert steps_of(attempt.snapshots) == [4]


def test_a_newer_version_is_an_error_and_not_an_empty_journal(written):
    path = written(header().replace(b'"version":1', b'"version":9'), snapshots([0]))
    with pytest.raises(NewerVersionError, match="version 9"):
        read(path)


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.jsonl")


def test_records_come_one_at_a_time_and_again(written):
    records = Records(str(written(header(), snapshots([0]), b"?\n", snapshots([1])[:-5])))
    for _ in range(2):
        assert [type(record).__name__ for record in records] == ["Run", "Recorded"]
        assert (records.bad_lines, records.torn) == (1, True)


# -- segments ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def segmented(written):
    """A journal of an attempt in three segments and the beginning of another, ten snapshots and five."""
    path = written(header(), snapshots([0, 1, 2, 3]))
    segment_path(path, 2).write_bytes(header() + snapshots([4, 5, 6], first_seq=5))
    end = encode(End(10, 0, 5.0))
    rest = header() + snapshots([7, 8, 9], first_seq=8) + end + header(2, initial_step=8) + snapshots([8, 9, 10])
    segment_path(path, 3).write_bytes(rest)
    segment_path(path, 4).write_bytes(header(2, initial_step=8) + snapshots([11, 12], first_seq=4))
    return path


def test_the_segments_of_a_journal_are_read_as_one(segmented):
    journal = read(segmented)
    first, second = journal.attempts
    assert steps_of(first.snapshots) == list(range(10))
    assert [recorded.seq for recorded in first.snapshots] == list(range(1, 11))
    assert (first.end, second.end) == (End(10, 0, 5.0), None)
    assert steps_of(journal.merged()) == [*range(8), 8, 9, 10, 11, 12]
    assert (journal.bad_lines, journal.torn, journal.shortfall()) == (0, False, "")
    assert len(list(Records(segmented))) == 15 + 5 + 1


def test_a_segment_can_be_read_by_itself(segmented):
    journal = read(segment_path(segmented, 2))
    (attempt,) = journal.attempts
    assert attempt.run.run_id == "abc"
    assert steps_of(attempt.snapshots) == [4, 5, 6]
    assert attempt.missing == 4, "those before"


def test_a_segment_that_was_taken_away_is_missed(segmented):
    segment_path(segmented, 2).unlink()
    journal = read(segmented)
    assert [attempt.missing for attempt in journal.attempts] == [3, 0]
    assert journal.shortfall() == "3 snapshots missing"
    segmented.unlink()
    assert steps_of(read(segmented).attempts[0].snapshots) == [7, 8, 9]


def test_a_line_that_is_torn_at_the_end_of_a_segment_is_bad(written):
    path = written(header(), snapshots([0, 1])[:-9])
    segment_path(path, 2).write_bytes(header() + snapshots([2], first_seq=3))
    journal = read(path)
    assert (steps_of(journal.merged()), journal.bad_lines, journal.torn) == ([0, 2], 1, False)
    assert journal.attempts[0].missing == 1
    path.write_bytes(header() + snapshots([0, 1])[:-1])
    journal = read(path)
    assert (steps_of(journal.merged()), journal.bad_lines) == ([0, 1, 2], 0), "only the newline was missing"


# -- what is not there ------------------------------------------------------------------------------------------------


def test_whatever_is_not_in_a_journal_is_counted_and_put_in_words(written):
    bad = b"?\n"
    names = b'{"type":"snapshot","seq":9,"time":1,"step":9,"custom_metrics":{"a":1,"b":2}}\n'
    path = written(header(), snapshots([0, 1]), encode(Gap(3, 3, 4)), bad, snapshots([5], first_seq=6), bad, names)
    journal = read(path, max_names=1)
    (attempt,) = journal.attempts
    assert (attempt.lost, attempt.missing) == (3, 3), "5, 7 and 8"
    assert (journal.bad_lines, journal.left_out) == (2, 1)
    assert journal.shortfall() == (
        "3 records that could not be written, 3 snapshots missing, 2 bad lines skipped, "
        "1 value left out because of the limits on names"
    )
    assert read(written(header(), snapshots([0, 1]))).shortfall() == ""


def test_values_of_which_only_a_mark_was_written_are_counted(written):
    metrics = {"list": [1], "mapping": {"a": 1.0}, "long": "x" * 2_000_000, "text": "x", "number": 1.0}
    line = SnapshotEncoder().encode(TrainingSnapshot(0, 0.5, custom_metrics=metrics), 1, 1.0)
    journal = read(written(header(), line, snapshots([1], first_seq=2)))
    assert journal.marks == 3
    assert journal.shortfall() == "3 values of which only a mark was written"


def test_an_end_tells_of_snapshots_that_are_missing_before_it(written):
    (attempt,) = read(written(header(), snapshots([0, 1]), encode(End(5, 0, 1.0)))).attempts
    assert attempt.missing == 3


def test_alerts_that_were_lost_are_no_missing_snapshots(written):
    (attempt,) = read(written(header(), snapshots([0]), encode(Gap(2)), snapshots([1], first_seq=2))).attempts
    assert (attempt.lost, attempt.missing) == (2, 0)


@pytest.mark.fault("G9")
def test_names_past_the_limit_are_left_out_of_every_snapshot(written):
    path = written(
        header(),
        b'{"type":"snapshot","seq":1,"time":1,"step":1,"train_loss":1,"custom_metrics":{"a":1,"b":2}}\n',
        b'{"type":"snapshot","seq":2,"time":1,"step":2,"train_loss":1,"custom_metrics":{"b":3,"c":4,"a":5}}\n',
    )
    journal = read(path, max_names=2)
    assert [each.snapshot.custom_metrics for each in journal.merged()] == [{"a": 1, "b": 2}, {"b": 3, "a": 5}]
    assert journal.merged()[1].snapshot.train_loss == 1
    assert journal.left_out == 1
    records = Records(path, max_names=2)
    for _ in range(2):
        assert len(list(records)) == 3
        assert records.left_out == 1
    with pytest.raises(ValueError, match="max_names must be"):
        read(path, max_names=0)


def test_what_a_journal_says_is_data(written):
    journal = read(
        written(
            header(),
            b'{"type":"snapshot","seq":1,"time":1,"step":1,"custom_metrics":'
            b'{"__class__":1,"a":{"text":"NaN"},"b":"NaN","c":[1],"d":{"text":1},"e":null}}\n',
        )
    )
    metrics = journal.merged()[0].snapshot.custom_metrics
    assert metrics["__class__"] == 1
    assert metrics["a"] == "NaN"
    assert math.isnan(metrics["b"])
    assert (metrics["c"], metrics["d"]) == ([1], {"text": 1})
    assert "e" not in metrics
