"""A loss that jumps: far above its running median, and farther than it lately does anyway."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from m.health.parameters import number, whole
from m.health.robust import deviation, middle
from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot

_REFRESH: Final = 32
"""Median and deviation are worked out anew after so many losses."""
_LEAST_DEVIATION: Final = 0.01
"""Of the median: a loss without any noise must rise by a tenth to be ten deviations away."""
_RESTART: Final = 2.0
"""So many times the learning rate of shortly before is a restart."""
_NEWS: Final = 2.0
"""A jump is news when it is so many times as high as those that there were lately."""


class LossSpike:
    """``loss_spike``: ``train_loss`` lies more than ``deviations`` above the median of the last ``window`` losses.

    The deviation is robust (see `m.health.robust.deviation`), in the measure of a standard deviation, at least 1 % of
    the median, and worked out anew every 32 losses. So that noise with heavy tails is not a spike every thousand steps,
    a jump also has to be twice as high, in deviations, as all others of the last ``memory`` to twice as many losses,
    told or not. Losses in a row that are half as far away or more are one jump. Half a window of losses has to be
    there, and a loss that is 0 in nearly all of it has no scale to jump by. A jump that comes with a learning rate more
    than twice as high as shortly before is a restart, after which there is a new window. Losses are counted and not
    steps, so steps may repeat and go back.

    The median absolute deviation against a running median is the identifier of Hampel (1974); 3.5 deviations are usual
    for outliers in tables (Iglewicz and Hoaglin 1993), 6 of the ordinary kind for skipping updates (OLMo 2, 2025).
    Here it takes 10: one of a million batches is not worth a line, and what hurts a model is far above.
    """

    says_once: Final = True

    def __init__(self, deviations: float = 10.0, window: int = 128, memory: int = 1000) -> None:
        self.deviations = number("deviations", deviations, above=0.0)
        self.window = whole("window", window, at_least=8)
        self.memory = whole("memory", memory, at_least=1)
        self._begin()

    def _begin(self) -> None:
        self._recent: deque[float] = deque(maxlen=self.window)
        self._until_refresh = max(self.window // 2, 1)
        self._median = 0.0
        self._deviation = 0.0
        self._notable = math.inf  # from here on a loss is looked at
        self._highest = self._highest_before = 0.0  # jumps in deviations: of this stretch of `memory`, and the last
        self._left = self.memory
        self._told = False  # of the jump that the last loss was in
        self._rate_before: float | None = None  # the learning rate at the last refresh
        self._rate: float | None = None  # the last that was given

    def start(self, run: Run) -> None:
        """Forget what was."""
        self._begin()

    def watch(self, snapshot: TrainingSnapshot) -> Alert | None:
        """Whether the loss of ``snapshot`` is a spike."""
        rate = snapshot.learning_rate
        if rate is not None:
            self._rate = rate
        loss = snapshot.train_loss
        if loss is None or loss - loss != 0.0:  # NaN or infinite
            return None
        said = None
        if loss > self._notable:
            said = self._judge(snapshot, loss)
        elif self._told:
            self._told = False
        self._recent.append(loss)
        self._until_refresh -= 1
        if not self._until_refresh:
            self._refresh()
        return said

    def _judge(self, snapshot: TrainingSnapshot, loss: float) -> Alert | None:
        rate, before = self._rate, self._rate_before
        if rate is not None and before is not None and rate > _RESTART * before:
            self._begin()
            self._rate = rate
            return None
        height = (loss - self._median) / self._deviation
        lately = max(self._highest, self._highest_before)
        self._highest = max(self._highest, height)
        if self._told or height <= max(self.deviations, _NEWS * lately):
            return None
        self._told = True
        words = f"{loss:.4g}, {height:.3g} deviations above the running median {self._median:.4g}"
        return Alert(snapshot.step, "loss_spike", words, loss)

    def _refresh(self) -> None:
        self._until_refresh = _REFRESH
        self._rate_before = self._rate
        self._left -= _REFRESH
        if self._left <= 0:
            self._left = self.memory
            self._highest_before, self._highest = self._highest, 0.0
        ordered = sorted(self._recent)
        self._median = level = middle(ordered)
        self._deviation = max(deviation(ordered, level), _LEAST_DEVIATION * abs(level))
        # a loss that was 0 nearly all the time has no scale
        self._notable = level + 0.5 * self.deviations * self._deviation if self._deviation else math.inf
