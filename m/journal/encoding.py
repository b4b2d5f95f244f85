"""How a record becomes one line of a journal. Knows nothing of files, and not how a line is read.

What the lines look like stands in `m.journal.records`.
"""

from __future__ import annotations

import json
import math
import re
import sys
from array import array
from base64 import b64encode
from typing import Any, Final

from m.journal.records import MAX_LINE, MAX_TEXT, NONFINITE, VERSION, End, Gap, Unrepresentable
from m.journal.redaction import redacted
from m.metrics.alerts import Alert
from m.metrics.loads import Layers, Loads, numbers_in
from m.metrics.run import Run
from m.metrics.snapshot import NUMBER_FIELDS, PendingSnapshot, TrainingSnapshot

try:
    import orjson
except Exception:  # an optional extra; a broken one is as good as none
    orjson = None  # type: ignore[assignment, unused-ignore]

SPELLED_LOADS: Final = 512
"""Loads by layer that are written at every step, as numbers. More are written in base64, and not at every step:"""
LOADS_BYTES_PER_S: Final = 20_000
"""a record of them waits until the one before has been spread over the time at this rate. So 48 layers of 1,024 experts
are written every 26 s; emits at which they are not written cost nothing for them."""
MOST_DOUBLES: Final = 80_000
"""More loads are written in single precision, and more than twice as many not at all: they would not fit in a line."""

_MAX_CACHED_NAMES: Final = 4096  # a run that makes up names at every step must not fill the memory
_PLAIN: Final = frozenset((float, int))
_PLAIN_OR_TEXT: Final = frozenset((float, int, bool, str))

_null = re.compile(b"null").search  # in half the time of the operator ``in``
_dumps = json.JSONEncoder(ensure_ascii=True, allow_nan=False, check_circular=False, separators=(",", ":")).encode


def encode(record: Run | Alert | Gap | End) -> bytes:
    """The line of a record that is no snapshot; for those there is `SnapshotEncoder`.

    Texts for people are cut at `MAX_TEXT`, and secrets in them are not written (`m.journal.redaction`). Raises
    ``TypeError`` or ``ValueError`` for a record with fields of other types than it declares.
    """
    content: dict[str, Any]
    if isinstance(record, Run):
        content = {
            "type": "run",
            "version": VERSION,
            "run_id": record.run_id,
            "attempt": int(record.attempt),
            "rank": int(record.rank),
            "description": _plain_words(record.description),
            "total_steps": None if record.total_steps is None else int(record.total_steps),
            "initial_step": int(record.initial_step),
            "started_at": float(record.started_at),
        }
    elif isinstance(record, Alert):
        content = {
            "type": "alert",
            "step": int(record.step),
            "rule": _plain_words(record.rule),
            "message": _plain_words(record.message),
            "value": _spelled(record.value),
        }
    elif isinstance(record, Gap):
        content = {"type": "gap", "lost": record.lost, "from_seq": record.from_seq, "to_seq": record.to_seq}
    else:
        content = {"type": "end", "seq": record.seq, "lost": record.lost, "time": round(record.time, 3)}
    return (_dumps(content) + "\n").encode("ascii")


class SnapshotEncoder:
    """Turns snapshots into lines; meant to be kept, since it remembers how the names of metrics are written.

    Most of what a line costs is the shortest exact form of its numbers, so it is built by hand, which is a third
    faster than ``json``, or by ``orjson`` where that is installed. Both handle what nearly every snapshot holds;
    `_careful` does the rest.
    """

    def __init__(self) -> None:
        self._names = _Names()
        self._loads_written = self._loads_due = -math.inf
        self._content: dict[str, Any] = {}
        self.unrepresentable = 0
        """Custom metrics so far that were written as ``{"unrepresentable": ...}``, or left out for their long names."""

    def encode(self, snapshot: TrainingSnapshot, seq: int, time: float) -> bytes:
        """The line of ``snapshot``, recorded at ``time`` (seconds since the epoch) as number ``seq`` of its attempt.

        Raises ``ValueError`` when it would be longer than `MAX_LINE` even with long names and texts left out, and for a
        whole number of more than 4,300 digits.
        """
        # One function as far as it goes: in caches that training has emptied, another one costs microseconds.
        if type(snapshot) is PendingSnapshot:
            snapshot = snapshot.resolve()
        layers: dict[str, Any] | None = None
        if (shares := snapshot.expert_utilization) and type(next(iter(shares.values()))) is Loads:
            layers = self._layers(shares, time)  # type: ignore[arg-type]
        if orjson is None:
            by_hand = self._by_hand(snapshot, seq, time, layers)
            if by_hand is not None and len(by_hand) <= MAX_LINE:
                return by_hand
        # Written out field by field: a loop over the names touches more of what training has pushed out of caches.
        content = self._content  # that of the line before, which as a rule has the same keys in the same order
        while True:
            known = len(content)
            content["type"] = "snapshot"
            content["seq"] = seq
            content["time"] = (time * 1000.0 + 0.5) // 1.0 / 1000.0  # round() costs three times that
            content["step"] = snapshot.step
            count = 4
            total: float = 0.0  # of all numbers: NaN or infinite when one of them is
            number: float | None
            if (number := snapshot.train_loss) is not None:
                content["train_loss"] = number
                total += number
                count += 1
            if (number := snapshot.val_loss) is not None:
                content["val_loss"] = number
                total += number
                count += 1
            if (number := snapshot.learning_rate) is not None:
                content["learning_rate"] = number
                total += number
                count += 1
            if (number := snapshot.aux_loss) is not None:
                content["aux_loss"] = number
                total += number
                count += 1
            if layers is not None:
                content.update(layers)
                count += len(layers)
                total = math.nan
            elif shares:
                content["expert_utilization"] = {str(expert): share for expert, share in shares.items()}
                total += sum(shares.values())  # type: ignore[arg-type]
                count += 1
            if (number := snapshot.batch_size) is not None:
                content["batch_size"] = number
                total += number
                count += 1
            if (number := snapshot.sequence_length) is not None:
                content["sequence_length"] = number
                total += number
                count += 1
            if (number := snapshot.gpu_memory_mb) is not None:
                content["gpu_memory_mb"] = number
                total += number
                count += 1
            if (number := snapshot.gradient_norm) is not None:
                content["gradient_norm"] = number
                total += number
                count += 1
            if metrics := snapshot.custom_metrics:
                content["custom_metrics"] = metrics
                count += 1
            if len(content) == count and (known == count or not known):
                break
            content = {}
        self._content = content if layers is None else {}
        for value in metrics.values():
            if type(value) is not float and type(value) is not int:
                total = math.nan
                break
            total += value
        is_plain = total - total == 0.0
        if orjson is not None and (is_plain or _are_plain_or_text(metrics)):
            try:
                line: bytes = orjson.dumps(content, None, orjson.OPT_APPEND_NEWLINE)
            except TypeError:  # a lone surrogate, an int of more than 64 bits
                pass
            else:  # it writes NaN as null and leaves text unescaped
                if (is_plain or _null(line) is None) and line.isascii() and len(line) <= MAX_LINE:
                    return line
        return self._careful(snapshot, content)

    def _layers(self, layers: Layers, time: float) -> dict[str, Any]:
        """The keys of a line that speak of loads by layer."""
        count = numbers_in(layers)
        if count <= SPELLED_LOADS:
            spelled = {label: {str(expert): load for expert, load in loads.items()} for label, loads in layers.items()}
            return {"expert_layers": {str(label): loads for label, loads in spelled.items()}}
        if self._loads_written <= time < self._loads_due or count > 2 * MOST_DOUBLES:
            return {"expert_layers_left_out": count}
        width = 8 if count <= MOST_DOUBLES else 4
        self._loads_written = time
        self._loads_due = time + count * width * 4 / 3 / LOADS_BYTES_PER_S
        return {"expert_layers": {str(label): _packed(loads, width) for label, loads in layers.items()}}

    def _by_hand(
        self, snapshot: TrainingSnapshot, seq: int, time: float, layers: dict[str, Any] | None = None
    ) -> bytes | None:
        """The line of a snapshot whose numbers are finite and of the usual types; None for any other."""
        step = snapshot.step
        if type(step) is not int:
            return None
        parts = [f'{{"type":"snapshot","seq":{seq},"time":{time:.3f},"step":{step}']
        add = parts.append
        total: float = 0.0  # of all numbers: NaN or infinite when one of them is
        number: float | None
        if (number := snapshot.train_loss) is not None:
            if type(number) is not float:
                return None
            total += number
            add(f',"train_loss":{number!r}')
        if (number := snapshot.val_loss) is not None:
            if type(number) is not float:
                return None
            total += number
            add(f',"val_loss":{number!r}')
        if (number := snapshot.learning_rate) is not None:
            if type(number) is not float:
                return None
            total += number
            add(f',"learning_rate":{number!r}')
        if (number := snapshot.aux_loss) is not None:
            if type(number) is not float:
                return None
            total += number
            add(f',"aux_loss":{number!r}')
        if layers is not None:
            try:
                add("," + _dumps(layers)[1:-1])
            except ValueError:  # NaN
                return None
        elif shares := snapshot.expert_utilization:
            loads: Any = shares.values()
            if not _PLAIN.issuperset(map(type, loads)):
                return None
            total += sum(loads)
            names = self._names
            add(f',"expert_utilization":{{{",".join([f"{names[k]}{v!r}" for k, v in shares.items()])}}}')
        if (number := snapshot.batch_size) is not None:
            if type(number) is not int:
                return None
            add(f',"batch_size":{number}')
        if (number := snapshot.sequence_length) is not None:
            if type(number) is not int:
                return None
            add(f',"sequence_length":{number}')
        if (number := snapshot.gpu_memory_mb) is not None:
            if type(number) is not float:
                return None
            total += number
            add(f',"gpu_memory_mb":{number!r}')
        if (number := snapshot.gradient_norm) is not None:
            if type(number) is not float:
                return None
            total += number
            add(f',"gradient_norm":{number!r}')
        if metrics := snapshot.custom_metrics:
            if not _PLAIN.issuperset(map(type, metrics.values())):
                return None
            total += sum(metrics.values())
            names = self._names
            add(f',"custom_metrics":{{{",".join([f"{names[k]}{v!r}" for k, v in metrics.items()])}}}')
        if total - total != 0.0:
            return None
        add("}\n")
        return "".join(parts).encode("ascii")

    def _careful(self, snapshot: TrainingSnapshot, content: dict[str, Any]) -> bytes:
        """The line of any ``content``, which is that of ``snapshot``."""
        for name in NUMBER_FIELDS:
            if name in content:
                content[name] = _spelled(content[name])
        for name, spelled in (("expert_utilization", _spelled), ("custom_metrics", self._custom)):
            if name in content:
                content[name] = {key: spelled(value) for key, value in content[name].items()}
        if "expert_layers" in content:
            content["expert_layers"] = {
                label: {key: _spelled(value) for key, value in loads.items()}
                for label, loads in content["expert_layers"].items()
            }
        metrics = content.get("custom_metrics", {})
        least = sum(len(name) + (len(value) if isinstance(value, str) else 0) for name, value in metrics.items())
        line = _dumps(content) + "\n" if least <= MAX_LINE else ""
        if metrics and not 0 < len(line) <= MAX_LINE:
            content["custom_metrics"] = self._short(metrics)
            line = _dumps(content) + "\n"
        if len(line) > MAX_LINE and content.pop("expert_layers", None) is not None:
            content["expert_layers_left_out"] = numbers_in(snapshot.expert_utilization)
            line = _dumps(content) + "\n"
        if len(line) > MAX_LINE:
            raise ValueError(f"a record may have {MAX_LINE} bytes; that of step {snapshot.step} has {len(line)}")
        return line.encode("ascii")

    def _short(self, metrics: dict[str, Any]) -> dict[str, Any]:
        """``metrics`` without those under very long names, and with a marker in place of very long texts."""
        short = {}
        for name, value in metrics.items():
            is_long = isinstance(value, str) and len(value) > MAX_TEXT
            if is_long or len(name) > MAX_TEXT:
                self.unrepresentable += 1
            if len(name) <= MAX_TEXT:
                short[name] = {"unrepresentable": "str"} if is_long else value
        return short

    def _custom(self, value: Any) -> Any:
        if isinstance(value, str):
            return {"text": value} if value in NONFINITE else value
        if isinstance(value, (int, float)):
            return _spelled(value)
        self.unrepresentable += 1
        kind = value.kind if isinstance(value, Unrepresentable) else type(value).__name__
        return {"unrepresentable": kind[:100]}


class _Names(dict[str | int, str]):
    """Name of a metric, or id of an expert -> how it is written before its value."""

    def __missing__(self, name: str | int) -> str:
        written = json.dumps(str(name)) + ":"
        if len(self) < _MAX_CACHED_NAMES and len(written) <= MAX_TEXT:
            self[name] = written
        return written


def _are_plain_or_text(metrics: dict[str, Any]) -> bool:
    """They are what both ways but `_careful` write as it is."""
    return all(type(value) in _PLAIN_OR_TEXT and value not in NONFINITE for value in metrics.values())


def _packed(loads: Loads, width: int) -> dict[str, Any]:
    """The loads as little-endian floats of ``width`` bytes, with the experts' numbers where those do not count up."""
    column = loads.numbers if width == 8 else array("f", loads.numbers)
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    packed: dict[str, Any] = {f"f{width}": b64encode(column).decode("ascii")}
    ids = loads.ids
    if list(ids) != list(range(len(ids))):
        packed["ids"] = list(ids)
    return packed


def _spelled(number: Any) -> Any:
    if not isinstance(number, float) or math.isfinite(number):
        return number
    return "NaN" if number != number else "Infinity" if number > 0 else "-Infinity"


def _plain_words(text: str) -> str:
    text = redacted(text[: 2 * MAX_TEXT])
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 3] + "..."
