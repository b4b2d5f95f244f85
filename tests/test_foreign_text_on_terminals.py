"""Whatever stands in names, texts and messages: on a terminal only the library's own control sequences arrive.

A display may move the cursor up and down, erase, colour, and mark where an update begins and ends. Everything else that
a terminal would obey is made visible on the way. The user's own prints, which pass above the display, are the user's
and stay as they are.
"""

from __future__ import annotations

import io
import logging
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from foreign_text import foreign, obeyed_in
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from on_terminal import ROOT, run_on_terminal
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from m import MetricsHub
from m.metrics import values
from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot
from m.metrics.text import LONGEST, harmless, harmless_lines
from sinks import JsonlSink, PlotSink, TerminalSink
from sinks.plotting.summary import summary_table
from sinks.terminal import painter
from sinks.terminal.config import VisualizationConfig
from sinks.terminal.custom import render
from sinks.terminal.dashboard import Dashboard
from sinks.terminal.look import look_for
from sinks.terminal.painter import Painter
from sinks.terminal.plain import PlainText
from sinks.terminal.state import State
from sinks.terminal.text import safe

OURS = re.compile(
    "|".join(
        (
            r"\x1b\[\?2026[hl]",  # the begin and the end of an update
            r"\x1b\[2K",  # erase the line
            r"\x1b\[J",  # and what is below
            r"\x1b\[[0-9]+[AB]",  # up, down
            r"\x1b\[[0-9;]*m",  # colours, by Rich
        )
    )
)
"""All control sequences that a display sends, besides carriage return and newline."""


def left_of(sent: str) -> str:
    """What a terminal would obey in ``sent`` that is not the library's own."""
    return obeyed_in(OURS.sub("", sent), "\r", "\n")


def snapshot_with(text: str, other: str, step: int = 0) -> TrainingSnapshot:
    metrics: dict[Any, Any] = {text: 0.5, other: 0.25, "phase": text[:40], f"{text}2": other, "word": other[:12]}
    return TrainingSnapshot(step, 0.5, 0.25, 1e-3, expert_utilization={0: 0.5, 1: 0.5}, custom_metrics=metrics)


def dashboard_with(text: str, other: str, config: VisualizationConfig, unicode: bool = True) -> Dashboard:
    state = State(interval=1, run=Run(text, total_steps=10))
    dashboard = Dashboard(config, state, look_for("default", "utf-8" if unicode else "ascii"), clock=lambda: 1.0)
    state.take(snapshot_with(text, other))
    state.add_alert(Alert(0, other or "rule", text))
    state.add_alert(Alert(0, text or "rule", other))
    return dashboard


# -- the one sanitiser ------------------------------------------------------------------------------------------------


@pytest.mark.fault("D13", "F16")
@given(foreign)
def test_nothing_is_left_that_anybody_obeys_and_everything_stays_visible(text: str) -> None:
    assert obeyed_in(harmless(text)) == obeyed_in(safe(text)) == ""
    assert obeyed_in(harmless_lines(text), "\n", "\t") == ""
    assert len(harmless(text)) == len(safe(text)) == min(len(text), LONGEST)
    harmless(text).encode("utf-8")


@pytest.mark.fault("D13")
def test_every_character_there_is() -> None:
    for start in range(0, sys.maxunicode + 1, LONGEST):
        text = "".join(map(chr, range(start, min(start + LONGEST, sys.maxunicode + 1))))
        shown = harmless(text)
        assert obeyed_in(shown) == ""
        for before, after in zip(text, shown, strict=True):
            changed = unicodedata.category(before) in ("Cc", "Cf", "Cs", "Zl", "Zp")
            assert (after != before) == changed, hex(ord(before))


def test_the_list_of_our_sequences_is_that_of_the_source() -> None:
    """A sequence that the display learns must be added to the list above, with the thought of what it does."""
    source = Path(painter.__file__).read_text("utf-8")
    for sequence in re.findall(r'"([^"\n]*\\x1b[^"\n]*)"', source):
        sent = re.sub(r"\{[^}]*\}", "3", sequence).encode("ascii").decode("unicode_escape")
        assert OURS.sub("", sent) == "", sequence
    for path in (ROOT / "sinks").rglob("*.py"):
        if path.name not in ("painter.py", "screen.py"):  # screen.py only knows how others' sequences look
            assert "\\x1b" not in path.read_text("utf-8"), path


# -- the displays -----------------------------------------------------------------------------------------------------


@pytest.mark.fault("D12", "D13", "F16")
@settings(deadline=None)
@given(foreign, foreign, st.integers(1, 130), st.integers(1, 40), st.booleans(), st.sampled_from(["utf-8", "ascii"]))
def test_a_frame_holds_only_our_control_sequences(
    text: str, other: str, width: int, height: int, color: bool, encoding: str
) -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, force_terminal=True, color_system="truecolor" if color else None)
    dashboard = dashboard_with(text, other, VisualizationConfig(), unicode=encoding == "utf-8")
    frames = Painter(console)
    sent = frames.paint(dashboard.rows(width, height, console), width)
    dashboard.state.take(snapshot_with(other, text, 1))
    sent += frames.paint(dashboard.rows(width, height, console), width)
    dashboard.finish()
    sent += frames.leave() + "".join(frames.text(row) for row in dashboard.summary(width))
    sent = sent.encode(encoding, "replace").decode(encoding)
    assert left_of(sent) == ""


@pytest.mark.fault("D12", "D13")
@settings(deadline=None)
@given(foreign, foreign)
@example("http://example.com/\x1b[2J", "\x1b[2J")
def test_a_table_of_the_user_is_drawn_as_it_stands_without_what_its_texts_would_do(text: str, other: str) -> None:
    """Rich leaves escape sequences in its texts, and writes the address of a link as it is."""

    def build(snapshot: TrainingSnapshot) -> Table:
        table = Table(title=Text(other), caption=Text(text, Style(link=text)))
        table.add_column(Text(text))
        table.add_row(Text(other, Style(link=text or None, bold=True)))
        return table

    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor")
    dashboard = dashboard_with(text, other, VisualizationConfig(custom_table_builder=build))
    sent = Painter(console).paint(dashboard.rows(100, 60, console), 100)
    links = re.compile(r"\x1b\]8;id=\d+;[ -~]*\x1b\\|\x1b\]8;;\x1b\\")
    assert left_of(links.sub("", sent)) == ""


def test_links_of_the_user_still_work() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor")
    text = Text("here", Style(link="https://example.com/a?b=c"))
    sent = Painter(console).text(render(text, 80, console)[0])
    assert re.fullmatch(r"\x1b\]8;id=\d+;https://example.com/a\?b=c\x1b\\here\x1b\]8;;\x1b\\", sent)


@pytest.mark.fault("D12", "D13")
@settings(deadline=None)
@given(foreign)
def test_what_the_users_table_raises_is_shown_and_not_obeyed(text: str) -> None:
    def build(snapshot: TrainingSnapshot) -> Table:
        raise ValueError(text)

    console = Console(file=io.StringIO(), force_terminal=True)
    dashboard = dashboard_with("a", "b", VisualizationConfig(custom_table_builder=build))
    assert left_of(Painter(console).paint(dashboard.rows(100, 60, console), 100)) == ""


@pytest.mark.fault("D7", "D13")
@settings(deadline=None)
@given(foreign, foreign)
def test_plain_text_holds_no_control_code_at_all(text: str, other: str) -> None:
    console = Console(file=io.StringIO())
    dashboard = dashboard_with(text, other, VisualizationConfig())
    plain = PlainText(dashboard, console)
    said = plain.next() + plain.line() + plain.end(dashboard.summary(100))
    assert obeyed_in(said, "\n") == ""
    assert other == "" or safe(other)[:3] in said


@pytest.mark.fault("D12", "D13")
@settings(deadline=None)
@given(foreign, foreign)
def test_a_console_in_memory_gets_only_colours(text: str, other: str) -> None:
    file = io.StringIO()
    sink = TerminalSink(console=Console(file=file, width=100, force_terminal=True, color_system="256"))
    sink.start(Run(text, 10))
    sink.alert(Alert(0, text or "rule", other))
    sink.record(snapshot_with(text, other))
    sink.close()
    assert left_of(file.getvalue()) == ""


@pytest.mark.fault("D13")
@settings(deadline=None)
@given(foreign, foreign)
def test_the_printed_summary_of_the_plots_holds_no_control_code(text: str, other: str) -> None:
    sink = PlotSink(summary=False)
    sink.record(TrainingSnapshot(0, 0.5, custom_metrics={text: 1.0, **{f"{other}{i}": 1.0 for i in range(50)}}))
    assert obeyed_in(summary_table(sink._numbers.histories(), of=text), "\n") == ""


# -- the log ----------------------------------------------------------------------------------------------------------


@pytest.mark.fault("D13")
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=foreign)
def test_lines_of_our_own_in_the_log_control_nothing(
    text: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is a terminal as often as not; sinks, metrics and exceptions bring their own names and words to it."""
    monkeypatch.setattr(values, "_warned", set())
    caplog.clear()
    hostile = type(text.replace("\0", "").encode("utf-8", "replace").decode() or "x", (Exception,), {})

    def failing(snapshot: TrainingSnapshot) -> None:
        raise hostile(text)

    with caplog.at_level(logging.DEBUG), MetricsHub() as hub:
        hub.subscribe(failing, name=text or None)
        hub.start(description=text)
        hub.emit(TrainingSnapshot(0, 0.5, custom_metrics={text: hostile, f"{text}2": [text]}))
        hub.log({text: hostile(text)}, step=text)  # type: ignore[arg-type]
        hub.alert(text)  # type: ignore[arg-type]
    assert caplog.records
    for record in caplog.records:
        assert obeyed_in(record.getMessage(), "\n", "\t") == ""


@pytest.mark.fault("D13")
def test_the_path_of_a_journal_controls_nothing_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "run \x1b[2J\u202e.jsonl"
    path.write_text("no journal")
    sink = JsonlSink(path)
    sink.record(TrainingSnapshot(0, 0.5))
    sink.close()
    assert "exists and is no journal" in caplog.text
    assert obeyed_in(caplog.text + repr(sink), "\n") == ""


# -- real processes ---------------------------------------------------------------------------------------------------

HOSTILE_RUN = """
    sys.path.insert(0, {tests!r})
    from foreign_text import CORPUS
    from m.metrics.alerts import Alert
    from sinks import TerminalSink
    def failing(snapshot): raise ValueError("".join(CORPUS))
    terminal = TerminalSink(VisualizationConfig(table_update_interval=1, refresh_per_second=20))
    hub = MetricsHub([terminal])
    hub.subscribe(failing, name="a sink " + CORPUS[0])
    for round, text in enumerate(CORPUS):
        hub.start(total_steps=4, description=text)
        for step in range(4):
            metrics = {{text: 0.5, "word": text[:40], "odd " + text: [text]}}
            hub.emit(TrainingSnapshot(step, 0.5, expert_utilization={{0: 0.5, 1: 0.5}}, custom_metrics=metrics))
        hub.alert(Alert(3, text or "rule", text))
        time.sleep(0.06)
    hub.close()
    print("\\nreached the end")
"""


@pytest.mark.fault("D12", "D13")
def test_on_a_real_terminal_only_our_sequences_arrive() -> None:
    code = HOSTILE_RUN.format(tests=str(ROOT / "tests"))
    done = run_on_terminal(code, 100, 40)
    assert done.status == 0
    assert "reached the end" in done.lines
    assert left_of(done.raw.decode("utf-8")).replace("\t", "") == ""  # the tabs are those of a traceback


@pytest.mark.fault("D7", "D10", "D13")
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_into_a_pipe_no_control_code_goes_in_any_encoding(encoding: str) -> None:
    code = "import sys, time\nfrom m import *\nfrom sinks.terminal.config import VisualizationConfig\n"
    code += "\n".join(line[4:] for line in HOSTILE_RUN.format(tests=str(ROOT / "tests")).splitlines())
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding, "PYTHONWARNINGS": "error"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    for stream in (done.stdout, done.stderr):
        assert obeyed_in(stream.decode(encoding), "\n", "\t") == ""
    assert b"reached the end" in done.stdout
    assert b"step 4/4" in done.stdout
