"""A journal is given to colleagues and put into issues: it holds what was emitted and nothing of the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from on_terminal import ROOT

HEADER = {
    *("type", "version", "run_id", "attempt", "description", "total_steps", "initial_step", "started_at", "rank"),
}


def test_neither_arguments_nor_environment_nor_the_machine_stand_in_it(tmp_path: Path) -> None:
    code = """
from m import MetricsHub, TrainingSnapshot
from m.metrics.alerts import Alert
from sinks import JsonlSink, PlotSink
def failing(snapshot): raise OSError("cannot reach https://user:hunter2@example.com/")
with MetricsHub([JsonlSink("run.jsonl"), failing, PlotSink(summary=False)]) as hub:
    hub.start(total_steps=1)
    hub.emit(TrainingSnapshot(0, 0.5, custom_metrics={"a": 1.0, "secret": object()}))
    hub.alert(Alert(0, "rule", "words"))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "API_TOKEN": "tok-hunter2", "USER": "somebody-hunter2"}
    command = [sys.executable, "-c", code, "--password=hunter2"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "run.jsonl").read_text("ascii")
    header, *records = map(json.loads, text.splitlines())
    assert header["type"] == "run"
    assert header.keys() <= HEADER
    assert {record["type"] for record in records} == {"snapshot", "alert", "end"}
    for secret in ("hunter2", str(tmp_path), sys.executable, "OSError", "<object"):
        assert secret not in text, secret


def test_there_is_no_pickle_in_what_is_written_or_read() -> None:
    """Reading a pickle runs what it says; JSON does not, and nothing else is read."""
    for package in ("m", "sinks"):
        for path in (ROOT / package).rglob("*.py"):
            source = path.read_text("utf-8")
            for word in ("import pickle", "import marshal", "import shelve", "import dill", "allow_pickle=True"):
                assert word not in source, path
            assert " eval(" not in source, path
            assert " exec(" not in source, path
