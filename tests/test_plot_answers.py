"""What the process that draws says to the training process."""

from __future__ import annotations

import os
import sys

import pytest

from sinks.plotting.answers import LAST_WORDS, complain, never_wait, say_rest


def test_a_complaint_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    complain(ValueError("a\nb"))
    complain(RuntimeError("no screen"), LAST_WORDS)
    assert capsys.readouterr().err == "plot: ValueError: a b\nplot ends: RuntimeError: no screen\n"


def test_a_rest_is_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    say_rest(12345.678)
    assert capsys.readouterr().err == "plot rests until 12345.68\n"


def test_who_is_not_heard_any_more_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a window that is kept when the training is over: toolkits end a program whose callbacks raise."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", buffering=1, encoding="utf-8", closefd=False) as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        say_rest(1.0)
        complain(ValueError("a"))
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, writing)  # closing would say the rest
        os.close(null)
    os.close(writing)


def test_where_nobody_listens_it_does_not_stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """As while the training is stopped by Ctrl-Z, and the user plays with the window."""
    reading, writing = os.pipe()
    stderr = open(writing, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    monkeypatch.setattr(sys, "stderr", stderr)
    never_wait()
    for _ in range(5000):  # four times what a pipe takes
        complain(ValueError("x" * 40))
    heard = os.read(reading, 1 << 20)
    assert heard.startswith(b"plot: ValueError: xxx")
    assert len(heard) >= 4096
    os.close(reading)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, writing)  # closing says the rest
    os.close(null)
    stderr.close()
    os.close(writing)
