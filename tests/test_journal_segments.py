import pytest
from journal_files import header, snapshots

from m.journal import segments
from m.journal.encoding import SnapshotEncoder
from m.journal.segments import has_begun, is_journal, last_run, segment_numbers, segment_path
from m.metrics.snapshot import TrainingSnapshot


@pytest.fixture
def written(tmp_path):
    def write(*parts):
        path = tmp_path / "run.jsonl"
        path.write_bytes(b"".join(parts))
        return path

    return write


def test_the_first_segment_is_the_journals_path_and_the_others_are_numbered(tmp_path):
    path = tmp_path / "run.jsonl"
    names = [segment_path(path, number).name for number in (1, 2, 10, 999, 1000)]
    assert names == ["run.jsonl", "run.jsonl.002", "run.jsonl.010", "run.jsonl.999", "run.jsonl.1000"]


def test_segments_are_found_by_their_names_and_put_in_order(tmp_path):
    path = tmp_path / "run.jsonl"
    assert segment_numbers(path) == []
    assert segment_numbers(tmp_path / "no" / "folder.jsonl") == []
    for number in (1000, 3, 2, 1):
        segment_path(path, number).touch()
    for name in ("run.jsonl.2", "run.jsonl.0004", "run.jsonl.001", "run.jsonl.000", "run.jsonl.005.bak", "run2.jsonl"):
        (tmp_path / name).touch()
    assert segment_numbers(path) == [1, 2, 3, 1000]
    path.unlink()
    assert segment_numbers(path) == [2, 3, 1000], "somebody needed the space"


def test_segments_in_a_folder_that_may_not_be_listed_are_found_while_none_is_missing(tmp_path, monkeypatch):
    path = tmp_path / "run.jsonl"
    for number in (1, 2, 3, 5):
        segment_path(path, number).touch()

    def refuse(folder):
        raise PermissionError(13, "no")

    monkeypatch.setattr(segments.os, "listdir", refuse)
    assert segment_numbers(path) == [1, 2, 3]


@pytest.mark.parametrize("start", [header(), header() + b"{", header()[:40] + b"\n"])
def test_a_segment_has_begun_when_a_header_has_its_end(written, start):
    """A torn one gets its end from the next attempt, which writes here and no more to the segments before."""
    assert has_begun(written(start))


@pytest.mark.parametrize("start", [b"", header()[:40], header()[:-1], b"my own notes\n"])
def test_a_segment_that_was_only_made_has_not_begun(written, start):
    assert not has_begun(written(start))


def test_a_segment_that_is_not_there_has_not_begun(tmp_path):
    assert not has_begun(tmp_path / "run.jsonl.002")
    assert not is_journal(tmp_path / "run.jsonl.002")


# -- what a file tells of itself --------------------------------------------------------------------------------------


def test_the_last_header_is_found_from_the_end(written):
    assert last_run(written(b"")) is None
    assert last_run(written(b"hello\n", snapshots(range(50)))) is None
    assert last_run(written(header(1), snapshots(range(50)), header(2), snapshots(range(50)))).attempt == 2


@pytest.mark.parametrize("block", range(14, 60))
def test_the_last_header_is_found_wherever_blocks_end(written, monkeypatch, block):
    monkeypatch.setattr(segments, "_BLOCK", block)
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
