"""What the hardware is doing, as far as the optional packages psutil and nvidia-ml-py can say.

Neither is a dependency (extra ``system``). Without them every figure is None. Nothing here creates a CUDA context or
imports torch or jax.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, frozen=True)
class Machine:
    """One reading of the machine. None: cannot be measured here."""

    gpu_utilization_percent: float | None = None
    """Share of the last sampling period in which a kernel ran on this process's GPU, 0 to 100."""
    gpu_memory_used_mb: float | None = None
    """Memory in use on that GPU, by every process on it, MB (10^6 bytes)."""
    gpu_memory_total_mb: float | None = None
    """Memory of that GPU, MB."""
    cpu_percent: float | None = None
    """Busy share of all cores together since the reading before, 0 to 100. None at the first one as well."""
    process_memory_mb: float | None = None
    """Resident memory of this process, MB."""
    memory_percent: float | None = None
    """Share of the machine's memory in use, 0 to 100."""


class MachineSampler:
    """Reads the machine when asked. The optional packages are imported at the first reading, never before.

    The GPU is the first in ``CUDA_VISIBLE_DEVICES`` when that holds an index, otherwise the first of the machine.
    Never raises: what fails once is not asked again. One thread at a time.
    """

    def __init__(self) -> None:
        self._opened = False
        self._psutil: Any = None
        self._process: Any = None
        self._nvml: Any = None
        self._gpu: Any = None
        self._cpu_times: tuple[float, float] | None = None  # of all cores at the last reading: in all, idle; seconds
        self._cpu_percent: float | None = None

    def read(self) -> Machine:
        if not self._opened:
            self._opened = True
            self._open_psutil()
            self._open_nvml()
        gpu_percent, used, total = self._read_gpu()
        cpu_percent, process, memory = self._read_host()
        return Machine(gpu_percent, used, total, cpu_percent, process, memory)

    def _open_psutil(self) -> None:
        try:
            import psutil

            self._process = psutil.Process()
            self._psutil = psutil
        except Exception:  # not installed, or broken: either way there are no figures
            self._psutil = None

    def _open_nvml(self) -> None:
        try:
            import pynvml

            pynvml.nvmlInit()
            visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
            self._gpu = pynvml.nvmlDeviceGetHandleByIndex(int(visible) if visible.isdigit() else 0)
            self._nvml = pynvml
        except Exception:
            self._nvml = None

    def _read_gpu(self) -> tuple[float | None, float | None, float | None]:
        if self._nvml is None:
            return None, None, None
        try:
            memory = self._nvml.nvmlDeviceGetMemoryInfo(self._gpu)
            busy = self._nvml.nvmlDeviceGetUtilizationRates(self._gpu).gpu
            return float(busy), memory.used / 1e6, memory.total / 1e6
        except Exception:
            self._nvml = None
            return None, None, None

    def _read_host(self) -> tuple[float | None, float | None, float | None]:
        if self._psutil is None:
            return None, None, None
        try:
            return (
                self._read_cpu(self._psutil.cpu_times()),
                self._process.memory_info().rss / 1e6,
                float(self._psutil.virtual_memory().percent),
            )
        except Exception:
            self._psutil = None
            return None, None, None

    def _read_cpu(self, times: Any) -> float | None:
        """Not by ``psutil.cpu_percent``: it keeps the reading before by thread, and gives 0.0 on one that comes to it
        first, as the thread does that draws the last frame."""
        # Linux counts what a guest gets as user time already
        whole = float(sum(times)) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        idle = float(times.idle) + getattr(times, "iowait", 0.0)
        before, self._cpu_times = self._cpu_times, (whole, idle)
        if before is not None and whole > before[0]:
            busy = 1.0 - (idle - before[1]) / (whole - before[0])
            self._cpu_percent = 100.0 * min(max(busy, 0.0), 1.0)
        return self._cpu_percent
