"""Hubs and displays do not travel: what comes out of a pickle shows nothing, and says so."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)

_said = False


def say_that_it_was_pickled(what: str) -> None:
    """Tell in the log that somebody uses ``what`` came out of a pickle, once in a process. Never raises.

    The workers of ``torch.multiprocessing.spawn``, which train, get what they are given in a pickle.
    """
    global _said
    if _said:
        return
    _said = True
    try:
        logger.warning(
            "this %s came in a pickle and shows and writes nothing: it does not travel to another process. Make one in "
            "the process that trains",
            what,
        )
    except Exception:  # a logging handler; nobody's training ends for it
        pass
