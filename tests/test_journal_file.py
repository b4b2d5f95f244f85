import contextlib
import errno
import os
from pathlib import Path

import pytest

from m.journal import file as journal_file
from m.journal.encoding import encode
from m.journal.file import JournalFile, checked_path
from m.metrics.run import Run

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
needs_locks = pytest.mark.skipif(journal_file.fcntl is None, reason="no flock here")

HEADER = encode(Run(run_id="abc", started_at=1.0))


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


def test_lines_are_appended_and_there_at_once(path, opened):
    file, refusal = opened(path)
    assert (refusal, file.path, file.is_open, file.last_header) == (None, path, True, None)
    file.append(HEADER)
    assert path.read_bytes() == HEADER
    file.append(b"{}\n")
    assert path.read_bytes() == HEADER + b"{}\n"


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


@pytest.mark.parametrize(("code", "closes"), [(errno.EBADF, False), (errno.ESTALE, True)])
def test_a_dead_descriptor_is_given_up_and_the_file_can_be_opened_again(path, opened, monkeypatch, code, closes):
    """EBADF says that somebody closed it: by now the number may be another file's, which must not be closed."""
    file, _ = opened(path)
    descriptor = file._descriptor
    with monkeypatch.context() as dead:

        def fail(descriptor, data):
            raise OSError(code, os.strerror(code))

        dead.setattr(journal_file.os, "write", fail)
        with pytest.raises(OSError, match=r".") as raised:
            file.append(HEADER)
    assert raised.value.errno == code
    assert not file.is_open
    assert file.writer == os.getpid()
    if closes:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    else:
        os.close(descriptor)
    assert file.open() is None
    file.append(HEADER)
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
    assert refusal == "is being written by another sink or process"
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


def test_a_file_that_is_no_journal_is_not_claimed(tmp_path, opened):
    path = tmp_path / "model.pt"
    path.write_bytes(b"weights")
    for _ in range(2):
        file, refusal = opened(path)
        assert refusal == "exists and is no journal", "the refused one keeps no lock either"
        assert file.path != path
        assert (file.last_header, file.path.read_bytes()) == (None, b"")
    assert path.read_bytes() == b"weights"


def test_where_there_is_no_flock_the_file_beside_it_goes_when_the_writer_goes(path, opened, monkeypatch):
    monkeypatch.setattr(journal_file, "fcntl", None)
    lock = path.with_name("run.jsonl.lock")
    file, refusal = opened(path)
    assert refusal is None
    assert lock.exists()
    with monkeypatch.context() as held:  # where open files cannot be removed, as on Windows

        def refuse(self, missing_ok=False):
            raise PermissionError(errno.EACCES, "in use")

        held.setattr(Path, "unlink", refuse)
        assert opened(path)[1] == "is being written by another sink or process"
    file.let_go()
    assert not lock.exists()


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
