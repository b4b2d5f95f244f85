"""The machine's figures come from psutil and pynvml where they are, and are None where they are not."""

from __future__ import annotations

import itertools
import sys
import threading
import time
import types
from collections import namedtuple
from typing import Any

import pytest

from m.metrics.system import Machine, MachineSampler

GPU = types.SimpleNamespace(used=2e9, total=8e9)


Times = namedtuple("Times", "user system idle iowait guest")


def fake_psutil() -> Any:
    """A machine that is busy for an eighth of the time, the first reading included."""
    readings = itertools.count()

    def cpu_times() -> Times:
        at = float(next(readings))
        return Times(at, 0.0, 5 * at, 2 * at, at)  # the guest's is part of the user's

    process = types.SimpleNamespace(memory_info=lambda: types.SimpleNamespace(rss=500e6))
    return types.SimpleNamespace(
        Process=lambda: process,
        cpu_times=cpu_times,
        virtual_memory=lambda: types.SimpleNamespace(percent=40.0),
    )


def fake_pynvml(asked: list[int]) -> Any:
    def handle(index: int) -> str:
        asked.append(index)
        return "gpu"

    return types.SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=handle,
        nvmlDeviceGetMemoryInfo=lambda gpu: GPU,
        nvmlDeviceGetUtilizationRates=lambda gpu: types.SimpleNamespace(gpu=77),
    )


def test_without_the_optional_packages_every_figure_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert MachineSampler().read() == Machine()


def test_with_them_every_figure_is_there_in_its_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setitem(sys.modules, "psutil", fake_psutil())
    monkeypatch.setitem(sys.modules, "pynvml", fake_pynvml(asked))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    sampler = MachineSampler()
    assert sampler.read() == Machine(77.0, 2000.0, 8000.0, None, 500.0, 40.0)
    assert sampler.read() == Machine(77.0, 2000.0, 8000.0, 12.5, 500.0, 40.0)
    assert asked == [0]


def test_how_busy_the_cores_are_is_known_to_every_thread_that_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """psutil's own figure is 0 on a thread that asks for the first time: in the last frame nobody had worked."""
    monkeypatch.setitem(sys.modules, "pynvml", None)
    psutil = fake_psutil()
    monkeypatch.setitem(sys.modules, "psutil", psutil)
    sampler, figures = MachineSampler(), []
    for _ in range(3):
        asking = threading.Thread(target=lambda: figures.append(sampler.read().cpu_percent))
        asking.start()
        asking.join()
    assert figures == [None, 12.5, 12.5]
    psutil.cpu_times = lambda: Times(2.0, 0.0, 10.0, 4.0, 2.0)  # no time has passed
    assert sampler.read().cpu_percent == 12.5
    psutil.cpu_times = lambda: Times(4.0, 2.0, 9.0, 4.0, 2.0)  # an idle time that goes back, as some systems tell
    assert sampler.read().cpu_percent == 100.0


def test_the_real_machine_is_not_said_to_be_idle_while_this_test_works() -> None:
    pytest.importorskip("psutil")
    sampler = MachineSampler()
    assert sampler.read().cpu_percent is None
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        pass
    busy = sampler.read().cpu_percent
    assert busy is not None
    assert 0.0 < busy <= 100.0


@pytest.mark.parametrize(("visible", "index"), [("3", 3), ("2,5", 2), ("", 0), ("GPU-5b1c", 0), (" 1 ,0", 1)])
def test_the_gpu_is_the_first_visible_one(monkeypatch: pytest.MonkeyPatch, visible: str, index: int) -> None:
    asked: list[int] = []
    monkeypatch.setitem(sys.modules, "psutil", None)
    monkeypatch.setitem(sys.modules, "pynvml", fake_pynvml(asked))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert MachineSampler().read() == Machine(77.0, 2000.0, 8000.0)
    assert asked == [index]


def test_a_machine_without_a_driver_has_no_gpu_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver() -> None:
        raise OSError("NVML Shared Library Not Found")

    pynvml = fake_pynvml([])
    pynvml.nvmlInit = no_driver
    monkeypatch.setitem(sys.modules, "psutil", fake_psutil())
    monkeypatch.setitem(sys.modules, "pynvml", pynvml)
    assert MachineSampler().read() == Machine(None, None, None, None, 500.0, 40.0)


@pytest.mark.fault("A23")
def test_what_fails_once_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that fell off the bus makes every question slow; the display asks four times a second."""
    asked: list[str] = []

    def lost(gpu: object) -> None:
        asked.append("memory")
        raise OSError("GPU is lost")

    psutil, pynvml = fake_psutil(), fake_pynvml([])
    pynvml.nvmlDeviceGetMemoryInfo = lost
    monkeypatch.setitem(sys.modules, "psutil", psutil)
    monkeypatch.setitem(sys.modules, "pynvml", pynvml)
    sampler = MachineSampler()
    assert sampler.read().gpu_utilization_percent is None
    assert sampler.read().gpu_utilization_percent is None
    assert asked == ["memory"]
    psutil.virtual_memory = lambda: 1 / 0
    assert sampler.read() == Machine()


def test_nothing_is_imported_before_the_first_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    sampler = MachineSampler()
    monkeypatch.setitem(sys.modules, "psutil", fake_psutil())
    assert sampler.read().process_memory_mb == 500.0
