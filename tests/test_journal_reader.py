import math

import pytest

from m.journal import reader
from m.journal.decoding import NewerVersionError
from m.journal.encoding import SnapshotEncoder, encode
from m.journal.reader import Records, is_journal, last_run, read
from m.journal.records import MAX_LINE, End, Gap, Recorded, Unknown
from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot


def header(attempt=1, run_id="abc", **fields):
    return encode(Run(run_id=run_id, attempt=attempt, started_at=1.0, **fields))


def snapshots(steps, loss=0.5):
    encoder = SnapshotEncoder()
    return b"".join(
        encoder.encode(TrainingSnapshot(step, loss), seq, 100.0 + seq) for seq, step in enumerate(steps, start=1)
    )


@pytest.fixture
def written(tmp_path):
    def write(*parts):
        path = tmp_path / "run.jsonl"
        path.write_bytes(b"".join(parts))
        return path

    return write


def steps(recorded):
    return [each.snapshot.step for each in recorded]


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
    assert steps(merged) == [0, 1, 2, 3, 4]
    assert [each.snapshot.train_loss for each in merged] == [0.1, 0.1, 0.1, 0.2, 0.2]
    assert steps(journal.attempts[0].snapshots) == [0, 1, 2, 3, 4, 5], "nothing is thrown away"


def test_an_attempt_that_recorded_nothing_takes_nothing_away(written):
    journal = read(written(header(1), snapshots([0, 1]), header(2), header(3), snapshots([1, 2]), header(4)))
    assert steps(journal.merged()) == [0, 1, 2]


def test_a_third_attempt_from_further_back_wins_over_both(written):
    journal = read(
        written(header(1), snapshots([0, 1, 2, 3]), header(2), snapshots([3, 4]), header(3), snapshots([1, 2]))
    )
    assert steps(journal.merged()) == [0, 1, 2]


@pytest.mark.fault("I1")
def test_steps_that_go_backwards_within_an_attempt_stay(written):
    assert steps(read(written(header(), snapshots([0, 1, 0, 1]))).merged()) == [0, 1, 0, 1]


def test_runs_in_one_file_do_not_overlay_each_other(written):
    journal = read(written(header(), snapshots([0, 1]), header(run_id="def"), snapshots([0])))
    assert list(journal.runs) == ["abc", "def"]
    assert steps(journal.merged()) == [0]
    assert steps(journal.merged("abc")) == [0, 1]
    with pytest.raises(KeyError, match="it has abc, def"):
        journal.merged("ghi")


def test_a_repeated_header_means_that_the_attempt_goes_on(written):
    journal = read(written(header(), snapshots([0]), header(), snapshots([1])))
    assert steps(journal.attempts[0].snapshots) == [0, 1]
    assert len(journal.attempts) == 1


@pytest.mark.fault("G2")
def test_bad_lines_are_skipped_and_counted(written):
    torn = snapshots([7])[:30] + b"\n"
    glued = snapshots([8])[:30] + snapshots([9])
    journal = read(written(header(), torn, b"\0\0\0\n", snapshots([0]), b"\n", b"hello\n", glued, snapshots([1])))
    assert steps(journal.merged()) == [0, 1]
    assert journal.bad_lines == 4
    assert not journal.torn


def test_a_torn_last_line_is_no_bad_line(written):
    whole = snapshots([0, 1])
    journal = read(written(header(), whole[:-10]))
    assert (steps(journal.merged()), journal.bad_lines, journal.torn) == ([0], 0, True)
    journal = read(written(header(), whole[:-1]))
    assert (steps(journal.merged()), journal.bad_lines, journal.torn) == ([0, 1], 0, True)


@pytest.mark.fault("G9")
def test_an_endless_line_costs_no_memory_and_one_count(written):
    long = b'{"type":"x","a":"' + b"x" * (3 * MAX_LINE) + b'"}\n'
    journal = read(written(header(), long, snapshots([0]), b"x" * (MAX_LINE - 1) + b"\n", snapshots([1]), long[:-1]))
    assert (steps(journal.merged()), journal.bad_lines, journal.torn) == ([0, 1], 2, True)


def test_lines_that_an_editor_ended_its_own_way_are_read(written):
    data = header() + snapshots([0, 1])
    assert steps(read(written(data.replace(b"\n", b"\r\n"))).merged()) == [0, 1]


def test_an_empty_file_and_one_without_a_header(written):
    journal = read(written(b""))
    assert (journal.attempts, journal.merged(), journal.torn) == ((), [], False)
    (attempt,) = read(written(snapshots([4]))).attempts
    assert attempt.run.run_id == "unknown"
    assert attempt.run.started_at == 101.0
    assert steps(attempt.snapshots) == [4]


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


# -- for writers ------------------------------------------------------------------------------------------------------


def test_the_last_header_is_found_from_the_end(written):
    assert last_run(written(b"")) is None
    assert last_run(written(b"hello\n", snapshots(range(50)))) is None
    assert last_run(written(header(1), snapshots(range(50)), header(2), snapshots(range(50)))).attempt == 2


@pytest.mark.parametrize("block", range(14, 60))
def test_the_last_header_is_found_wherever_blocks_end(written, monkeypatch, block):
    monkeypatch.setattr(reader, "_BLOCK", block)
    path = written(header(1), snapshots([0, 1]), header(2), snapshots([0, 1, 2]))
    assert last_run(path).attempt == 2


def test_a_torn_header_is_passed_over(written):
    assert last_run(written(header(1), header(2)[:40], b"\n", snapshots([0]))).attempt == 1
    assert last_run(written(header(2)[:40])) is None


def test_a_metric_that_looks_like_a_header_is_none(written):
    line = SnapshotEncoder().encode(TrainingSnapshot(1, 0.5, custom_metrics={"a": header(9).decode()}), 1, 1.0)
    assert last_run(written(header(1), line)).attempt == 1


@pytest.mark.parametrize("start", [b"", b"\n", b'{"ty', b'{"ty\n', header()[:40], header(), b'{"ty\n' + header()])
def test_journals_are_told_from_the_start_of_the_file(written, start):
    assert is_journal(written(start))


@pytest.mark.parametrize("start", [b"\x80\x02}q\x00.", b"step,loss\n1,0.5\n", b'{"step":1}\n', b"\0" * 100])
def test_other_files_are_no_journals(written, start):
    assert not is_journal(written(start))
