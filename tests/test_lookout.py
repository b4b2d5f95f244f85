"""The thread that looks for a stall, at the ends of processes: it holds nobody and is not inherited."""

from __future__ import annotations

import textwrap
import threading
import time

import pytest
from fault_injection import FORK, run

from m import MetricsHub
from m.hub.lookout import Lookout

TRAINING = """
from m import Stall
class Quiet:
    def record(self, snapshot):
        pass
    def alert(self, alert):
        say("alert", alert.rule)
hub = MetricsHub([Quiet()], rules=[Stall(at_least_s=0.3, times=2.0)])
until = time.monotonic() + 1.3
step = 0
while time.monotonic() < until:
    hub.emit(snapshot(step))
    step += 1
    time.sleep(0.005)
say([thread.name for thread in threading.enumerate() if "lookout" in thread.name])
"""


def test_it_does_not_hold_the_exit_of_a_program_that_never_closes_its_hub() -> None:
    out, err, status = run(TRAINING)
    assert out == ["['metrics-hub lookout']"]
    assert (err, status) == ("", 0)


def test_without_a_thread_to_be_had_nobody_looks_and_nothing_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with MetricsHub() as hub:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            lookout = Lookout(hub)
        lookout.stop(time.monotonic())


@pytest.mark.fault("C6")
def test_a_forked_child_has_no_thread_that_looks_and_hears_of_no_stall() -> None:
    out, err, status = run(
        FORK
        + TRAINING
        + textwrap.dedent("""
        def child():
            for step in range(100):
                hub.emit(snapshot(step))
            time.sleep(1.0)
            say("in the child", len(threading.enumerate()), hub.next_look())

        hub._rest(None)  # the parent waits for its child and is not to be called stalled
        in_child(child)
        hub.close()
        """)
    )
    assert out == ["['metrics-hub lookout']", "in the child 1 inf", "child ended 0"]
    assert (err, status) == ("", 0)
