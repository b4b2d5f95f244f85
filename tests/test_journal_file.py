import contextlib
import errno
import os
from pathlib import Path

import pytest
from fault_injection import without_standard_streams
from journal_files import needs_proc, open_files_stay

from m.journal import file as journal_file
from m.journal import lock as journal_lock
from m.journal.encoding import encode
from m.journal.file import JournalFile, checked_path
from m.journal.segments import has_begun, segment_numbers, segment_path
from m.metrics.run import Run

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
needs_locks = pytest.mark.skipif(journal_lock.fcntl is None, reason="no flock here")

HEADER = encode(Run(run_id="abc", started_at=1.0))


HELD_HERE = "is being written by another JsonlSink of this process (close its hub to go on in the same file)"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "run.jsonl"


@pytest.fixture
def opened():
    """Open a file for this process; what a test leaves open is let go of."""
    with contextlib.ExitStack() as stack:

        def open_for(path):
            file = JournalFile(path)
            stack.callback(file.let_go)
            file.hold()
            return file, file.open()

        yield open_for


def open_descriptors():
    return set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None


def test_lines_are_appended_and_there_at_once(path, opened):
    file, refusal = opened(path)
    assert (refusal, file.path, file.is_open, file.last_header) == (None, path, True, None)
    file.append(HEADER)
    assert path.read_bytes() == HEADER
    file.append(b"{}\n")
    assert path.read_bytes() == HEADER + b"{}\n"


@needs_locks
def test_neither_lock_nor_segments_take_a_number_of_a_standard_stream(path):
    file = JournalFile(path, segment_bytes=len(HEADER) + 10)
    with without_standard_streams() as taken:
        file.hold()
        file.open()
        file.begin(HEADER)
        for _ in range(3):
            file.append(b'{"a":1}\n')
        assert taken() == []
    file.let_go()
    assert len(segment_numbers(path)) > 1


def test_making_one_opens_nothing(path):
    file = JournalFile(path)
    file.sync()
    file.let_go()
    assert (file.is_open, file.writer) == (False, 0)
    assert not path.parent.exists()


def test_it_is_held_before_it_is_open_and_until_it_is_let_go_of(path):
    file = JournalFile(path)
    file.hold()
    assert (file.writer, file.is_open) == (os.getpid(), False)
    file.open()
    file.let_go()
    file.let_go()
    assert (file.writer, file.is_open) == (0, False)
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.append(HEADER)
    assert path.read_bytes() == b""


def test_its_newest_header_is_known_once_it_is_open(path, opened):
    path.parent.mkdir()
    path.write_bytes(HEADER + HEADER.replace(b'"abc"', b'"def"') + b"{}\n")
    file, _ = opened(path)
    assert file.last_header.run_id == "def"


@pytest.mark.fault("G2")
def test_a_torn_end_is_closed_off_before_the_next_line(path, opened):
    path.parent.mkdir()
    path.write_bytes(HEADER + b'{"type":"snap')
    file, _ = opened(path)
    assert path.read_bytes().endswith(b"snap"), "opening writes nothing"
    file.append(b"{}\n")
    file.append(b"{}\n")
    assert path.read_bytes() == HEADER + b'{"type":"snap\n{}\n{}\n'


def test_a_line_that_takes_several_writes_is_whole(path, opened, monkeypatch):
    file, _ = opened(path)
    write = os.write
    monkeypatch.setattr(journal_file.os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    file.append(HEADER)
    file.append(b"{}\n")
    assert path.read_bytes() == HEADER + b"{}\n"


@pytest.mark.fault("G3")
@pytest.mark.parametrize("stop", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()], ids=["disk full", "interrupt"])
def test_whatever_cuts_a_line_short_the_next_begins_on_its_own(path, opened, monkeypatch, stop):
    file, _ = opened(path)
    write, rooms = os.write, [7]

    def write_some(descriptor, data):
        if not rooms:
            raise stop
        return write(descriptor, data[: rooms.pop()])

    with monkeypatch.context() as short:
        short.setattr(journal_file.os, "write", write_some)
        with pytest.raises(type(stop)):
            file.append(HEADER)
    file.append(b"{}\n")
    assert path.read_bytes() == HEADER[:7] + b"\n{}\n"


def test_a_device_that_takes_nothing_and_says_nothing_is_full(path, opened, monkeypatch):
    file, _ = opened(path)
    monkeypatch.setattr(journal_file.os, "write", lambda descriptor, data: 0)
    with pytest.raises(OSError, match="No space left"):
        file.append(HEADER)


@pytest.mark.parametrize("code", [errno.EBADF, errno.ESTALE])
def test_a_dead_descriptor_is_given_up_and_the_file_can_be_opened_again(path, opened, monkeypatch, code):
    file, _ = opened(path)
    descriptors = open_descriptors()
    with monkeypatch.context() as dead:

        def fail(descriptor, data):
            raise OSError(code, os.strerror(code))

        dead.setattr(journal_file.os, "write", fail)
        with pytest.raises(OSError, match=r".") as raised:
            file.append(HEADER)
    assert raised.value.errno == code
    assert not file.is_open
    assert file.writer == os.getpid()
    assert file.open() is None, "its own lock is in nobody's way"
    file.append(HEADER)
    assert path.read_bytes() == HEADER
    assert open_descriptors() == descriptors


def test_descriptors_that_are_other_files_by_now_are_left_to_them(path, opened, tmp_path):
    """Somebody closes what it takes for its own, and then opens files of its own, which get the same numbers."""
    file, _ = opened(path)
    ours = [file._segment.number, file._lock._held.number]
    os.closerange(min(ours), max(ours) + 1)
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(b"")
    theirs = [os.open(tmp_path / name, os.O_RDONLY) for name in ("one", "two")]
    assert sorted(theirs) == sorted(ours)
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.append(HEADER)
    assert file.open() is None
    file.append(HEADER)
    for descriptor in theirs:
        os.close(descriptor)
    assert path.read_bytes() == HEADER


def test_an_error_that_says_nothing_of_the_descriptor_keeps_it(path, opened, monkeypatch):
    file, _ = opened(path)
    with monkeypatch.context() as full:

        def fail(descriptor, data):
            raise OSError(errno.ENOSPC, "full")

        full.setattr(journal_file.os, "write", fail)
        with pytest.raises(OSError, match="full"):
            file.append(HEADER)
    assert file.is_open
    file.append(HEADER)
    assert path.read_bytes() == HEADER


@pytest.mark.parametrize(("code", "raises"), [(errno.EIO, True), (errno.EINVAL, False)])
def test_a_failing_sync_is_raised_except_where_there_is_nothing_to_force(path, opened, monkeypatch, code, raises):
    def fail(descriptor):
        raise OSError(code, "sync failed")

    file, _ = opened(path)
    monkeypatch.setattr(journal_file.os, "fsync", fail)
    with pytest.raises(OSError, match="sync failed") if raises else contextlib.nullcontext():
        file.sync()


# -- one writer -------------------------------------------------------------------------------------------------------


@needs_locks
def test_a_second_writer_gets_a_file_beside_it(path, opened):
    first, _ = opened(path)
    second, refusal = opened(path)
    assert refusal == HELD_HERE
    assert second.wanted == path
    assert second.path.parent == path.parent
    assert second.path.name.startswith(f"run-{os.getpid()}-")
    assert second.path.suffix == ".jsonl"
    first.append(HEADER)
    second.append(b"{}\n")
    assert (path.read_bytes(), second.path.read_bytes()) == (HEADER, b"{}\n")
    first.let_go()
    third, refusal = opened(path)
    assert (refusal, third.path) == (None, path)
    fourth, refusal = opened(second.path)
    assert (refusal, fourth.path != second.path) == (HELD_HERE, True)


def test_a_file_that_is_no_journal_is_not_claimed(tmp_path, opened):
    path = tmp_path / "model.pt"
    path.write_bytes(b"weights")
    for _ in range(2):
        file, refusal = opened(path)
        assert refusal == "exists and is no journal", "the refused one keeps no lock either"
        assert file.path != path
        assert (file.last_header, file.path.read_bytes()) == (None, b"")
    assert path.read_bytes() == b"weights"


@needs_proc
def test_where_there_is_no_flock_its_own_lock_is_in_nobodys_way_after_a_dead_descriptor(path, opened, monkeypatch):
    """The file beside it was still open then, could not be removed, and passed for that of another writer."""
    monkeypatch.setattr(journal_lock, "fcntl", None)
    open_files_stay(monkeypatch)
    file, _ = opened(path)
    file.append(HEADER)
    os.close(file._descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.append(b"{}\n")
    assert (file.open(), file.path) == (None, path)
    assert opened(path)[1] == HELD_HERE
    file.append(b"{}\n")
    assert path.read_bytes() == HEADER + b"{}\n"


@needs_fork
def test_a_forked_child_lets_go_by_itself_and_may_hold_a_file_of_its_own(path, opened):
    file, _ = opened(path)
    file.append(HEADER)
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            assert (file.writer, file.is_open) == (0, False)
            file.hold()
            assert file.open() is not None
            assert file.path != path
            file.append(b"{}\n")
            code = 0
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (file.writer, file.is_open, file.path) == (os.getpid(), True, path)
    file.append(b"{}\n")
    assert path.read_bytes() == HEADER + b"{}\n"


# -- paths ------------------------------------------------------------------------------------------------------------


def test_a_path_is_made_absolute_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checked_path("runs/run.jsonl") == tmp_path / "runs" / "run.jsonl"
    assert checked_path(Path("run.jsonl")) == tmp_path / "run.jsonl"
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_no_file_can_have_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    assert checked_path(tmp_path / "file") == tmp_path / "file"
    with pytest.raises(IsADirectoryError, match="is a folder"):
        checked_path(tmp_path)
    with pytest.raises(NotADirectoryError, match="is no folder"):
        checked_path(tmp_path / "file" / "run.jsonl")
    with pytest.raises(TypeError, match="got 5"):
        checked_path(5)


# -- segments ---------------------------------------------------------------------------------------------------------

LINE = b'{"type":"x","n":%02d}\n'


@pytest.fixture
def rotating(path):
    """A file with segments of a header and three lines."""
    with contextlib.ExitStack() as stack:

        def rotate(**options):
            file = JournalFile(path, segment_bytes=len(HEADER) + 3 * len(LINE % 0), **options)
            stack.callback(file.let_go)
            file.hold()
            assert file.open() is None
            return file

        yield rotate


def contents(path):
    return [segment_path(path, number).read_bytes() for number in segment_numbers(path)]


def numbered(*numbers):
    return b"".join(LINE % number for number in numbers)


def test_a_line_that_would_make_the_file_too_long_goes_to_the_next_segment(path, rotating):
    file = rotating()
    file.begin(HEADER)
    for number in range(7):
        file.append(LINE % number)
    assert contents(path) == [HEADER + numbered(0, 1, 2), HEADER + numbered(3, 4, 5), HEADER + numbered(6)]
    assert sorted(each.name for each in path.parent.iterdir()) == ["run.jsonl", "run.jsonl.002", "run.jsonl.003"]
    assert file.path == path, "what a reader is given"


def test_without_a_size_everything_goes_to_one_file(path, opened):
    file, _ = opened(path)
    file.begin(HEADER)
    for number in range(50):
        file.append(LINE % number)
    assert segment_numbers(path) == [1]


def test_the_next_writer_goes_on_in_the_newest_segment_whether_it_rotates_or_not(path, rotating, opened):
    file = rotating()
    file.begin(HEADER)
    for number in range(4):
        file.append(LINE % number)
    file.let_go()
    file, _ = opened(path)
    assert file.last_header.run_id == "abc"
    for number in range(4, 9):
        file.append(LINE % number)
    assert contents(path)[1:] == [HEADER + numbered(*range(3, 9))]


def test_an_attempt_that_finds_a_full_segment_begins_the_next_with_its_own_header(path, rotating):
    other = HEADER.replace(b"abc", b"def")
    file = rotating()
    file.begin(HEADER)
    file.append(LINE % 0)
    file.append(LINE % 1)
    file.begin(other)
    for number in range(2, 6):
        file.append(LINE % number)
    assert contents(path) == [HEADER + numbered(0, 1), other + numbered(2, 3, 4), other + numbered(5)]


def test_a_segment_begins_with_no_header_of_an_attempt_that_is_over(path, rotating):
    file = rotating()
    file.begin(HEADER)
    file.let_go()
    file = rotating()
    for number in range(9):
        file.append(LINE % number)
    assert segment_numbers(path) == [1], "nobody said whose these are"


def test_a_header_that_is_longer_than_a_segment_goes_to_the_first_all_the_same(path):
    file = JournalFile(path, segment_bytes=1)
    file.open()
    file.begin(HEADER)
    file.append(LINE % 0)
    file.let_go()
    assert contents(path) == [HEADER, HEADER + numbered(0)]


@needs_locks
def test_a_journal_is_locked_in_all_its_segments(path, rotating, opened):
    file = rotating()
    file.begin(HEADER)
    for number in range(9):
        file.append(LINE % number)
    second, refusal = opened(path)
    assert refusal == HELD_HERE
    assert second.path != path
    file.let_go()
    assert opened(path)[1] is None


@needs_locks
def test_a_file_beside_it_has_segments_of_its_own(path, rotating):
    first = rotating()
    first.begin(HEADER)
    second = JournalFile(path, segment_bytes=len(HEADER) + len(LINE % 0))
    second.open()
    second.begin(HEADER)
    second.append(LINE % 0)
    second.append(LINE % 1)
    second.let_go()
    assert contents(second.path) == [HEADER + numbered(0), HEADER + numbered(1)]
    assert contents(path) == [HEADER]


def test_the_first_segments_may_be_taken_away(path, rotating):
    file = rotating()
    file.begin(HEADER)
    for number in range(8):
        file.append(LINE % number)
    file.let_go()
    path.unlink()
    segment_path(path, 2).unlink()
    file = rotating()
    assert file.last_header.run_id == "abc"
    file.append(LINE % 8)
    assert contents(path) == [b"", HEADER + numbered(6, 7, 8)]


def test_a_file_that_has_the_name_of_a_segment_and_is_none_is_left_alone(path, rotating):
    path.parent.mkdir()
    segment_path(path, 2).write_bytes(b"my own notes\n")
    file = rotating()
    file.begin(HEADER)
    for number in range(4):
        file.append(LINE % number)
    assert contents(path) == [HEADER + numbered(0, 1, 2), b"my own notes\n", HEADER + numbered(3)]


def test_segments_that_were_moved_elsewhere_and_linked_still_count(path, rotating, tmp_path):
    file = rotating()
    file.begin(HEADER)
    for number in range(4):
        file.append(LINE % number)
    file.let_go()
    segment_path(path, 2).rename(tmp_path / "moved")
    segment_path(path, 2).symlink_to(tmp_path / "moved")
    file = rotating()
    file.append(LINE % 4)
    assert contents(path)[1] == HEADER + numbered(3, 4)


def test_a_link_to_nowhere_makes_no_file_there(path, rotating, tmp_path):
    path.parent.mkdir()
    segment_path(path, 2).symlink_to(tmp_path / "nowhere")
    file = rotating()
    file.begin(HEADER)
    for number in range(4):
        file.append(LINE % number)
    assert not (tmp_path / "nowhere").exists()
    assert segment_path(path, 3).read_bytes() == HEADER + numbered(3)


def refuse_new_files(monkeypatch, code):
    open_one = os.open

    def refuse(path, flags, *mode):
        if flags & os.O_EXCL:
            raise OSError(code, os.strerror(code))
        return open_one(path, flags, *mode)

    monkeypatch.setattr(journal_file.os, "open", refuse)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EMFILE, errno.EACCES])
def test_where_no_segment_can_be_begun_it_goes_on_in_the_same_file(path, rotating, monkeypatch, caplog, code):
    file = rotating()
    file.begin(HEADER)
    with monkeypatch.context() as refusing:
        refuse_new_files(refusing, code)
        for number in range(20):
            file.append(LINE % number)
    assert contents(path) == [HEADER + numbered(*range(20))]
    assert caplog.text.count("no further segment can be begun") == 1
    for number in range(20, 23):
        file.append(LINE % number)
    assert len(contents(path)) == 2, "it is tried again"
    assert b"".join(contents(path)).replace(HEADER, b"") == numbered(*range(23))


@pytest.mark.parametrize("room", [0, 1, len(HEADER) - 1])
def test_a_header_for_which_there_is_no_room_leaves_no_segment(path, rotating, monkeypatch, room):
    file = rotating()
    file.begin(HEADER)
    for number in range(3):
        file.append(LINE % number)
    write = os.write

    def write_lines_only(descriptor, data):
        if data != HEADER:
            return write(descriptor, data)
        if not room:
            raise OSError(errno.ENOSPC, "full")
        return write(descriptor, data[:room])

    descriptors = open_descriptors()
    with monkeypatch.context() as full:
        full.setattr(journal_file.os, "write", write_lines_only)
        file.append(LINE % 3)
        assert contents(path) == [HEADER + numbered(0, 1, 2, 3)]
    assert open_descriptors() == descriptors
    for number in range(4, 6):
        file.append(LINE % number)
    assert contents(path)[1].startswith(HEADER)
    assert b"".join(contents(path)).replace(HEADER, b"") == numbered(*range(6))


def test_a_segment_that_cannot_be_taken_away_again_is_passed_over(path, rotating, monkeypatch):
    file = rotating()
    file.begin(HEADER)
    for number in range(3):
        file.append(LINE % number)
    write = os.write

    def fail(*arguments):
        raise OSError(errno.EACCES, "no")

    with monkeypatch.context() as full:
        full.setattr(journal_file.os, "write", lambda one, data: write(one, data[:9] if data == HEADER else data))
        full.setattr(journal_file.os, "unlink", fail)
        file.append(LINE % 3)
    assert segment_numbers(path) == [1, 2]
    assert not has_begun(segment_path(path, 2))
    for number in range(4, 6):
        file.append(LINE % number)
    assert segment_numbers(path) == [1, 2, 3]
    assert segment_path(path, 3).read_bytes().startswith(HEADER)


def test_an_interrupt_while_a_segment_begins_leaves_no_doubt_where_it_goes_on(path, rotating, monkeypatch):
    """Ctrl-C right after the header's write: the segment has begun for every reader, so the writer must be in it."""
    file = rotating()
    file.begin(HEADER)
    for number in range(3):
        file.append(LINE % number)
    write = os.write

    def interrupted(descriptor, data):
        write(descriptor, data)
        raise KeyboardInterrupt

    with monkeypatch.context() as now:
        now.setattr(journal_file.os, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            file.append(LINE % 3)
    file.append(LINE % 4)
    assert contents(path) == [HEADER + numbered(0, 1, 2), HEADER + numbered(4)]


def test_a_torn_line_stays_behind_at_the_end_of_its_segment(path, rotating, monkeypatch):
    file = rotating()
    file.begin(HEADER)
    file.append(LINE % 0)
    file.append(LINE % 1)
    write, rooms = os.write, [7]

    def write_some(descriptor, data):
        if not rooms:
            raise OSError(errno.ENOSPC, "full")
        return write(descriptor, data[: rooms.pop()])

    with monkeypatch.context() as short:
        short.setattr(journal_file.os, "write", write_some)
        with pytest.raises(OSError, match="full"):
            file.append(LINE % 2)
    file.append(LINE % 3)
    file.append(LINE % 4)
    assert contents(path) == [HEADER + numbered(0, 1) + (LINE % 2)[:7], HEADER + numbered(3, 4)]


def test_a_line_that_lacks_only_its_newline_is_written(path, opened, monkeypatch):
    """It is a whole record: taking it for lost would have it both in the file and in a gap."""
    file, _ = opened(path)
    write, rooms = os.write, [len(LINE % 0) - 1]

    def write_some(descriptor, data):
        if not rooms:
            raise OSError(errno.ENOSPC, "full")
        return write(descriptor, data[: rooms.pop()])

    with monkeypatch.context() as short:
        short.setattr(journal_file.os, "write", write_some)
        file.append(LINE % 0)
    file.append(LINE % 1)
    assert path.read_bytes() == numbered(0, 1)


def test_a_segment_that_is_left_is_forced_to_the_disk_when_it_must_last(path, rotating, monkeypatch):
    synced = []
    fsync = os.fsync

    def note(descriptor):
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(journal_file.os, "fsync", note)
    file = rotating(durable=True)
    file.begin(HEADER)
    for number in range(4):
        file.append(LINE % number)
    assert synced == [path.stat().st_ino]
    file.sync()
    file.sync()
    newest = segment_path(path, 2).stat().st_ino
    assert synced[1:] == [newest, path.parent.stat().st_ino, newest], "the new name, too, and once"


def test_a_segment_that_cannot_be_forced_to_the_disk_is_left_all_the_same(path, rotating, monkeypatch, caplog):
    def fail(descriptor):
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(journal_file.os, "fsync", fail)
    file = rotating(durable=True)
    file.begin(HEADER)
    for number in range(7):
        file.append(LINE % number)
    assert len(contents(path)) == 3
    assert caplog.text.count("broken disk") == 1


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="no /dev/null here")
def test_a_device_is_neither_locked_nor_rotated():
    files = [JournalFile(Path("/dev/null"), segment_bytes=10) for _ in range(2)]
    for file in files:
        assert file.open() is None
        file.begin(HEADER)
        file.append(LINE % 0)
    for file in files:
        file.let_go()
    assert not Path("/dev/null.002").exists()
