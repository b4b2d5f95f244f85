"""The records of a journal, and the format in which they stand there: one record is one line of JSON.

`m.journal.encoding` makes the lines and `m.journal.decoding` reads them; none of the three knows anything of files.

A line is a JSON object in ASCII (everything else is ``\\u``-escaped) that ends in ``\\n``, the only byte that ends a
record; names and texts cannot contain it unescaped. ``"type"`` says what it is:

=============  ======================================================================================================
``run``        the header of an attempt: ``version``, ``run_id``, ``attempt``, ``rank``, ``description``,
               ``total_steps``, ``initial_step``, ``started_at``. What follows belongs to it, up to the next header.
               The same ``run_id`` and ``attempt`` once more means that the attempt goes on: each segment of a journal
               begins with a header.
``snapshot``   ``seq`` (1 for the first of an attempt, then 2, 3, ...), ``time`` (wall clock, seconds since the epoch,
               to the millisecond), ``step`` and those fields of `TrainingSnapshot` that are not None or empty
``alert``      ``step``, ``rule``, ``message``, ``value``
``gap``        ``lost`` records could not be written; ``from_seq`` to ``to_seq`` are the snapshots among them, null
               when only alerts were lost
``end``        the attempt was closed: ``seq`` of its newest snapshot, ``lost`` in all, ``time``
=============  ======================================================================================================

Loads by layer stand under ``expert_layers`` instead of ``expert_utilization``: label of the layer -> loads. Those are
numbers by expert, or ``{"f8": "..."}``, little-endian doubles in base64 (``f4``: single precision), in the order of the
experts' numbers from 0 on unless ``ids`` lists those. Where there are many, most snapshots have
``expert_layers_left_out`` instead: how many loads were given at this step and are not written
(`m.journal.encoding.LOADS_BYTES_PER_S`).

What tells a snapshot from any other is ``run_id``, ``attempt`` and ``rank`` of its header and its own ``seq``; the
step is a label that may repeat.

Numbers that JSON lacks are the strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, wherever a number may stand. A
custom metric may be text as well, so those three texts are written as ``{"text": "NaN"}``, and any other string means
itself. A custom metric that is no number, bool or text is written as ``{"unrepresentable": "list"}``, with its type,
and so is a text of more than `MAX_TEXT` characters in a line that would be longer than `MAX_LINE`.
Everything else reads back exactly as it was, with two exceptions: two lone surrogates that make a pair become one
character, and an empty utilization that was given is as none.

Readers keep the keys of a snapshot that they do not know, ignore those of other records, and pass on types that they
do not know. `VERSION` goes up only when a reader of the
one before would misunderstand a record.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot

VERSION: Final = 1
"""The version in the headers that are written here, and the highest that is read."""
MAX_LINE: Final = 1_000_000
"""Bytes in a line, its newline included; nothing longer is written or read."""
MAX_DEPTH: Final = 20
"""Objects and lists inside each other in a line that is read."""
MAX_NAMES: Final = 10_000
"""Names of metrics in a journal that a reader takes unless told otherwise: 60 layers of 128 experts fit."""
MAX_TEXT: Final = 10_000
"""Characters of a description or message that are kept, of each text in a record that would be too long, and of a name
that a reader takes."""
HEADER_START: Final = b'{"type":"run",'
"""How the line of every header begins, and no other line."""
NONFINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""The numbers that JSON lacks, by how they are spelled."""


@dataclass(slots=True, frozen=True)
class Unrepresentable:
    """Stands in a snapshot that was read for a custom metric that a journal cannot hold."""

    kind: str
    """Name of its type."""


@dataclass(slots=True, frozen=True)
class Recorded:
    """A snapshot as it stands in a journal."""

    seq: int
    """Its number within the attempt, from 1."""
    time: float
    """When it was recorded: wall clock, seconds since the epoch, to the millisecond."""
    snapshot: TrainingSnapshot
    extra: dict[str, Any] = field(default_factory=dict)
    """Keys of its line that this version does not know, with their values as JSON gives them."""


@dataclass(slots=True, frozen=True)
class Gap:
    """Records that could not be written, between the records before and after this one."""

    lost: int
    """How many, alerts included."""
    from_seq: int | None = None
    """The first snapshot among them; None when there were only alerts."""
    to_seq: int | None = None
    """The last snapshot among them; None when there were only alerts."""


@dataclass(slots=True, frozen=True)
class End:
    """The attempt was closed. An attempt without it is still running, or was killed."""

    seq: int
    """Number of its newest snapshot, written or lost; 0 when there was none."""
    lost: int
    """Records of this attempt that could not be written."""
    time: float
    """Wall clock, seconds since the epoch."""


@dataclass(slots=True, frozen=True)
class Unknown:
    """A record of a type that this version does not know."""

    type: str
    content: dict[str, Any]
    """All of the record's keys and values, as JSON gives them."""


Record: TypeAlias = Run | Recorded | Alert | Gap | End | Unknown
