"""The loads of experts as a snapshot holds them: one mapping expert -> load, or one such mapping for each layer.

What the loads say is worked out in `m.metrics.experts`; nothing is computed here.

Fifty layers of a thousand experts are given at every step, and looking at each of those numbers costs milliseconds.
So at the door a layer is only copied (`Loads`), and looked at when somebody reads it.
"""

from __future__ import annotations

from array import array
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, Sized, ValuesView
from itertools import islice
from typing import Any, Final, TypeAlias

from m.metrics.steps import FARTHEST, whole_step
from m.metrics.values import DeferredColumn, DeferredNumber, leave_out, to_column, to_number

_PLAIN: Final = frozenset((float, int))
_INT: Final = frozenset((int,))
_LISTS: Final = (list, tuple, array)
_LAYER: Final = "the loads of a layer"


class Loads(Mapping[int, float]):
    """The loads of one layer by the number of the expert, as they were given: shares or counts. Never changes.

    A mapping was copied when the snapshot was made, and so was a list or array, in which the position is the expert's
    number. The numbers are looked at when they are first read, by whatever thread that is; those that are no numbers
    are then left out and counted, like anything that is not one number.
    """

    __slots__ = ("_given", "_label", "_numbers", "_plain", "is_late")

    def __init__(
        self, given: dict[Any, Any] | Sequence[Any] | DeferredColumn, label: str | int, late: bool = False
    ) -> None:
        """``given`` is owned by this object; ``label`` is that of the layer, for the log."""
        self.is_late = late
        """Whether numbers were given that are on their way from a device."""
        self._given = given
        self._label = label
        self._plain: dict[int, float] | None = None
        self._numbers: array[float] | None = None

    @property
    def ids(self) -> Sequence[int]:
        """The numbers of the experts, in the order of `numbers`."""
        numbers = self.numbers
        return list(self._plain) if self._plain is not None else range(len(numbers))

    @property
    def numbers(self) -> array[float]:
        """The loads as a column, in the order in which they were given; not to be changed."""
        if self._numbers is None:
            given = self._given
            if isinstance(given, DeferredColumn):
                column = given.resolve_column()
                self._numbers = array("d") if column is None else column
            elif isinstance(given, array):
                self._numbers = given if given.typecode == "d" else array("d", given)
            else:
                self._read()
        numbers = self._numbers
        return array("d") if numbers is None else numbers

    def is_ready(self) -> bool:
        """Reading will not wait for a device."""
        given = self._given
        if isinstance(given, DeferredColumn):
            return given.is_ready()
        values = given.values() if isinstance(given, dict) else given
        return all(value.is_ready() for value in values if type(value) is DeferredNumber)

    def resolve(self) -> Loads:
        """The same with all numbers at hand; waits for the device. Never raises."""
        return Loads(self.numbers if self._is_column else self._read(), self._label)

    @property
    def _is_column(self) -> bool:
        return isinstance(self._given, (array, DeferredColumn))

    def _read(self) -> dict[int, float]:
        plain = self._plain
        if plain is None:
            given = self._given
            if isinstance(given, (array, DeferredColumn)):
                plain = dict(enumerate(self.numbers))
            else:
                named = given if isinstance(given, dict) else dict(enumerate(given))
                column = _column_of(named)
                if column is None:
                    named = _numbers_only(named, _named(self._label))
                    column = array("d", named.values())
                plain, self._numbers = named, column
            self._plain = plain
        return plain

    def __getitem__(self, expert: int) -> float:
        return self._read()[expert]

    def __iter__(self) -> Iterator[int]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self.numbers) if self._is_column else len(self._read())

    def keys(self) -> KeysView[int]:
        return self._read().keys()

    def values(self) -> ValuesView[float]:
        return self._read().values()

    def items(self) -> ItemsView[int, float]:
        return self._read().items()

    def __repr__(self) -> str:
        return repr(self._read())


Layers: TypeAlias = dict[str | int, Loads]
"""Label of a layer -> its loads."""
Utilization: TypeAlias = dict[int, float] | Layers
"""What a snapshot holds: expert -> load, or the same for each layer. `layers_of` takes both."""


class NoLoads(dict[int, float]):
    """The utilization of a snapshot that was given an empty one, or one that is of no use: somebody who has experts
    lacks their loads. A snapshot that was given none at all, as that of a dense model, has a plain empty dictionary."""

    __slots__ = ()


def layers_of(utilization: Mapping[Any, Any]) -> list[tuple[str | int | None, Mapping[int, float]]]:
    """Each layer's label and loads, in the order in which they were given; a label of None for a mapping that is not
    by layer. Nothing for an empty one."""
    if not utilization:
        return []
    if is_by_layer(utilization):
        return list(utilization.items())
    return [(None, utilization)]


def is_by_layer(utilization: Mapping[Any, Any]) -> bool:
    """Whether a snapshot's utilization holds a mapping for each layer."""
    return any(isinstance(value, Mapping) for value in islice(utilization.values(), 1))


def numbers_in(utilization: Mapping[Any, Any]) -> int:
    """How many loads there are, over all layers. Looks at no load."""
    if not is_by_layer(utilization):
        return len(utilization)
    return sum([len(_given_in(loads)) for loads in utilization.values()])


def ids_of(loads: Mapping[int, float]) -> Sequence[int]:
    """The numbers of the experts, in the order in which they were given; of a column without making a mapping of it."""
    return loads.ids if isinstance(loads, Loads) else list(loads)


# -- the door -----------------------------------------------------------------------------------------------------


def as_mapping(given: Any) -> dict[Any, Any]:
    """An own copy of the mapping ``given``; of a list or array by its positions. Raises for anything else."""
    if hasattr(given, "keys"):
        return dict(given)
    if isinstance(given, _LISTS) or getattr(given, "ndim", 0) in (1, 2):
        return dict(enumerate(given))
    raise TypeError("no mapping")


def are_plain(given: Mapping[Any, Any]) -> bool:
    """Whether every key is an int and every value a float, or an int that a float can hold."""
    return _column_of(given) is not None


def has_layers(given: Mapping[Any, Any]) -> bool:
    """Whether one of the values is no number but a mapping, a list or an array of several numbers."""
    return any(_is_layer(value) for value in given.values())


def layers(given: Mapping[Any, Any]) -> Layers:
    """Each layer's loads under its label: a text, or a number where it spells one. Never raises.

    Numbers among the layers, what is no layer and a label that comes twice are left out and counted.
    """
    found: Layers = {}
    for key, value in given.items():
        label = key if type(key) is int and -FARTHEST < key < FARTHEST else _label(key)
        if label is None or label in found:
            why = "the label of a layer" if label is None else "another layer than one given before"
            leave_out(key, _named(key), why)
            continue
        loads = _loads(value, label)
        if loads is not None:
            found[label] = loads
    return found


def plain_loads(given: Mapping[Any, Any], name: str = "expert_utilization") -> dict[int, Any]:
    """Expert -> load, of which some may be a `DeferredNumber`. What is none is left out and counted; never raises."""
    plain: dict[int, Any] = {}
    for key, share in given.items():
        try:
            number = whole_step(int(key) if isinstance(key, str) else key)
        except Exception:
            leave_out(key, f"{name}[{shown(key)}]", "the number of an expert")
            continue
        if number in plain:
            leave_out(key, f"{name}[{shown(key)}]", "another expert than one given before")
            continue
        value = share if type(share) is DeferredNumber else to_number(share, f"{name}[{number}]")
        if value is not None:
            plain[number] = value
    return plain


def shown(value: Any) -> str:
    """A key in a message."""
    try:
        return f"{value!r:.80}"
    except Exception:
        return "what cannot be shown"


def _loads(value: Any, label: str | int) -> Loads | None:
    try:
        if type(value) is Loads:
            return value
        if type(value) is dict or isinstance(value, Mapping):
            owned = value.copy() if type(value) is dict else dict(value)
            # a number that is no Python number may live on a device, which is read when it is given or not at all
            return Loads(owned, label) if _begins_plain(owned.values()) else _looked_at(owned, label)
        if isinstance(value, _LISTS):
            owned_list = value[:] if isinstance(value, array) else list(value)
            return Loads(owned_list, label) if _begins_plain(owned_list) else _looked_at(enumerate(owned_list), label)
        if getattr(value, "ndim", 0):
            column = to_column(value, _named(label))
            return None if column is None else Loads(column, label, isinstance(column, DeferredColumn))
    except Exception:  # a mapping that another thread is changing, foreign code
        pass
    leave_out(value, _named(label), _LAYER)
    return None


def _named(label: Any) -> str:
    """What the log calls a layer."""
    return f"expert_utilization[{shown(label)}]"


def _begins_plain(values: Iterable[Any]) -> bool:
    return type(next(iter(values), 0.0)) in _PLAIN


def _looked_at(given: Any, label: str | int) -> Loads:
    found = plain_loads(dict(given), _named(label))
    return Loads(found, label, any(type(load) is DeferredNumber for load in found.values()))


def _column_of(given: Mapping[Any, Any]) -> array[float] | None:
    """The values as doubles; None unless every key is an int and every value a float, or an int that one can hold."""
    if not _INT.issuperset(map(type, given)) or not _PLAIN.issuperset(map(type, given.values())):
        return None
    try:
        return array("d", list(given.values()))
    except OverflowError:
        return None


def _numbers_only(given: Mapping[Any, Any], name: str) -> dict[int, float]:
    found = plain_loads(given, name)
    resolved = {expert: load.resolve() if type(load) is DeferredNumber else load for expert, load in found.items()}
    return {expert: load for expert, load in resolved.items() if load is not None}


def _is_layer(value: Any) -> bool:
    if type(value) is float or isinstance(value, str):
        return False
    if isinstance(value, (Mapping, *_LISTS)):
        return True
    try:
        if not getattr(value, "ndim", 0):
            return False
        return bool((value.numel() if hasattr(value, "numel") else value.size) != 1)
    except Exception:  # an object that answers with an exception
        return False


def _label(key: Any) -> str | int | None:
    if isinstance(key, str):
        text = str.__str__(key)
        if len(text) > 20 or not (text.isascii() and text.removeprefix("-").isdigit()):
            return text
        number = int(text)
        return number if str(number) == text else text
    try:
        return whole_step(key)
    except Exception:
        return None


def _given_in(loads: Mapping[int, float]) -> Sized:
    """Has as many entries as were given for a layer."""
    return loads if type(loads) is not Loads or isinstance(loads._given, DeferredColumn) else loads._given
