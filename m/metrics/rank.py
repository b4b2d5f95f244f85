"""Which of the processes of one training this is: read from what launchers and frameworks say, never initialised."""

from __future__ import annotations

import os
import sys
from typing import Final

_FROM_LAUNCHERS: Final = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK")


def rank() -> int:
    """The rank of this process, 0 where there is only one. Read anew at each call, since launch code may set it late.

    From the environment of torchrun, ``srun``, Open MPI, PMIx and PMI, in this order; then from ``torch.distributed``,
    if that has been initialised already; then ``LOCAL_RANK`` beside a ``WORLD_SIZE`` of several, which is all that
    Lightning gives to the processes that it starts itself. What is no whole number is passed over.
    """
    for name in _FROM_LAUNCHERS:
        text = os.environ.get(name, "")
        if text.isdecimal() and (name != "SLURM_PROCID" or _in_a_step_of_several_tasks()):
            return int(text)
    in_torch = _rank_in_torch()
    if in_torch is not None:
        return in_torch
    local, several = os.environ.get("LOCAL_RANK", ""), os.environ.get("WORLD_SIZE", "") not in ("", "0", "1")
    return int(local) if several and local.isdecimal() else 0


def is_to_show(on_rank: int | None) -> bool:
    """Whether this process is to show something: the one of rank ``on_rank``, or with None each of them.

    None is while it imports the script again.
    """
    return not imports_the_script_again() and (on_rank is None or rank() == on_rank)


def imports_the_script_again() -> bool:
    """This is a process that `multiprocessing` has started by spawn or forkserver, and it is importing the main script.

    What stands at the top of the script runs here once more, while the training shows its own.
    """
    process = sys.modules.get("multiprocessing.process")
    return process is not None and getattr(process.current_process(), "_inheriting", False)


def check_on_rank(on_rank: object) -> None:
    """Raise ``TypeError`` unless ``on_rank``, the one that shows something, is a whole number, or None for each."""
    if on_rank is not None and (isinstance(on_rank, bool) or not isinstance(on_rank, int)):
        raise TypeError(f"on_rank must be a whole number or None; got {on_rank!r:.80}")


def _in_a_step_of_several_tasks() -> bool:
    """``SLURM_PROCID`` is set in batch scripts and interactive shells too, where every program would be rank 0."""
    tasks = os.environ.get("SLURM_NTASKS", "")
    return "SLURM_STEP_ID" in os.environ and tasks.isdecimal() and int(tasks) > 1


def _rank_in_torch() -> int | None:
    distributed = sys.modules.get("torch.distributed")
    try:
        if distributed is not None and distributed.is_available() and distributed.is_initialized():
            return int(distributed.get_rank())
    except Exception:  # half imported, or not what it seems
        pass
    return None
