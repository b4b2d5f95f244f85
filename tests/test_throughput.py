"""The rate is that of steady training; a slow first step, pauses and a step that jumps back do not spoil it."""

from __future__ import annotations

import pytest

from m.metrics.performance import ThroughputMetrics
from m.metrics.throughput import RateMeter, throughput


def test_nothing_is_known_before_two_observations_with_progress() -> None:
    meter = RateMeter()
    assert meter.steps_per_second is None
    meter.observe(10.0, 5)
    meter.observe(11.0, 5)
    assert meter.steps_per_second is None


def test_the_rate_is_steps_over_time() -> None:
    meter = RateMeter()
    for tick in range(5):
        meter.observe(100.0 + 0.25 * tick, 3 * tick)
    assert meter.steps_per_second == pytest.approx(12.0)


def test_a_first_step_that_compiles_for_a_minute_does_not_count() -> None:
    meter = RateMeter()
    for step in range(10):
        meter.observe(60.0 + 0.1 * step, step)
    assert meter.steps_per_second == pytest.approx(10.0)


def test_a_pause_does_not_count() -> None:
    """An evaluation, a checkpoint or a laptop asleep for an hour says nothing about the speed of the next step."""
    meter = RateMeter()
    now = 0.0
    for step in range(40):
        now += 3600.0 if step == 20 else 0.1
        meter.observe(now, step)
    assert meter.steps_per_second == pytest.approx(10.0)


def test_the_rate_follows_a_lasting_change() -> None:
    meter = RateMeter()
    now = 0.0
    for step in range(300):
        now += 0.1 if step < 100 else 0.2
        meter.observe(now, step)
    assert meter.steps_per_second == pytest.approx(5.0)


def test_no_progress_prolongs_the_interval() -> None:
    meter = RateMeter()
    meter.observe(0.0, 0)
    meter.observe(1.0, 0)
    meter.observe(2.0, 4)
    assert meter.steps_per_second == pytest.approx(2.0)


def test_a_step_that_goes_back_starts_afresh() -> None:
    """A second epoch that counts from 0 again must give neither a negative rate nor the average of two runs."""
    meter = RateMeter()
    for step in range(10):
        meter.observe(1.0 * step, step)
    meter.observe(10.0, 0)
    assert meter.steps_per_second is None
    meter.observe(10.5, 1)
    assert meter.steps_per_second == pytest.approx(2.0)


@pytest.mark.fault("B16")
def test_a_clock_that_stands_still_or_goes_back_gives_no_rate() -> None:
    meter = RateMeter()
    meter.observe(5.0, 0)
    meter.observe(5.0, 1)
    meter.observe(4.0, 2)
    assert meter.steps_per_second is None


def test_only_what_is_recent_is_kept() -> None:
    meter = RateMeter()
    for step in range(10_000):
        meter.observe(1.0 * step, step)
    assert meter.steps_per_second == pytest.approx(1.0)
    assert len(meter._intervals) == RateMeter.WINDOW


def test_rates_follow_from_the_sizes_that_are_known() -> None:
    assert throughput(2.0, 32, 128) == ThroughputMetrics(2.0, 2.0, 64.0, 8192.0)
    assert throughput(2.0, 32, None) == ThroughputMetrics(2.0, 2.0, 64.0, None)
    assert throughput(2.0, None, 128) == ThroughputMetrics(2.0, 2.0, None, None)
    assert throughput(None, 32, 128) == ThroughputMetrics()
