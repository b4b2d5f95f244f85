"""Makes the pictures of the README from a real run of the demo: ``python docs/pictures.py`` in the project's root."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console

from m.examples.trajectory_3d.demo import DEFAULT_STEPS, snapshot_of_step
from m.examples.trajectory_3d.training import TrajectoryTrainer
from m.hub.hub import MetricsHub
from sinks.plotting.sink import PlotSink
from sinks.terminal.config import VisualizationConfig
from sinks.terminal.sink import TerminalSink

IMAGES = Path(__file__).parent / "images"
SHOWN_AT = 640  # the step at which the terminal is pictured


def without_web_fonts(svg: str) -> str:
    """Rich's picture of a terminal loads its font from the network; ours takes what the reader has."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code", "ui-monospace, DejaVu Sans Mono, Menlo, Consolas")


def main() -> None:
    """Train once and write both pictures."""
    IMAGES.mkdir(exist_ok=True)
    console = Console(
        record=True, file=io.StringIO(), width=100, height=30, force_terminal=True, color_system="truecolor"
    )
    terminal = TerminalSink(VisualizationConfig(table_update_interval=SHOWN_AT), console=console)
    plots = PlotSink.moe(n_experts=8)
    hub = MetricsHub([terminal, plots], strict=True)
    hub.start(DEFAULT_STEPS, "trajectory MoE")
    for result in TrajectoryTrainer(n_experts=8, total_steps=DEFAULT_STEPS).train():
        if result.step == SHOWN_AT:
            console.export_text(clear=True)  # what was printed before is not in the picture
        hub.emit(snapshot_of_step(result))
        if result.step == SHOWN_AT:
            picture = console.export_svg(title="python -m m demo", unique_id="demo")
            (IMAGES / "terminal.svg").write_text(without_web_fonts(picture), encoding="utf-8")
    hub.close()
    plots.save_plot(IMAGES / "figure.png")


if __name__ == "__main__":
    main()
