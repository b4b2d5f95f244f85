"""Foreign numbers become plain Python numbers here, once; nothing past this file asks what a value is.

Accepted without importing their libraries: NumPy scalars and size-1 arrays, PyTorch tensors on any device, JAX arrays,
``Decimal``, ``Fraction`` and whatever else has ``__float__`` or ``item()``. What cannot be one number is counted and
named once in the log, never raised: a metric is not worth a training run.
"""

from __future__ import annotations

import logging
import sys
from array import array
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

from m.metrics.text import harmless

logger = logging.getLogger(__name__)

Number: TypeAlias = float | int | bool

_EXACT_INT: Final = 2**63  # beyond it neither a float, a JSON reader nor a plot keeps an int exact
_MAX_NAMED: Final = 200  # names that are each warned about once

_unconvertible = 0
_warned: set[str] = set()
_COLUMN: Final = "a column of numbers"
_CONTAINERS: Final = (list, tuple, dict, set, frozenset)
_PLAIN_TYPES: Final = frozenset((float, int, bool, str, type(None)))
_DEEPEST: Final = 10
_copy_of_jax: Callable[[Any], Any] | None = None


class DeferredNumber:
    """A number that is still on its way from a device: the copy has been started, nothing has waited for it.

    ``resolve`` waits for the copy and gives the number, or None (counted) when it could not be had. The autograd
    graph is not kept.
    """

    __slots__ = ("_event", "_name", "_value")

    def __init__(self, value: Any, name: str, event: Any = None) -> None:
        self._value = value
        self._name = name
        self._event = event

    def is_ready(self) -> bool:
        """`resolve` will not wait."""
        try:
            if self._event is not None:
                return bool(self._event.query())
            asks = getattr(self._value, "is_ready", None)  # JAX
            return True if asks is None else bool(asks())
        except Exception:
            return True  # resolve says what is wrong

    def resolve(self) -> Number | None:
        """The number, waiting for the copy. None (counted) when it could not be had."""
        try:
            if self._event is not None:
                self._event.synchronize()
            return _plain(self._value.item(), self._name)
        except Exception as error:
            _give_up(self._value, self._name, error)
            return None

    def __float__(self) -> float:
        number = self.resolve()
        return float("nan") if number is None else float(number)


_Late = TypeVar("_Late", bound=DeferredNumber)


class DeferredColumn(DeferredNumber):
    """The same for an array of one dimension: ``resolve_column`` waits for the copy and gives its numbers."""

    __slots__ = ()

    def resolve_column(self) -> array[float] | None:
        """The numbers, waiting for the copy. None (counted) when they could not be had."""
        try:
            if self._event is not None:
                self._event.synchronize()
            return _doubles(self._value)
        except Exception as error:
            _give_up(self._value, self._name, error, _COLUMN)
            return None


def to_number(value: Any, name: str) -> Number | DeferredNumber | None:
    """The plain number that ``value`` is; None when it is None or not one number (counted, named once in the log).

    A value that lives on a device gives a `DeferredNumber`: reading it here would stop the training loop until the
    device has caught up. Never raises.
    """
    if value is None:
        return None
    try:
        if hasattr(value, "item"):
            return _from_array(value, name)
        if isinstance(value, (float, int)) or hasattr(value, "__float__"):
            return _plain(value, name)
    except Exception as error:
        _give_up(value, name, error)
        return None
    _give_up(value, name, None)
    return None


def to_column(value: Any, name: str) -> array[float] | DeferredColumn | None:
    """The numbers of an array or tensor of one dimension, as doubles; None when it is none (counted, named once).

    One that lives on a device gives a `DeferredColumn`, as in `to_number`. Never raises.
    """
    try:
        if value.ndim != 1:
            _give_up(value, name, None, _COLUMN)
            return None
        kind = getattr(getattr(value, "device", None), "type", None)
        if kind is not None and kind not in ("cpu", "meta"):
            return _start_torch_copy(value.detach(), kind, name, DeferredColumn)
        if hasattr(value, "copy_to_host_async"):  # JAX
            asks = getattr(value, "is_ready", None)
            if asks is None or not asks():
                return _start_jax_copy(value, name, DeferredColumn)
        return _doubles(value)
    except Exception as error:
        _give_up(value, name, error, _COLUMN)
        return None


def to_metric(value: Any, name: str) -> Any:
    """Like `to_number` for a custom metric, which may hold anything: text and the user's own objects stay as they are.

    Arrays and tensors of more than one element are left out (counted): kept, they would hold memory and a graph. A
    list, tuple, set or dict is copied with its contents made plain in the same way, and None in place of one that is
    left out; so is one that is on a device, since nobody waits for what is in a container.
    """
    return _to_metric(value, name, 0)


def _to_metric(value: Any, name: str, depth: int) -> Any:
    """As `to_metric`, ``depth`` containers down."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if isinstance(value, str):  # np.str_, an Enum of strings
        return str.__str__(value)
    try:
        if isinstance(value, (float, int)) or hasattr(value, "item") or hasattr(value, "__float__"):
            return to_number(value, name)
        if hasattr(value, "dtype") or hasattr(value, "__array__") or isinstance(value, complex):
            return _give_up(value, name, None)
        if isinstance(value, _CONTAINERS):
            return _contents(value, name, depth + 1)
    except Exception as error:  # an object that answers hasattr with an exception
        _give_up(value, name, error)
        return None
    return value


def _contents(value: Any, name: str, depth: int) -> Any:
    """An own copy of a container that no tensor is kept in."""
    if depth > _DEEPEST:  # or it holds itself
        return _give_up(value, name, None, f"a value in at most {_DEEPEST} containers")
    if isinstance(value, dict):
        return {key: _content(each, name, depth) for key, each in list(value.items())}
    found = list(value)
    if not _PLAIN_TYPES.issuperset(map(type, found)):
        found = [_content(each, name, depth) for each in found]
    if isinstance(value, list):
        return found
    if isinstance(value, tuple):
        return type(value)._make(found) if hasattr(value, "_make") else tuple(found)
    return set(found)


def _content(value: Any, name: str, depth: int) -> Any:
    found = _to_metric(value, name, depth)
    if type(found) is DeferredNumber:
        return _give_up(value, name, None, "a number on this side of a device, as it must be in a container,")
    return found


def leave_out(value: Any, name: str, wanted: str = "one number") -> None:
    """Count a value that is not what was ``wanted``, and name it once in the log."""
    _give_up(value, name, None, wanted)


def unconvertible_count() -> int:
    """How many values in this process were not one number and were left out, since import."""
    return _unconvertible


def _from_array(value: Any, name: str) -> Number | DeferredNumber | None:
    size = value.numel() if hasattr(value, "numel") else getattr(value, "size", 1)
    if size != 1:
        _give_up(value, name, None)
        return None
    if hasattr(value, "mask") and bool(value.mask):  # NumPy's masked arrays, whose item() is what lies below the mask
        leave_out(value, name, "a number that counts")
        return None
    device = getattr(value, "device", None)
    kind = getattr(device, "type", None)  # only PyTorch names its device types
    if kind is not None and kind not in ("cpu", "meta"):
        return _start_torch_copy(value.detach(), kind, name, DeferredNumber)
    if hasattr(value, "copy_to_host_async"):  # JAX, whose arrays are futures even on the CPU
        asks = getattr(value, "is_ready", None)
        return (
            _plain(value.item(), name) if asks is not None and asks() else _start_jax_copy(value, name, DeferredNumber)
        )
    return _plain(value.item(), name)


def _start_torch_copy(value: Any, kind: str, name: str, late: type[_Late]) -> _Late:
    """Snapshot ``value`` in stream order without waiting: its next in-place update must not change what was emitted."""
    if kind == "cuda":
        torch = sys.modules["torch"]
        host = value.to("cpu", non_blocking=True)
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(value.device))
        return late(host, name, event)
    return late(value.clone(), name)


def _start_jax_copy(value: Any, name: str, late: type[_Late]) -> _Late:
    """The same for JAX, whose next step may be given the array's memory as its own (donation), as it often is with the
    learning rate in an optimizer's state. An array on several hosts is taken as it is: no computation starts on those.
    """
    global _copy_of_jax
    if getattr(value, "is_fully_addressable", False):
        if _copy_of_jax is None:
            jax = sys.modules["jax"]
            _copy_of_jax = jax.jit(jax.numpy.copy)
        value = _copy_of_jax(value)
    value.copy_to_host_async()
    return late(value, name)


def _doubles(value: Any) -> array[float]:
    """The numbers of an array of one dimension that can be read now. Raises for what are no real numbers."""
    if hasattr(value, "detach"):  # PyTorch, whose reduced precisions only it can widen
        if value.is_complex():
            raise TypeError("complex numbers")
        value = value.detach().double().numpy()
    elif hasattr(value, "copy_to_host_async"):
        value = sys.modules["numpy"].asarray(value)
    if hasattr(value, "mask") or value.dtype.kind not in "biufV":  # V: those reduced precisions that NumPy lacks
        raise TypeError("masked, or no real numbers")
    return array("d", value.astype("f8").tobytes())


def _plain(value: Any, name: str) -> Number | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if -_EXACT_INT <= value < _EXACT_INT else float(value)
    if hasattr(value, "__float__"):
        return float(value)
    _give_up(value, name, None)
    return None


def _give_up(value: Any, name: str, error: Exception | None, wanted: str = "one number") -> None:
    global _unconvertible
    _unconvertible += 1
    try:
        name = str(name)[:60]
        if name in _warned or len(_warned) >= _MAX_NAMED:
            return
        _warned.add(name)
        what = harmless(f"{type(value).__name__}{_shape_of(value)}")
        why = "" if error is None else harmless(f" ({_reason(value, error)})")
        logger.warning("metric %r is a %s, not %s, and is left out%s", name, what, wanted, why)
    except Exception:  # foreign code: a text, a logging handler; the count must do
        pass


def _reason(value: Any, error: Exception) -> str:
    jax: Any = sys.modules.get("jax")
    if jax is not None and isinstance(value, jax.core.Tracer):
        return "emit was called inside a function while JAX traced it, when there are no numbers yet; call it outside"
    return f"{type(error).__name__}: {str(error)[:200]}"


def _shape_of(value: Any) -> str:
    try:
        shape = getattr(value, "shape", None)
        return "" if shape is None else f" of shape {tuple(shape)}"[:100]
    except Exception:  # a class, or a nested tensor, which has none
        return ""
