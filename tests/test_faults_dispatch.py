"""Section A of the catalogue in docs/reliability.md: whatever sinks do and from wherever emits come."""

from __future__ import annotations

import gc
import signal
import threading
import time
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fault_injection import run
from hub_doubles import PATIENCE_S, Make, Recording, accounts, in_thread, snapshot
from on_terminal import run_on_terminal

from m import Alert, Background, MetricsHub, TrainingSnapshot

# -- A1 to A6: sinks that fail -----------------------------------------------------------------------------------------

ABILITIES = ("start", "record", "alert", "flush", "close")
ERRORS = [ValueError("broken"), OSError(28, "No space left on device"), SystemExit(1), MemoryError(), RecursionError()]


class FailingAt(Recording):
    """Raises from one of its methods and takes everything else."""

    def __init__(self, ability: str, error: BaseException) -> None:
        super().__init__()
        self.ability = ability
        self.error = error

    def note(self, what: str, detail: Any = None) -> None:
        super().note(what, detail)
        if what == self.ability:
            raise self.error


@pytest.mark.fault("A1", "A3", "A10")
@pytest.mark.parametrize("background", [False, True], ids=["inline", "background"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("ability", ABILITIES)
def test_no_call_of_any_sink_raises_into_the_loop(ability: str, error: BaseException, background: bool) -> None:
    before, failing, after = Recording(), FailingAt(ability, error), Recording()
    hub = MetricsHub([before], close_timeout=PATIENCE_S)
    hub.subscribe(failing, background=background or None)
    hub.subscribe(after)
    hub.start(description="run")
    for step in range(3):
        hub.emit(snapshot(step))
    hub.alert(Alert(0, "loss_spike", "it jumped"))
    hub.flush(PATIENCE_S)
    hub.close()
    expected = ["start", "record", "record", "record", "alert", "flush", "flush", "close"]
    for sink in (before, failing, after):
        assert [what for what, _ in sink.log] == expected
    healthy, failed, last = accounts(hub)
    assert healthy.delivered == last.delivered == 3
    assert (failed.delivered, failed.failed) == ((0, 3) if ability == "record" else (3, 0))


@pytest.mark.fault("A4", "A5", "A6")
def test_stuck_raising_and_slow_sinks_keep_nothing_from_a_healthy_one() -> None:
    release = threading.Event()
    healthy = Recording()

    def stuck(s: TrainingSnapshot) -> None:
        release.wait(PATIENCE_S)

    def raising(s: TrainingSnapshot) -> None:
        raise ValueError("always")

    def slow(s: TrainingSnapshot) -> None:
        time.sleep(0.01)

    hub = MetricsHub(close_timeout=0.2)
    hub.subscribe(stuck, background=Background("drop_oldest", capacity=50))
    hub.subscribe(raising)
    hub.subscribe(slow, background="latest")
    hub.subscribe(healthy)
    for step in range(2000):
        hub.emit(snapshot(step))
    accounts(hub)
    hub.close()
    assert [step for what, step in healthy.log if what == "record"] == list(range(2000))
    first, second, third, fourth = accounts(hub)
    assert (first.delivered, first.dropped) == (0, 2000)
    assert (second.delivered, second.dropped) == (0, 2000)
    assert third.dropped > 1000
    assert third.delivered >= 1
    assert fourth.delivered == 2000
    release.set()


@pytest.mark.storm
@pytest.mark.fault("A4", "A5")
def test_an_emit_stays_under_50_microseconds_beside_stuck_raising_and_slow_sinks() -> None:
    """CPU time of the emitting thread; by the clock it would measure whoever else has the core."""
    release = threading.Event()

    def raising(s: TrainingSnapshot) -> None:
        raise ValueError("always")

    hub = MetricsHub(close_timeout=0.2)
    hub.subscribe(lambda s: release.wait(), background=True)
    hub.subscribe(raising)
    hub.subscribe(lambda s: time.sleep(0.1), background=True)
    costs = []
    gc.collect()
    for step in range(50_000):
        one = snapshot(step)
        before = time.thread_time_ns()
        hub.emit(one)
        costs.append(time.thread_time_ns() - before)
    hub.close()
    release.set()
    costs.sort()
    assert costs[int(0.99 * len(costs))] < 50_000, costs[-1000:][::100]
    accounts(hub)


# -- A12, A13: emits from anywhere -------------------------------------------------------------------------------------


@pytest.mark.fault("A12")
@pytest.mark.parametrize("background", [None, "block"], ids=["inline", "background"])
def test_finalisers_weak_references_and_signal_handlers_may_emit_at_any_moment(background: str | None) -> None:
    """``queue.Queue.put`` deadlocks on itself when a finaliser strikes inside it. A sink's queue is struck here too."""
    counts: Counter[str] = Counter()
    seen: Counter[float | None] = Counter()
    hub = MetricsHub(close_timeout=PATIENCE_S)
    hub.subscribe(lambda s: seen.update([s.train_loss]), background=Background(background, 200) if background else None)  # type: ignore[arg-type]
    hub.start()
    references: list[Any] = []

    def tell(source: str, loss: float) -> None:
        counts[source] += 1
        hub.emit(snapshot(0, loss))

    class Litter:
        def __init__(self) -> None:
            self.cycle = self
            references.append(weakref.ref(self, lambda _: tell("weak reference", 2.0)))

        def __del__(self) -> None:
            tell("finaliser", 1.0)

    thresholds = gc.get_threshold()
    handler = signal.signal(signal.SIGALRM, lambda number, frame: tell("handler", 3.0))
    try:
        gc.set_threshold(20, 2, 2)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        end = time.monotonic() + 0.7
        while time.monotonic() < end:
            Litter()
            tell("loop", 0.0)
            del references[:-1000]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, handler)
        gc.set_threshold(*thresholds)
    gc.collect()
    hub.close()
    assert min(counts[source] for source in ("loop", "handler", "finaliser", "weak reference")) > 10
    assert hub.stats().emitted == sum(counts.values())
    assert [each.delivered + each.dropped for each in accounts(hub)] == [sum(counts.values())]
    assert sum(seen.values()) == accounts(hub)[0].delivered > 0.9 * sum(counts.values())


@pytest.mark.storm
@pytest.mark.fault("A13")
def test_eight_threads_and_a_hundred_thousand_emits_each() -> None:
    """Each sink gets every snapshot once, in the order of each thread, and is never entered twice at once."""
    n_threads, n_each = 8, 100_000

    class Strict:
        def __init__(self) -> None:
            self.next = [0] * n_threads
            self.inside = threading.Lock()
            self.faults: list[str] = []

        def record(self, s: TrainingSnapshot) -> None:
            if not self.inside.acquire(blocking=False):
                self.faults.append("entered twice")
                return
            thread = int(s.train_loss)
            if s.step != self.next[thread]:
                self.faults.append(f"thread {thread}: {s.step} for {self.next[thread]}")
            self.next[thread] = s.step + 1
            self.inside.release()

    sinks = [Strict() for _ in range(3)]
    hub = MetricsHub(sinks[:2], close_timeout=60.0)
    hub.subscribe(sinks[2], background=Background("block", 10_000))

    def work(thread: int) -> None:
        for step in range(n_each):
            hub.emit(snapshot(step, float(thread)))

    threads = [in_thread(lambda number=number: work(number)) for number in range(n_threads)]  # type: ignore[misc]
    for thread in threads:
        thread.join()
    assert hub.flush(60.0)
    for sink in sinks:
        assert sink.faults == []
        assert sink.next == [n_each] * n_threads
    hub.close()
    assert hub.stats().emitted == n_threads * n_each
    assert [each.delivered for each in accounts(hub)] == [n_threads * n_each] * 3


# -- A14 to A23 --------------------------------------------------------------------------------------------------------


@pytest.mark.fault("A14")
def test_lambdas_closures_and_methods_of_temporaries_stay_subscribed(hubs: Make) -> None:
    """Blinker holds receivers weakly: of these only a bound method that somebody keeps was ever called."""
    seen: list[str] = []

    class Temporary:
        def method(self, s: TrainingSnapshot) -> None:
            seen.append("method")

    def closure(name: str) -> Any:
        return lambda s: seen.append(name)

    hub = hubs(strict=True)
    hub.subscribe(lambda s: seen.append("lambda"))
    hub.subscribe(closure("closure"))
    hub.subscribe(Temporary().method)
    gc.collect()
    hub.emit(snapshot())
    assert seen == ["lambda", "closure", "method"]


BUILDER = """
    import threading
    def builder(snapshot):
        {fault}
    visualizer = RichTrainerVisualizer(
        VisualizationConfig(refresh_per_second=30, table_update_interval=1, custom_table_builder=builder)
    )
    visualizer.start(60, "run")
    worst = 0.0
    for step in range(60):
        before = time.perf_counter()
        visualizer.update(snapshot(step))
        worst = max(worst, time.perf_counter() - before)
        time.sleep(0.01)
    before = time.perf_counter()
    visualizer.close()
    took = time.perf_counter() - before
    print("closed in time:", took < 3.5, "loop was free:", worst < 0.5)
    print(visualizer.hub.stats().sinks["TerminalSink"].delivered)
    """


@pytest.mark.fault("A18")
@pytest.mark.parametrize(
    "fault",
    ["raise ValueError('no')", "sys.exit(3)", "return builder(snapshot)", "threading.Event().wait()"],
    ids=["raises", "exits", "recurses", "hangs"],
)
def test_a_custom_table_builder_can_do_nothing_to_the_loop_or_the_end(fault: str) -> None:
    outcome = run_on_terminal(BUILDER.format(fault=fault))
    assert outcome.status == 0, outcome.lines
    assert outcome.lines[-2:] == ["closed in time: True loop was free: True", "60"], outcome.lines
    assert not outcome.screen.cursor.hidden
    if "wait" not in fault:
        assert any("custom_table_builder: " in line for line in outcome.everything)
        assert any("60/60" in line for line in outcome.everything)


@pytest.mark.fault("A23")
def test_a_backend_that_breaks_the_import_of_matplotlib_ends_no_training(tmp_path: Path) -> None:
    """A notebook's ``MPLBACKEND`` that leaks into a subprocess makes ``import matplotlib`` itself raise."""
    out, err, status = run(
        f"""
        from sinks import JsonlSink, PlotSink
        plots = PlotSink(display="off", summary=False)
        hub = MetricsHub([plots, JsonlSink({str(tmp_path / "run.jsonl")!r})])
        hub.start(3)
        for step in range(3):
            hub.emit(snapshot(step))
        plots.force_update()
        hub.close()
        check_accounts(hub)
        say(hub.stats().sinks["JsonlSink"].delivered)
        """,
        env={"MPLBACKEND": "nonsense", "PATH": ""},
    )
    assert (out, status) == (["3"], 0), err


@pytest.mark.fault("A23")
def test_an_optional_package_whose_import_raises_costs_its_figures_only(tmp_path: Path) -> None:
    for name in ("psutil", "pynvml", "orjson"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('broken installation')")
    out, err, status = run(
        f"""
        sys.path.insert(0, {str(tmp_path)!r})
        from sinks import JsonlSink, TerminalSink
        hub = MetricsHub([TerminalSink(), JsonlSink({str(tmp_path / "run.jsonl")!r})])
        for step in range(3):
            hub.emit(snapshot(step))
        hub.close()
        check_accounts(hub)
        say([each.delivered for each in hub.stats().sinks.values()])
        """
    )
    assert status == 0, err
    assert out[-1] == "[3, 3]"
    assert err == ""


@pytest.mark.fault("B8", "C2", "C6")
def test_the_usual_sinks_open_no_socket_start_no_process_and_hook_no_signal_nor_fork(tmp_path: Path) -> None:
    out, err, status = run(
        f"""
        before_fork = []
        real_register = os.register_at_fork
        def register(*, before=None, **others):
            before_fork.append(before)
            real_register(**others)
        os.register_at_fork = register
        seen = []
        watched = ("socket.", "subprocess.", "os.fork", "os.system", "os.exec", "os.posix_spawn")
        sys.addaudithook(lambda event, arguments: event.startswith(watched) and seen.append(event))
        before = [signal.getsignal(number) for number in sorted(signal.valid_signals())]
        streams = sys.stdout, sys.stderr, sys.excepthook, threading.excepthook
        from sinks import JsonlSink, PlotSink, TerminalSink
        journal = JsonlSink({str(tmp_path / "run.jsonl")!r})
        hub = MetricsHub([journal])
        hub.emit(snapshot())
        threads = threading.active_count()
        hub.subscribe(TerminalSink())
        hub.subscribe(PlotSink(display="off", summary=False))
        for step in range(100):
            hub.emit(snapshot(step))
        assert streams == (sys.stdout, sys.stderr, sys.excepthook, threading.excepthook)
        hub.close()
        assert before == [signal.getsignal(number) for number in sorted(signal.valid_signals())]
        say(seen, [hook for hook in before_fork if hook], threads, threading.active_count())
        """
    )
    assert status == 0, err
    assert out[-1] == "[] [] 1 1"


def test_the_harness_shows_a_hang_as_a_stack() -> None:
    """Otherwise a deadlock in a fault test would be a time-out that says nothing."""
    _, err, status = run("threading.Event().wait()", hangs_after_s=1)
    assert status == 1
    assert "Timeout (0:00:01)!" in err
    assert "in wait" in err
