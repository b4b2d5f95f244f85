"""Section B of the catalogue in docs/reliability.md: however a process ends, and whatever its terminal does then."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fault_injection import HANGS_AFTER_S, PRELUDE, RICHS, ROOT, limited_files, run, small_disk
from on_terminal import Outcome, run_on_terminal

from m.journal.reader import read

# -- every end, with every kind of sink --------------------------------------------------------------------------------

ENDS = {
    "return": ("", 0),
    "exception": ("raise ValueError('training failed')", 1),
    "sys.exit": ("sys.exit(3)", 3),
    "ctrl-c": ("raise KeyboardInterrupt", -signal.SIGINT),
    "SIGTERM with a handler": ("signal.signal(signal.SIGTERM, leave); os.kill(os.getpid(), signal.SIGTERM)", 7),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)", -signal.SIGTERM),
    "os._exit": ("os._exit(5)", 5),
    "segfault": (
        "signal.signal(signal.SIGSEGV, signal.SIG_DFL); os.kill(os.getpid(), signal.SIGSEGV)",
        -signal.SIGSEGV,
    ),
}
SINKS = {
    "healthy": "hub.subscribe(lambda s: None)",
    "raising": "hub.subscribe(fail)",
    "slow": "hub.subscribe(lambda s: time.sleep(0.05), background=True)",
    "stuck": "hub.subscribe(lambda s: threading.Event().wait(), background=True)",
    "hanging close": "hub.subscribe(HangingClose())",
}


def ends(end: str, sinks: list[str], path: Path) -> None:
    how, code = ENDS[end]
    subscribe = "\n".join(SINKS[sink] for sink in sinks)
    begun = time.monotonic()
    _, err, status = run(
        "\n".join(
            [
                "from sinks import JsonlSink",
                "def fail(s): raise ValueError('broken')",
                "def leave(number, frame): sys.exit(7)",
                "class HangingClose(Telling):",
                "    def record(self, s): pass",
                "    def flush(self): pass",
                "    def close(self): threading.Event().wait()",
                f"hub = MetricsHub([JsonlSink({str(path)!r})], close_timeout=0.6)",
                subscribe,
                "for step in range(50): hub.emit(snapshot(step))",
                how,
            ]
        )
    )
    assert status == code, err
    assert "Timeout" not in err
    assert "Fatal Python error" not in err
    assert time.monotonic() - begun < HANGS_AFTER_S - 2
    assert steps_in(path) == list(range(50))


def steps_in(path: Path) -> list[int]:
    """The steps that a journal holds."""
    return [recorded.snapshot.step for recorded in read(path).merged()]


def has_threads_at_exit() -> bool:
    return sys.version_info < (3, 12)


@pytest.mark.fault("B1", "B2", "B3", "B14")
@pytest.mark.parametrize("end", ENDS)
def test_every_end_of_a_process_is_in_time_and_leaves_the_journal_whole(end: str, tmp_path: Path) -> None:
    """The hub is never closed here; Python 3.12 and newer have no thread for a close that hangs at exit."""
    sinks = [sink for sink in SINKS if sink != "hanging close" or has_threads_at_exit()]
    ends(end, sinks, tmp_path / "run.jsonl")


@pytest.mark.storm
@pytest.mark.fault("B1", "B3")
@pytest.mark.parametrize("sink", SINKS)
@pytest.mark.parametrize("end", ENDS)
def test_every_end_with_each_kind_of_sink_alone(end: str, sink: str, tmp_path: Path) -> None:
    if sink == "hanging close" and not has_threads_at_exit():
        pytest.skip("Python 3.12 and newer start no thread at exit; the page says so")
    ends(end, [sink], tmp_path / "run.jsonl")


# -- standard output that is not what it was ---------------------------------------------------------------------------

TRAINING = """
import os, sys, time
import faulthandler
if sys.stderr is not None:
    faulthandler.dump_traceback_later(20, exit=True)
from m import MetricsHub, TrainingSnapshot
from sinks import JsonlSink, TerminalSink
from sinks.terminal.config import VisualizationConfig
{before}
terminal = TerminalSink(VisualizationConfig(refresh_per_second=50, table_update_interval=1))
hub = MetricsHub([terminal, JsonlSink(os.environ["JOURNAL"])])
hub.start(100, "λ training")
for step in range(100):
    hub.emit(TrainingSnapshot(step=step, train_loss=1.0, custom_metrics={{"λ": 1.0}}))
    time.sleep(0.003)
    {during}
hub.close()
for each in hub.stats().sinks.values():
    assert (each.emitted, each.delivered) == (100, 100), each
with open(os.environ["RESULT"], "w") as file:
    file.write("trained")
"""

OUTPUTS = {
    "head": ("| head -1 > /dev/null", "", ""),
    "nobody": ("| true", "", ""),
    "closed": (">&-", "", ""),
    "all closed": ("<&- >&- 2>&-", "", ""),
    "/dev/full": ("> /dev/full 2> /dev/full", "", ""),
    "ascii": ("> $LOG", "", ""),
    "dumb": ("> $LOG", "", ""),
    "None": ("> $LOG", "sys.stdout = sys.stderr = None", ""),
    "closed by the program": ("> $LOG", "", "if step == 50: sys.stdout.close()"),
    "descriptor closed": ("> $LOG", "", "if step == 50: os.close(1)"),
}


@pytest.mark.fault("B12", "B13", "D7", "D10")
@pytest.mark.parametrize("output", OUTPUTS)
def test_training_ends_well_whatever_becomes_of_its_output(output: str, tmp_path: Path) -> None:
    shell, before, during = OUTPUTS[output]
    code = TRAINING.format(before=before, during=during)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
        "JOURNAL": str(tmp_path / "run.jsonl"),
        "RESULT": str(tmp_path / "result"),
        "LOG": str(tmp_path / "log"),
        **({"PYTHONIOENCODING": "ascii", "LC_ALL": "C"} if output == "ascii" else {}),
        **({"TERM": "dumb"} if output == "dumb" else {}),
    }
    command = f"set -o pipefail; {shlex.quote(sys.executable)} -c {shlex.quote(code)} {shell}"
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "result").read_text() == "trained"
    assert len(steps_in(tmp_path / "run.jsonl")) == 100
    log = tmp_path / "log"
    if log.exists():
        assert b"\x1b" not in log.read_bytes()
        assert output != "ascii" or log.read_bytes().isascii()


@pytest.mark.fault("B13")
def test_a_log_on_a_disk_that_fills_up_ends_no_training(tmp_path: Path) -> None:
    """A tiny file system for root, a limit on the size of files for everybody else."""
    folder = tmp_path / "disk"
    folder.mkdir()
    code = PRELUDE.format(hangs_after_s=20) + TRAINING.format(before="", during="")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "JOURNAL": str(tmp_path / "run.jsonl"),
        "RESULT": str(tmp_path / "result"),
    }

    def train(**how: Any) -> int:
        with open(folder / "log", "w") as log:
            return subprocess.run(
                [sys.executable, "-c", code], env=environment, stdout=log, stderr=log, timeout=60, **how
            ).returncode

    try:
        with small_disk(folder, 16 * 1024):
            status = train()
            assert (folder / "log").stat().st_size <= 16 * 1024
    except PermissionError:
        environment["JOURNAL"] = os.devnull
        status = train(preexec_fn=limited_files(8 * 1024))
    assert status == 0
    assert (tmp_path / "result").read_text() == "trained"


# -- the terminal ------------------------------------------------------------------------------------------------------

SIGTERM = """
    import signal
    def leave(number, frame):
        raise SystemExit(9)
    signal.signal(signal.SIGTERM, leave)
    {open}
    try:
        for step in range(10**6):
            show(step)
            print("x" * 300)
            time.sleep(0.002)
    finally:
        end()
        with open(os.environ["RESULT"], "w") as file:
            file.write("checkpoint")
        os._exit(9)
    """


def stopped_then_terminated(code: str, result: Path) -> tuple[Outcome, float]:
    """Run ``code``, stop its terminal with Ctrl-S after a second, send SIGTERM a second later; seconds it took then."""
    sent: list[float] = []
    stopped: list[bool] = []

    def during(master: int, process: subprocess.Popen[bytes], seconds: float) -> None:
        if seconds > 1.5 and not stopped:
            stopped.append(True)
            os.write(master, b"\x13")
        if seconds > 3.0 and not sent:
            sent.append(time.monotonic())
            process.terminate()

    outcome = run_on_terminal(code, during=during, env={"RESULT": str(result)}, within_s=12.0)
    return outcome, time.monotonic() - sent[0]


@pytest.mark.fault("B9", "B17", "D1")
def test_sigterm_on_a_stopped_terminal_still_writes_the_checkpoint(tmp_path: Path) -> None:
    """Rich's ``Live.stop`` waits for the terminal there, for ever, and the ``finally`` of the user is never reached."""
    ours = "shown = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=30, table_update_interval=1))\n"
    ours += "    shown.start(None, 'run')\n    show, end = (lambda step: shown.update(snapshot(step))), shown.close"
    outcome, seconds = stopped_then_terminated(SIGTERM.format(open=ours), tmp_path / "result")
    assert outcome.status == 9
    assert (tmp_path / "result").read_text() == "checkpoint"
    assert seconds < 5.0


@pytest.mark.storm
@pytest.mark.fault("B9")
def test_sigterm_on_a_stopped_terminal_hangs_rich(tmp_path: Path) -> None:
    """The same script over Rich's ``Live``: without this failure the test above would prove nothing."""
    theirs = RICHS.format(hertz=30).strip().replace("\n", "\n    ")
    outcome, _ = stopped_then_terminated(SIGTERM.format(open=theirs), tmp_path / "result")
    assert outcome.status is None
    assert not (tmp_path / "result").exists()


@pytest.mark.fault("B9", "A5")
def test_a_closing_line_that_nobody_takes_does_not_hold_the_close() -> None:
    """The terminal is stopped, so the log that goes there is stopped too."""
    out, err, status = run("""
        import logging
        class Stopped(logging.Handler):
            def emit(self, record):
                if "missed" in record.getMessage():
                    threading.Event().wait()
        def fail(s):
            raise ValueError("broken")
        logging.getLogger().addHandler(Stopped())
        hub = MetricsHub([fail], close_timeout=0.3)
        hub.emit(snapshot())
        before = time.monotonic()
        hub.close()
        say(time.monotonic() - before < 3)
        os._exit(0)
        """)
    assert (out, status) == (["True"], 0), err


PRESSED = """
    import atexit
    @atexit.register  # the first is the last: after the hub's own
    def look():
        for _ in range(5):
            try:
                with open(os.environ["RESULT"], "w") as file:
                    file.write(type(sys.stdout).__name__)
                return
            except KeyboardInterrupt:  # the last one may strike here
                pass
    visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=60, table_update_interval=1))
    try:
        try:
            visualizer.start(None, "run")
            for step in range(10**6):
                visualizer.update(snapshot(step))
                time.sleep(0.001)
        finally:
            visualizer.close()
    except KeyboardInterrupt:
        pass
    """


def pressed(times: int, gap_s: float, result: Path) -> Outcome:
    at: list[float] = []

    def press(master: int, process: subprocess.Popen[bytes], seconds: float) -> None:
        if len(at) < times and seconds > 1.0 and (not at or time.monotonic() - at[-1] > gap_s):
            at.append(time.monotonic())
            os.write(master, b"\x03")  # as the keyboard does: the terminal sends the signal

    return run_on_terminal(PRESSED, during=press, env={"RESULT": str(result)})


@pytest.mark.fault("B10")
@pytest.mark.parametrize("times", [1, 2, 3])
def test_ctrl_c_gives_the_terminal_and_the_streams_back(times: int, tmp_path: Path) -> None:
    outcome = pressed(times, 0.0, tmp_path / "result")
    assert outcome.status is not None
    assert (tmp_path / "result").read_text() == "TextIOWrapper"
    assert not outcome.screen.cursor.hidden
    assert b"\x1b[?25l" not in outcome.raw  # Ctrl-C makes the terminal forget what would have shown it again
    assert sum("── summary" in line for line in outcome.everything) <= 1


@pytest.mark.storm
@pytest.mark.fault("B10")
def test_forty_double_ctrl_c_leave_nothing_behind(tmp_path: Path) -> None:
    """Of 40 such trials Rich left its stand-in for ``sys.stdout`` and a hidden cursor behind in 2."""
    left = []
    for trial in range(40):
        result = tmp_path / str(trial)
        outcome = pressed(2, 0.0005 * trial, result)
        if outcome.status is None or outcome.screen.cursor.hidden or result.read_text() != "TextIOWrapper":
            left.append((trial, outcome.status, outcome.lines[-3:]))
    assert left == []


@pytest.mark.fault("B15")
def test_after_ctrl_z_the_dashboard_is_drawn_anew_below_what_the_shell_wrote() -> None:
    code = """
    visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=20, table_update_interval=5))
    visualizer.start(10**6, "run")
    for step in range(10**6):
        visualizer.update(snapshot(step))
        time.sleep(0.002)
    """
    done: list[str] = []

    def during(master: int, process: subprocess.Popen[bytes], seconds: float) -> None:
        if seconds > 1.5 and not done:
            done.append("stopped")
            process.send_signal(signal.SIGSTOP)
        if seconds > 1.8 and len(done) == 1:
            done.append("shell")
            slave = os.open(os.readlink(f"/proc/{process.pid}/fd/1"), os.O_WRONLY | os.O_NOCTTY)
            os.write(slave, b"\r\n[1]+  Stopped\r\n$ fg\r\npython train.py\r\n")
            os.close(slave)
        if seconds > 3.3 and len(done) == 2:
            done.append("continued")
            process.send_signal(signal.SIGCONT)
        if seconds > 4.3 and len(done) == 3:
            done.append("over")
            process.send_signal(signal.SIGKILL)

    outcome = run_on_terminal(code, 80, 40, during=during)
    text = outcome.everything
    shell = text.index("[1]+  Stopped")
    assert text[shell + 1 : shell + 3] == ["$ fg", "python train.py"]
    assert text[shell + 3].startswith(" run "), text  # the title line
    assert sum(line.startswith("── status") for line in text[shell:]) == 1
    assert "1000000" in text[-1]


@pytest.mark.fault("B15")
def test_in_the_background_the_display_is_plain_lines_and_comes_back_in_front() -> None:
    """A shell of which this process is a job: it takes the terminal away and gives it back, as ``bg`` and ``fg`` do."""
    code = """
    import signal
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    job = os.fork()
    if job == 0:
        os.setpgid(0, 0)
        time.sleep(0.2)
        visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=20, table_update_interval=50))
        visualizer.start(10**6, "run")
        changes = []  # when it was put into the background, and back
        for step in range(10**6):
            visualizer.update(snapshot(step))
            time.sleep(0.002)
            if (os.tcgetpgrp(0) != os.getpgrp()) == (len(changes) % 2 == 0):
                changes.append(time.monotonic())
                printed = False
            if len(changes) == 1 and not printed and time.monotonic() > changes[0] + 0.6:
                printed = True
                print("from the background")
            if len(changes) == 2 and time.monotonic() > changes[1] + 0.6:
                break
        visualizer.close()
        os._exit(0)
    faulthandler.cancel_dump_traceback_later()
    os.setpgid(job, job)
    os.tcsetpgrp(0, job)
    time.sleep(1.0)
    os.tcsetpgrp(0, os.getpgrp())
    time.sleep(0.2)
    os.write(1, b"\\r\\n$ the shell's\\r\\n")
    time.sleep(1.5)
    os.write(1, b"$ fg\\r\\n")
    os.tcsetpgrp(0, job)
    os.waitpid(job, 0)
    os._exit(0)
    """
    outcome = run_on_terminal(code, 80, 60)
    assert outcome.status == 0
    text = outcome.everything
    shell, back = text.index("$ the shell's"), text.index("$ fg")
    meanwhile = text[shell + 1 : back]
    assert "from the background" in meanwhile
    assert any(line.startswith("step ") for line in meanwhile)
    assert not any("━" in line or "█" in line for line in meanwhile if line.startswith("step "))
    after = outcome.raw[outcome.raw.index(b"$ fg") :]
    before = outcome.raw[outcome.raw.index(b"$ the shell's") : outcome.raw.index(b"$ fg")]
    assert b"\x1b[?2026h" not in before
    assert b"\x1b[?2026h" in after
    assert any("/1000000" in line for line in text[back:])


@pytest.mark.fault("B15")
@pytest.mark.parametrize("in_front", ["the shell", "a script"])
def test_what_the_shell_has_started_in_the_background_is_plain_lines(in_front: str) -> None:
    """``python train.py &``. What ``timeout`` runs for a script is in the background as well, and is drawn."""
    code = f"""
    import signal
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    faulthandler.cancel_dump_traceback_later()
    script = os.fork()
    if script == 0:
        os.setpgid(0, 0)
        if {in_front == "a script"}:
            os.tcsetpgrp(0, os.getpid())
        job = os.fork()
        if job == 0:
            os.setpgid(0, 0)
            visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=20, table_update_interval=50))
            visualizer.start(300, "run")
            for step in range(300):
                visualizer.update(snapshot(step))
                time.sleep(0.003)
            print("printed in the background")
            visualizer.close()
            os._exit(0)
        os.waitpid(job, 0)
        os._exit(0)
    os.waitpid(script, 0)
    os._exit(0)
    """
    outcome = run_on_terminal(code, 100, 60)
    assert outcome.status == 0
    text = "\n".join(outcome.everything)
    assert "printed in the background" in text
    assert ("━" in text) == (in_front == "a script"), text
    assert ("step 300/300" in text) == (in_front == "the shell"), text


# -- the interpreter is ending -----------------------------------------------------------------------------------------


@pytest.mark.fault("B6")
def test_emits_in_the_last_moments_of_the_interpreter_are_silent() -> None:
    """Finalisers run when modules are being taken apart: names are None by then and imports raise."""
    _, err, status = run(
        """
        import builtins
        hub = MetricsHub([lambda s: None])
        one = snapshot(1)
        class Late:
            def __init__(self, hub):
                self.hub, self.one = hub, one
                self.me = self
            def __del__(self):
                self.hub.emit(self.one)
                self.hub.log({"train_loss": 0.5})
                self.hub.flush()
                self.hub.close()
                self.hub.stats()
        late = Late(hub)
        builtins.late = Late(hub)
        sys.modules["late"] = Late(hub)
        threading.late = Late(hub)
        class Later(threading.local):
            pass
        local = Later()
        local.late = Late(MetricsHub([lambda s: None]))
        """
    )
    assert "Exception ignored" not in err
    assert err.count("\n") <= 1, err  # that an emit after the close does nothing is said once
    assert status == 0


EXITING = """
    import random
    from sinks import TerminalSink
    from sinks.terminal.config import VisualizationConfig
    hub = MetricsHub([TerminalSink(VisualizationConfig(refresh_per_second=60, table_update_interval=1))])
    hub.subscribe(lambda s: print("from a thread", flush=True), background=True)
    for step in range(30):
        hub.emit(snapshot(step))
        print("from the loop")
    time.sleep({seconds})
    """


@pytest.mark.fault("B7")
def test_threads_that_write_do_not_abort_the_exit() -> None:
    """ "could not acquire lock for <_io.BufferedWriter name='<stdout>'> at interpreter shutdown" is an abort."""
    for trial in range(5):
        _, err, status = run(EXITING.format(seconds=0.004 * trial))
        assert (err, status) == ("", 0)


@pytest.mark.storm
@pytest.mark.fault("B7")
def test_a_hundred_exits_beside_threads_that_write() -> None:
    for trial in range(100):
        _, err, status = run(EXITING.format(seconds=0.0005 * trial))
        assert (err, status) == ("", 0)


@pytest.mark.fault("B7", "B12")
def test_a_reader_that_never_reads_holds_neither_close_nor_exit() -> None:
    reader, writer = os.pipe()
    begun = time.monotonic()
    try:
        process = subprocess.run(
            [
                sys.executable,
                "-c",
                PRELUDE.format(hangs_after_s=HANGS_AFTER_S)
                + """
from sinks import TerminalSink
from sinks.terminal.config import VisualizationConfig
hub = MetricsHub([TerminalSink(VisualizationConfig(refresh_per_second=60, table_update_interval=1))])
os.set_blocking(1, False)
try:
    while os.write(1, b"x" * 4096):
        pass
except BlockingIOError:
    os.set_blocking(1, True)
for step in range(100):
    hub.emit(snapshot(step))
    time.sleep(0.002)
hub.close()
check_accounts(hub)
""",
            ],
            stdout=writer,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=60,
        )
    finally:
        os.close(reader)
        os.close(writer)
    assert (process.returncode, process.stderr) == (0, b"")
    assert time.monotonic() - begun < HANGS_AFTER_S - 2


@pytest.mark.fault("B16")
def test_jumps_of_the_wall_clock_change_no_rate_and_no_duration(tmp_path: Path) -> None:
    out, err, status = run(
        f"""
        import random
        real = time.time
        time.time = lambda: real() + random.choice([-3600, 0, 3600])
        from sinks import JsonlSink, TerminalSink
        hub = MetricsHub([TerminalSink(), JsonlSink({str(tmp_path / "run.jsonl")!r})])
        hub.start(200, "run")
        for step in range(200):
            hub.emit(snapshot(step))
            time.sleep(0.002)
        hub.close()
        check_accounts(hub)
        """
    )
    assert (err, status) == ("", 0)
    last = [line for line in out if line.startswith("step ")][-1]
    assert "0:00 elapsed" in last or "0:01 elapsed" in last, last
    assert len(steps_in(tmp_path / "run.jsonl")) == 200


@pytest.mark.fault("B16")
def test_a_monotonic_clock_that_stands_or_goes_back_draws_all_the_same() -> None:
    out, err, status = run(
        """
        from sinks import TerminalSink
        from sinks.terminal.config import VisualizationConfig
        times = iter([5.0] * 20 + [4.0, 1e9, -1e9] * 10000)
        hub = MetricsHub([TerminalSink(VisualizationConfig(refresh_per_second=60), clock=lambda: next(times))])
        hub.start(100, "run")
        for step in range(100):
            hub.emit(snapshot(step))
            time.sleep(0.002)
        hub.close()
        check_accounts(hub)
        """
    )
    assert (err, status) == ("", 0)
    assert any(line.startswith("step 100/100") for line in out)
