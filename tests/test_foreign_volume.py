"""Ten thousand names, names and texts of a megabyte: no sink keeps them, writes them out or draws them all."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from m.journal.decoding import decode
from m.journal.records import MAX_TEXT
from m.metrics import text as foreign_text
from m.metrics.alerts import Alert
from m.metrics.named import LONGEST_NAME, MAX_METRICS
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot
from sinks import JsonlSink, PlotSink, TerminalSink
from sinks.plotting.protocol import LARGEST, show, words
from sinks.terminal import text as terminal_text
from sinks.terminal.config import VisualizationConfig
from sinks.terminal.past import MOST_SERIES

MEGABYTE = 10**6


def kept_by(record: Callable[[TrainingSnapshot], object], metrics_at: Callable[[int], Mapping[str, Any]]) -> int:
    """Bytes that ``record`` keeps of twenty snapshots, each from ``metrics_at`` its step, after ten others."""

    def feed(first: int, last: int) -> None:
        for step in range(first, last):
            record(TrainingSnapshot(step, 0.5, custom_metrics=metrics_at(step)))

    feed(0, 10)
    tracemalloc.start()
    try:
        feed(10, 30)
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def terminal() -> tuple[TerminalSink, io.StringIO]:
    file = io.StringIO()
    config = VisualizationConfig(table_update_interval=1)
    return TerminalSink(config, console=Console(file=file, width=100)), file


@pytest.mark.fault("F17", "H1")
def test_a_display_that_names_come_to_for_ever_keeps_a_bounded_number_of_them() -> None:
    """What was remembered of each name, to tell whether it rises or falls, was never forgotten."""
    sink, _ = terminal()
    for step in range(30):
        metrics = {f"at step {step}/{index}": 1.0 for index in range(1000)}
        sink.record(TrainingSnapshot(step, 0.5, custom_metrics=metrics))
    assert len(sink._state.known) <= MAX_METRICS
    assert len(sink._state.past.series) <= MOST_SERIES + 10
    assert len(sink._dashboard._trends._ways) <= MAX_METRICS + 4


@pytest.mark.fault("F17")
def test_between_two_tables_names_are_bounded_too() -> None:
    sink = TerminalSink(VisualizationConfig(table_update_interval=10**9), console=Console(file=io.StringIO()))
    for step in range(1, 31):
        metrics = {f"at step {step}/{index}": 1.0 for index in range(1000)}
        sink.record(TrainingSnapshot(step, 0.5, custom_metrics=metrics))
    assert len(sink._state.known) <= 2 * MAX_METRICS


@pytest.mark.fault("F17")
def test_ten_thousand_names_are_in_the_journal_and_counted_in_the_displays(tmp_path: Path) -> None:
    metrics = {f"metric/{index}": float(index) for index in range(10_000)}
    screen, file = terminal()
    journal, plots = JsonlSink(tmp_path / "run.jsonl"), PlotSink(summary=False)
    for step in range(3):
        for sink in (screen, journal, plots):
            sink.record(TrainingSnapshot(step, 0.5, custom_metrics=metrics))
    journal.close()
    record: Any = decode((tmp_path / "run.jsonl").read_bytes().splitlines()[1])
    assert record.snapshot.custom_metrics == metrics
    assert (journal.lost, journal.unrepresentable) == (0, 0)
    assert len(plots.get_metrics_summary()) == MAX_METRICS + 1
    plots.save_plot(tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").stat().st_size < MEGABYTE
    assert "more" in file.getvalue()
    assert len(file.getvalue()) < 3 * 200 * 101  # the rows of a console in memory


@pytest.mark.fault("F16", "F17")
@pytest.mark.parametrize("character", ["x", "\x1b", "\u202e", "漢"])
def test_names_of_a_megabyte_are_neither_kept_nor_written_nor_drawn(character: str, tmp_path: Path) -> None:
    def metrics_at(step: int) -> dict[str, Any]:
        return {f"{character * MEGABYTE}{step}": 1.0, "small": 0.5}

    journal, plots = JsonlSink(tmp_path / "run.jsonl"), PlotSink(summary=False)
    assert kept_by(journal.record, metrics_at) < MEGABYTE
    assert kept_by(plots.record, metrics_at) < MEGABYTE
    plots.save_plot(tmp_path / "figure.svg")
    assert list(plots.get_metrics_summary()) == ["train_loss", "small"]
    plots.close()
    journal.close()
    assert (journal.lost, journal.unrepresentable) == (0, 30)
    for path in tmp_path.iterdir():
        assert path.stat().st_size < MEGABYTE
    records = [decode(line) for line in (tmp_path / "run.jsonl").read_bytes().splitlines()]
    assert [each.snapshot.custom_metrics for each in records[1:-1]] == [{"small": 0.5}] * 30  # type: ignore[union-attr]

    screen, file = terminal()
    screen.record(TrainingSnapshot(0, 0.5, custom_metrics=metrics_at(0)))
    assert len(file.getvalue()) < 5000


@pytest.mark.fault("F16", "F17")
@pytest.mark.parametrize("character", ["x", "\x1b", "漢"])
def test_texts_of_a_megabyte_are_neither_written_nor_drawn(character: str, tmp_path: Path) -> None:
    journal, plots, (screen, file) = JsonlSink(tmp_path / "run.jsonl"), PlotSink(summary=False), terminal()
    sinks: list[Any] = [journal, plots, screen]
    words = character * MEGABYTE
    for sink in sinks:
        sink.start(Run(words))
        sink.alert(Alert(0, words, words))
        sink.record(TrainingSnapshot(0, 0.5, custom_metrics={"text": words, "small": 0.5}))
    plots.save_plot(tmp_path / "figure.svg")
    for sink in sinks:
        sink.close()
    assert len(file.getvalue()) < 5000
    assert (journal.lost, journal.unrepresentable) == (0, 1)
    assert (tmp_path / "run.jsonl").stat().st_size < 20 * MAX_TEXT
    assert (tmp_path / "figure.svg").stat().st_size < MEGABYTE


@pytest.mark.fault("F17")
def test_what_is_remembered_of_shown_texts_is_short() -> None:
    """A cache of 4,096 texts, each of a megabyte, would be 4 GB."""
    terminal_text._safe.cache_clear()
    tracemalloc.start()
    try:
        for index in range(50):
            assert len(terminal_text.safe(f"{index}{'漢' * MEGABYTE}")) == foreign_text.LONGEST
        assert tracemalloc.get_traced_memory()[0] < MEGABYTE
    finally:
        tracemalloc.stop()


@pytest.mark.fault("F16", "F17")
def test_the_longest_words_that_are_kept_fit_into_what_the_drawing_process_is_told() -> None:
    sink = PlotSink(summary=False)
    names = [f"{'漢' * (LONGEST_NAME - 5)}{index:05}" for index in range(MAX_METRICS)]
    sink.start(Run("漢" * MEGABYTE))
    for _ in range(200):
        sink.alert(Alert(0, "漢" * MEGABYTE, ""))
    sink.record(TrainingSnapshot(0, 0.5, custom_metrics=dict.fromkeys(names, 1.0)))
    assert len(show(sink._shown().show)) < LARGEST
    assert len(words(b"n", {"names": names})) < LARGEST
