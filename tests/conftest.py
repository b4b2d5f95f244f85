"""Fixtures that more than one file of tests takes, and no window by chance on the screen of whoever runs the suite."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from hub_doubles import Make

from m import MetricsHub
from m.metrics import pickled, values

os.environ["MPLBACKEND"] = "agg"  # tests that want a window say so
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as for what a script starts with &; processes hand it on
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def hubs() -> Iterator[Make]:
    """Makes hubs that are closed after the test."""
    made: list[MetricsHub] = []

    def make(*arguments: Any, **options: Any) -> MetricsHub:
        made.append(MetricsHub(*arguments, **options))
        return made[-1]

    yield make
    for hub in made:
        try:
            hub.close()
        except Exception:  # a strict one
            continue


@pytest.fixture
def no_name_was_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is warned about once in a process, and other tests have been there."""
    monkeypatch.setattr(values, "_warned", set())


@pytest.fixture
def nothing_was_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor was this, which is said once in a process."""
    monkeypatch.setattr(pickled, "_said", False)
