"""The live display on a real pseudo-terminal, read back through a terminal emulator."""

from __future__ import annotations

import os
import re
import subprocess
import textwrap
from pathlib import Path

import pytest
from on_terminal import Outcome, run_on_terminal, set_size

TRAINING = """
visualizer = RichTrainerVisualizer(VisualizationConfig(table_update_interval=5, refresh_per_second=20))
visualizer.start(total_steps={steps}, description="Training MoE")
for step in range({steps}):
    time.sleep(0.004)
    visualizer.update(snapshot(step))
{then}
visualizer.close()
"""

SIZES = [(80, 24), (120, 40), (200, 50), (40, 15), (20, 10)]


def training(columns: int = 80, lines: int = 24, steps: int = 150, then: str = "", **how: object) -> Outcome:
    code = TRAINING.format(steps=steps, then=then)
    return run_on_terminal(code, columns, lines, **how)  # type: ignore[arg-type]


def frames(outcome: Outcome) -> list[list[str]]:
    """The screens on which the dashboard with its tables was."""
    return [screen for screen in outcome.screens if any("status" in line for line in screen)]


@pytest.mark.fault("D8")
@pytest.mark.parametrize(("columns", "lines"), SIZES)
def test_every_size_shows_the_progress_line_and_no_row_is_wrapped(columns: int, lines: int) -> None:
    outcome = training(columns, lines, then="time.sleep(0.3); os._exit(0)")

    last_row = outcome.lines[-1]
    assert "150/150" in last_row
    assert len(outcome.lines) < lines
    for row in outcome.lines:
        assert len(row) < columns  # the last column stays free, so nothing was folded
    # a folded row would leave its rest as a row of its own: every row begins as rows of ours begin
    assert all(re.match(r" |── |$", row) for row in outcome.lines), outcome.lines


@pytest.mark.parametrize(("columns", "lines"), SIZES[:4])
def test_the_loss_and_its_best_are_shown_whole_at_every_size(columns: int, lines: int) -> None:
    outcome = training(columns, lines, then="time.sleep(0.3); os._exit(0)")

    row = next(line for line in outcome.lines if line.startswith(" train_loss"))
    values = re.findall(r"\d+\.\d+", row)
    at = 145
    assert values[0] == f"{2.3 / (1 + at / 20):.4f}"
    best = values[2 if columns >= 80 else 1]  # behind the average, where there is room for one
    assert best == values[0]  # the loss falls, so the best is the newest


def test_columns_keep_their_place_from_frame_to_frame() -> None:
    outcome = training(steps=200)

    shown = frames(outcome)
    assert len(shown) > 8
    places = {
        (line.index("train_loss"), *(number.end() for number in re.finditer(r"\d+\.\d+", line)))
        for screen in shown
        for line in screen
        if line.startswith(" train_loss") and "last" not in line
    }
    assert len(places) == 1


@pytest.mark.fault("D4")
def test_prints_logging_and_warnings_scroll_above_in_their_order() -> None:
    code = """
    import logging, warnings
    warnings.simplefilter("always")
    logging.basicConfig(level=logging.INFO, format="%(message)s")  # its handler knows the real stream
    visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=20))
    visualizer.start(60, "run")
    for step in range(60):
        time.sleep(0.005)
        visualizer.update(snapshot(step))
        if step % 20 == 3:
            print("printed", step)
            logging.info("logged %d", step)
            warnings.warn(f"warned {step}")
            sys.stdout.buffer.write(b"no newline yet, ")
            sys.stdout.flush()
            print("now it ends", step)
    visualizer.close()
    print("afterwards")
    """
    outcome = run_on_terminal(code)

    assert outcome.status == 0
    said = [line for line in outcome.everything if re.match(r"printed|logged|.*warned \d|no newline|afterwards", line)]
    said = [line for line in said if "warnings.warn" not in line]
    for index, step in enumerate((3, 23, 43)):
        printed, logged, warned, joined = said[4 * index : 4 * index + 4]
        assert printed == f"printed {step}"
        assert logged == f"logged {step}"
        assert warned.endswith(f"UserWarning: warned {step}")
        assert joined == f"no newline yet, now it ends {step}"
    assert said[-1] == outcome.lines[-1] == "afterwards"


@pytest.mark.parametrize(
    "put_in_place",
    [
        """
        class Tee:
            def write(self, text):
                log.write(text)
                return real.write(text)
            def __getattr__(self, name):
                return getattr(real, name)
        real, sys.stdout = sys.stdout, Tee()
        """,
        """
        write = sys.stdout.write
        def keep_and_write(text):
            log.write(text)
            return write(text)
        sys.stdout.write = keep_and_write  # as wandb does
        """,
        """
        class Tee:
            def write(self, text):
                log.write(text)
                return real.write(text)
            def __getattr__(self, name):
                return getattr(real, name)
        real, sys.stderr = sys.stderr, Tee()
        """,
    ],
    ids=["a tee", "a patched write", "a tee of stderr"],
)
def test_whoever_keeps_what_is_printed_still_gets_it(put_in_place: str, tmp_path: Path) -> None:
    code = f"""
    log = open({str(tmp_path / "log")!r}, "w", buffering=1)
    {textwrap.indent(textwrap.dedent(put_in_place), "    ").strip()}
    visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=20))
    visualizer.start(60, "run")
    for step in range(60):
        time.sleep(0.005)
        visualizer.update(snapshot(step))
        if step % 20 == 3:
            print("printed", step)
            print("and said", step, file=sys.stderr)
    print("not ended yet", end="")
    visualizer.close()
    """
    outcome = run_on_terminal(code)

    assert outcome.status == 0
    printed = [line for step in (3, 23, 43) for line in (f"printed {step}", f"and said {step}")] + ["not ended yet"]
    assert [line for line in outcome.everything if line.startswith(("printed", "and said", "not ended"))] == printed
    assert (tmp_path / "log").read_text().splitlines() == printed
    assert sum("steps" in line or "status" in line for line in outcome.lines) >= 2  # the dashboard is there


def test_an_unfinished_line_is_visible_while_the_program_waits_for_an_answer() -> None:
    code = """
    visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=20))
    visualizer.start(10, "run")
    visualizer.update(snapshot(0))
    answer = input("continue? ")
    visualizer.close()
    print("answer was", answer)
    """
    answered = []

    def answer(master: int, process: subprocess.Popen[bytes], seconds: float) -> None:
        if seconds > 1.5 and not answered:
            answered.append(True)
            os.write(master, b"yes\n")

    outcome = run_on_terminal(code, during=answer)

    assert outcome.lines[-1] == "answer was yes"
    assert any(line.startswith("continue? ") for screen in outcome.screens for line in screen)


def test_close_leaves_the_last_state_a_summary_and_a_visible_cursor() -> None:
    outcome = training(steps=100)

    assert outcome.status == 0
    text = "\n".join(outcome.lines)
    assert "step  99" in text  # 99 is no multiple of the interval: the final state is shown all the same
    assert "✓ Training MoE" in text
    assert "100/100 100%" in text
    summary = [line for line in outcome.lines if line.startswith("── summary")]
    assert "100 steps in" in summary[0]
    assert not outcome.screen.cursor.hidden


@pytest.mark.fault("B1", "B14")
@pytest.mark.parametrize(
    "end",
    [
        "raise RuntimeError('training broke')",
        "sys.exit(3)",
        "os.kill(os.getpid(), __import__('signal').SIGINT); time.sleep(1)",
        "del visualizer; sys.exit(0)",
        "os.kill(os.getpid(), __import__('signal').SIGTERM); time.sleep(1)",
        "os.kill(os.getpid(), __import__('signal').SIGKILL)",
    ],
)
def test_the_cursor_is_visible_however_the_process_ends(end: str) -> None:
    outcome = training(steps=40, then=end)

    assert outcome.status is not None
    assert not outcome.screen.cursor.hidden
    assert b"\x1b[?1049h" not in outcome.raw  # never the alternate screen: what was shown stays readable


@pytest.mark.fault("D5")
def test_a_traceback_is_seen_after_the_dashboard() -> None:
    outcome = training(steps=40, then="raise RuntimeError('training broke')")

    assert outcome.status == 1
    assert any("RuntimeError: training broke" in line for line in outcome.everything)


@pytest.mark.fault("D1")
def test_a_stopped_terminal_holds_up_neither_the_loop_nor_the_end() -> None:
    """Ctrl-S, a frozen connection: the terminal takes nothing, for as long as it likes."""
    code = """
    visualizer = RichTrainerVisualizer(VisualizationConfig(table_update_interval=1, refresh_per_second=60))
    visualizer.start(3000, "run")
    worst = 0.0
    for step in range(600):
        before = time.perf_counter()
        visualizer.update(snapshot(step))
        print("x" * 200)  # enough to fill every buffer on the way
        worst = max(worst, time.perf_counter() - before)
        time.sleep(0.003)
    before = time.perf_counter()
    visualizer.close()
    with open(os.environ["RESULT"], "w") as file:
        file.write(f"{worst} {time.perf_counter() - before}")
    os._exit(0)
    """
    import tempfile

    with tempfile.NamedTemporaryFile("r", suffix=".txt") as result:
        outcome = run_on_terminal(code, reading=lambda seconds: seconds < 0.5, env={"RESULT": result.name})
        worst, closing = map(float, result.read().split())

    assert outcome.status == 0
    assert worst < 0.5
    assert closing < 3.0


@pytest.mark.fault("B11")
def test_a_terminal_that_hangs_up_ends_the_display_and_not_the_training(tmp_path: object) -> None:
    code = """
    import signal
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=30))
    visualizer.start(300, "run")
    for step in range(300):
        time.sleep(0.01)
        visualizer.update(snapshot(step))
        print("still here")
    visualizer.close()
    with open(os.environ["RESULT"], "w") as file:
        file.write("trained to the end")
    """
    result = f"{tmp_path}/result.txt"
    hung_up = []

    def hang_up(master: int, process: subprocess.Popen[bytes], seconds: float) -> None:
        if seconds > 1.5 and not hung_up:
            hung_up.append(True)
            os.close(master)

    outcome = run_on_terminal(code, during=hang_up, env={"RESULT": result})

    assert outcome.status == 0
    with open(result) as file:
        assert file.read() == "trained to the end"


@pytest.mark.fault("D9")
def test_a_narrower_terminal_gets_a_new_frame_that_fits() -> None:
    resized = []

    def narrow(master: int, process: subprocess.Popen[bytes], seconds: float) -> None:
        if seconds > 1.5 and not resized:
            resized.append(True)
            set_size(master, 50, 20)

    outcome = training(100, 30, steps=500, then="time.sleep(0.3); os._exit(0)", during=narrow)

    assert resized
    after = outcome.raw[outcome.raw.rindex(b"\x1b[1A\x1b[2K") :].decode()
    frame = after[: after.index("\x1b[?2026l")]
    rows = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", frame).replace("\r", "").split("\n")
    assert len(rows) > 5
    assert all(len(row) < 50 for row in rows)


@pytest.mark.fault("C1")
def test_a_forked_child_prints_to_the_real_stream_and_never_hangs() -> None:
    code = """
    visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=60, table_update_interval=1))
    visualizer.start(100, "run")
    for step in range(40):
        visualizer.update(snapshot(step))
        print("parent", step)
        child = os.fork()
        if child == 0:
            print("child", step)
            visualizer.update(snapshot(step))
            visualizer.close()
            sys.stdout.flush()
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    visualizer.close()
    print("parent is done")
    """
    outcome = run_on_terminal(code)

    assert outcome.status == 0
    assert outcome.lines[-1] == "parent is done"
    assert outcome.raw.count(b"child") == 40  # a word is one write; what print writes after it may come later


@pytest.mark.fault("D3")
def test_two_displays_on_one_terminal_stand_below_each_other() -> None:
    code = """
    one, two = (RichTrainerVisualizer(VisualizationConfig(refresh_per_second=20)) for _ in range(2))
    one.start(50, "first run")
    two.start(50, "second run")
    for step in range(50):
        time.sleep(0.01)
        one.update(snapshot(step))
        two.update(snapshot(step))
    time.sleep(0.2)
    one.close()
    two.close()
    """
    outcome = run_on_terminal(code, 100, 40)

    assert outcome.status == 0
    both = [
        screen
        for screen in outcome.screens
        if any("first run" in line and "50/50" in line for line in screen)
        and any("second run" in line and "50/50" in line for line in screen)
    ]
    assert both
    text = "\n".join(outcome.everything)
    assert text.count("✓ first run") == text.count("✓ second run") == 1


@pytest.mark.fault("D3")
def test_a_rich_live_of_the_user_is_left_alone_and_ours_comes_back_afterwards() -> None:
    code = """
    from rich.live import Live
    visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=20))
    visualizer.start(100, "run")
    for step in range(50):
        time.sleep(0.01)
        visualizer.update(snapshot(step))
    with Live("the user's own display", refresh_per_second=20) as live:
        for step in range(50, 80):
            time.sleep(0.01)
            visualizer.update(snapshot(step))
    for step in range(80, 100):
        time.sleep(0.02)
        visualizer.update(snapshot(step))
    visualizer.close()
    print("end")
    """
    outcome = run_on_terminal(code)

    assert outcome.status == 0
    assert outcome.lines[-1] == "end"
    text = "\n".join(outcome.everything)
    assert "the user's own display" in text
    assert "100/100 100%" in text


@pytest.mark.fault("D3")
def test_an_active_rich_live_makes_ours_plain_text() -> None:
    code = """
    from rich.live import Live
    with Live("the user's own display", refresh_per_second=20):
        visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=20))
        visualizer.start(60, "run")
        for step in range(60):
            time.sleep(0.01)
            visualizer.update(snapshot(step))
        visualizer.close()
    print("end")
    """
    outcome = run_on_terminal(code)

    assert outcome.status == 0
    assert any(line.startswith("step 26/60") for line in outcome.everything)
    assert outcome.lines[-1] == "end"


@pytest.mark.fault("D2")
def test_finalisers_that_print_while_frames_are_drawn_do_not_hang() -> None:
    """The lock order that hangs Rich's Live: a collected object prints in the middle of a refresh."""
    code = """
    import gc
    gc.set_threshold(50, 2, 2)
    class Talks:
        def __init__(self): self.me = self
        def __del__(self): print("collected")
    visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=60, table_update_interval=1))
    visualizer.start(None, "run")
    end = time.monotonic() + 3
    step = 0
    while time.monotonic() < end:
        Talks()
        visualizer.update(snapshot(step))
        step += 1
        if step % 3 == 0:
            print("step", step)
    visualizer.close()
    print("end of storm")
    os._exit(0)
    """
    outcome = run_on_terminal(code)

    assert outcome.status == 0
    assert any("end of storm" in line for line in outcome.lines)  # a finaliser in another thread may speak after it


@pytest.mark.fault("D7")
def test_without_colours_there_is_no_colour_and_everything_else() -> None:
    outcome = training(steps=60, env={"NO_COLOR": "1"})

    assert not re.search(rb"\x1b\[[0-9;]*3[0-9]m", outcome.raw)
    assert "60/60 100%" in "\n".join(outcome.lines)


@pytest.mark.fault("D10")
def test_a_terminal_without_utf8_gets_ascii() -> None:
    outcome = training(steps=60, env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})

    assert outcome.status == 0
    assert outcome.raw.isascii()
    assert "60/60 100%" in "\n".join(outcome.lines)


@pytest.mark.fault("D7")
def test_a_dumb_terminal_gets_text_without_control_codes() -> None:
    outcome = training(steps=60, env={"TERM": "dumb"})

    assert outcome.status == 0
    assert b"\x1b" not in outcome.raw
    assert b"step 60/60" in outcome.raw


def test_the_real_streams_are_back_after_close() -> None:
    then = """
visualizer.close()
from sinks.terminal.streams import PrintAbove
assert not isinstance(sys.stdout, PrintAbove) and not isinstance(sys.stderr, PrintAbove)
import threading
print("threads", threading.active_count())
"""
    outcome = training(steps=20, then=then)

    assert outcome.status == 0
    assert outcome.lines[-1] in ("threads 1", "threads 2")  # the watchdog of faulthandler is no Python thread
    assert outcome.lines[-1] == "threads 1"


def test_a_forked_child_has_the_real_streams_and_may_have_a_display_of_its_own(tmp_path: Path) -> None:
    code = f"""
        visualizer = RichTrainerVisualizer(VisualizationConfig())
        visualizer.start(10, "run of the parent")
        visualizer.update(snapshot(1))
        faulthandler.cancel_dump_traceback_later()
        child = os.fork()
        if not child:
            with open({str(tmp_path / "streams")!r}, "w") as file:
                print(type(sys.stdout).__name__, type(sys.stderr).__name__, file=file)
            own = RichTrainerVisualizer(VisualizationConfig())
            own.start(10, "run of the child")
            own.update(snapshot(2))
            own.close()
            os._exit(0)
        os.waitpid(child, 0)
        visualizer.close()
    """
    outcome = run_on_terminal(code)
    assert outcome.status == 0
    assert (tmp_path / "streams").read_text() == "TextIOWrapper TextIOWrapper\n"
    assert b"run of the child" in outcome.raw


def test_of_a_bar_that_is_redrawn_for_ever_only_what_can_be_seen_is_kept() -> None:
    code = """
    visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=20))
    visualizer.start(40, "run")
    for step in range(40):
        visualizer.update(snapshot(step))
        for redrawn in range(250):
            sys.stderr.write(f"\\r bar {step} of 40 at {redrawn}/250" + "#" * 100)
        time.sleep(0.03)
    sys.stderr.write("\\r waits at the beginning of its line\\r")
    time.sleep(0.2)
    visualizer.close()
    """
    outcome = run_on_terminal(code)
    assert outcome.status == 0
    assert any(any(line.startswith(" waits at") for line in screen) for screen in frames(outcome))
    assert outcome.raw.count(b"of 40 at") < 200
    assert any("40/40 100%" in line for line in outcome.lines)
    assert any(line.startswith("── summary") for line in outcome.lines)


def test_of_a_line_that_never_ends_nothing_is_lost() -> None:
    code = """
    visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=20, show_tables=False))
    visualizer.start(40, "run")
    for step in range(40):
        visualizer.update(snapshot(step))
        sys.stdout.write("@" * 999)
        time.sleep(0.01)
        if step % 10 == 9:
            print(" an end")
    visualizer.close()
    """
    outcome = run_on_terminal(code)
    assert outcome.status == 0
    text = [line for line in outcome.everything if not line.startswith(" ")]
    assert "".join(text).count("@") == 40 * 999


@pytest.mark.parametrize("end", ["visualizer.close()", "os.fork() or os._exit(0); os.wait(); visualizer.close()"])
def test_while_input_waits_for_an_answer_the_display_holds_still(end: str) -> None:
    code = f"""
    visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=20, table_update_interval=1))
    visualizer.start(100, "run")
    for step in range(50):
        visualizer.update(snapshot(step))
        time.sleep(0.01)
    print("before the question")
    import threading
    trains = threading.Thread(
        target=lambda: [visualizer.update(snapshot(step)) or time.sleep(0.01) for step in range(50, 100)]
    )
    trains.start()
    answer = input("continue? ")
    print("the answer is", answer)
    time.sleep(0.3)
    {end}
    print("restored", type(input).__name__)
    """
    shown: list[float] = []

    def answer(master: int, process: subprocess.Popen[bytes], seconds: float) -> None:
        if seconds > 2.5 and not shown:
            shown.append(seconds)
            os.write(master, b"yes\n")

    outcome = run_on_terminal(code, 80, 50, during=answer)
    assert outcome.status == 0
    waiting = [[line.rstrip() for line in screen] for screen in outcome.screens]
    waiting = [screen for screen in waiting if "continue? " in screen or "continue?" in screen]
    assert waiting
    for screen in waiting:
        assert screen[:3] == ["before the question", "continue?", ""]
    text = outcome.everything
    assert text[:3] == ["before the question", "continue? yes", "the answer is yes"]
    assert any("100/100 100%" in line for line in text)
    assert text[-1] == "restored builtin_function_or_method"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_what_is_printed_right_after_an_answer_is_not_drawn_over(unbuffered: str) -> None:
    """As an answer of the debugger is: the next frame comes in the middle of it."""
    code = """
    visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=20, table_update_interval=1))
    visualizer.start(100, "run")
    for step in range(50):
        visualizer.update(snapshot(step))
        time.sleep(0.01)
    for question in range(3):
        input("continue? ")
        sys.stdout.write("the answer")
        time.sleep(0.3)
        sys.stdout.write(" is yes\\n")
    visualizer.close()
    """

    def answer(master: int, process: subprocess.Popen[bytes], seconds: float) -> None:
        if not answered:
            answered.append(os.write(master, b"yes\nyes\nyes\n"))

    answered: list[int] = []
    outcome = run_on_terminal(code, during=answer, env={"PYTHONUNBUFFERED": unbuffered})
    assert outcome.status == 0
    assert outcome.everything.count("the answer is yes") == 3


def test_at_the_prompt_of_an_interactive_python_the_line_that_is_typed_is_left_alone() -> None:
    code = """
    import termios, threading, tty
    visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=20))
    visualizer.start(100, "run")
    for step in range(50):
        visualizer.update(snapshot(step))
        time.sleep(0.01)
    was = termios.tcgetattr(0)
    sys.ps1 = ">>> "
    tty.setcbreak(0)
    os.write(1, b"\\r\\nPROMPT> ")
    time.sleep(0.3)
    for step in range(50, 60):  # by a thread, say
        visualizer.update(snapshot(step))
        time.sleep(0.05)
    os.write(1, b"typed")
    time.sleep(0.3)
    termios.tcsetattr(0, termios.TCSADRAIN, was)
    os.write(1, b"\\r\\n")
    print("printed")
    for step in range(60, 100):
        visualizer.update(snapshot(step))
        time.sleep(0.01)
    visualizer.close()
    """
    outcome = run_on_terminal(code)

    assert outcome.status == 0
    assert "PROMPT> typed" in outcome.everything
    assert outcome.everything.index("printed") > outcome.everything.index("PROMPT> typed")
    assert any("100/100" in line for line in outcome.lines)
    assert [line for line in outcome.lines if "status" in line]


def test_what_a_debugger_says_before_its_prompt_stands_below_the_frame() -> None:
    """IPython's, which write all through the stand-ins, the prompt too: it stood right behind the frame's last word."""
    code = """
    import termios, tty
    visualizer = RichTrainerVisualizer(VisualizationConfig(refresh_per_second=20))
    visualizer.start(100, "run")
    for step in range(50):
        visualizer.update(snapshot(step))
        time.sleep(0.01)
    was = termios.tcgetattr(0)
    sys.ps1 = "In : "
    tty.setcbreak(0)
    print("> train.py(7)")
    time.sleep(0.3)
    termios.tcsetattr(0, termios.TCSADRAIN, was)
    visualizer.close()
    """
    outcome = run_on_terminal(code)

    assert outcome.status == 0
    assert [line for line in outcome.lines if "> train.py(7)" in line] == ["> train.py(7)"]
