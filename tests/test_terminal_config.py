"""A configuration that cannot work is refused when the display is made, by name and value."""

from __future__ import annotations

from typing import Any

import pytest

from sinks.terminal.config import VisualizationConfig
from sinks.terminal.sink import TerminalSink


def test_defaults_are_the_documented_ones() -> None:
    config = VisualizationConfig()
    assert (config.show_progress_bar, config.show_tables, config.table_update_interval) == (True, True, 25)
    assert config.refresh_per_second == 4
    assert (config.show_throughput, config.show_system_metrics, config.show_expert_utilization) == (True, True, True)
    assert config.custom_table_builder is None


@pytest.mark.fault("A22")
@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("table_update_interval", 0, ValueError),
        ("table_update_interval", 2.5, TypeError),
        ("table_update_interval", True, TypeError),
        ("refresh_per_second", 0, ValueError),
        ("refresh_per_second", 1000, ValueError),
        ("refresh_per_second", "fast", TypeError),
        ("show_tables", "yes", TypeError),
        ("custom_table_builder", "a table", TypeError),
    ],
)
def test_a_bad_field_is_named_with_its_value(field: str, value: Any, error: type[Exception]) -> None:
    config = VisualizationConfig()
    setattr(config, field, value)
    with pytest.raises(error, match=rf"VisualizationConfig\.{field} must be .*got {value!r}"):
        TerminalSink(config)


def test_what_is_no_configuration_or_console_is_refused() -> None:
    with pytest.raises(TypeError, match="config must be a VisualizationConfig or None; got 5"):
        TerminalSink(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"console must be a rich\.console\.Console or None; got 'x'"):
        TerminalSink(console="x")  # type: ignore[arg-type]
