"""Histories of long runs, filled by columns instead of point by point; they fold when a training loop's would."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

from m.metrics.history import History


def grow(history: History, values: Any, steps: Any = None) -> History:
    """Append ``values`` at ``steps``, by default the indices in the run."""
    first = len(history)
    at = np.arange(first, first + len(values)) if steps is None else steps
    history.extend(*(array("d", np.asarray(column, dtype=np.float64).tobytes()) for column in (at, values)))
    return history
