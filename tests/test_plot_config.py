import dataclasses
import math
import subprocess
import sys
from typing import Any

import pytest

from sinks.plotting.config import MetricConfig, PlotConfig, TrainingVisualizerConfig, validate


def good() -> TrainingVisualizerConfig:
    return TrainingVisualizerConfig(
        plots=[PlotConfig("Loss", "loss"), PlotConfig("LR", "lr")],
        metrics=[MetricConfig("train_loss", 0), MetricConfig("val_loss", 0), MetricConfig("learning_rate", 1)],
    )


def test_fields_and_defaults_are_the_documented_ones() -> None:
    def shown(kind: Any, *arguments: Any) -> list[tuple[str, Any]]:
        made = kind(*arguments)
        return [(field.name, getattr(made, field.name)) for field in dataclasses.fields(kind)]

    assert shown(TrainingVisualizerConfig) == [
        ("subplot_rows", 2),
        ("subplot_cols", 2),
        ("figure_size", (12, 8)),
        ("title", "Real-time Training Progress"),
        ("update_interval", 100),
        ("max_points", None),
        ("plots", []),
        ("metrics", []),
        ("use_blit", False),
        ("pause_duration", 0.01),
        ("display", "auto"),
        ("image_path", None),
        ("image_every_s", 2.0),
        ("keep_open", False),
        ("draw_budget", 0.05),
        ("on_rank", 0),
        ("smoothing", None),
        ("second_axis", None),
        ("style", "screen"),
    ]
    assert shown(PlotConfig, "t", "y") == [
        ("title", "t"),
        ("ylabel", "y"),
        ("xlabel", "Step"),
        ("yscale", "linear"),
        ("show_grid", True),
        ("show_legend", True),
        (
            "color_cycle",
            ["blue", "red", "green", "orange", "purple", "brown", "pink", "gray", "olive", "cyan"],
        ),
    ]
    assert shown(MetricConfig, "m", 0) == [
        ("metric_name", "m"),
        ("plot_index", 0),
        ("color", None),
        ("label", None),
        ("line_style", "-"),
        ("alpha", 1.0),
    ]


def test_a_good_config_passes_and_so_does_an_empty_one() -> None:
    validate(good())
    validate(TrainingVisualizerConfig())
    validate(TrainingVisualizerConfig(figure_size=(7.5, 3), max_points=1, pause_duration=0, use_blit=True))


@pytest.mark.fault("A22")
@pytest.mark.parametrize(
    ("path", "value", "error"),
    [
        ("subplot_rows", 0, ValueError),
        ("subplot_cols", True, TypeError),
        ("subplot_cols", 1.5, TypeError),
        ("figure_size", (12, 0), ValueError),
        ("figure_size", (12, math.inf), ValueError),
        ("figure_size", (12, math.nan), ValueError),
        ("figure_size", (12,), ValueError),
        ("figure_size", "12x8", TypeError),
        ("figure_size", 12, TypeError),
        ("title", None, TypeError),
        ("update_interval", 0, ValueError),
        ("update_interval", "1", TypeError),
        ("max_points", 0, ValueError),
        ("max_points", False, TypeError),
        ("use_blit", 1, TypeError),
        ("pause_duration", -0.1, ValueError),
        ("pause_duration", math.nan, ValueError),
        ("pause_duration", "0", TypeError),
        ("plots", None, TypeError),
        ("metrics", [("train_loss", 0)], TypeError),
        ("plots[1].title", 3, TypeError),
        ("plots[1].yscale", "logarithmic", ValueError),
        ("plots[1].yscale", None, TypeError),
        ("plots[0].show_grid", "yes", TypeError),
        ("plots[0].show_legend", None, TypeError),
        ("plots[0].color_cycle", [], ValueError),
        ("plots[0].color_cycle", "blue", TypeError),
        ("plots[0].color_cycle[1]", "bleu", ValueError),
        ("metrics[2].metric_name", 5, TypeError),
        ("metrics[2].plot_index", 2, ValueError),
        ("metrics[2].plot_index", -1, ValueError),
        ("metrics[2].plot_index", True, TypeError),
        ("metrics[2].color", "notacolour", ValueError),
        ("metrics[2].color", (0, 0, 1), TypeError),
        ("metrics[2].label", 1, TypeError),
        ("metrics[2].line_style", "~", ValueError),
        ("metrics[2].alpha", 1.1, ValueError),
        ("metrics[2].alpha", math.nan, ValueError),
        ("metrics[2].alpha", "1", TypeError),
    ],
)
def test_what_cannot_work_is_named_by_its_path(path: str, value: Any, error: type[Exception]) -> None:
    config = good()
    target: Any = config
    *parents, last = path.replace("[", ".[").split(".")
    for part in parents:
        target = target[int(part[1:-1])] if part.startswith("[") else getattr(target, part)
    if last.startswith("["):
        target[int(last[1:-1])] = value
    else:
        setattr(target, last, value)
    with pytest.raises(error) as caught:
        validate(config)
    assert path in str(caught.value)
    assert "got" in str(caught.value)


def test_what_is_accepted_and_what_was_given_are_in_the_message() -> None:
    config = good()
    config.metrics[2].plot_index = 7
    with pytest.raises(ValueError, match=r"metrics\[2\].plot_index must be 0 to 1.*got 7 for 'learning_rate'.*4 cells"):
        validate(config)
    with pytest.raises(ValueError, match="plots is empty"):
        validate(TrainingVisualizerConfig(metrics=[MetricConfig("loss", 0)]))


def test_more_plots_than_cells() -> None:
    config = TrainingVisualizerConfig(subplot_rows=1, plots=[PlotConfig("a", "b")] * 3)
    with pytest.raises(ValueError, match=r"at most 2 entries.*1 x 2 grid.*got 3"):
        validate(config)


def test_one_metric_twice_in_one_plot() -> None:
    config = good()
    config.metrics.append(MetricConfig("val_loss", 0))
    with pytest.raises(ValueError, match=r"metrics\[3\].metric_name.*'val_loss' is in plot 0 already, by metrics\[1\]"):
        validate(config)
    config.metrics[3].plot_index = 1
    validate(config)


@pytest.mark.parametrize("color", ["#0072B2", "#abc", "#abcd", "#0072B2ff", "tab:blue", "C3", "0.5", "rebeccapurple"])
def test_any_colour_of_matplotlib_is_accepted(color: str) -> None:
    config = good()
    config.metrics[0].color = color
    validate(config)


def test_not_a_config() -> None:
    with pytest.raises(TypeError, match="must be a TrainingVisualizerConfig; got None"):
        validate(None)  # type: ignore[arg-type]


def test_checking_plain_colours_loads_no_matplotlib() -> None:
    code = (
        "import sys; from sinks.plotting.config import *; "
        "validate(TrainingVisualizerConfig(plots=[PlotConfig('a', 'b')], metrics=[MetricConfig('m', 0, '#0072B2')])); "
        "sys.exit('matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
