"""Whatever stands in names, titles, labels and alerts: it is drawn letter for letter, and every file can be opened."""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, Final

import pytest
from foreign_text import CORPUS, foreign, obeyed_in
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.text import Text

from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot
from sinks import PlotSink
from sinks.plotting.config import MetricConfig, PlotConfig, TrainingVisualizerConfig
from sinks.plotting.glyphs import drawable
from sinks.plotting.layouts import ConfiguredLayout
from sinks.plotting.plan import Show
from sinks.plotting.protocol import SERIES, Frames, read_show, read_words, show, words
from sinks.plotting.text import LONGEST, visible

SVG_TAGS: Final = frozenset(
    {"svg", "metadata", "defs", "style", "g", "path", "text", "tspan", "use", "clipPath", "rect", "image"}
)
slowly: Final = settings(
    deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def sink_with(texts: list[str], automatic: bool) -> PlotSink:
    """A figure in which each of six ``texts`` stands wherever a stranger's words can stand."""
    title, ylabel, xlabel, name, label, rule = texts
    config = TrainingVisualizerConfig(title=title, figure_size=(6, 4))
    if not automatic:
        config.subplot_rows = config.subplot_cols = 1
        config.plots = [PlotConfig(title, ylabel, xlabel)]
        config.metrics = [MetricConfig(name or "n", 0, label=label), MetricConfig("train_loss", 0, label=name)]
    sink = PlotSink(config, summary=False)
    sink.start(Run(rule))
    for step in range(3):
        metrics: dict[str, Any] = {name: 0.5 * step, label: 1.0, rule: "text"}
        sink.record(TrainingSnapshot(step, 0.5 + step, custom_metrics=metrics))
    sink.alert(Alert(1, rule or "rule", title))
    return sink


@pytest.mark.fault("E12", "E13", "E14", "E15", "F16")
@given(foreign)
def test_words_on_a_figure_are_short_on_one_line_and_have_a_glyph_each(text: str) -> None:
    for shown in (visible(text), drawable(text)):
        assert len(shown) <= LONGEST
        assert obeyed_in(shown) == ""
        assert shown.isprintable()


@pytest.mark.fault("E12", "E13", "E14", "E15")
@slowly
@given(texts=st.lists(foreign, min_size=6, max_size=6), automatic=st.booleans())
def test_any_words_draw_and_save_in_every_format(texts: list[str], automatic: bool, tmp_path: Path) -> None:
    sink = sink_with(texts, automatic)
    for artist in sink.figure.findobj(Text):
        assert not artist.get_text() or artist.get_usetex() is False
    sink.force_update()
    check_files(sink, tmp_path)


@pytest.mark.fault("E12", "E13", "E14", "E15")
def test_each_danger_of_the_corpus_draws_and_saves(tmp_path: Path) -> None:
    texts = list(CORPUS)
    for start in range(0, len(texts), 6):
        check_files(sink_with((texts * 2)[start : start + 6], automatic=start % 12 == 0), tmp_path)


def check_files(sink: PlotSink, folder: Path) -> None:
    for extension in (".png", ".svg", ".pdf"):
        sink.save_plot(folder / f"figure{extension}")
    sink.close()
    assert sorted(path.name for path in folder.iterdir()) == ["figure.pdf", "figure.png", "figure.svg"]
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    check_svg((folder / "figure.svg").read_bytes())
    check_pdf(folder / "figure.pdf")


def check_svg(content: bytes) -> None:
    """It is XML, of drawing elements only: no name has become an element, an attribute, a script or a link."""
    content.decode("utf-8")
    for element in ET.fromstring(content).iter():
        space, _, tag = element.tag.rpartition("}")
        assert "rdf" in space or "dc/elements" in space or "creativecommons" in space or tag in SVG_TAGS, element.tag
        for name, value in element.attrib.items():
            attribute = name.rpartition("}")[2]
            assert not attribute.startswith("on")
            if attribute == "href":
                assert value.startswith(("#", "data:image/png;base64,"))
    (style,) = set(re.findall(rb"<style[^>]*>(.*?)</style>", content, re.DOTALL))
    assert b"<" not in style


def check_pdf(path: Path) -> None:
    content = path.read_bytes()
    assert content.startswith(b"%PDF-")
    end = re.fullmatch(rb".*startxref\n(\d+)\n%%EOF\n", content, re.DOTALL)
    assert end is not None
    assert content[int(end[1]) :].startswith(b"xref")
    assert b"/JavaScript" not in content
    assert b"/OpenAction" not in content
    reader = shutil.which("pdftotext")
    if reader is not None:
        done = subprocess.run([reader, str(path), "-"], capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.fault("F16")
@given(st.lists(foreign, min_size=6, max_size=6))
def test_names_reach_the_process_that_draws_as_they_are(texts: list[str]) -> None:
    """No pickle, and no text that could end a frame early."""
    name = texts[3] or "n"
    config = TrainingVisualizerConfig(
        subplot_rows=1,
        subplot_cols=1,
        plots=[PlotConfig(*texts[:3])],
        metrics=[MetricConfig(name, 0, label=texts[4])],
    )
    told = Show(ConfiguredLayout(config).plan((name,)), texts[5], alerts=((1, texts[0]),))
    stream = show(told) + words(SERIES, {"id": 0, "name": name})
    (_, plan), (_, series) = Frames().add(stream)
    assert as_utf_16(read_show(plan).title) == as_utf_16(texts[5])
    (drawn,), (given_,) = read_show(plan).plan.panels[0].series, told.plan.panels[0].series
    assert (as_utf_16(drawn.name), as_utf_16(drawn.label)) == (as_utf_16(given_.name), as_utf_16(given_.label))
    assert as_utf_16(read_words(series)["name"]) == as_utf_16(name)


def as_utf_16(text: str) -> bytes:
    """Two lone surrogates that make a pair are one character after JSON: the same in UTF-16."""
    return text.encode("utf-16", "surrogatepass")
