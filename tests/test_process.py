"""Exit, fork and signals, each tried in a process of its own that turns a hang into a stack trace."""

from __future__ import annotations

import signal
import textwrap
import threading
import time

import pytest
from fault_injection import FORK, HANGS_AFTER_S, run, start, told

from m import MetricsHub

# -- exit --------------------------------------------------------------------------------------------------------------


@pytest.mark.fault("B1")
@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("", 0),
        ("raise ValueError('training failed')", 1),
        ("sys.exit(3)", 3),
        ("raise KeyboardInterrupt", -signal.SIGINT),
    ],
    ids=["return", "exception", "sys.exit", "ctrl-c"],
)
def test_a_hub_that_nobody_closes_is_closed_at_exit(end: str, code: int) -> None:
    out, err, status = run(f"""
        hub = MetricsHub([Telling()])
        hub.emit(snapshot(1))
        {end}
        """)
    assert out == ["sink record 1", "sink flush", "sink close"]
    assert status == code
    assert "Exception ignored" not in err


@pytest.mark.fault("B1")
def test_a_hub_that_was_let_go_of_is_closed_at_exit() -> None:
    out, err, status = run("""
        def train():
            hub = MetricsHub([Telling()])
            hub.emit(snapshot(1))

        train()
        gc.collect()
        say("collected")
        """)
    assert out == ["sink record 1", "collected", "sink flush", "sink close"]
    assert (err, status) == ("", 0)


@pytest.mark.fault("B2")
def test_what_is_queued_is_delivered_at_exit() -> None:
    out, err, status = run("""
        gate = threading.Event()
        class Slow(Telling):
            def record(self, snapshot):
                gate.wait(10)
                super().record(snapshot)
        hub = MetricsHub()
        hub.subscribe(Slow(), background=True)
        for step in range(5):
            hub.emit(snapshot(step))
        threading.Timer(0.05, gate.set).start()
        """)
    assert out == [*(f"sink record {step}" for step in range(5)), "sink flush", "sink close"]
    assert (err, status) == ("", 0)


@pytest.mark.fault("B5")
def test_a_sink_whose_thread_never_began_is_closed_at_exit() -> None:
    """Python 3.12 starts no thread at its exit: "can't create new thread at interpreter shutdown"."""
    out, err, status = run("""
        hub = MetricsHub()
        hub.subscribe(Telling("first"), background=True)
        hub.subscribe(Telling("second"), background="latest")
        """)
    assert sorted(out) == ["first close", "first flush", "second close", "second flush"]
    assert (err, status) == ("", 0)


def test_a_sink_that_closes_the_hub_from_its_thread_is_waited_for_at_exit() -> None:
    """The hub is closed then, as far as its owner can see, but the sink's own flush and close are still to come."""
    out, err, status = run("""
        class Closing(Telling):
            def record(self, snapshot):
                super().record(snapshot)
                hub.close()
                closed.set()
                time.sleep(0.1)

        closed = threading.Event()
        hub = MetricsHub()
        hub.subscribe(Closing(), background=True)
        hub.emit(snapshot(1))
        closed.wait(10)
        """)
    assert out == ["sink record 1", "sink flush", "sink close"]
    assert (err, status) == ("", 0)


@pytest.mark.fault("B2", "B3")
def test_stuck_sinks_hold_the_exit_for_one_budget_only() -> None:
    """Unbounded joins at exit have held cluster nodes for hours; here four hubs share half a second."""
    process = start("""
        hubs = [MetricsHub(close_timeout=0.5) for _ in range(4)]
        for hub in hubs:
            hub.subscribe(Stuck(), background=True)
            hub.emit(snapshot())
        journal = MetricsHub([Telling("journal")], close_timeout=0.5)
        """)
    out, err = process.communicate(timeout=HANGS_AFTER_S)
    assert process.returncode == 0
    assert "journal close" in out
    assert err.count("sink Stuck: missed 1 of 1 snapshots") == 4


@pytest.mark.fault("B3")
def test_one_interrupt_at_exit_ends_the_waiting_for_every_hub() -> None:
    process = start("""
        hubs = [MetricsHub([Telling()], close_timeout=1000.0) for _ in range(3)]
        for hub in hubs:
            hub.subscribe(Stuck(), background=True)
            hub.emit(snapshot())
        """)
    told(process, "sink close")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=HANGS_AFTER_S)
    assert process.returncode in (0, -signal.SIGINT, 130)


@pytest.mark.fault("B6")
def test_emits_after_the_end_are_silent_apart_from_one_line() -> None:
    """An older atexit function runs after ours, finalisers run later still, when modules are half gone."""
    out, err, status = run("""
        class Late:
            def __init__(self):
                self.cycle = self
            def __del__(self):
                hub.emit(snapshot(2))
                hub.close()

        late = Late()
        hub = None
        atexit.register(lambda: hub.emit(snapshot(1)))
        hub = MetricsHub([Telling()])
        """)
    assert out == ["sink flush", "sink close"]
    assert err.splitlines() == ["emit() after close() does nothing"]
    assert status == 0


def test_a_strict_hub_whose_sink_fails_does_not_keep_the_others_from_closing_at_exit() -> None:
    out, err, status = run("""
        class Broken(Telling):
            def close(self):
                raise ValueError("broken")
        hubs = [MetricsHub([Telling(str(n)), Broken(str(n))], strict=True) for n in range(3)]
        """)
    assert sorted(line for line in out if "close" in line) == ["0 close", "1 close", "2 close"]
    assert "Traceback" not in err
    assert status == 0


# -- fork --------------------------------------------------------------------------------------------------------------


@pytest.mark.fault("C4", "C5")
@pytest.mark.parametrize("background", [False, True], ids=["inline", "background"])
def test_a_forked_child_writes_nothing_and_closes_nothing(background: bool) -> None:
    """A data loader's worker inherits the hub: what it emits or closes would reach the parent's files twice."""
    out, err, status = run(
        FORK
        + textwrap.dedent(f"""
        hub = MetricsHub([Telling("inline")])
        hub.subscribe(Telling(), background={background})
        hub.emit(snapshot(0))
        hub.flush()

        def child():
            hub.emit(snapshot(1))
            hub.log({{"train_loss": 0.5}})
            hub.emit("nothing")
            hub.start()
            list(hub.track(range(2)))
            hub.flush()
            hub.subscribe(Telling("new"))
            hub.unsubscribe(hub)
            hub.close()
            stats = hub.stats()
            assert (stats.emitted, stats.sinks) == (1, {{}})
            assert stats.refused == 7, stats.refused

        in_child(child)
        hub.emit(snapshot(2))
        """)
    )
    assert "child ended 0" in out
    assert out.count("sink record 0") == out.count("sink record 2") == 1
    assert out.count("inline record 2") == out.count("inline close") == out.count("sink close") == 1
    assert not any("record 1" in line or "new" in line for line in out)
    assert (err, status) == ("", 0)


@pytest.mark.fault("C1")
def test_a_fork_inside_a_sink_delivers_only_in_the_parent() -> None:
    """The child comes back from the fork in the middle of a delivery, with snapshots waiting behind it."""
    out, err, status = run(
        FORK
        + textwrap.dedent("""
        pids = []
        def forking(s):
            if s.step == 0:
                hub.emit(snapshot(1))
                pids.append(fork())

        hub = MetricsHub([forking, Telling()])
        hub.snapshot_emitted.connect(lambda hub, snapshot: say("receiver", snapshot.step), weak=False)
        hub.emit(snapshot(0))
        if pids[0] == 0:
            sys.exit(0)
        os.waitpid(pids[0], 0)
        """)
    )
    assert [line for line in out if "sink" in line] == ["sink record 0", "sink record 1", "sink flush", "sink close"]
    assert out.count("receiver 1") == 1
    assert (err, status) == ("", 0)


@pytest.mark.fault("B4", "C1")
def test_forks_beside_busy_threads_never_hang() -> None:
    """A lock that another thread holds at the fork is held for ever in the child."""
    out, err, status = run(
        FORK
        + textwrap.dedent("""
        hub = MetricsHub([lambda s: None], rules=())
        hub.subscribe(lambda s: None, background="latest")
        stop = False

        def pour():
            while not stop:
                hub.emit(snapshot())

        def child():
            hub.emit(snapshot())
            for subscription in kept:
                subscription.stats()
            hub.stats()

        threads = [threading.Thread(target=pour) for _ in range(2)]
        for thread in threads:
            thread.start()
        kept = hub.subscriptions
        for _ in range(40):
            in_child(child)
        stop = True
        for thread in threads:
            thread.join()
        """)
    )
    assert out == ["child ended 0"] * 40
    assert (err, status) == ("", 0)


@pytest.mark.fault("C5")
def test_a_child_may_have_a_hub_of_its_own() -> None:
    out, err, status = run(
        FORK
        + textwrap.dedent("""
        parents = MetricsHub([Telling("parent")])

        def child():
            hub = MetricsHub([Telling("child")])
            hub.emit(snapshot(0))

        in_child(child)
        """)
    )
    assert out == ["child record 0", "child flush", "child close", "child ended 0", "parent flush", "parent close"]
    assert (err, status) == ("", 0)


# -- signals -----------------------------------------------------------------------------------------------------------


@pytest.mark.fault("B8", "C6")
def test_a_hub_installs_no_handler_starts_no_thread_and_opens_nothing() -> None:
    out, err, status = run("""
        seen = []
        watched = ("socket.", "subprocess.", "os.fork", "os.system", "open", "_thread.start")
        sys.addaudithook(lambda event, arguments: event.startswith(watched) and seen.append(event))
        before = [signal.getsignal(number) for number in sorted(signal.valid_signals())]
        hub = MetricsHub([lambda s: None])
        hub.emit(snapshot())
        hub.flush()
        hub.close()
        assert before == [signal.getsignal(number) for number in sorted(signal.valid_signals())]
        say(seen, threading.active_count() - 1)
        """)
    assert out == ["[] 0"], err  # faulthandler's thread is not one of Python's
    assert status == 0


@pytest.mark.fault("B8")
def test_by_default_the_signal_still_kills_but_after_the_sinks_are_closed() -> None:
    process = start("""
        hub = MetricsHub([Telling()])
        hub.close_on(signal.SIGTERM)
        hub.emit(snapshot(0))
        say("ready")
        while True:
            time.sleep(0.01)
        """)
    told(process, "ready")
    process.terminate()
    out, err = process.communicate(timeout=HANGS_AFTER_S)
    assert out.splitlines() == ["sink flush", "sink close"]
    assert process.returncode == -signal.SIGTERM
    assert err == ""


@pytest.mark.fault("B8")
def test_the_users_own_handler_is_called_afterwards() -> None:
    out, err, status = run("""
        signal.signal(signal.SIGUSR1, lambda number, frame: say("user", number == signal.SIGUSR1))
        hub = MetricsHub([Telling()])
        hub.close_on(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
        del hub
        gc.collect()
        signal.raise_signal(signal.SIGUSR1)
        say("goes on")
        """)
    assert out == ["sink flush", "sink close", "user True", "user True", "user True", "goes on"]
    assert (err, status) == ("", 0)


def test_the_users_own_handler_is_called_when_a_strict_hub_raises_what_a_close_does() -> None:
    out, err, status = run("""
        class Broken(Telling):
            def close(self):
                raise ValueError("broken")

        signal.signal(signal.SIGUSR1, lambda number, frame: say("user"))
        hub = MetricsHub([Broken()], strict=True)
        hub.close_on(signal.SIGUSR1)
        try:
            signal.raise_signal(signal.SIGUSR1)
        except ValueError as error:
            say(error)
        """)
    assert (out, status) == (["sink flush", "user", "broken"], 0), err


def test_an_ignored_signal_stays_ignored() -> None:
    out, err, status = run("""
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        hub = MetricsHub([Telling()])
        hub.close_on(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
        say("goes on")
        """)
    assert out == ["sink flush", "sink close", "goes on"]
    assert (err, status) == ("", 0)


def test_ctrl_c_closes_and_is_still_a_keyboard_interrupt() -> None:
    out, err, status = run("""
        hub = MetricsHub([Telling()])
        hub.close_on(signal.SIGINT)
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            say("interrupted")
        """)
    assert out == ["sink flush", "sink close", "interrupted"]
    assert (err, status) == ("", 0)


def test_a_signal_in_the_middle_of_a_sink_closes_after_everybody_has_the_snapshot() -> None:
    out, err, status = run("""
        class Signalled(Telling):
            def record(self, snapshot):
                signal.raise_signal(signal.SIGUSR1)
                super().record(snapshot)

        def handler(number, frame):
            say("user")
            sys.exit(5)

        signal.signal(signal.SIGUSR1, handler)
        hub = MetricsHub([Signalled("first"), Telling("second")])
        hub.close_on(signal.SIGUSR1)
        hub.emit(snapshot(0))
        say("not reached")
        """)
    assert out == [
        "first record 0",
        "second record 0",
        "second flush",
        "second close",
        "first flush",
        "first close",
        "user",
    ]
    assert (err, status) == ("", 5)


@pytest.mark.fault("B8")
def test_a_second_signal_does_not_wait_for_a_sink_that_is_stuck() -> None:
    """The first waits for the sink to return; a process that only ``kill -9`` can end would be worse."""
    process = start("""
        hub = MetricsHub([Stuck()])
        hub.close_on(signal.SIGTERM)
        hub.emit(snapshot(0))
        """)
    told(process, "stuck")
    process.terminate()
    time.sleep(0.2)  # two signals that are pending together arrive as one
    assert process.poll() is None
    process.terminate()
    process.communicate(timeout=HANGS_AFTER_S)
    assert process.returncode == -signal.SIGTERM


@pytest.mark.fault("C4")
def test_in_a_forked_child_only_the_default_happens() -> None:
    out, err, status = run(
        FORK
        + textwrap.dedent("""
        hub = MetricsHub([Telling()])
        hub.close_on(signal.SIGTERM)
        in_child(lambda: os.kill(os.getpid(), signal.SIGTERM))
        """)
    )
    assert out == ["child ended -15", "sink flush", "sink close"]
    assert (err, status) == ("", 0)


def test_a_handler_does_not_keep_its_hub_alive() -> None:
    out, _, status = run("""
        import weakref
        hub = MetricsHub()
        hub.close_on(signal.SIGUSR1)
        hub.close()
        gone = weakref.ref(hub)
        del hub
        gc.collect()
        say(gone() is None)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.raise_signal(signal.SIGUSR1)
        """)
    assert out == ["True"]
    assert status == -signal.SIGUSR1


def test_a_handler_can_only_be_installed_from_the_main_thread() -> None:
    errors: list[str] = []

    def ask(hub: MetricsHub) -> None:
        try:
            hub.close_on(signal.SIGUSR2)
        except ValueError as error:
            errors.append(str(error))

    with MetricsHub() as hub:
        thread = threading.Thread(target=ask, args=(hub,))
        thread.start()
        thread.join()
    assert len(errors) == 1
    assert "main thread" in errors[0]
