"""How a line of a journal becomes a record again. Knows nothing of files, and not how a line is written.

What the lines look like stands in `m.journal.records`.
"""

from __future__ import annotations

import json
import logging
import sys
from array import array
from base64 import b64decode
from collections.abc import Iterable, Iterator
from typing import Any

from m.journal.records import (
    MAX_DEPTH,
    MAX_LINE,
    MAX_NAMES,
    MAX_TEXT,
    NONFINITE,
    VERSION,
    End,
    Gap,
    Record,
    Recorded,
    Unknown,
    Unrepresentable,
)
from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import FIELDS, NUMBER_FIELDS, TrainingSnapshot

logger = logging.getLogger(__name__)


class NewerVersionError(ValueError):
    """The header names a version of the format above `VERSION`."""


class Decoder:
    """Decodes lines one after another: what is no record is skipped and counted, and names are kept within a limit.

    ``max_names`` is how many names of metrics, experts included, are taken, none longer than `MAX_TEXT`; whoever keeps
    something for each name (a curve, say) is safe from a file that makes up new ones in every line. Raises
    ``ValueError`` below 1.
    """

    def __init__(self, max_names: int = MAX_NAMES) -> None:
        if isinstance(max_names, bool) or not isinstance(max_names, int) or max_names < 1:
            raise ValueError(f"max_names must be a whole number of 1 or more; got {max_names!r:.80}")
        self.bad_lines = 0
        """Lines that were no record."""
        self.left_out = 0
        """Values of metrics that were left out because of their names: too many, or too long."""
        self._max_names = max_names
        self._names: set[str | int] = set()

    def records(self, lines: Iterable[bytes]) -> Iterator[Record]:
        """The records in ``lines``. Raises `NewerVersionError` at a header above `VERSION`."""
        for line in lines:
            if line.isspace():
                continue
            try:
                record = decode(line)
            except NewerVersionError:
                raise
            except ValueError:
                self.bad_lines += 1
                continue
            if isinstance(record, Recorded):
                self._limit(record.snapshot.expert_utilization)
                self._limit(record.snapshot.custom_metrics)
            yield record

    def _limit(self, values: dict[Any, Any]) -> None:
        known = self._names
        if known.issuperset(values):
            return
        for name in [name for name in values if name not in known]:
            if len(known) < self._max_names and (type(name) is int or len(name) <= MAX_TEXT):
                known.add(name)
                continue
            del values[name]
            self.left_out += 1
            if self.left_out == 1:
                logger.warning(
                    "names of metrics past the first %d (max_names= takes more) or longer than %d characters are left "
                    "out with their values, which are counted",
                    self._max_names,
                    MAX_TEXT,
                )


def decode(line: bytes) -> Record:
    """The record in a line, with or without its newline.

    Raises ``ValueError`` when it is none: too long, too deep, not JSON, or without what its type must have; and
    `NewerVersionError` for a header above `VERSION`. Nothing in a line is obeyed: it is data from whoever wrote it.
    """
    content = _parsed(line)
    kind = _get(content, "type", str)
    if kind == "snapshot":
        extra = {} if _KEYS.issuperset(content) else {key: content[key] for key in content.keys() - _KEYS}
        return Recorded(_get(content, "seq", int), _time(content, "time"), _snapshot(content), extra)
    if kind == "run":
        version = _get(content, "version", int)
        if version > VERSION:
            raise NewerVersionError(
                f"this journal was written in version {version} of the format, and this library reads up to {VERSION}"
            )
        return Run(
            description=_get(content, "description", str),
            total_steps=_get(content, "total_steps", int, type(None)),
            initial_step=_get(content, "initial_step", int),
            run_id=_get(content, "run_id", str),
            attempt=_get(content, "attempt", int),
            started_at=_time(content, "started_at"),
            rank=_get({"rank": 0, **content}, "rank", int),
        )
    if kind == "alert":
        value = content.get("value")
        try:
            return Alert(
                step=_get(content, "step", int),
                rule=_get(content, "rule", str) or "alert",
                message=_get(content, "message", str),
                value=None if value is None else _number(value),
            )
        except TypeError as error:  # a step past the end of all steps
            raise ValueError(str(error)) from None
    if kind == "gap":
        none = type(None)
        first, last = _get(content, "from_seq", int, none), _get(content, "to_seq", int, none)
        return Gap(_get(content, "lost", int), first, last)
    if kind == "end":
        return End(_get(content, "seq", int), _get(content, "lost", int), _time(content, "time"))
    return Unknown(kind, content)


def _snapshot(content: dict[str, Any]) -> TrainingSnapshot:
    values: dict[str, Any] = {"train_loss": None}
    for name in NUMBER_FIELDS:
        if name in content:
            values[name] = _number(content[name])
    if "expert_utilization" in content:
        shares = _get(content, "expert_utilization", dict)
        values["expert_utilization"] = {int(expert): _number(share) for expert, share in shares.items()}
    if "expert_layers" in content:
        layers = _get(content, "expert_layers", dict)
        values["expert_utilization"] = {label: _loads(loads) for label, loads in layers.items()}
    if "custom_metrics" in content:
        metrics = _get(content, "custom_metrics", dict)
        values["custom_metrics"] = {
            name: value if type(value) is float else _custom_value(value) for name, value in metrics.items()
        }
    try:
        return TrainingSnapshot(_get(content, "step", int), **values)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _loads(content: Any) -> dict[int, float] | array[float]:
    """The loads of one layer, from numbers by expert or from packed floats."""
    if type(content) is not dict:
        raise ValueError(f"not the loads of a layer: {content!r:.80}")
    kind = next((kind for kind in ("f8", "f4") if kind in content), None)
    if kind is None:
        return {int(expert): _number(load) for expert, load in content.items()}
    column = array("d" if kind == "f8" else "f")
    column.frombytes(b64decode(_get(content, kind, str), validate=True))
    if sys.byteorder == "big":
        column.byteswap()
    if "ids" not in content:
        return column
    ids = _get(content, "ids", list)
    if not all(type(expert) is int for expert in ids):
        raise ValueError("the numbers of experts must be whole numbers")
    return dict(zip(ids, column, strict=True))


def _custom_value(value: Any) -> Any:
    if isinstance(value, str):
        return NONFINITE.get(value, value)
    if isinstance(value, dict) and len(value) == 1:
        ((key, inner),) = value.items()
        if isinstance(inner, str):
            if key == "text":
                return inner
            if key == "unrepresentable":
                return Unrepresentable(inner)
    return value


def _number(value: Any) -> Any:
    if isinstance(value, (float, int)):
        return value
    if isinstance(value, str) and value in NONFINITE:
        return NONFINITE[value]
    raise ValueError(f"not a number: {value!r:.80}")


def _time(content: dict[str, Any], key: str) -> float:
    try:
        return float(_get(content, key, int, float))
    except OverflowError:
        raise ValueError(f"{key!r} is past the end of time") from None


def _get(content: dict[str, Any], key: str, *types: type) -> Any:
    try:
        value = content[key]
    except KeyError:
        raise ValueError(f"a record without {key!r}") from None
    if type(value) not in types:
        raise ValueError(f"{key!r} cannot be {value!r:.80}")
    return value


_KEYS = frozenset(("type", "seq", "time", "expert_layers", *FIELDS))


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_parse = json.JSONDecoder(parse_constant=_refuse).decode


def _parsed(line: bytes) -> dict[str, Any]:
    if len(line) > MAX_LINE:
        raise ValueError(f"a line of {len(line)} bytes; at most {MAX_LINE} are read")
    try:
        content = _parse(line.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deep to be read") from None
    if not isinstance(content, dict):
        raise ValueError(f"not an object: {content!r:.80}")
    if line.count(b"{") + line.count(b"[") > MAX_DEPTH and _deeper_than(MAX_DEPTH, content):
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    return content


def _deeper_than(limit: int, value: Any) -> bool:
    level = [value]
    for _ in range(limit):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below.extend(each.values())
            elif isinstance(each, list):
                below.extend(each)
        level = [each for each in below if isinstance(each, (dict, list))]
        if not level:
            return False
    return True
