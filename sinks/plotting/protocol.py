"""What the training process tells the process that draws: frames of bytes, written and read. Nothing is sent here.

A frame is its length (four bytes, little-endian, kind included), one byte for its kind, and its body. Words are JSON;
points are raw little-endian doubles, first all steps, then all values. No pickle, and nothing of the user's but
numbers and names.
"""

from __future__ import annotations

import json
import struct
import sys
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from m.metrics.history import Folded, Kept
from m.metrics.running import Running
from sinks.plotting.milestones import SecondScale
from sinks.plotting.plan import HeatMap, Panel, Plan, RightAxis, Series, Show

HELLO: Final = b"h"
"""How and where to show: once, first."""
RUN: Final = b"r"
"""A run begins: everything before it is forgotten."""
SERIES: Final = b"n"
"""From now on ``id`` stands for the metric ``name``, whose points come anew."""
SHOW: Final = b"s"
"""What the figure shows besides points: plan, title, alerts."""
POINTS: Final = b"p"
"""Further points of one metric."""
KEPT: Final = b"k"
"""All that one metric's history keeps, in place of what was told: points were put together before they could be."""
END: Final = b"e"
"""Nothing follows; ``keep`` says whether the window stays."""

LARGEST: Final = 1 << 26
"""No frame is longer; whoever reads such a length reads something else."""

_HEAD: Final = struct.Struct("<Ic")
_ID: Final = struct.Struct("<I")


def frame(kind: bytes, body: bytes = b"") -> bytes:
    """One frame."""
    if len(body) + 1 > LARGEST:
        raise ValueError(f"a frame holds at most {LARGEST} bytes; got {len(body) + 1}")
    return _HEAD.pack(len(body) + 1, kind) + body


def words(kind: bytes, content: Mapping[str, Any]) -> bytes:
    """A frame with ``content`` as JSON. Lone surrogates survive, since everything else than ASCII is escaped."""
    return frame(kind, json.dumps(content).encode("ascii"))


def read_words(body: bytes) -> dict[str, Any]:
    """What `words` was given. Raises ``ValueError`` for anything else."""
    content = json.loads(body)
    if not isinstance(content, dict):
        raise ValueError(f"a frame of words must hold a JSON object; got {content!r:.80}")
    return content


def show(content: Show) -> bytes:
    """A frame that tells all of ``content``."""
    return words(SHOW, asdict(content))


def read_show(body: bytes) -> Show:
    """What `show` was given."""
    content = read_words(body)
    alerts = tuple((int(step), str(rule)) for step, rule in content["alerts"])
    second = content["second"]
    return Show(
        _plan(content["plan"]),
        content["title"],
        content["newest"],
        alerts,
        content["room"],
        None if second is None else SecondScale(second["kind"], tuple(second["steps"]), tuple(second["values"])),
        content["style"],
    )


def points(number: int, steps: array[float], values: array[float]) -> bytes:
    """A frame with points of the metric that goes by ``number``."""
    if sys.byteorder == "big":
        steps, values = steps[:], values[:]
        steps.byteswap()
        values.byteswap()
    return frame(POINTS, _ID.pack(number) + steps.tobytes() + values.tobytes())


def read_points(body: bytes) -> tuple[int, array[float], array[float]]:
    """What `points` was given. Raises ``ValueError`` when the columns differ in length."""
    numbers = len(body) - _ID.size
    if numbers < 0 or numbers % 16:
        raise ValueError(f"a frame of points must hold two columns of doubles; got {len(body)} bytes")
    middle = _ID.size + numbers // 2
    steps, values = array("d", body[_ID.size : middle]), array("d", body[middle:])
    if sys.byteorder == "big":
        steps.byteswap()
        values.byteswap()
    return _ID.unpack_from(body)[0], steps, values


def kept(number: int, content: Kept) -> bytes:
    """A frame with all that the history of the metric ``number`` keeps."""
    folded = content.folded
    words = {
        **asdict(folded.running),
        "last_step": folded.last_step,
        "coarsest": folded.coarsest,
        "start": content.start,
        "raw": len(content.steps),
        "levels": [table.shape[1] for table in folded.levels],
        "rows": [table.shape[0] for table in folded.levels],
    }
    head = json.dumps(words).encode("ascii")
    tables = [table.astype("<f8").tobytes() for table in folded.levels]
    columns = points(number, content.steps, content.values)[_HEAD.size + _ID.size :]
    return frame(KEPT, b"".join([_ID.pack(number), _ID.pack(len(head)), head, *tables, columns]))


def read_kept(body: bytes) -> tuple[int, Kept]:
    """What `kept` was given. Raises ``ValueError`` or ``KeyError`` for anything else. Loads NumPy."""
    import numpy as np

    number, length = _ID.unpack_from(body)[0], _ID.unpack_from(body, _ID.size)[0]
    at = 2 * _ID.size + length
    words = read_words(body[2 * _ID.size : at])
    levels = []
    for rows, columns in zip(words["rows"], words["levels"], strict=True):
        table = np.frombuffer(body, "<f8", rows * columns, at).astype(float).reshape(rows, columns)
        levels.append(table)
        at += 8 * rows * columns
    _, steps, values = read_points(_ID.pack(number) + body[at:])
    if len(steps) != words["raw"]:
        raise ValueError(f"a frame of what is kept must hold {words['raw']} points; got {len(steps)}")
    running = Running(*(words[name] for name in ("count", "finite", "smallest", "largest", "units")))
    folded = Folded(running, words["last_step"], tuple(levels), words["coarsest"])
    return number, Kept(steps, values, folded, words["start"])


class Frames:
    """Cuts a stream that arrives in pieces of any size into frames."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def add(self, piece: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The frames that ``piece`` completes, as kind and body. Raises ``ValueError`` for what is no frame."""
        rest = self._rest
        rest += piece
        at = 0
        try:
            while len(rest) - at >= _HEAD.size:
                length, kind = _HEAD.unpack_from(rest, at)
                if not 0 < length <= LARGEST:
                    raise ValueError(f"a frame must have 1 to {LARGEST} bytes; got {length}")
                end = at + _HEAD.size - 1 + length
                if len(rest) < end:
                    return
                body = bytes(rest[at + _HEAD.size : end])
                at = end
                yield kind, body
        finally:
            del rest[:at]


def _plan(content: dict[str, Any]) -> Plan:
    return Plan(
        content["rows"],
        content["cols"],
        (content["size"][0], content["size"][1]),
        tuple(_panel(panel) for panel in content["panels"]),
        tuple(content["left_out"]),
    )


def _panel(content: dict[str, Any]) -> Panel:
    right, heat_map, below = content["right"], content["heat_map"], content["below"]
    parts: dict[str, Any] = {
        "series": tuple(Series(**series) for series in content["series"]),
        "right": None if right is None else RightAxis(**right),
        "heat_map": None if heat_map is None else _heat_map(heat_map),
        "below": None if below is None else _panel(below),
        "larger": None if content["larger"] is None else tuple(content["larger"]),
    }
    return Panel(**{**content, **parts})


def _heat_map(content: dict[str, Any]) -> HeatMap:
    dead = content["dead"]
    experts = tuple((expert, name) for expert, name in content["experts"])
    return HeatMap(experts, content["among"], None if dead is None else tuple(dead))
