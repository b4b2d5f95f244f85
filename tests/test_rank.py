"""The rank is what the launcher says, and asking for it initialises nothing."""

from __future__ import annotations

import multiprocessing
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from m.metrics import rank as module
from m.metrics.rank import is_to_show, rank


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*module._FROM_LAUNCHERS, "LOCAL_RANK", "WORLD_SIZE", "SLURM_STEP_ID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, "torch.distributed", raising=False)


STEP = {"SLURM_STEP_ID": "0", "SLURM_NTASKS": "8"}


@pytest.mark.fault("D19")
@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, 0),
        ({"RANK": "3"}, 3),
        ({"LOCAL_RANK": "0", "RANK": "8"}, 8),
        ({"LOCAL_RANK": "2"}, 0),  # left behind by something: with nobody else there is nobody else to show anything
        ({"LOCAL_RANK": "2", "WORLD_SIZE": "1"}, 0),
        (
            {"LOCAL_RANK": "2", "WORLD_SIZE": "4"},
            2,
        ),  # Lightning's own launcher, before it initialises torch.distributed
        ({"LOCAL_RANK": "1", "SLURM_PROCID": "5", **STEP}, 5),
        ({"LOCAL_RANK": "-1", "WORLD_SIZE": "4"}, 0),
        ({"SLURM_PROCID": "5", **STEP}, 5),
        ({"SLURM_PROCID": "5"}, 0),
        ({"SLURM_PROCID": "5", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "1"}, 0),
        ({"SLURM_PROCID": "5", "RANK": "1", **STEP}, 1),
        ({"OMPI_COMM_WORLD_RANK": "4"}, 4),
        ({"PMIX_RANK": "6"}, 6),
        ({"PMI_RANK": "7"}, 7),
        ({"RANK": "", "PMI_RANK": "7"}, 7),
        ({"RANK": "-1"}, 0),
        ({"RANK": "one"}, 0),
    ],
)
def test_the_rank_is_what_the_launcher_says(
    environment: dict[str, str], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert rank() == expected


def broken() -> Any:
    raise RuntimeError("half imported")


@pytest.mark.parametrize(
    ("torch", "expected"),
    [
        (SimpleNamespace(is_available=lambda: True, is_initialized=lambda: True, get_rank=lambda: 2), 2),
        (SimpleNamespace(is_available=lambda: True, is_initialized=lambda: False, get_rank=broken), 0),
        (SimpleNamespace(is_available=lambda: False), 0),
        (SimpleNamespace(is_available=broken), 0),
        (SimpleNamespace(), 0),
    ],
    ids=["initialised", "not initialised", "not available", "broken", "half imported"],
)
def test_torch_is_asked_only_when_it_is_there_and_initialised(
    torch: object, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.distributed", torch)  # type: ignore[arg-type]
    assert rank() == expected


@pytest.mark.fault("D19")
@pytest.mark.parametrize(("initialised", "expected"), [(True, 5), (False, 1)])
def test_the_rank_on_this_machine_stands_in_until_torch_knows_better(
    initialised: bool, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = SimpleNamespace(is_available=lambda: True, is_initialized=lambda: initialised, get_rank=lambda: 5)
    monkeypatch.setitem(sys.modules, "torch.distributed", torch)  # type: ignore[arg-type]
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert rank() == expected


@pytest.mark.fault("D19")
@pytest.mark.parametrize(("on_rank", "expected"), [(0, False), (1, True), (None, True)])
def test_one_rank_is_to_show_something_or_each(
    on_rank: int | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert is_to_show(on_rank) == expected


@pytest.mark.fault("C7")
@pytest.mark.parametrize("on_rank", [0, None])
def test_a_worker_that_imports_the_script_again_is_not_to_show_anything(
    on_rank: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    assert not is_to_show(on_rank)
