"""Section C of the catalogue in docs/reliability.md: forks, spawns, and what threads take from the loop."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest
from fault_injection import FORK, FORK_STORM, OURS, RICHS, ROOT, run
from on_terminal import Outcome, run_on_terminal

from m.journal.reader import read


def fork_storm(open_display: str, forks: int, result: Path, within_s: float) -> tuple[Outcome, int | None]:
    """How the storm ended, and how many children hung; None when the parent did."""
    code = open_display.format(hertz=60) + FORK_STORM.format(forks=forks, at_most_s=int(within_s))
    outcome = run_on_terminal(code, env={"RESULT": str(result)}, within_s=within_s)
    return outcome, int(result.read_text()) if result.exists() else None


@pytest.mark.fault("C1", "B4")
def test_children_that_print_log_and_collect_do_not_hang(tmp_path: Path) -> None:
    outcome, hung = fork_storm(OURS, 60, tmp_path / "result", 30.0)
    assert (outcome.status, hung) == (0, 0), outcome.lines
    assert outcome.raw.count(b"WARNING:root:child") == 60


@pytest.mark.storm
@pytest.mark.fault("C1", "B4")
def test_three_hundred_forks_at_sixty_hertz_hang_none(tmp_path: Path) -> None:
    outcome, hung = fork_storm(OURS, 300, tmp_path / "result", 120.0)
    assert (outcome.status, hung) == (0, 0), outcome.lines


@pytest.mark.storm
@pytest.mark.fault("C1")
def test_the_same_forks_hang_under_rich(tmp_path: Path) -> None:
    """One child in seven hung when it was tried; if none of 100 does, the storm blows no more."""
    outcome, hung = fork_storm(RICHS, 100, tmp_path / "result", 250.0)
    print(f"Rich's Live: {hung} of 100 children hung")
    assert outcome.status != 0 or hung


TEXT = """
from sinks import JsonlSink, TerminalSink
from sinks.terminal.config import VisualizationConfig
hub = MetricsHub([TerminalSink(VisualizationConfig(refresh_per_second=60, table_update_interval=1))])
hub.subscribe(JsonlSink(os.environ["JOURNAL"]))
hub.start(100, "run")

def child(step):
    hub.emit(snapshot(1000 + step))
    print("child", step)
    hub.close()

for step in range(40):
    hub.emit(snapshot(step))
    time.sleep(0.005)
    in_child(lambda: child(step))
hub.close()
check_accounts(hub)
"""


@pytest.mark.fault("C3", "C4", "C5")
def test_children_that_end_like_programs_double_no_line_and_write_none(tmp_path: Path) -> None:
    """A buffer that is inherited is written again by each child: three forks used to make four lines of one."""
    journal = tmp_path / "run.jsonl"
    out, err, status = run(FORK + TEXT, hangs_after_s=20, env={**os.environ, "JOURNAL": str(journal)})
    assert (err, status) == ("", 0)
    assert [line for line in out if line.startswith("child ended")] == ["child ended 0"] * 40
    said = Counter(line.split()[1] for line in out if re.match(r"step \d", line))
    assert len(said) > 5
    assert [step for step, times in said.items() if times > 1] in ([], ["40/100"])  # the end says the last state again
    assert sum("── summary" in line for line in out) == 1
    assert [recorded.snapshot.step for recorded in read(journal).merged()] == list(range(40))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.fault("C5")
def test_a_pool_of_forked_workers_that_hold_the_hub_works_and_writes_nothing(tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    out, err, status = run(
        f"""
        import multiprocessing, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        faulthandler.cancel_dump_traceback_later()
        signal.alarm(20)
        from sinks import JsonlSink
        hub = MetricsHub([JsonlSink({str(journal)!r})])
        hub.subscribe(lambda s: None, background=True)
        hub.emit(snapshot(0))

        class Data:
            "A data set that holds the hub, as those of trainers do."
            def __init__(self):
                self.hub = hub
            def __call__(self, number):
                self.hub.emit(snapshot(100 + number))
                return number

        with multiprocessing.get_context("fork").Pool(3) as pool:
            assert pool.map(Data(), range(50)) == list(range(50))
        hub.emit(snapshot(1))
        hub.close()
        check_accounts(hub)
        say([each.delivered for each in hub.stats().sinks.values()])
        """
    )
    assert (out, status) == (["[2, 2]"], 0), err
    assert [recorded.snapshot.step for recorded in read(journal).merged()] == [0, 1]


@pytest.mark.fault("C7")
def test_a_spawned_worker_that_imports_the_script_again_writes_to_a_file_of_its_own(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent("""
            import multiprocessing, os
            from m import MetricsHub, TrainingSnapshot
            from sinks import JsonlSink

            hub = MetricsHub([JsonlSink("run.jsonl")])
            hub.emit(TrainingSnapshot(step=os.getpid(), train_loss=0.5))

            def work(number):
                hub.emit(TrainingSnapshot(step=number, train_loss=0.5))
                return os.getpid()

            if __name__ == "__main__":
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    pids = set(pool.map(work, range(5)))
                hub.emit(TrainingSnapshot(step=2 * os.getpid(), train_loss=0.5))
                print(os.getpid(), *pids)
            """)
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    parent, worker = map(int, done.stdout.split())
    assert [recorded.snapshot.step for recorded in read(tmp_path / "run.jsonl").merged()] == [parent, 2 * parent]
    (other,) = tmp_path.glob(f"run-{worker}-*.jsonl")
    assert [recorded.snapshot.step for recorded in read(other).merged()] == [worker, *range(5)]


@pytest.mark.fault("C7")
def test_a_spawned_worker_that_imports_the_script_again_shows_nothing(tmp_path: Path) -> None:
    """It would draw its own dashboard over that of the training, on the same terminal."""
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent("""
            import multiprocessing, sys
            from m import MetricsHub, TrainingSnapshot
            from sinks import TerminalSink

            hub = MetricsHub([TerminalSink(on_rank=None)])
            hub.start(1, "at the top of the script")
            hub.emit(TrainingSnapshot(step=0, train_loss=0.5))

            def work(number):
                return type(sys.stdout).__name__

            if __name__ == "__main__":
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    (of_worker,) = pool.map(work, [0])
                of_training = type(sys.stdout).__name__
                hub.close()
                print(of_training, of_worker)
            """)
    )
    outcome = run_on_terminal(f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')")
    assert outcome.status == 0, outcome.lines
    assert outcome.lines[-1] == "PrintAbove TextIOWrapper"


@pytest.mark.fault("C10")
def test_the_state_of_warnings_is_changed_nowhere() -> None:
    """It belongs to the whole process before Python 3.14: a thread that saves and restores it undoes the user's.

    The program of the process that draws may: there everything is ours.
    """
    found = []
    program = ROOT / "sinks" / "plotting" / "viewer.py"
    for path in {*(ROOT / "m").rglob("*.py"), *(ROOT / "sinks").rglob("*.py")} - {program}:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("catch_warnings", "simplefilter", "filterwarnings"):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []


@pytest.mark.fault("C11")
def test_drawing_takes_a_small_share_of_one_core_from_the_loop() -> None:
    """CPU time of all threads but the loop's, at four frames a second with every number new in each."""
    code = """
    import resource
    visualizer = RichTrainerVisualizer(VisualizationConfig(table_update_interval=1))
    visualizer.start(None, "run")
    def numbers(step):
        return {f"metric {number}": step + number / 7 for number in range(200)}
    for step in range(50):
        visualizer.update(snapshot(step, custom_metrics=numbers(step)))
        time.sleep(0.01)
    cpu, own, wall = time.process_time(), time.thread_time(), time.monotonic()
    for step in range(50, 250):
        visualizer.update(snapshot(step, custom_metrics=numbers(step)))
        time.sleep(0.01)
    cpu, own, wall = time.process_time() - cpu, time.thread_time() - own, time.monotonic() - wall
    visualizer.close()
    print("share", (cpu - own) / wall)
    """
    outcome = run_on_terminal(code, 120, 40)
    assert outcome.status == 0
    assert float(outcome.lines[-1].split()[1]) < 0.15, outcome.lines[-1]
