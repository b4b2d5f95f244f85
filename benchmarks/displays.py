"""What a step is shown with: our sinks, and what people use today. Each gives, inside a ``with``, a function of a step.

Peers are imported when they are entered; what is not installed raises ``ImportError`` then.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TimeRemainingColumn
from rich.table import Table

from benchmarks.workload import NAMES, as_dict, snapshot
from m.hub.hub import MetricsHub
from m.journal import encoding
from m.metrics.snapshot import TrainingSnapshot
from sinks.jsonl import JsonlSink
from sinks.plotting.sink import PlotSink
from sinks.terminal.sink import TerminalSink

Show = Callable[[int], object]

TOTAL = 20_000
"""Steps that a progress bar is told of."""


@contextmanager
def nothing() -> Iterator[Show]:
    yield lambda step: None


# -- ours ---------------------------------------------------------------------------------------------------------


@contextmanager
def hub(*sinks: Any) -> Iterator[Show]:
    with MetricsHub(sinks) as there:
        there.start(TOTAL, "benchmark")
        yield lambda step: there.emit(snapshot(step))


@contextmanager
def terminal() -> Iterator[Show]:
    with hub(TerminalSink()) as show:
        yield show


@contextmanager
def plots() -> Iterator[Show]:
    with hub(PlotSink(display="off")) as show:
        yield show


@contextmanager
def terminal_and_plots() -> Iterator[Show]:
    with hub(TerminalSink(), PlotSink(display="off")) as show:
        yield show


@contextmanager
def terminal_plots_and_journal() -> Iterator[Show]:
    with _folder() as there, hub(TerminalSink(), PlotSink(display="off"), JsonlSink(there / "run.jsonl")) as show:
        yield show


@contextmanager
def everything_and_image() -> Iterator[Show]:
    """Terminal, live image and journal, at their defaults."""
    with _folder() as there:
        plots = PlotSink(display="image", image_path=there / "run.png")
        with hub(TerminalSink(), plots, JsonlSink(there / "run.jsonl")) as show:
            yield show


@contextmanager
def everything_and_window() -> Iterator[Show]:
    """Terminal, window and journal, at their defaults; the window on a screen in memory."""
    with _folder() as there, _screen():
        plots = PlotSink(display="window")
        with hub(TerminalSink(), plots, JsonlSink(there / "run.jsonl")) as show:
            yield show


@contextmanager
def without_orjson(show: Callable[[], Any]) -> Iterator[Show]:
    """What ``show`` gives, as it is where the extra ``fast`` is not installed."""
    found, encoding.orjson = encoding.orjson, None
    try:
        with show() as shown:
            yield shown
    finally:
        encoding.orjson = found


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@contextmanager
def _screen() -> Iterator[None]:
    """An X server in memory, as ``DISPLAY``. Raises ``OSError`` where there is none."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as told:
        try:
            server = subprocess.Popen(
                ["Xvfb", "-displayfd", str(writing), "-noreset", "-screen", "0", "1600x1100x24"],
                pass_fds=[writing],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        finally:
            os.close(writing)
        number = told.readline().decode().strip()
    try:
        if not number:
            raise OSError("Xvfb does not start here")
        for name in ("WAYLAND_DISPLAY", "MPLBACKEND"):
            os.environ.pop(name, None)
        os.environ["DISPLAY"] = f":{number}"
        yield
    finally:
        server.terminate()
        server.wait()


# -- peers --------------------------------------------------------------------------------------------------------


@contextmanager
def tqdm(refresh: bool = True) -> Iterator[Show]:
    from tqdm import tqdm

    with tqdm(total=TOTAL) as bar:

        def show(step: int) -> None:
            bar.set_postfix(as_dict(step), refresh=refresh)
            bar.update()

        yield show


@contextmanager
def tensorboard() -> Iterator[Show]:
    from torch.utils.tensorboard import SummaryWriter

    with _folder() as there, SummaryWriter(there) as writer:

        def show(step: int) -> None:
            for name, value in as_dict(step).items():
                writer.add_scalar(name, value, step)

        yield show


@contextmanager
def tqdm_and_tensorboard() -> Iterator[Show]:
    with tqdm() as bar, tensorboard() as writer:

        def show(step: int) -> None:
            bar(step)
            writer(step)

        yield show


def rich_tables(given: TrainingSnapshot) -> list[Table]:
    """The numbers of ``given`` in four Rich tables."""
    status, speed, experts, custom = (Table(title=title) for title in ("Status", "Speed", "Experts", "Metrics"))
    for each in (status, speed, experts, custom):
        each.add_column("Metric")
        each.add_column("Value", justify="right")
    for name in ("step", "train_loss", "val_loss", "aux_loss", "learning_rate", "gradient_norm"):
        status.add_row(name, f"{getattr(given, name):.4f}")
    for name in ("steps/s", "samples/s", "tokens/s"):
        speed.add_row(name, f"{given.train_loss:.2f}")
    for expert, share in given.expert_utilization.items():
        experts.add_row(f"expert {expert}", f"{share:.3f}")
    for name, value in given.custom_metrics.items():
        custom.add_row(name, f"{value:.4f}")
    return [status, speed, experts, custom]


@contextmanager
def rich_live(make: Callable[[int], TrainingSnapshot] = snapshot) -> Iterator[Show]:
    """Rich's ``Live`` at its default of four refreshes a second, by a thread of its own."""
    newest = [make(0)]
    bar = Progress(BarColumn(), TimeRemainingColumn())
    task = bar.add_task("training", total=TOTAL)

    def show(step: int) -> None:
        newest[0] = make(step)
        bar.update(task, completed=step)

    with Live(get_renderable=lambda: Group(*rich_tables(newest[0]), bar), refresh_per_second=4):
        yield show


@contextmanager
def matplotlib_in_the_loop(every_s: float = 0.5) -> Iterator[Show]:
    """Four panels with the twelve curves, drawn by the loop itself, as a script does it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8))
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(2, 2).flat)
    lines = {name: panels[index % 4].plot([], [], label=name)[0] for index, name in enumerate(NAMES)}
    for panel in panels:
        panel.legend(loc="upper right")
        panel.grid(True)
    steps: list[int] = []
    columns: dict[str, list[float]] = {name: [] for name in NAMES}
    next_s = [0.0]

    def show(step: int) -> None:
        steps.append(step)
        for name, value in as_dict(step).items():
            columns[name].append(value)
        if time.monotonic() < next_s[0]:
            return
        for name, line in lines.items():
            line.set_data(steps, columns[name])
        for panel in panels:
            panel.relim()
            panel.autoscale_view()
        figure.canvas.draw()
        next_s[0] = time.monotonic() + every_s

    yield show


@contextmanager
def rich_live_and_matplotlib() -> Iterator[Show]:
    with rich_live() as tables, matplotlib_in_the_loop() as curves:

        def show(step: int) -> None:
            tables(step)
            curves(step)

        yield show


@contextmanager
def livelossplot(epoch_s: float = 2.5) -> Iterator[Show]:
    """``update`` at every step, and ``send``, which draws anew, after every epoch of so many seconds."""
    import matplotlib

    matplotlib.use("agg")
    from livelossplot import PlotLosses

    matplotlib.rcParams["figure.max_open_warning"] = 0  # it leaves every figure open
    losses = PlotLosses()
    next_s = [time.monotonic() + epoch_s]

    def show(step: int) -> None:
        losses.update(as_dict(step))
        if time.monotonic() >= next_s[0]:
            losses.send()
            next_s[0] = time.monotonic() + epoch_s

    yield show
