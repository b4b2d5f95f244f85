"""Losses and gradients that are no numbers any more."""

from __future__ import annotations

from typing import Final

from m.health.parameters import whole
from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import LOSS_FIELDS, TrainingSnapshot

_MOST_BROKEN: Final = 1000


class NonFiniteLoss:
    """``non_finite_loss``: a loss is NaN or infinite: ``train_loss``, ``val_loss``, ``aux_loss``, or a custom metric
    with "loss" in its name.

    Said at the first such value. Armed again, for each loss by itself, after ``recovery`` finite values in a row. Of
    more than a thousand losses that are not finite at a time the others are passed over.
    """

    says_once: Final = True

    def __init__(self, recovery: int = 50) -> None:
        self.recovery = whole("recovery", recovery, at_least=1)
        self._broken: dict[str, int] = {}  # loss -> finite values until it counts as recovered

    def start(self, run: Run) -> None:
        """Forget what was."""
        self._broken.clear()

    def watch(self, snapshot: TrainingSnapshot) -> Alert | None:
        """What is wrong with the losses of ``snapshot``."""
        train, val, aux = snapshot.train_loss, snapshot.val_loss, snapshot.aux_loss
        custom = snapshot.custom_metrics
        if (
            (train is None or train - train == 0.0)  # what is not finite, less itself, is NaN
            and (val is None or val - val == 0.0)
            and (aux is None or aux - aux == 0.0)
            and not self._broken
        ):
            for value in custom.values():
                if type(value) is float and value - value != 0.0:
                    break
            else:
                return None
        losses = [*zip(LOSS_FIELDS, (train, val, aux), strict=True)]
        losses += [(name, value) for name, value in custom.items() if type(value) is float and "loss" in name.lower()]
        news = []
        for name, value in losses:
            if value is None:
                continue
            left = self._broken.get(name)
            if value - value != 0.0:
                if left is None:
                    if len(self._broken) >= _MOST_BROKEN:
                        continue
                    news.append((name, value))
                self._broken[name] = self.recovery
            elif left is not None:
                if left > 1:
                    self._broken[name] = left - 1
                else:
                    del self._broken[name]
        if not news:
            return None
        words = " and ".join(f"{name} is {value}" for name, value in news[:3])
        if len(news) > 3:
            words = f"{words} and {len(news) - 3} more"
        return Alert(snapshot.step, "non_finite_loss", words, news[0][1])


class NonFiniteGradient:
    """``non_finite_gradient``: ``gradient_norm`` is NaN or infinite ``in_a_row`` times.

    Not at the first: training in half precision looks for its loss scale by letting gradients overflow and skipping
    those steps, several in a row at the beginning (Micikevicius et al. 2018, "Mixed Precision Training", section
    3.2). Armed again after ``recovery`` finite values in a row.
    """

    says_once: Final = True

    def __init__(self, in_a_row: int = 10, recovery: int = 50) -> None:
        self.in_a_row = whole("in_a_row", in_a_row, at_least=1)
        self.recovery = whole("recovery", recovery, at_least=1)
        self._row = 0
        self._left = 0  # finite values until it counts as recovered; 0 when armed

    def start(self, run: Run) -> None:
        """Forget what was."""
        self._row = self._left = 0

    def watch(self, snapshot: TrainingSnapshot) -> Alert | None:
        """What is wrong with the gradient of ``snapshot``."""
        norm = snapshot.gradient_norm
        if norm is None:
            return None
        if norm - norm == 0.0:
            self._row = 0
            if self._left:
                self._left -= 1
            return None
        self._row += 1
        if self._left:
            self._left = self.recovery
            return None
        if self._row < self.in_a_row:
            return None
        self._left = self.recovery
        times = "" if self.in_a_row == 1 else f", {self._row} times in a row"
        return Alert(snapshot.step, "non_finite_gradient", f"gradient_norm is {norm}{times}", norm)
