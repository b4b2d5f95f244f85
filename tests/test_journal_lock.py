import errno
import os
import stat

import pytest
from journal_files import needs_proc, open_files_stay

from m.journal import lock as journal_lock
from m.journal.lock import WriterLock, is_held_here

needs_locks = pytest.mark.skipif(journal_lock.fcntl is None, reason="no flock here")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.jsonl"


@pytest.fixture
def no_flock(monkeypatch):
    monkeypatch.setattr(journal_lock, "fcntl", None)
    open_files_stay(monkeypatch)


def assert_one_holder_at_a_time(path):
    first, second = WriterLock(), WriterLock()
    assert not is_held_here(path)
    assert first.take(path)
    assert is_held_here(path)
    assert not second.take(path)
    second.release()
    assert not second.take(path), "one that was refused has nothing to release"
    first.release()
    first.release()
    assert not is_held_here(path)
    assert second.take(path)
    second.release()


@needs_locks
def test_a_lock_has_one_holder_at_a_time(path):
    assert_one_holder_at_a_time(path)
    assert os.listdir(path.parent) == ["run.jsonl"]


@needs_proc
def test_where_there_is_no_flock_a_file_beside_it_is_the_lock(path, no_flock):
    lock = path.with_name("run.jsonl.lock")
    lock.write_bytes(b"")  # left by a crash
    assert_one_holder_at_a_time(path)
    assert not lock.exists()


@needs_proc
@pytest.mark.parametrize("flock", [pytest.param(True, marks=needs_locks), False])
def test_descriptors_are_given_back(path, monkeypatch, flock):
    if not flock:
        monkeypatch.setattr(journal_lock, "fcntl", None)
        open_files_stay(monkeypatch)
    before = len(os.listdir("/proc/self/fd"))
    assert_one_holder_at_a_time(path)
    assert len(os.listdir("/proc/self/fd")) == before


@needs_locks
def test_a_file_system_without_locks_is_as_good_as_locked(path, monkeypatch):
    def fail(descriptor, operation):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(journal_lock.fcntl, "flock", fail)
    assert WriterLock().take(path)


@pytest.mark.parametrize("flock", [pytest.param(True, marks=needs_locks), False])
def test_who_may_read_the_file_is_up_to_the_umask(path, monkeypatch, flock):
    if not flock:
        monkeypatch.setattr(journal_lock, "fcntl", None)
    lock = WriterLock()
    before = os.umask(0o022)
    try:
        lock.take(path)
    finally:
        os.umask(before)
    lock.release()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_file_that_cannot_be_made_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        WriterLock().take(tmp_path / "no" / "folder.jsonl")


@needs_proc
def test_a_forked_child_does_not_take_the_file_beside_it_away(path, no_flock, monkeypatch):
    lock = WriterLock()
    lock.take(path)
    with monkeypatch.context() as child:
        pid = os.getpid() + 1
        child.setattr(journal_lock.os, "getpid", lambda: pid)
        lock.release()
    assert path.with_name("run.jsonl.lock").exists()


@needs_proc
def test_that_somebody_removed_the_file_beside_it_is_no_error(path, no_flock):
    lock = WriterLock()
    lock.take(path)
    os.unlink(path.with_name("run.jsonl.lock"))
    lock.release()
    assert lock.take(path)
    lock.release()
