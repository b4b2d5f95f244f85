"""Matrix products that stay on the calling thread.

Knows nothing of the model. A numpy built on OpenBLAS hands every product of more than some 2**18
multiplications to a pool of threads. For products as small as here that gains nothing, and where another
program keeps a core busy the threads wait for each other: a training step took 2.5 times as long.
"""

from __future__ import annotations

import numpy as np

from m.examples.trajectory_3d.arrays import Floats

#: SMP_THRESHOLD_MIN (65536) times GEMM_MULTITHREAD_THRESHOLD (4) in OpenBLAS's interface/gemm.c.
SINGLE_THREAD_LIMIT = 2**18


def matmul_into(left: Floats, right: Floats, out: Floats) -> None:
    """Write ``left @ right`` to `out`, a block of rows at a time, each block below the limit.

    Shapes ``(n, k)``, ``(k, m)`` and ``(n, m)``; any of them may be 0.
    """
    block = max(1, SINGLE_THREAD_LIMIT // max(1, right.size))
    for start in range(0, len(left), block):
        rows = slice(start, start + block)
        np.matmul(left[rows], right, out=out[rows])


def matmul(left: Floats, right: Floats) -> Floats:
    """Like `matmul_into`, into a new array."""
    out = np.empty((len(left), right.shape[1]), dtype=left.dtype)
    matmul_into(left, right, out)
    return out
