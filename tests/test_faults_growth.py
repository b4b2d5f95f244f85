"""Section H of the catalogue in docs/reliability.md: nothing grows with steps, names, errors or hubs."""

from __future__ import annotations

import ast
import logging
from pathlib import Path
from typing import Any

import pytest
from fault_injection import run
from hub_doubles import Make, accounts, snapshot
from on_terminal import run_on_terminal

from m.metrics.snapshot import TrainingSnapshot
from sinks.terminal.state import MAX_NAMES, State

MEASURE = """
import gc, os, threading, time
def measure_once():
    gc.collect()
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    memory = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return memory, threading.active_count(), len(os.listdir("/proc/self/fd")), len(gc.get_objects())
def measure():
    "Resident memory in MB, threads, descriptors, objects: the least of a few looks, since a display may be at work."
    looks = []
    for _ in range(5):
        looks.append(measure_once())
        time.sleep(0.03)
    return tuple(map(min, zip(*looks)))
"""

STEADY = """
from sinks import JsonlSink, PlotSink, TerminalSink
terminal = TerminalSink()
hub = MetricsHub([terminal, JsonlSink(os.devnull)])
plots = PlotSink(display="off", summary=False)
hub.subscribe(fail, name="failing")
hub.subscribe(lambda s: None, name="slow", background=True)
hub.start(None, "steady")
def emit(first, last):
    for step in range(first, last):
        hub.emit(TrainingSnapshot(
            step=step, train_loss=1.0 / (step + 1), learning_rate=3e-4, batch_size=8, sequence_length=128,
            expert_utilization={number: 0.125 for number in range(8)},
            custom_metrics={"accuracy": step % 7, "error": 0.1, "text": "words"},
        ))
"""

FAIL = """
def fail(s):
    raise ValueError(f"broken at {s.step}")
"""

linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")


def emitted(warm_up: int, emits: int, hangs_after_s: float, first: str = "", before: str = "") -> list[tuple[Any, ...]]:
    """What was measured at four times after the warm-up."""
    stop = [warm_up + (emits - warm_up) * part // 3 for part in range(4)]
    code = f"""
measured = []
{first}
emit(0, {stop[0] - 3000})
{before}
time.sleep(1.2)  # until the display has loaded what it loads when it draws, and the run is old enough to be watched
with terminal._state.past.lock:  # as much waits for the display as ever does: some megabytes, whenever it is held up
    emit({stop[0] - 3000}, {stop[0]})
measured.append(measure())
for begin, last in zip({stop[:-1]}, {stop[1:]}):
    emit(begin, last)
    measured.append(measure())
assert hub.stats().emitted == {stop[-1]}
check_accounts(hub)
os.write(2, repr(measured).encode())
os._exit(0)
"""
    _, err, status = run(MEASURE + FAIL + STEADY + code, hangs_after_s=hangs_after_s)
    assert status == 0, err
    measured: list[tuple[Any, ...]] = ast.literal_eval(err.splitlines()[-1])
    return measured


def assert_steady(measured: list[tuple[Any, ...]], megabytes: float, objects: int = 100) -> None:
    memory = [each[0] for each in measured]
    assert memory[-1] - memory[0] < megabytes, measured
    assert len({each[1:3] for each in measured}) == 1, measured
    assert abs(measured[-1][3] - measured[0][3]) < objects, measured


@linux
@pytest.mark.storm
@pytest.mark.fault("H3")
def test_a_million_emits_add_less_than_a_megabyte() -> None:
    # the display keeps a few lists of slices, for as many lengths of a series
    assert_steady(emitted(200_000, 1_000_000, hangs_after_s=400), 1.0, objects=500)


@linux
@pytest.mark.storm
@pytest.mark.fault("H1", "H3")
def test_a_run_that_has_filled_its_histories_adds_less_than_a_megabyte() -> None:
    """They grow until a metric has about a million points, to 1.1 MB for each; here they are filled by columns."""
    fill = """
import sys
sys.path.insert(0, "tests")
import numpy as np
from long_runs import grow
for history in plots._numbers.histories().values():
    first = len(history)
    grow(history, np.sin(np.arange(1_300_000.0)), np.arange(first, first + 1_300_000) - 1_300_000)
"""
    plotted = 'hub.subscribe(plots, name="plots")\n'
    assert_steady(emitted(20_000, 300_000, hangs_after_s=300, before=fill, first=plotted), 1.0, objects=1000)


@linux
@pytest.mark.fault("H3")
def test_emits_add_no_threads_descriptors_or_objects() -> None:
    plotted = 'hub.subscribe(plots, name="plots")\n'
    # the newest points of a metric, 8 to 16 thousand, stand in chunks of three objects each
    assert_steady(emitted(20_000, 35_000, hangs_after_s=60, first=plotted), 8.0, objects=1000)


CYCLES = """
from sinks import JsonlSink, PlotSink, TerminalSink
def cycle(number):
    hub = MetricsHub([TerminalSink(), PlotSink(display="off", summary=False), JsonlSink(os.devnull)])
    hub.subscribe(fail)
    hub.subscribe(lambda s: None, background=True)
    hub.snapshot_emitted.connect(lambda hub, snapshot: None, weak=False)
    hub.start(3, f"run {number}")
    for step in range(3):
        hub.emit(TrainingSnapshot(step=step, train_loss=0.5, custom_metrics={f"name {number}": 1.0}))
    hub.flush()
    hub.close()
    check_accounts(hub)
"""


@linux
@pytest.mark.fault("H4")
def test_five_hundred_hubs_opened_and_closed_leave_nothing() -> None:
    _, err, status = run(
        MEASURE
        + FAIL
        + CYCLES
        + """
import logging
logging.disable()
for number in range(100):
    cycle(number)
before = measure()
for number in range(500):
    cycle(number)
os.write(2, repr([before, measure()]).encode())
""",
        hangs_after_s=60,
    )
    assert status == 0, err
    before, after = ast.literal_eval(err.splitlines()[-1])
    assert before[1:3] == after[1:3]
    assert abs(after[3] - before[3]) < 100, (before, after)
    assert after[0] - before[0] < 4.0, (before, after)


@linux
@pytest.mark.fault("H4")
def test_a_hundred_displays_on_one_terminal_leave_nothing() -> None:
    code = f"""
    exec({MEASURE!r})
    def cycle(number):
        with RichTrainerVisualizer(VisualizationConfig(refresh_per_second=60)) as visualizer:
            visualizer.start(2, "run")
            visualizer.update(snapshot(0))
            print("printed", number)
    for number in range(30):
        cycle(number)
    before = measure()
    for number in range(100):
        cycle(number)
    after = measure()
    with open(os.environ["RESULT"], "w") as file:
        file.write(repr([before, after]))
    """
    import tempfile

    with tempfile.NamedTemporaryFile("r") as result:
        outcome = run_on_terminal(code, env={"RESULT": result.name})
        before, after = ast.literal_eval(result.read())
    assert outcome.status == 0
    assert before[1:3] == after[1:3]
    assert abs(after[3] - before[3]) < 100, (before, after)
    assert sum(line.startswith("printed") for line in outcome.everything) == 130


@pytest.mark.fault("H2")
def test_what_goes_wrong_anew_each_time_is_not_said_each_time(hubs: Make, caplog: pytest.LogCaptureFixture) -> None:
    hub = hubs()

    def fail(s: TrainingSnapshot) -> None:
        raise ValueError(f"broken at {s.step}")

    hub.subscribe(fail)
    for number in range(1000):
        hub.emit(snapshot(number))
        hub.emit(type(f"Foreign{number}", (), {})())
        hub.log({"step": f"{number} is none"})
    with caplog.at_level(logging.DEBUG):
        hub.close()
    assert len(caplog.records) < 120
    assert hub.stats().refused == 2000
    assert accounts(hub)[0].dropped == 1000


@pytest.mark.fault("H1")
def test_names_that_hold_the_step_do_not_fill_the_display_even_without_tables() -> None:
    """They were thinned out only when a table was due, which is never with an interval longer than the run."""
    state = State(interval=10**9)
    for step in range(1, 4 * MAX_NAMES):
        state.take(TrainingSnapshot(step=step, train_loss=0.5, custom_metrics={f"loss at {step}": 1.0}))
    assert len(state.known) <= 2 * MAX_NAMES
    state.freeze()
    assert len(state.known) == MAX_NAMES
    assert f"loss at {4 * MAX_NAMES - 1}" in state.known
