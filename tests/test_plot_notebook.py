"""Plots in a notebook, run by a real kernel and read from its messages."""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from sinks.plotting.appearance import in_notebook
from sinks.plotting.sink import PlotSink

jupyter_client = pytest.importorskip("jupyter_client")
pytest.importorskip("ipykernel")

# the client's own clean-up of its event loop and sockets is not ours to judge
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


class Kernel:
    """A kernel that runs cells; each cell's output messages in order."""

    def __init__(self, errors: Path | None = None) -> None:
        self._manager = jupyter_client.KernelManager()
        environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
        with errors.open("wb") if errors is not None else contextlib.nullcontext() as file:
            self._manager.start_kernel(env=environment, stderr=file)
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)

    def run(self, code: str) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        reply = self._client.execute_interactive(code, output_hook=messages.append, timeout=120)
        assert reply["content"]["status"] == "ok", reply["content"]
        return messages

    def stop(self, *, now: bool = True) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=now)
        self._manager.cleanup_resources()


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    try:
        kernel.run(PREAMBLE)
        yield kernel
    finally:
        kernel.stop()


PREAMBLE = """
import sys, time
from m import MetricsHub, TrainingSnapshot
from sinks import PlotSink

def train(steps, sleep_s, run="", **options):
    with MetricsHub([PlotSink.moe(**options)]) as hub:
        hub.start(steps, run)
        for step in range(1, steps + 1):
            hub.emit(TrainingSnapshot(step, 1.0 / step, expert_utilization={0: 0.3, 1: 0.7}))
            time.sleep(sleep_s)
"""


def pictures(messages: list[dict[str, Any]]) -> list[tuple[str, str, bytes]]:
    """Kind, display id and PNG of each message with a picture."""
    found = []
    for message in messages:
        if message["msg_type"] in ("display_data", "update_display_data"):
            content = message["content"]
            png = base64.b64decode(content["data"]["image/png"])
            found.append((message["msg_type"], content["transient"].get("display_id", ""), png))
    return found


def text_of(messages: list[dict[str, Any]]) -> str:
    return "".join(message["content"]["text"] for message in messages if message["msg_type"] == "stream")


@pytest.mark.fault("D16")
def test_one_output_is_updated_in_place_at_most_twice_a_second(kernel: Kernel) -> None:
    messages = kernel.run("train(400, 0.01, draw_budget=0.6)")
    shown = pictures(messages)
    assert [kind for kind, _, _ in shown] == ["display_data"] + ["update_display_data"] * (len(shown) - 1)
    assert len({identity for _, identity, _ in shown}) == 1
    assert 3 <= len(shown) <= 12
    images = [matplotlib.image.imread(io.BytesIO(png)) for _, _, png in shown]
    assert all(image.shape == (800, 1200, 4) for image in images)
    assert all((one != other).any() for one, other in itertools.pairwise(images))
    dates = [message["header"]["date"] for message in messages if message["msg_type"] == "update_display_data"]
    apart = [(after - before).total_seconds() for before, after in itertools.pairwise(dates[:-1])]
    assert all(seconds > 0.45 for seconds in apart), "the last follows at once"
    assert "widget" not in str(messages)


def test_drawing_stays_within_its_budget_and_says_so(kernel: Kernel) -> None:
    messages = kernel.run(
        """
        sink = PlotSink.moe(draw_budget=0.1)
        for step in range(1, 1001):
            sink.record(TrainingSnapshot(step, 1.0 / step))
            time.sleep(0.01)
        print(sink._budget.report())
        sink.close()
        """
    )
    live, *table = text_of(messages).splitlines()
    assert int(live.split()[2]) >= 3
    assert float(live.split(",")[1].split()[0]) <= 11.0, "but for the newest picture"
    assert int(table[-1].split()[2]) == int(live.split()[2]) + 1, "the last one, for which no step waits"


def test_the_last_picture_shows_all_and_is_that_of_a_file(kernel: Kernel) -> None:
    messages = kernel.run(
        """
        import base64
        from sinks.plotting.saving import png_of_canvas
        sink = PlotSink.moe(summary=False)
        for step in range(1, 50):
            sink.record(TrainingSnapshot(step, 1.0 / step))
        sink.force_update()
        print(base64.b64encode(png_of_canvas(sink.figure)).decode())
        sink.close()
        """
    )
    wanted = matplotlib.image.imread(io.BytesIO(base64.b64decode(text_of(messages))))
    np.testing.assert_array_equal(matplotlib.image.imread(io.BytesIO(pictures(messages)[-1][2])), wanted)


def test_another_run_in_another_cell_has_an_output_of_its_own(kernel: Kernel) -> None:
    first = pictures(
        kernel.run("hub = MetricsHub([PlotSink.moe(summary=False)]); hub.emit(TrainingSnapshot(1, 0.5)); hub.flush()")
    )
    second = pictures(kernel.run("hub.start(10, 'second'); hub.emit(TrainingSnapshot(1, 0.5)); hub.close()"))
    assert [kind for kind, _, _ in first] == ["display_data"]
    (ended, own), new = (second[0], second[1]), second[2:]
    assert ended[:2] == ("update_display_data", first[0][1]), "the first run's last picture, where the first one was"
    assert own[0] == "display_data"
    assert own[1] != first[0][1]
    assert {identity for _, identity, _ in new} == {own[1]}


def test_the_cell_that_trains_in_the_background_goes_on_updating_its_output(kernel: Kernel) -> None:
    started = kernel.run(
        "import threading; t = threading.Thread(target=train, args=(300, 0.01)); t.start(); time.sleep(1)"
    )
    later = kernel.run("t.join()")
    assert pictures(started)[0][0] == "display_data"
    assert {kind for kind, _, _ in pictures(later)} == {"update_display_data"}
    assert len({identity for _, identity, _ in pictures(started) + pictures(later)}) == 1


def test_a_picture_leaves_pyplot_and_the_users_figures_alone(kernel: Kernel) -> None:
    kernel.run("%matplotlib inline\nimport matplotlib.pyplot as plt")
    text = text_of(kernel.run("train(20, 0.0); print(plt.get_fignums(), plt.get_backend())"))
    assert text.splitlines()[-1].startswith("[] ")
    assert "inline" in text.splitlines()[-1]


def test_a_notebook_that_is_run_as_a_whole_holds_one_picture() -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    cells = [nbformat.v4.new_code_cell(PREAMBLE), nbformat.v4.new_code_cell("train(200, 0.01, run='a run')")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=120).execute()
    outputs = notebook.cells[1].outputs
    images = [output for output in outputs if output.output_type == "display_data"]
    assert len(images) == 1
    assert base64.b64decode(images[0].data["image/png"]).startswith(b"\x89PNG")
    (text,) = (output.text for output in outputs if output.output_type == "stream")
    assert "Training summary: a run" in text


@pytest.mark.fault("A23")
def test_a_backend_that_breaks_the_import_of_matplotlib_ends_no_cell() -> None:
    kernel = Kernel()
    try:
        messages = kernel.run(
            "import os; os.environ['MPLBACKEND'] = 'nonsense'; import sys; assert 'matplotlib' not in sys.modules\n"
            + PREAMBLE
            + "train(3, 0.0, summary=False); print('trained')"
        )
    finally:
        kernel.stop()
    assert text_of(messages).endswith("trained\n")
    assert not pictures(messages)


def test_outside_a_kernel_it_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    assert not in_notebook()
    with caplog.at_level(logging.WARNING):
        PlotSink(display="notebook", summary=False).close()
    assert "not the kernel of a notebook" in caplog.text


def test_a_kernel_that_is_shut_down_before_anybody_closed_the_hub_says_nothing(tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    kernel = Kernel(errors)
    try:
        kernel.run(PREAMBLE)
        messages = kernel.run(
            """
            hub = MetricsHub([PlotSink.moe(n_experts=4)])
            for step in range(60):
                hub.emit(TrainingSnapshot(step, 1 / (1 + step), expert_utilization=[0.1, 0.2, 0.3, 0.4]))
            """
        )
        assert pictures(messages)
    finally:
        kernel.stop(now=False)
    assert "Error" not in errors.read_text(errors="replace")
