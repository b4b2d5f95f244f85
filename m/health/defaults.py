"""The rules that a hub has when it was given none."""

from __future__ import annotations

from typing import TypedDict, Unpack

from m.health.divergence import Divergence
from m.health.experts import CollapsedRouting, DeadExperts
from m.health.finite import NonFiniteGradient, NonFiniteLoss
from m.health.plateau import Plateau
from m.health.rule import Rule, watch_of
from m.health.spike import LossSpike
from m.health.stall import Stall
from m.health.throughput import ThroughputDrop


class Changes(TypedDict, total=False):
    """What may stand in place of each default rule; None leaves it out."""

    non_finite_loss: Rule | None
    non_finite_gradient: Rule | None
    loss_spike: Rule | None
    divergence: Rule | None
    plateau: Rule | None
    dead_experts: Rule | None
    collapsed_routing: Rule | None
    throughput_drop: Rule | None
    stall: Rule | None


_DEFAULTS = {
    "non_finite_loss": NonFiniteLoss,
    "non_finite_gradient": NonFiniteGradient,
    "loss_spike": LossSpike,
    "divergence": Divergence,
    "plateau": Plateau,
    "dead_experts": DeadExperts,
    "collapsed_routing": CollapsedRouting,
    "throughput_drop": ThroughputDrop,
    "stall": Stall,
}


def default_rules(**changes: Unpack[Changes]) -> tuple[Rule, ...]:
    """The default rules, new ones each time; ``changes`` by name take the place of one, or leave it out with None.

    ``default_rules(loss_spike=LossSpike(deviations=6), plateau=None)`` tunes one and mutes one; a rule of your own is
    added with ``(*default_rules(), my_rule)``. A rule with a memory belongs to one hub. Raises ``TypeError`` for an
    unknown name and for what is no rule.
    """
    unknown = [name for name in changes if name not in _DEFAULTS]
    if unknown:
        raise TypeError(f"there is no default rule {', '.join(unknown)}; there are {', '.join(_DEFAULTS)}")
    for rule in changes.values():
        if rule is not None:
            watch_of(rule)
    rules = [changes[name] if name in changes else make() for name, make in _DEFAULTS.items()]  # type: ignore[literal-required]
    return tuple(rule for rule in rules if rule is not None)
