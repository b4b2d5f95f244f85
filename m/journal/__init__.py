"""How a run is written down, one line a record, and read back. Knows neither the hub nor any sink.

``read`` gives a whole journal, ``Records`` one record at a time, ``Follower`` one that is still being written. Each
name below loads its module when it is first used: a sink that writes needs none of those that read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from m.lazy import lazy

if TYPE_CHECKING:
    from m.journal.decoding import NewerVersionError as NewerVersionError
    from m.journal.follower import Follower as Follower
    from m.journal.reader import Attempt as Attempt
    from m.journal.reader import Journal as Journal
    from m.journal.reader import Records as Records
    from m.journal.reader import read as read
    from m.journal.records import End as End
    from m.journal.records import Gap as Gap
    from m.journal.records import Recorded as Recorded
    from m.journal.records import Unknown as Unknown
    from m.journal.records import Unrepresentable as Unrepresentable

_HOMES = {
    "Attempt": "m.journal.reader",
    "End": "m.journal.records",
    "Follower": "m.journal.follower",
    "Gap": "m.journal.records",
    "Journal": "m.journal.reader",
    "NewerVersionError": "m.journal.decoding",
    "Recorded": "m.journal.records",
    "Records": "m.journal.reader",
    "Unknown": "m.journal.records",
    "Unrepresentable": "m.journal.records",
    "read": "m.journal.reader",
}

__all__ = [
    "Attempt",
    "End",
    "Follower",
    "Gap",
    "Journal",
    "NewerVersionError",
    "Recorded",
    "Records",
    "Unknown",
    "Unrepresentable",
    "read",
]

__getattr__, __dir__ = lazy(__name__, _HOMES)
