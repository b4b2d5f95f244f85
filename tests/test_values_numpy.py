"""Values as real NumPy makes them, and Python's own odd numbers, become plain numbers or are left out and counted."""

from __future__ import annotations

import copy
import json
import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from m import MetricsHub
from m.journal.decoding import decode
from m.journal.records import Recorded
from m.metrics.snapshot import TrainingSnapshot
from m.metrics.values import to_metric, to_number, unconvertible_count
from sinks import JsonlSink

pytestmark = pytest.mark.usefixtures("no_name_was_warned_about")


@pytest.mark.fault("F2")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float16(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.uint8(3), 3),
        (np.int64(2**62), 2**62),
        (np.uint64(2**64 - 1), float(2**64)),
        (np.bool_(False), False),
        (np.array(0.5), 0.5),
        (np.array([[0.5]], order="F"), 0.5),
        (np.array([0.5], dtype=">f8"), 0.5),
        (np.array([0.5], dtype=object), 0.5),
        (np.array(Decimal("0.25"), dtype=object), 0.25),
        (np.ma.array([0.5]), 0.5),
        (np.ones((4, 4)).mean(), 1.0),
        (np.broadcast_to(np.array(0.5), (1, 1)), 0.5),
    ],
)
def test_one_number_of_any_dtype_and_shape_is_read(value: Any, expected: Any) -> None:
    for got in (to_number(value, "x"), to_metric(value, "x")):
        assert got == expected
        assert type(got) is type(expected)


@pytest.mark.fault("F3")
@pytest.mark.parametrize(
    "value",
    [
        *(np.zeros(2), np.zeros((0,)), np.zeros((3, 0)), np.zeros(10**6), np.array([[1.0, 2.0]]), np.arange(3).view()),
        *(np.array([{}], dtype=object), np.array(["a"]), np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])),
        *(np.datetime64("2024-01-01"), np.datetime64("NaT", "s"), np.timedelta64(3, "s")),
        *(np.void(b"ab"), np.bytes_(b"3")),
        *(np.complex128(1j), np.array(1j), np.array([1 + 0j])),
    ],
    ids=repr,
)
def test_what_is_not_one_number_is_left_out_and_counted(value: Any) -> None:
    before = unconvertible_count()
    assert to_number(value, "x") is None
    assert to_metric(value, "x") is None
    assert unconvertible_count() == before + 2


@pytest.mark.fault("F3")
@pytest.mark.parametrize(
    "value", [np.ma.masked, np.ma.array([0.7], mask=[True]), np.ma.array([1.0, 2.0], mask=True).mean()]
)
def test_a_masked_number_is_none_and_not_what_lies_below_the_mask(value: Any) -> None:
    """``np.ma.masked.item()`` is 0.0, and the mean of nothing looks like a perfect loss."""
    before = unconvertible_count()
    assert to_number(value, "x") is None
    assert unconvertible_count() == before + 1


@pytest.mark.fault("F3")
def test_what_has_no_shape_to_tell_is_named_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    assert to_number(np.float64, "loss") is None
    assert "metric 'loss' is a type, not one number, and is left out" in caplog.text


@pytest.mark.fault("F4")
def test_views_and_dictionaries_changed_afterwards_change_nothing() -> None:
    buffer = np.array([0.5, 0.25])
    metrics, experts = {"view": buffer[:1], "scalar": buffer[1, ...]}, {0: buffer[:1], 1: buffer[1:]}
    snapshot = TrainingSnapshot(1, buffer[:1], custom_metrics=metrics, expert_utilization=experts)  # type: ignore[arg-type]
    before = copy.deepcopy(snapshot)
    buffer[:] = 9.9
    metrics["view"], experts[0] = 7.0, 7.0  # type: ignore[assignment]
    assert snapshot == before
    assert (snapshot.train_loss, snapshot.custom_metrics) == (0.5, {"view": 0.5, "scalar": 0.25})
    assert snapshot.expert_utilization == {0: 0.5, 1: 0.25}


@pytest.mark.fault("F1")
def test_what_is_not_finite_stays_what_it_is_through_the_journal(tmp_path: Path) -> None:
    given = {"nan": np.float32("nan"), "up": np.float64("inf"), "down": Decimal("-Infinity"), "text": "NaN"}
    with MetricsHub([JsonlSink(tmp_path / "run.jsonl")]) as hub:
        hub.emit(TrainingSnapshot(0, np.float16("inf"), custom_metrics=given))  # type: ignore[arg-type]
    lines = (tmp_path / "run.jsonl").read_bytes().splitlines()
    for line in lines:
        json.loads(line, parse_constant=pytest.fail)
    (read,) = (each.snapshot for each in map(decode, lines) if isinstance(each, Recorded))
    assert math.isnan(read.custom_metrics.pop("nan"))
    assert read.custom_metrics == {"up": math.inf, "down": -math.inf, "text": "NaN"}
    assert read.train_loss == math.inf


@pytest.mark.fault("F9")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2**53 + 1, 2**53 + 1),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (2**63, 2.0**63),
        (10**300, 1e300),
        (10**400, None),
        (10**5000, None),
        (-(10**5000), None),
        (Fraction(10**5000), None),
    ],
    ids=lambda value: f"{float(value):.3g}" if isinstance(value, int) and abs(value) < 2**1000 else "beyond",
)
def test_whole_numbers_are_exact_up_to_64_bits_then_floats_then_left_out(value: Any, expected: Any) -> None:
    """Python refuses to write a number of more than 4,300 digits, so neither a log line nor a file may try."""
    assert to_number(value, "x") == expected
    assert type(to_metric(value, "x")) is type(expected)


@pytest.mark.fault("F10")
@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), (Decimal("0.1"), 0.1), (Decimal("1e-400"), 0.0), (Fraction(1, 3), 1 / 3), (Decimal("sNaN"), None)],
)
def test_bools_decimals_and_fractions(value: Any, expected: Any) -> None:
    for got in (to_number(value, "x"), to_metric(value, "x")):
        assert got == expected
        assert type(got) is type(expected)


@pytest.mark.fault("F14")
def test_fifty_thousand_names_that_read_the_same_are_kept_apart() -> None:
    """Looking for a free name from the beginning each time took minutes for these, in the training loop."""

    class Same:
        def __str__(self) -> str:
            return "metric"

    given: dict[Any, Any] = {Same(): float(index) for index in range(50_000)}
    owned = TrainingSnapshot(0, 0.5, custom_metrics=given).custom_metrics
    assert list(owned.values()) == list(given.values())
    assert list(owned)[:3] == ["metric", "metric_2", "metric_3"]
    assert {type(name) for name in owned} == {str}


@pytest.mark.fault("F14")
def test_names_that_are_not_text_read_as_text_and_stay_apart() -> None:
    given: dict[Any, Any] = {
        0: 1.0,
        "0": 2.0,
        np.int64(1): 3.0,
        "1": 4.0,
        (1, 2): 5.0,
        None: 6.0,
        b"x": 7.0,
        "0_2": 8.0,
    }
    owned = TrainingSnapshot(0, 0.5, custom_metrics=given).custom_metrics
    assert owned == {
        "0": 1.0,
        "0_2": 2.0,
        "1": 3.0,
        "1_2": 4.0,
        "(1, 2)": 5.0,
        "None": 6.0,
        "b'x'": 7.0,
        "0_2_2": 8.0,
    }


@pytest.mark.fault("F14")
def test_a_name_is_plain_text_even_where_its_str_gives_a_kind_of_text() -> None:
    class Name(str):
        __slots__ = ()

        def __str__(self) -> str:
            return self

    owned = TrainingSnapshot(0, 0.5, custom_metrics={Name("loss"): 1.0}).custom_metrics
    assert [type(name) for name in owned] == [str]


@pytest.mark.fault("F15")
def test_experts_numbered_in_any_mixture_are_sorted_and_sparse_stays_sparse() -> None:
    given: dict[Any, Any] = {"7": 0.25, 3: np.float32(0.25), np.int64(900): 0.25, 2.0: 0.25, "seven": 0.5, 3.5: 0.5}
    before = unconvertible_count()
    owned = TrainingSnapshot(0, 0.5, expert_utilization=given).expert_utilization
    assert sorted(owned) == [2, 3, 7, 900]
    assert {type(expert) for expert in owned} == {int}
    assert unconvertible_count() == before + 2


@pytest.mark.fault("F13")
@pytest.mark.parametrize(
    "step", [np.int64(7), np.uint8(7), np.float32(7.0), np.array(7), np.array([7]), "7", 7.5, np.nan]
)
def test_a_step_is_a_whole_number_or_an_error_that_says_so(step: Any) -> None:
    if isinstance(step, str) or float(np.asarray(step).item()) != 7:
        with pytest.raises(TypeError, match="step must be a whole number"):
            TrainingSnapshot(step, 0.5)
    else:
        assert type(TrainingSnapshot(step, 0.5).step) is int
