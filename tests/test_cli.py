"""The command line, run as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from on_terminal import run_on_terminal

from m.cli.main import main
from m.journal.reader import read

ROOT = Path(__file__).parents[1]


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    return subprocess.run(
        [sys.executable, "-m", "m", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )


def test_the_demo_piped_to_a_file_leaves_figure_and_journal(tmp_path: Path) -> None:
    result = command("demo", "--steps", "60", "--experts", "4", "--seed", "3", cwd=tmp_path)

    assert (result.returncode, result.stderr) == (0, "")
    assert "\x1b" not in result.stdout
    assert "step 60/60  100 %" in result.stdout
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "training.png").read_bytes().startswith(b"\x89PNG")
    journal = read(folder / "journal.jsonl")
    (attempt,) = journal.attempts
    assert len(attempt.snapshots) == 60
    assert len(attempt.snapshots[0].snapshot.expert_utilization) == 4


@pytest.mark.fault("B12")
def test_the_demo_ends_well_when_its_reader_has_left(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = subprocess.run(
            [sys.executable, "-m", "m", "demo", "--steps", "12", "--out", "here"],
            cwd=tmp_path,
            env=environment,
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=120,
        )
    finally:
        os.close(writer)
    assert (result.returncode, result.stderr) == (0, b"")
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["journal.jsonl", "training.png"]


def test_the_demo_without_plots_goes_where_it_is_told(tmp_path: Path) -> None:
    result = command("demo", "--steps", "12", "--no-plots", "--out", "here/it is", cwd=tmp_path)

    assert result.returncode == 0
    assert sorted(path.name for path in (tmp_path / "here" / "it is").iterdir()) == ["journal.jsonl"]


def test_the_demo_on_a_terminal_shows_the_dashboard(tmp_path: Path) -> None:
    code = f"""
    os.chdir({str(tmp_path)!r})
    from m.cli.main import main
    sys.exit(main(["demo", "--steps", "120", "--no-plots", "--out", "here"]))
    """
    outcome = run_on_terminal(code, 80, 24)

    assert outcome.status == 0
    frames = [screen for screen in outcome.screens if any(line.startswith("── experts") for line in screen)]
    assert frames
    assert any("120/120 100%" in line for line in outcome.everything)
    assert f" written     here{os.sep}journal.jsonl" in outcome.lines


@pytest.mark.parametrize(
    "arguments",
    [
        ["demo", "--steps", "0"],
        ["demo", "--steps", "many"],
        ["demo", "--seed", "-1"],
        ["demo", "--seed"],
        ["dance"],
        [],
    ],
)
def test_what_it_does_not_understand_it_says(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_mixture_of_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--experts", "1"]) == 2
    assert "2 experts or more" in capsys.readouterr().err


def test_a_seed_below_zero_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["demo", "--seed", "-1"])
    assert "--seed: must be a whole number of 0 or more; got '-1'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_had_is_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("afile").touch()
    for out in ("afile", "afile/below"):
        assert main(["demo", "--out", out]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(
            f"metrics-hub demo: --out must be a folder that can be made and written to; got {out!r} ("
        )
    Path("runs").touch()
    assert main(["demo"]) == 2
    assert "got runs/<time> (" in capsys.readouterr().err


def test_a_figure_that_cannot_be_saved_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "training.png").mkdir()
    assert main(["demo", "--steps", "3", "--out", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("the figure could not be saved: ")


def test_ctrl_c_before_the_first_step_ends_it_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*given: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("m.examples.trajectory_3d.training.make_dataset", interrupted)
    assert main(["demo", "--out", str(tmp_path)]) == 130
    assert capsys.readouterr().err == ""


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert capsys.readouterr().out == f"metrics-hub {version}\n"


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    assert "demo" in capsys.readouterr().out
