"""From "step k was reached at time t" to a rate."""

from __future__ import annotations

from collections import deque
from statistics import median

from m.metrics.performance import ThroughputMetrics


class RateMeter:
    """The recent rate of steps, robust to a slow first step (compilation) and to pauses (evaluation, a laptop asleep).

    ``observe`` is told now and then that a step was reached; each pair of observations with progress between them is
    one interval. The rate is the steps over the time of the recent intervals, leaving out those that took more than
    ``PAUSE`` times the median time per step. The time before the first observation never counts: a first step that
    compiles for a minute says nothing about the rest. Times are seconds of any monotonic clock. One thread at a time.
    """

    WINDOW = 60  # intervals that count as recent: 15 s at the display's 4 a second, or 60 slow steps
    PAUSE = 5.0

    def __init__(self) -> None:
        self._intervals: deque[tuple[float, int]] = deque(maxlen=self.WINDOW)
        self._last_time: float | None = None
        self._last_step = 0

    def observe(self, time_s: float, step: int) -> None:
        """``step`` was the newest step at ``time_s``. A step that went backwards starts afresh."""
        if self._last_time is None or step < self._last_step:
            self._intervals.clear()
        elif step == self._last_step:
            return  # no progress: the interval goes on
        elif time_s > self._last_time:
            self._intervals.append((time_s - self._last_time, step - self._last_step))
        self._last_time, self._last_step = time_s, step

    @property
    def steps_per_second(self) -> float | None:
        """Steps per second; None before there are two observations with progress between them."""
        if not self._intervals:
            return None
        limit = self.PAUSE * median([seconds / steps for seconds, steps in self._intervals])
        kept = [interval for interval in self._intervals if interval[0] <= limit * interval[1]]
        return sum([steps for _, steps in kept]) / sum([seconds for seconds, _ in kept])


def throughput(
    steps_per_second: float | None, batch_size: float | None, sequence_length: float | None
) -> ThroughputMetrics:
    """The rates that follow from steps per second, samples per step and tokens per sample. None where not known."""
    samples = None if steps_per_second is None or batch_size is None else steps_per_second * batch_size
    tokens = None if samples is None or sequence_length is None else samples * sequence_length
    return ThroughputMetrics(
        steps_per_second=steps_per_second,
        batches_per_second=steps_per_second,
        samples_per_second=samples,
        tokens_per_second=tokens,
    )
