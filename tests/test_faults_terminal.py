"""Section D of the catalogue in docs/reliability.md: what terminals do, and what is written to them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from fault_injection import GC_STORM, OURS, RICHS, RICHS_PROGRESS, ROOT, STOPPED_TERMINAL, run, start
from on_terminal import PREAMBLE, Outcome, run_on_terminal
from rich.console import Console

from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot
from sinks.terminal.config import VisualizationConfig
from sinks.terminal.dashboard import Dashboard
from sinks.terminal.look import look_for
from sinks.terminal.rows import row_width
from sinks.terminal.state import State

# -- D1, D2: storms over ours and over Rich's --------------------------------------------------------------------------


def stop_with_ctrl_s(at_s: float) -> Callable[[int, subprocess.Popen[bytes], float], None]:
    done: list[bool] = []

    def during(master: int, process: subprocess.Popen[bytes], seconds: float) -> None:
        if seconds > at_s and not done:
            done.append(True)
            os.write(master, b"\x13")

    return during


def stopped(open_display: str, result: Path) -> tuple[Outcome, list[float]]:
    """How it ended, and the longest step and the close in seconds, if it came to its end."""
    code = open_display.format(hertz=60) + STOPPED_TERMINAL
    outcome = run_on_terminal(code, during=stop_with_ctrl_s(1.2), env={"RESULT": str(result)}, within_s=15.0)
    return outcome, [float(number) for number in result.read_text().split()] if result.exists() else []


@pytest.mark.storm
@pytest.mark.fault("D1")
def test_ctrl_s_costs_no_step_fifty_milliseconds(tmp_path: Path) -> None:
    """By the clock, so the best of three counts: whoever else has the core is not the display's doing."""
    trials = []
    for trial in range(3):
        outcome, times = stopped(OURS, tmp_path / str(trial))
        assert outcome.status == 0
        worst, closing = times
        assert closing < 3.0
        trials.append(worst)
    assert min(trials) < 0.05, trials


@pytest.mark.storm
@pytest.mark.fault("D1")
def test_ctrl_s_hangs_rich(tmp_path: Path) -> None:
    outcome, times = stopped(RICHS, tmp_path / "result")
    assert (outcome.status, times) == (None, [])


def collected(open_display: str, seconds: float, thresholds: object, result: Path) -> tuple[Outcome, int | None]:
    """How the storm of finalisers ended, and how many steps it made, if it came to its end."""
    code = open_display.format(hertz=60) + GC_STORM.format(seconds=seconds, thresholds=thresholds)
    outcome = run_on_terminal(code, env={"RESULT": str(result)}, within_s=seconds + 20)
    return outcome, int(result.read_text()) if result.exists() else None


OFTEN = (20, 2, 2)
BY_DEFAULT = (700, 10, 10)


@pytest.mark.fault("D2")
def test_finalisers_that_print_hang_nothing(tmp_path: Path) -> None:
    outcome, steps = collected(OURS, 2.0, OFTEN, tmp_path / "result")
    assert outcome.status == 0, outcome.lines
    assert steps


@pytest.mark.storm
@pytest.mark.fault("D2")
@pytest.mark.parametrize("thresholds", [OFTEN, BY_DEFAULT])
def test_twenty_seconds_of_finalisers_that_print_hang_nothing(thresholds: object, tmp_path: Path) -> None:
    outcome, steps = collected(OURS, 20.0, thresholds, tmp_path / "result")
    assert outcome.status == 0, outcome.lines
    assert steps


@pytest.mark.storm
@pytest.mark.fault("D2")
def test_the_same_finalisers_hang_rich(tmp_path: Path) -> None:
    """In the order of two locks, with nothing set that is unusual: 8 of 8 trials hung within 15 s."""
    outcome, steps = collected(RICHS_PROGRESS, 20.0, BY_DEFAULT, tmp_path / "result")
    assert (steps, outcome.status) == (None, 1), "faulthandler ends it with 1, and its stacks say where"
    assert b"Timeout (0:00:30)!" in outcome.raw


# -- D4 to D7: what else is written ------------------------------------------------------------------------------------


@pytest.mark.fault("D4")
def test_what_passes_by_the_display_goes_with_the_next_table_and_nothing_is_lost() -> None:
    """tqdm's bar without a newline, a handler of before, and bytes of a C library on the descriptor itself."""
    code = """
    import logging
    handler = logging.StreamHandler()
    logging.getLogger("nccl").addHandler(handler)
    visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=20, table_update_interval=20))
    visualizer.start(400, "run")
    for step in range(400):
        visualizer.update(snapshot(step))
        time.sleep(0.005)
        if step % 100 == 50:
            sys.stderr.write(f"\\r 45%|####      | {step}/400")
            logging.getLogger("nccl").warning("warned at %d", step)
            os.write(2, b"NCCL INFO bytes past Python\\n")
    visualizer.close()
    """
    outcome = run_on_terminal(code, 80, 50)
    assert outcome.status == 0
    text = outcome.everything
    assert sum("warned at" in line for line in text) == 4
    assert sum("NCCL INFO bytes past Python" in line for line in text) <= 4  # a frame may go over them
    status = max(place for place, line in enumerate(text) if line.startswith("── status"))
    end = text.index(next(line for line in text if line.startswith("── summary")))
    assert end - status > 10
    assert not any("NCCL" in line or "45%" in line for line in text[status:end]), text


@pytest.mark.fault("D5")
@pytest.mark.parametrize("end", ["raise RuntimeError('broke')", "sys.exit('left')", "hub.close()"])
def test_the_last_prints_are_shown_before_the_end(end: str) -> None:
    code = f"""
    from sinks import TerminalSink
    hub = MetricsHub([TerminalSink()])
    hub.start(100, "run")
    for step in range(20):
        hub.emit(snapshot(step))
    print("last words 1")
    print("last words 2", file=sys.stderr)
    sys.stdout.write("without an end")
    {end}
    """
    text = run_on_terminal(code).everything
    first = text.index("last words 1")
    assert text[first + 1] == "last words 2"
    assert text[first + 2].startswith("without an end")
    assert not any(re.search("RuntimeError: broke|left", line) for line in text[: first + 2])


@pytest.mark.fault("D6")
def test_the_log_of_a_killed_job_is_not_empty(tmp_path: Path) -> None:
    """Rich's ``Live`` writes nothing into a file until it is stopped: a job that was killed left an empty log."""
    log = tmp_path / "log"
    with open(log, "w") as file:
        process = start(
            """
            from sinks import TerminalSink
            from sinks.terminal.config import VisualizationConfig
            hub = MetricsHub([TerminalSink(VisualizationConfig(refresh_per_second=20, table_update_interval=10))])
            for step in range(10**6):
                hub.emit(snapshot(step))
                time.sleep(0.002)
            """,
            stdout=file,
        )
        wait_until(lambda: log.read_text().count("\nstep ") >= 3)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert "train_loss" in log.read_text()


@pytest.mark.fault("D7")
@pytest.mark.parametrize(
    ("env", "coloured"),
    [({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({}, True), ({"TERM": "dumb"}, False)],
    ids=["NO_COLOR=1", "NO_COLOR empty", "plain", "dumb"],
)
def test_colour_follows_the_environment(env: dict[str, str], coloured: bool) -> None:
    code = """
    visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=20))
    for step in range(60):
        visualizer.update(snapshot(step, train_loss=float("nan")))
        time.sleep(0.005)
    visualizer.close()
    """
    outcome = run_on_terminal(code, env=env)
    assert outcome.status == 0
    assert bool(re.search(rb"\x1b\[[0-9;]*3[0-9][0-9;]*m", outcome.raw)) == coloured


# -- D9: resize --------------------------------------------------------------------------------------------------------


class Tmux:
    """A server of its own with one window that runs a program."""

    def __init__(self, folder: Path) -> None:
        self.socket = str(folder / "tmux")

    def __call__(self, *arguments: str) -> str:
        command = ["tmux", "-S", self.socket, "-f", os.devnull, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout

    def lines(self) -> list[str]:
        """Everything, what has scrolled away too."""
        return [line.rstrip() for line in self("capture-pane", "-p", "-S", "-").splitlines()]


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    if shutil.which("tmux") is None:
        pytest.skip("no tmux here; its window is the one that folds lines when it is resized")
    server = Tmux(tmp_path)
    yield server
    server("kill-server")


IN_TMUX = """
{first}
visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=20, table_update_interval=5))
visualizer.start(10**6, "run")
step = 0
while not os.path.exists(os.environ["RESULT"]):
    step += 1
    visualizer.update(snapshot(step))
    time.sleep(0.002)
visualizer.close()
print("it is over")
time.sleep(30)
"""


def in_tmux(tmux: Tmux, folder: Path, sizes: list[tuple[int, int]], first: str = "") -> list[str]:
    program = folder / "program.py"
    program.write_text(PREAMBLE + IN_TMUX.format(first=first))
    columns, lines = sizes[0]
    environment = f"env PYTHONPATH={ROOT} RESULT={folder}/result PYTHONIOENCODING=utf-8 TERM=screen-256color"
    tmux("-u", "new-session", "-d", "-x", str(columns), "-y", str(lines), f"{environment} {sys.executable} {program}")
    wait_until(lambda: any("/1000000" in line for line in tmux.lines()))
    for columns, lines in sizes[1:]:
        tmux("resize-window", "-x", str(columns), "-y", str(lines))
        time.sleep(0.4)
    time.sleep(0.4)
    (folder / "result").write_text("")
    wait_until(lambda: "it is over" in tmux.lines())
    return tmux.lines()


def wait_until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


@pytest.mark.fault("D9")
def test_resizing_leaves_the_users_lines_and_no_more_than_remains_of_two_frames(tmux: Tmux, tmp_path: Path) -> None:
    """The window folds lines at once and tells the program of its new size a moment later.

    A frame that is drawn in between goes by lines that are folded already: what it misses of the old one stays, and so
    does what a lower window has scrolled away. On a busy machine that moment is long enough for two frames. Larger
    windows leave nothing.
    """
    sizes = [(80, 60), (60, 60), (100, 50), (50, 60), (90, 40)]
    text = in_tmux(tmux, tmp_path, sizes, first="print('said before')")
    assert text.count("said before") == 1
    smaller = sum(new[0] < old[0] or new[1] < old[1] for old, new in pairwise(sizes))
    assert sum("── status" in line for line in text) <= 1 + 2 * smaller  # of some forty frames
    status = max(place for place, line in enumerate(text) if "── status" in line)
    end = text.index(next(line for line in text if "── summary" in line))
    assert all(re.match(r"$|── | +\S", line) for line in text[status:end]), text
    assert "/1000000" in text[end - 1]


@pytest.mark.fault("D9")
def test_a_frame_at_the_top_of_the_screen_is_not_copied_into_the_past(tmux: Tmux, tmp_path: Path) -> None:
    """tmux keeps a copy of what is erased from the upper left corner on, so each new table left one."""
    text = in_tmux(tmux, tmp_path, [(80, 40)])
    assert sum("── status" in line for line in text) == 1, text


# -- D12 to D15: hostile and enormous contents -------------------------------------------------------------------------

OURS_ONLY = re.compile(rb"\x1b\[(?:\?2026[lh]|2K|J|\d+[AB]|[0-9;]*m)")
HOSTILE = [
    "\x1b[2J\x1b]0;title\x07\x1b]52;c;ZWNobw==\x07", "\x9b2J", "\x1b]8;;http://x\x1b\\link", "a\nb\rc\td\x00e\x7f",
    "\u202eevil\u2066", "acc[/]", "loss[red]x[/red]", "loss:fire:x", "line\u2028sep", "\ud800lone",
    "e\u0301\u200b\u200d", "名前" * 60, "x" * 500,
]  # fmt: skip


@pytest.mark.fault("D12", "D13")
@pytest.mark.parametrize("on_terminal", [True, False], ids=["terminal", "pipe"])
def test_only_our_own_control_codes_reach_the_output(on_terminal: bool) -> None:
    """Names, texts, the description, an alert, an exception of the user's: all of it is data."""
    code = f"""
    from m.metrics.alerts import Alert
    names = {HOSTILE!r}
    def builder(snapshot):
        raise ValueError(names[0])
    for config in (VisualizationConfig(refresh_per_second=30, table_update_interval=1),
                   VisualizationConfig(refresh_per_second=30, table_update_interval=1, custom_table_builder=builder)):
        visualizer = RichTrainerVisualizer(config)
        visualizer.start(30, "".join(names))
        for step in range(30):
            metrics = {{name: 1.0 + step for name in names}} | {{f"text {{n}}": name for n, name in enumerate(names)}}
            visualizer.update(snapshot(step, custom_metrics=metrics))
            visualizer.hub.alert(Alert(step, names[step % len(names)], names[0]))
            time.sleep(0.01)
        visualizer.close()
    print("end")
    """
    if on_terminal:
        outcome = run_on_terminal(code, 120, 60)
        assert outcome.status == 0
        left = OURS_ONLY.sub(b"", outcome.raw)
        assert outcome.lines[-1] == "end"
    else:
        done = subprocess.run(
            [sys.executable, "-c", PREAMBLE + code.replace("\n    ", "\n")],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0
        assert done.stderr == b""
        left = done.stdout + done.stderr
    text = left.decode("utf-8", "replace")
    assert set(re.findall(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]", text)) <= {
        "\r",
        "\n",
    }
    assert "[red]" in text
    assert ":fire:" in text


@pytest.mark.fault("D14")
def test_steps_that_jump_and_totals_that_are_passed_are_shown_as_they_are() -> None:
    code = """
    visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=30, table_update_interval=1))
    for total, steps in ((0, [0, 1]), (None, [5, 3, -2]), (10, [0, 500, 2, 10**18, -10**18]), (1, [0])):
        visualizer.start(total, f"of {total}")
        for step in steps:
            visualizer.update(snapshot(step))
            time.sleep(0.06)
    visualizer.close()
    print("end")
    """
    outcome = run_on_terminal(code, 100, 40)
    assert outcome.status == 0
    assert outcome.lines[-1] == "end"
    assert not any("Traceback" in line or "could not be drawn" in line for line in outcome.everything)


@pytest.mark.fault("D15", "D8")
@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 50), (20, 10)])
def test_a_thousand_experts_and_ten_thousand_metrics_fit_and_cost_little(width: int, height: int) -> None:
    """Rich's tables of them take 126 ms and 1.3 s a frame. CPU time, the best of three."""
    state = State(interval=1, run=Run("large", 100))
    dashboard = Dashboard(VisualizationConfig(table_update_interval=1), state, look_for("default"))
    console = Console(width=width, height=height)
    costs = []
    for step in range(5):
        state.take(
            TrainingSnapshot(
                step=step,
                train_loss=1.0,
                expert_utilization={number: 1.0 + (number + step) % 7 for number in range(1024)},
                custom_metrics={f"metric {number}": number + step for number in range(10_000)},
            )
        )
        before = time.thread_time()
        rows = dashboard.rows(width, height, console)
        costs.append(time.thread_time() - before)
        assert len(rows) <= height
        assert all(row_width(row) <= width for row in rows)
    assert min(costs) < 0.03, costs


# -- D18: frames that cannot be drawn ----------------------------------------------------------------------------------

BROKEN = """
    import sinks.terminal.dashboard as dashboard
    drawn = dashboard.Dashboard.{method}
    calls = 0
    def broken(*arguments, **named):
        global calls
        calls += 1
        if {when}:
            raise {error}
        return drawn(*arguments, **named)
    dashboard.Dashboard.{method} = broken
    visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=30, table_update_interval=5))
    visualizer.start(300, "run")
    for step in range(300):
        visualizer.update(snapshot(step))
        time.sleep(0.003)
        if step % 50 == 25:  # print() writes in pieces, and what stays of a broken display may show one
            sys.stdout.write(f"printed {{step}}\\n")
    seen = type(sys.stdout).__name__
    visualizer.close()
    print("closed", type(sys.stdout).__name__)
    """


@pytest.mark.fault("D18")
@pytest.mark.parametrize("error", ["ValueError('broken')", "SystemExit(1)", "RecursionError()"])
def test_a_dashboard_that_cannot_be_drawn_becomes_lines_and_hides_no_print(error: str) -> None:
    """The thread used to end and left ``print`` with a queue that nobody emptied any more."""
    outcome = run_on_terminal(BROKEN.format(method="table_rows", when="calls > 3", error=error))
    assert outcome.status == 0
    text = outcome.everything
    assert [line for line in text if line.startswith("printed")] == [f"printed {step}" for step in range(25, 300, 50)]
    assert any("plain lines from now on" in line for line in text)
    assert sum("could not be drawn" in line for line in text) == 1
    assert any(line.startswith("step 300/300") for line in text)
    assert any(line.startswith("── summary") for line in text)
    assert outcome.lines[-1] == "closed TextIOWrapper"
    assert not outcome.screen.cursor.hidden


@pytest.mark.fault("D18")
def test_a_few_frames_that_fail_are_passed_over() -> None:
    outcome = run_on_terminal(BROKEN.format(method="rows", when="calls in (3, 4, 5)", error="ValueError()"))
    assert outcome.status == 0
    assert any("✓ run" in line for line in outcome.lines)
    assert not any("plain lines from now on" in line for line in outcome.everything)


@pytest.mark.fault("D18")
@pytest.mark.parametrize("method", ["summary", "finish", "progress_row", "progress", "rows"])
def test_an_end_that_cannot_be_drawn_gives_the_terminal_back_all_the_same(method: str) -> None:
    when = "calls > 0" if method in ("summary", "finish") else "step > 280"
    code = BROKEN.format(method=method, when=when, error="ValueError('broken')").replace(
        "calls = 0", "calls = step = 0"
    )
    outcome = run_on_terminal(code)
    assert outcome.status == 0, outcome.lines
    assert outcome.lines[-1] == "closed TextIOWrapper"
    assert not outcome.screen.cursor.hidden
    printed = [line for line in outcome.everything if line.startswith("printed")]
    assert printed == [f"printed {step}" for step in range(25, 300, 50)]


@pytest.mark.fault("D18", "D6")
def test_text_whose_tables_cannot_be_made_is_lines_of_progress() -> None:
    out, err, status = run(
        """
        import sinks.terminal.dashboard as dashboard
        def broken(*arguments, **named):
            raise ValueError("broken")
        dashboard.Dashboard.table_rows = broken
        from sinks import TerminalSink
        from sinks.terminal.config import VisualizationConfig
        hub = MetricsHub([TerminalSink(VisualizationConfig(refresh_per_second=60, table_update_interval=1))])
        hub.start(200, "run")
        for step in range(200):
            hub.emit(snapshot(step))
            time.sleep(0.004)
        hub.close()
        check_accounts(hub)
        """
    )
    assert status == 0, err
    assert any(line.startswith("step 200/200") for line in out)
    assert any(line.startswith("── summary") for line in out)
    assert err.count("Traceback") == 1


# -- D19: ranks --------------------------------------------------------------------------------------------------------


@pytest.mark.fault("D19")
@pytest.mark.parametrize(
    ("env", "on_rank", "shown"),
    [
        ({}, "0", True),
        ({"RANK": "0"}, "0", True),
        ({"RANK": "1"}, "0", False),
        ({"RANK": "1"}, "1", True),
        ({"RANK": "1"}, "None", True),
        ({"SLURM_PROCID": "3"}, "0", True),
        ({"SLURM_PROCID": "3", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "4"}, "0", False),
    ],
)
def test_only_one_rank_shows_anything(env: dict[str, str], on_rank: str, shown: bool) -> None:
    """Lines of all ranks in one log make it unreadable. The environment may be set after the sink was made."""
    out, err, status = run(
        f"""
        from sinks import TerminalSink
        hub = MetricsHub([TerminalSink(on_rank={on_rank})])
        os.environ.update({env!r})
        for step in range(30):
            hub.emit(snapshot(step))
        print("the user's own")
        hub.close()
        check_accounts(hub)
        """
    )
    assert (err, status) == ("", 0)
    assert any(line.startswith("step 30") for line in out) == shown
    assert shown or out == ["the user's own"]


@pytest.mark.fault("D19")
def test_a_rank_that_shows_nothing_leaves_the_terminal_alone() -> None:
    code = """
    visualizer = RichTrainerVisualizer()
    visualizer.start(20, "run")
    for step in range(20):
        visualizer.update(snapshot(step))
        time.sleep(0.01)
    print("printed at once by", type(sys.stdout).__name__)
    visualizer.close()
    """
    outcome = run_on_terminal(code, env={"RANK": "2"})
    assert outcome.status == 0
    assert outcome.raw == b"printed at once by TextIOWrapper\r\n"
