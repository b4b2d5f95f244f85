"""No word of a stranger becomes a path: files lie where the user said, under names that the user gave or that are safe.

The library makes names of its own for two files only: the one that is renamed to a figure, and the journal of a second
writer. Both lie beside the path that was given, are made with ``O_EXCL``, and take nothing from metrics, descriptions
or alerts.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from foreign_text import CORPUS
from on_terminal import ROOT

from m.metrics.snapshot import TrainingSnapshot
from sinks import JsonlSink, PlotSink

AUDITED_RUN = """
import json, os, sys
sys.path.insert(0, {tests!r})
from foreign_text import CORPUS
from matplotlib.figure import Figure  # whatever it reads and caches is its own
import sinks.plotting.figure, m.metrics.history
from m import MetricsHub, TrainingSnapshot
from m.metrics.alerts import Alert
from sinks import JsonlSink, PlotSink, TerminalSink

PlotSink(summary=False).force_update()  # fonts
touched, active = [], True

def hook(event, arguments):
    if not active:
        return
    if event == "open":
        path, mode, flags = arguments
        writes = bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        touched.append(("write" if writes else "read", path, flags))
    elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"):
        touched.append((event, arguments[0], 0))
    elif event == "os.rename":
        touched.extend([("rename", arguments[0], 0), ("renamed", arguments[1], 0)])
    elif event.startswith(("socket.", "subprocess.", "os.exec", "os.posix_spawn", "os.system", "shutil.", "tempfile.")):
        touched.append((event, str(arguments[0]), 0))

sys.addaudithook(hook)
plots = PlotSink(summary=False)
second = JsonlSink("run/journal.jsonl")
with MetricsHub([TerminalSink(), plots, JsonlSink("run/journal.jsonl")]) as hub:
    hub.subscribe(second, name="second")
    for text in CORPUS:
        hub.start(total_steps=2, description=text)
        hub.emit(TrainingSnapshot(0, 0.5, custom_metrics={{text: 0.5, "word": text, text + "/../../x": text}}))
        hub.alert(Alert(0, text or "rule", text))
    for extension in ("png", "svg", "pdf"):
        plots.save_plot("run/figures/figure." + extension)
active = False
named = [(kind, os.fspath(path) if not isinstance(path, int) else "", flags) for kind, path, flags in touched]
named = [(kind, os.fsdecode(path) if isinstance(path, bytes) else path, flags) for kind, path, flags in named]
with open("touched.json", "w") as file:
    json.dump(named, file)
"""


@pytest.mark.fault("E18")
def test_what_a_run_with_hostile_words_opens_lies_where_the_user_said(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    homes = {name: str(tmp_path / name) for name in ("HOME", "TMPDIR", "MPLCONFIGDIR", "XDG_CACHE_HOME")}
    for home in homes.values():
        Path(home).mkdir()
    environment = {**os.environ, **homes, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    code = AUDITED_RUN.format(tests=str(ROOT / "tests"))
    done = subprocess.run([sys.executable, "-c", code], cwd=here, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")

    left = sorted(str(path.relative_to(tmp_path)) for path in here.rglob("*"))
    (beside,) = [name for name in left if re.fullmatch(r"here/run/journal-\d+-[0-9a-f]{8}\.jsonl", name)]
    figures = [f"here/run/figures/figure.{extension}" for extension in ("pdf", "png", "svg")]
    assert left == sorted(
        ["here/run", "here/run/figures", "here/run/journal.jsonl", beside, "here/touched.json", *figures]
    )

    touched: list[tuple[str, str, int]] = json.loads((here / "touched.json").read_text())
    own = re.compile(r"\.plot-[0-9a-f]{16}\.tmp|journal-\d+-[0-9a-f]{8}\.jsonl")
    words = [word for text in CORPUS for word in re.findall(r"\w{5,}", text)] + ["../"]
    made = set()
    for kind, path, flags in touched:
        assert kind == "read" or not any(word in path for word in words), path
        assert kind in ("read", "write", "rename", "renamed", "os.mkdir"), (kind, path)
        if kind == "read" or path in ("/dev/null", ""):
            continue
        assert Path(here, path).is_relative_to(here / "run"), (kind, path)
        if kind == "write" and own.fullmatch(Path(path).name) and Path(path).name not in made:
            assert flags & os.O_EXCL, path  # the open that makes it
        made.add(Path(path).name)
    given = {"run", "figures", "journal.jsonl", "figure.png", "figure.svg", "figure.pdf"}
    assert {name for name in made if not own.fullmatch(name)} == given
    assert len(made - given) == 4


@pytest.mark.fault("E18")
@pytest.mark.parametrize("name", ["漢" * 80 + ".png", "x" * 251 + ".png", "a b\x1b[2J'\"$(x).svg"])
def test_any_name_that_a_file_can_have_is_one_for_a_figure(name: str, tmp_path: Path) -> None:
    """The file beside it took its name, which became longer than a name can be."""
    sink = PlotSink(summary=False)
    sink.record(TrainingSnapshot(0, 0.5))
    sink.save_plot(tmp_path / name)
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", ["漢" * 80 + ".jsonl", "x" * 249 + ".jsonl", "run." + "x" * 240])
def test_a_second_journal_has_a_name_however_long_that_of_the_first(name: str, tmp_path: Path) -> None:
    sinks: list[Any] = [JsonlSink(tmp_path / name) for _ in range(2)]
    for sink in sinks:
        sink.record(TrainingSnapshot(0, 0.5))
    assert [sink.lost for sink in sinks] == [0, 0]
    assert len(os.listdir(tmp_path)) == 2
    for sink in sinks:
        sink.close()


def test_a_file_that_waits_where_a_figure_is_made_is_not_written_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a scratch folder that many share, somebody may put a link where a file is about to be made."""
    treasure = tmp_path / "treasure"
    treasure.write_text("untouched")
    monkeypatch.setattr("secrets.token_hex", lambda length: "ab" * length)
    (tmp_path / f".plot-{'ab' * 8}.tmp").symlink_to(treasure)
    sink = PlotSink(summary=False)
    sink.record(TrainingSnapshot(0, 0.5))
    with pytest.raises(FileExistsError):
        sink.save_plot(tmp_path / "figure.png")
    assert treasure.read_text() == "untouched"
