"""How much the chosen expert tells about the regime of a flight. Knows neither, only labels."""

from __future__ import annotations

import numpy as np

from m.examples.trajectory_3d.arrays import Floats, Integers


def entropy(probabilities: Floats) -> float:
    """Shannon entropy in nats of an array of probabilities of any shape; zeros count as nothing."""
    positive = probabilities[probabilities > 0.0]
    # 0.0 - keeps a certain outcome from being reported as -0.0.
    return float(0.0 - (positive * np.log(positive)).sum())


def normalized_mutual_information(first: Integers, second: Integers) -> float:
    """Mutual information of two labellings over their mean entropy: 0 if independent, 1 if one to one.

    Labels are integers from 0, both shape ``(n,)``. A labelling with a single label tells nothing: 0. Unequal
    numbers of labels keep the value below 1: six equal regimes spread over eight equal experts reach at most
    0.93. (Strehl and Ghosh, Cluster Ensembles, JMLR 2002, with the arithmetic mean in place of the geometric
    one.)
    """
    n_second = int(second.max()) + 1
    cells = np.bincount(first * n_second + second, minlength=(int(first.max()) + 1) * n_second)
    joint = cells.reshape(-1, n_second) / len(first)
    entropy_first, entropy_second = entropy(joint.sum(axis=1)), entropy(joint.sum(axis=0))
    if entropy_first == 0.0 or entropy_second == 0.0:
        return 0.0
    information = entropy_first + entropy_second - entropy(joint)
    # Rounding can leave the ends of the range by an ulp.
    return min(1.0, max(0.0, 2.0 * information / (entropy_first + entropy_second)))
