"""Histories of long runs, filled by columns instead of point by point; they fold when a training loop's would."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from m.metrics.history import FOLD_POINTS, RAW_POINTS, History


def grow(history: History, values: Any, steps: Any = None) -> History:
    """Append ``values`` at ``steps``, by default the indices in the run."""
    numbers: npt.NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    first = len(history)
    at = np.arange(first, first + numbers.size) if steps is None else steps
    places: npt.NDArray[np.float64] = np.asarray(at, dtype=np.float64)
    done = 0
    while done < numbers.size:
        room = RAW_POINTS + FOLD_POINTS - len(history._steps)
        history._values.frombytes(numbers[done : done + room].tobytes())
        history._steps.frombytes(places[done : done + room].tobytes())
        done += room
        history.fold()
    return history
