import errno
import os

import pytest
from fault_injection import without_standard_streams

from m.journal import descriptors
from m.journal.descriptors import Opened


@pytest.fixture
def make(tmp_path):
    def open_one(name):
        return os.open(tmp_path / name, os.O_CREAT | os.O_WRONLY)

    return open_one


def is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def test_what_is_ours_is_closed_once(make):
    opened = Opened.of(make("ours"))
    opened.close()
    assert not is_open(opened.number)
    opened.close()


@pytest.mark.skipif(descriptors.fcntl is None, reason="numbers cannot be chosen here")
def test_what_is_ours_takes_no_number_of_a_standard_stream(make):
    with without_standard_streams() as taken:
        number = make("ours")
        assert taken() == [number]
        opened = Opened.of(number)
        assert taken() == []
    assert not os.get_inheritable(opened.number)
    opened.close()
    assert not is_open(opened.number)


def test_a_number_that_is_another_files_by_now_is_left_alone(make):
    opened = Opened.of(make("ours"))
    os.close(opened.number)
    other = make("theirs")
    assert other == opened.number
    opened.close()
    assert is_open(other)
    os.close(other)


def test_a_file_on_a_lost_mount_is_closed_though_it_tells_nothing(make, monkeypatch):
    opened = Opened.of(make("ours"))
    with monkeypatch.context() as lost:

        def fail(number):
            raise OSError(errno.ESTALE, "stale file handle")

        lost.setattr(descriptors.os, "fstat", fail)
        opened.close()
    assert not is_open(opened.number)


def test_a_close_that_complains_is_a_close(make, monkeypatch):
    opened = Opened.of(make("ours"))
    close = os.close

    def complain(number):
        close(number)
        raise OSError(errno.EIO, "what was written is lost")

    with monkeypatch.context() as failing:
        failing.setattr(descriptors.os, "close", complain)
        opened.close()
    assert not is_open(opened.number)


@pytest.mark.parametrize("error", [OSError(errno.ESTALE, "stale file handle"), KeyboardInterrupt()])
def test_a_descriptor_that_cannot_be_looked_at_is_not_leaked(make, monkeypatch, error):
    number = make("ours")
    with monkeypatch.context() as lost:

        def fail(number):
            raise error

        lost.setattr(descriptors.os, "fstat", fail)
        with pytest.raises(type(error)):
            Opened.of(number)
    assert not is_open(number)
