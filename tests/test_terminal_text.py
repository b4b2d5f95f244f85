"""Foreign text on one row of a terminal: seen, not obeyed."""

from __future__ import annotations

import unicodedata

import pytest
from rich.cells import cell_len

from sinks.terminal.text import beginning, fit, safe, shorten, shortened_apart

DANGEROUS = [
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x1b]52;c;aGk=\x07",
    "\x9b31m",
    "a\nb\r\tc",
    "\x00\x7f\x08",
    "\u202eabc\u2066",
    "a\u2028b\u2029c",
    "zero\u200bwidth\ufeff",
    "\ud800",
    "e\u0301",
    "❤\ufe0f",
]


def test_names_that_a_cut_would_make_the_same_are_told_apart() -> None:
    names = [f"validation/imagenet_1k/resnet50_top_{k}_accuracy_percent" for k in (1, 5)]
    assert len({shorten(name, 25) for name in names}) == 1
    assert shortened_apart([*names, "a"], 25) == ["…top_1_accuracy_percent", "…top_5_accuracy_percent", "a"]
    norms = [f"decoder.layers.{layer}.mlp.down_proj.grad_norm" for layer in (10, 11)]
    assert shortened_apart(norms, 18) == ["…10.mlp.d…rad_norm", "…11.mlp.d…rad_norm"]


@pytest.mark.parametrize("width", range(1, 40))
def test_however_alike_names_are_each_has_its_width(width: int) -> None:
    long, wide, same = "x" * 60, "日本" * 30, "same" * 20
    names = [f"{long}1{long}", f"{long}2{long}", f"{wide}1", f"{wide}2", same, same]
    assert all(cell_len(name) <= width for name in shortened_apart(names, width))


@pytest.mark.fault("D13")
@pytest.mark.parametrize("text", DANGEROUS)
def test_nothing_that_could_control_a_terminal_is_left(text: str) -> None:
    shown = safe(f"loss{text}end")

    assert shown.startswith("loss")
    assert shown.endswith("end")
    assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp", "Mn") for character in shown)
    shown.encode("utf-8")


@pytest.mark.fault("F16")
def test_what_was_replaced_stays_visible() -> None:
    assert safe("\x1b[31m") == "␛[31m"
    assert safe("a\nb") == "a␊b"


@pytest.mark.fault("D12")
@pytest.mark.parametrize("text", ["train_loss", "acc[/]", "[red]x", ":fire:", "损失", "größe"])
def test_ordinary_names_and_markup_stay_as_they_are(text: str) -> None:
    assert safe(text) == text


@pytest.mark.fault("D13")
def test_long_names_are_cut_in_the_middle() -> None:
    assert shorten("a_very_long_metric_name", 11) == "a_ver…_name"
    assert shorten("short", 11) == "short"


@pytest.mark.parametrize("width", range(12))
@pytest.mark.parametrize("text", ["train_loss", "损失函数的值", "", "x"])
def test_fitted_text_takes_exactly_its_width(text: str, width: int) -> None:
    assert cell_len(fit(text, width)) == width


@pytest.mark.parametrize("width", range(-3, 12))
@pytest.mark.parametrize("text", ["a loss that rises", "损失函数的值", ""])
def test_the_beginning_of_a_sentence_keeps_to_its_width(text: str, width: int) -> None:
    """An alert on a terminal of two columns was cut for ever, on the thread of the display."""
    assert cell_len(beginning(text, width)) <= max(width, 0)
    assert beginning("a loss that rises", 7) == "a loss…"


@pytest.mark.parametrize("width", range(16, 30))
def test_a_number_at_the_end_is_left_out_rather_than_cut(width: int) -> None:
    text = "above the median 0.00263"
    assert beginning(text, width) == (text if width >= len(text) else f"{text[: min(width - 1, 16)].rstrip()}…")


def test_a_number_that_is_all_there_is_is_cut() -> None:
    assert beginning("123456789", 5) == "1234…"
