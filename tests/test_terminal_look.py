"""The themes: by name, legible on every background, complete without colour."""

from __future__ import annotations

import io

import pytest
from rich.color import ColorType
from rich.console import Console

from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot
from sinks.terminal.config import VisualizationConfig
from sinks.terminal.look import DEFAULT, HIGH_CONTRAST, MONO, SIXTEEN_COLORS, THEMES, Look, look_for
from sinks.terminal.sink import TerminalSink

STYLES = ("title", "value", "dim", "better", "worse", "notice", "bar", "other", "done")
BACKGROUNDS = {
    "black": (0, 0, 0),
    "VS Code dark": (0x1E, 0x1E, 0x1E),
    "Solarized dark": (0x00, 0x2B, 0x36),
    "Nord": (0x2E, 0x34, 0x40),
    "Dracula": (0x28, 0x2A, 0x36),
    "white": (255, 255, 255),
    "Solarized light": (0xFD, 0xF6, 0xE3),
    "Gruvbox light": (0xFB, 0xF1, 0xC7),
}


def luminance(color: tuple[int, int, int]) -> float:
    """Relative luminance as WCAG 2 defines it."""
    linear = [(c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4) for c in (part / 255 for part in color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", STYLES)
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_every_colour_of_the_default_stands_out_against_dark_and_light(name: str, background: str) -> None:
    color = getattr(DEFAULT, name).color
    if color is not None:
        assert color.type is ColorType.EIGHT_BIT  # the same in every palette
        assert contrast(tuple(color.get_truecolor()), BACKGROUNDS[background]) >= 2.8


@pytest.mark.parametrize("look", [HIGH_CONTRAST, MONO])
def test_the_other_themes_have_no_colour_and_tell_broken_from_normal(look: Look) -> None:
    assert all(getattr(look, name).color is None for name in STYLES)
    assert len({str(look.worse), str(look.notice), str(look.better)}) == 3
    assert look.worse != look.value


def test_high_contrast_dims_nothing() -> None:
    assert not any(getattr(HIGH_CONTRAST, name).dim for name in STYLES)


def test_the_default_follows_what_the_terminal_can_show() -> None:
    assert look_for("default").worse == DEFAULT.worse
    assert look_for("default", color_system="standard").worse == SIXTEEN_COLORS.worse
    assert look_for("default", color_system=None).worse == MONO.worse
    assert look_for("mono", color_system="truecolor").worse == MONO.worse
    assert look_for("default", "ascii").glyphs.rule == "-"


@pytest.mark.parametrize("theme", THEMES)
def test_each_theme_shows_the_same_words(theme: str) -> None:
    shown = {}
    for each in (theme, "default"):
        file = io.StringIO()
        console = Console(file=file, width=80, force_terminal=True, color_system=None)
        sink = TerminalSink(VisualizationConfig(theme=each, show_system_metrics=False), console=console)
        sink.start(Run("a run", 10))
        sink.record(TrainingSnapshot(step=0, train_loss=float("nan"), custom_metrics={"accuracy": 0.5}))
        shown[each] = file.getvalue()
    assert "nan" in shown[theme]
    assert shown[theme] == shown["default"]


def test_a_theme_that_there_is_not_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValueError, match=r"theme must be one of 'default', 'high_contrast', 'mono'; got 'dark'"):
        TerminalSink(VisualizationConfig(theme="dark"))
