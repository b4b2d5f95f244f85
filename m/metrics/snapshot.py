"""One step of training as plain data: the one thing that travels from the loop through the hub to every sink."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from m.metrics.loads import Layers, Loads, NoLoads, Utilization, are_plain, as_mapping, has_layers, layers, plain_loads
from m.metrics.steps import whole_step
from m.metrics.values import DeferredNumber, leave_out, to_metric, to_number

_USUAL: Final = 2**30
"""Whole numbers below are compared without a call, and need no closer look."""


@dataclass(slots=True, frozen=True)
class TrainingSnapshot:
    """What one step of training measured.

    Everything is converted here into plain Python numbers that the snapshot owns: arrays and tensors of one element
    are read, the two dictionaries are copied. None means "not measured at this step": such a value is never drawn,
    counted or stored. A value that is not one number becomes None, is counted and named once in the log; only a step
    that is no whole number raises ``TypeError``.

    A value on a device (CUDA, JAX) is not waited for: the snapshot is then a `PendingSnapshot`, which the hub
    delivers one step late.
    """

    step: int
    """The step's number, usually from 0; a label, so it may repeat or go backwards."""
    train_loss: float
    """Training loss of this step. None where the step measured none."""

    val_loss: float | None = None
    """Validation loss; None at steps without validation."""
    learning_rate: float | None = None
    """Learning rate in use at this step."""
    aux_loss: float | None = None
    """Auxiliary loss, such as the load-balancing loss of a Mixture of Experts."""

    expert_utilization: Utilization = field(default_factory=dict)
    """Expert id -> its load: its share of the routed tokens, or their count. Or one such mapping for each layer, by the
    layer's number or name; `m.metrics.loads.layers_of` takes both. Empty: not measured, or a dense model; a dashboard
    speaks of experts that lack their loads only where an empty mapping was given.

    A list or array of loads, in which the position is the expert's id, is as good as a mapping, and so is one of two
    dimensions, layers by experts. Where there is a layer, plain numbers beside it are left out and counted. The
    numbers in layers are looked at when they are first read."""

    batch_size: int | None = None
    """Samples in this step."""
    sequence_length: int | None = None
    """Tokens in each sample."""
    gpu_memory_mb: float | None = None
    """GPU memory in use, in MB (10^6 bytes)."""
    gradient_norm: float | None = None
    """Global norm of the gradient, as a rule the L2 norm before clipping."""

    custom_metrics: dict[str, Any] = field(default_factory=dict)
    """Anything else by name. Numbers are shown and plotted, short strings shown, the rest is left to custom sinks."""

    # Written out because it is the door: converting here through the slots costs less than the generated __init__ of
    # a frozen class, which sets each field through object.__setattr__ and converts nothing (benchmarks/emit.py).
    def __init__(
        self,
        step: int,
        train_loss: float,
        val_loss: float | None = None,
        learning_rate: float | None = None,
        aux_loss: float | None = None,
        expert_utilization: Mapping[Any, Any] | Sequence[Any] | Any | None = None,
        batch_size: int | None = None,
        sequence_length: int | None = None,
        gpu_memory_mb: float | None = None,
        gradient_norm: float | None = None,
        custom_metrics: Mapping[str, Any] | None = None,
    ) -> None:
        _set_step(self, step if type(step) is int and 0 <= step < _USUAL else whole_step(step))
        _set_train_loss(self, train_loss if type(train_loss) is float else _number(self, "train_loss", train_loss))
        _set_val_loss(
            self,
            val_loss if val_loss is None or type(val_loss) is float else _number(self, "val_loss", val_loss),
        )
        _set_learning_rate(
            self,
            learning_rate
            if learning_rate is None or type(learning_rate) is float
            else _number(self, "learning_rate", learning_rate),
        )
        _set_aux_loss(
            self,
            aux_loss if aux_loss is None or type(aux_loss) is float else _number(self, "aux_loss", aux_loss),
        )
        _set_expert_utilization(self, {} if expert_utilization is None else _experts(self, expert_utilization))
        _set_batch_size(
            self,
            batch_size
            if batch_size is None or (type(batch_size) is int and 0 <= batch_size < _USUAL)
            else _number(self, "batch_size", batch_size),
        )
        _set_sequence_length(
            self,
            sequence_length
            if sequence_length is None or (type(sequence_length) is int and 0 <= sequence_length < _USUAL)
            else _number(self, "sequence_length", sequence_length),
        )
        _set_gpu_memory_mb(
            self,
            gpu_memory_mb
            if gpu_memory_mb is None or type(gpu_memory_mb) is float
            else _number(self, "gpu_memory_mb", gpu_memory_mb),
        )
        _set_gradient_norm(
            self,
            gradient_norm
            if gradient_norm is None or type(gradient_norm) is float
            else _number(self, "gradient_norm", gradient_norm),
        )
        _set_custom_metrics(self, {} if custom_metrics is None else _customs(self, custom_metrics))


class PendingSnapshot(TrainingSnapshot):
    """A snapshot of which some numbers are still on their way from a device, as `DeferredNumber`."""

    __slots__ = ()

    def is_ready(self) -> bool:
        """`resolve` will not wait."""
        values = [getattr(self, name) for name in NUMBER_FIELDS]
        values += [*self.expert_utilization.values(), *self.custom_metrics.values()]
        return all(value.is_ready() for value in values if type(value) in _LATE)

    def resolve(self) -> TrainingSnapshot:
        """The same snapshot with plain numbers; waits for the device. Never raises."""
        values = {name: getattr(self, name) for name in FIELDS}
        for name in NUMBER_FIELDS:
            if type(values[name]) is DeferredNumber:
                values[name] = values[name].resolve()
        for name in ("expert_utilization", "custom_metrics"):
            given = values[name]
            values[name] = {key: value.resolve() if type(value) in _LATE else value for key, value in given.items()}
            if not given and type(given) is dict:
                del values[name]  # not given
        return TrainingSnapshot(**values)


FIELDS: Final = tuple(TrainingSnapshot.__dataclass_fields__)
"""The snapshot's fields in order."""

NUMBER_FIELDS: Final = (
    "train_loss",
    "val_loss",
    "learning_rate",
    "aux_loss",
    "batch_size",
    "sequence_length",
    "gpu_memory_mb",
    "gradient_norm",
)
"""The fields that hold one number or None."""

LOSS_FIELDS: Final = ("train_loss", "val_loss", "aux_loss")
"""Those that are losses."""

_LATE: Final = (DeferredNumber, Loads)
"""What may still be on its way from a device."""

_BY_NAME: Final = frozenset((*NUMBER_FIELDS, "expert_utilization"))

(
    _set_step,
    _set_train_loss,
    _set_val_loss,
    _set_learning_rate,
    _set_aux_loss,
    _set_expert_utilization,
    _set_batch_size,
    _set_sequence_length,
    _set_gpu_memory_mb,
    _set_gradient_norm,
    _set_custom_metrics,
) = (getattr(TrainingSnapshot, name).__set__ for name in FIELDS)
_set_attribute = object.__setattr__  # the only way to change the class of a frozen instance


def snapshot_of(metrics: Mapping[str, Any], step: int) -> TrainingSnapshot:
    """The snapshot that holds ``metrics`` by name: known names become its fields, the rest its custom metrics.

    None values are left out; a ``train_loss`` that is not there stays absent. A ``custom_metrics`` that is a mapping
    joins the rest; a ``step`` among the metrics is a label like the argument, which wins, and no metric.
    """
    known: dict[str, Any] = {"train_loss": None}
    custom: dict[str, Any] = {}
    for name, value in metrics.items():
        if value is None or name == "step":
            continue
        if name in _BY_NAME:
            known[name] = value
        elif name == "custom_metrics" and isinstance(value, Mapping):
            custom.update(value)
        else:
            custom[name] = value
    return TrainingSnapshot(step, custom_metrics=custom, **known)


def without_loads(snapshot: TrainingSnapshot) -> TrainingSnapshot:
    """The same snapshot without the loads of its experts, for whoever keeps many."""
    values = {name: getattr(snapshot, name) for name in FIELDS}
    values["expert_utilization"] = None
    return TrainingSnapshot(**values)


def _number(snapshot: TrainingSnapshot, name: str, value: Any) -> Any:
    if type(value) is int and -(2**53) <= value <= 2**53:
        return value
    return _noted(snapshot, to_number(value, name))


def _noted(snapshot: TrainingSnapshot, value: Any) -> Any:
    """``value``; when it is still on its way, the snapshot is a pending one from now on."""
    if type(value) is not DeferredNumber:
        return value
    if type(snapshot) is TrainingSnapshot:
        _set_attribute(snapshot, "__class__", PendingSnapshot)
    elif type(snapshot) is not PendingSnapshot:  # a user's subclass stays what it is
        return value.resolve()
    return value


def _customs(snapshot: TrainingSnapshot, metrics: Mapping[str, Any]) -> dict[str, Any]:
    try:
        owned = metrics.copy() if type(metrics) is dict else dict(metrics)
    except Exception:  # no mapping, or one that another thread is changing
        leave_out(metrics, "custom_metrics", "a mapping of names to values")
        return {}
    for name, value in owned.items():
        if type(value) is not float or type(name) is not str:
            break
    else:
        return owned  # the common case: names and floats
    plain: dict[str, Any] = {}
    suffixes: dict[str, int] = {}
    for name, value in owned.items():
        if type(name) is not str:
            try:
                name = str.__str__(str(name))  # the inner one may give a subclass
            except Exception:
                leave_out(name, f"custom_metrics[a {type(name).__name__}]", "a name")
                continue
        metric = to_metric(value, name)
        if metric is not None:
            plain[_free_name(name, plain, suffixes)] = _noted(snapshot, metric)
    return plain


def _experts(snapshot: TrainingSnapshot, utilization: Any) -> Utilization:
    try:
        owned = utilization.copy() if type(utilization) is dict else as_mapping(utilization)
    except Exception:
        leave_out(utilization, "expert_utilization", "loads by expert, or by layer and by expert")
        return NoLoads()
    for expert, share in owned.items():
        if type(share) is not float or type(expert) is not int:
            break
    else:
        return owned or NoLoads()
    if are_plain(owned):
        return owned
    if has_layers(owned):
        return _pending_if_late(snapshot, layers(owned))
    return {expert: _noted(snapshot, load) for expert, load in plain_loads(owned).items()}


def _pending_if_late(snapshot: TrainingSnapshot, found: Layers) -> Layers:
    for label, loads in found.items():
        if not loads.is_late:
            continue
        if type(snapshot) is TrainingSnapshot:
            _set_attribute(snapshot, "__class__", PendingSnapshot)
        elif type(snapshot) is not PendingSnapshot:
            found[label] = loads.resolve()
    return found


def _free_name(name: str, taken: Mapping[str, Any], suffixes: dict[str, int]) -> str:
    """The keys 0 and "0" must not become one metric. ``suffixes`` remembers what was tried before."""
    if name not in taken:
        return name
    suffix = suffixes.get(name, 2)
    while f"{name}_{suffix}" in taken:
        suffix += 1
    suffixes[name] = suffix + 1
    return f"{name}_{suffix}"
