import io
import os

import pytest
from journal_files import header, snapshots

from m.journal import tail as tail_module
from m.journal.records import MAX_LINE
from m.journal.segments import segment_path
from m.journal.tail import Tail


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.jsonl"


def append(path, data):
    with open(path, "ab") as file:
        file.write(data)


def look(tail):
    return b"".join(tail.look())


def test_each_look_gives_what_is_new(path):
    tail = Tail(path)
    path.write_bytes(b"one\ntwo\n")
    assert list(tail.look()) == [b"one\n", b"two\n"]
    assert list(tail.look()) == []
    append(path, b"three\n")
    assert list(tail.look()) == [b"three\n"]


def test_a_file_that_is_not_there_yet_gives_nothing_and_so_does_its_folder(tmp_path):
    path = tmp_path / "runs" / "run.jsonl"
    tail = Tail(path)
    assert (look(tail), tail.has_begun) == (b"", False)
    path.parent.mkdir()
    assert (look(tail), tail.has_begun) == (b"", False)
    path.touch()
    assert (look(tail), tail.has_begun) == (b"", True)
    append(path, b"one\n")
    assert look(tail) == b"one\n"


def test_a_line_that_is_finished_while_it_is_read_comes_whole(path, monkeypatch):
    """Its second half was taken for a line, and at the next look the whole file came again."""

    class Growing(io.FileIO):
        """Reads as a file does whose writer goes on as soon as somebody has seen half a line."""

        def readline(self, size=-1):
            line = super().readline(size)
            if line and not line.endswith(b"\n"):
                append(path, b"o\nthree\n")
            return line

    tail = Tail(path)
    path.write_bytes(b"one\ntw")
    monkeypatch.setattr(tail_module, "open", Growing, raising=False)
    assert list(tail.look()) == [b"one\n"]
    assert list(tail.look()) == [b"two\n", b"three\n"]
    assert list(tail.look()) == []


def test_a_torn_line_waits_for_its_end(path):
    tail = Tail(path)
    path.write_bytes(b"one\ntw")
    assert look(tail) == b"one\n"
    assert (tail.rest, tail.torn) == (b"tw", True)
    append(path, b"o")
    assert look(tail) == b""
    append(path, b"\nthr")
    assert look(tail) == b"two\n"
    assert tail.rest == b"thr"
    append(path, b"ee\n")
    assert look(tail) == b"three\n"
    assert (tail.rest, tail.torn) == (b"", False)


def test_a_look_that_was_left_half_way_goes_on_there(path):
    path.write_bytes(b"one\ntwo\nthree\n")
    tail = Tail(path)
    for line in tail.look():
        if line == b"two\n":
            break
    assert look(tail) == b"three\n"


def test_segments_are_one_after_the_other(path):
    tail = Tail(path)
    path.write_bytes(header())
    assert look(tail) == header()
    append(path, b"one\n")
    segment_path(path, 2).write_bytes(header() + b"two\n")
    segment_path(path, 3).write_bytes(header() + b"three\n")
    assert look(tail) == b"one\n" + header() + b"two\n" + header() + b"three\n"
    append(segment_path(path, 3), b"four\n")
    assert look(tail) == b"four\n"
    assert look(Tail(path)) == header() + b"one\n" + header() + b"two\n" + header() + b"three\nfour\n"


def test_a_segment_is_not_left_before_the_next_has_its_header(path):
    tail = Tail(path)
    path.write_bytes(header())
    segment_path(path, 2).write_bytes(header()[:30])
    assert look(tail) == header()
    append(path, b"one\n")  # its writer found no room for the header, and goes on here
    assert look(tail) == b"one\n"
    segment_path(path, 3).write_bytes(header() + b"two\n")
    assert look(tail) == header() + b"two\n"


def test_what_is_written_while_a_look_goes_on_is_not_left_behind(path, monkeypatch):
    """A line goes to the end of a segment, and the next one begins, at the very moment at which it is looked for."""
    path.write_bytes(header())
    look_for = tail_module.segment_numbers

    def write_and_look(path):
        if not segment_path(path, 2).exists():
            append(path, b"one\n")
            segment_path(path, 2).write_bytes(header() + b"two\n")
        return look_for(path)

    tail = Tail(path)
    assert next(tail.look()) == header()
    monkeypatch.setattr(tail_module, "segment_numbers", write_and_look)
    assert look(tail) == b"one\n" + header() + b"two\n"


def test_a_torn_line_at_the_end_of_a_segment_comes_when_the_next_has_begun(path):
    tail = Tail(path)
    path.write_bytes(header() + b"to")
    assert look(tail) == header()
    segment_path(path, 2).write_bytes(header())
    assert list(tail.look()) == [b"to", header()]
    assert not tail.torn


def test_a_segment_that_was_taken_away_is_left_out(path):
    tail = Tail(path)
    path.write_bytes(header())
    look(tail)
    path.unlink()
    assert look(tail) == b""
    segment_path(path, 2).write_bytes(header())
    segment_path(path, 4).write_bytes(header() + b"one\n")
    assert look(tail) == header() + header() + b"one\n"
    segment_path(path, 2).unlink()
    append(segment_path(path, 4), b"two\n")
    assert look(tail) == b"two\n"


@pytest.mark.parametrize("read", [header(), header() + b"one\n", header() + b"one\ntw"])
def test_a_longer_copy_in_its_place_goes_on_where_it_was(path, read):
    tail = Tail(path)
    path.write_bytes(read)
    given = look(tail)
    copy = path.with_name("copy")
    copy.write_bytes(header() + b"one\ntwo\nthree\n")
    os.replace(copy, path)
    assert given + look(tail) == header() + b"one\ntwo\nthree\n"


def test_another_file_in_its_place_is_read_from_its_start(path):
    tail = Tail(path)
    path.write_bytes(header() + snapshots([0, 1]))
    segment_path(path, 2).write_bytes(header() + snapshots([2, 3]))
    look(tail)
    segment_path(path, 2).unlink()
    assert look(tail) == b"", "the rest is as it was"
    other = header(run_id="def") + snapshots(range(9))
    path.write_bytes(other)
    assert look(tail) == other
    append(path, b"one\n")
    assert look(tail) == b"one\n"


def test_a_file_that_was_cut_short_is_read_from_its_start(path):
    tail = Tail(path)
    path.write_bytes(header() + snapshots([0, 1]))
    look(tail)
    path.write_bytes(header())
    assert look(tail) == header()


def test_lines_that_are_too_long_are_passed_over_and_counted(path):
    tail = Tail(path)
    longest = b"x" * (MAX_LINE - 1) + b"\n"
    path.write_bytes(longest + b"x" + longest + b"x" * (3 * MAX_LINE) + b"\n" + b"one\n")
    assert look(tail) == longest + b"one\n"
    assert tail.too_long == 2


def test_a_line_that_becomes_too_long_while_it_is_watched_is_not_read_again_and_again(path):
    tail = Tail(path)
    for _ in range(4):
        append(path, b"x" * MAX_LINE)
        assert look(tail) == b""
        assert tail.torn
    assert tail.rest == b""
    assert tail._done == 4 * MAX_LINE
    append(path, b"x\none\n")
    assert look(tail) == b"one\n"
    assert (tail.too_long, tail.torn) == (1, False)


def test_a_line_too_long_that_is_torn_counts_when_the_next_segment_has_begun(path):
    tail = Tail(path)
    path.write_bytes(header() + b"x" * (2 * MAX_LINE))
    assert look(tail) == header()
    assert (tail.too_long, tail.torn) == (0, True)
    segment_path(path, 2).write_bytes(header())
    assert look(tail) == header()
    assert (tail.too_long, tail.torn) == (1, False)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc here")
def test_no_file_is_open_between_two_looks(path):
    path.write_bytes(b"one\n")
    tail = Tail(path)
    before = len(os.listdir("/proc/self/fd"))
    look(tail)
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_no_file_is_an_error(tmp_path):
    with pytest.raises(IsADirectoryError):
        look(Tail(tmp_path))
