"""The kinds of flight: ranges of physical parameters, one force dominating in each.

The regimes are what experts can specialise on. This file does not know the equation the parameters enter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from m.examples.trajectory_3d.arrays import Floats, Integers

Range = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Regime:
    """Ranges that the parameters of one kind of flight are drawn from, uniformly."""

    name: str
    #: Quadratic drag divided by mass, 1/m: drag deceleration is ``drag * speed**2``.
    drag: Range
    #: Speed of the (horizontal, steady) wind, m/s.
    wind_speed: Range = (0.0, 2.0)
    #: Rate of spin, rad/s, about an axis of any direction.
    spin_rate: Range = (0.0, 8.0)
    #: Acceleration by a motor, m/s², along the launch direction.
    thrust: Range = (0.0, 0.5)
    #: Weight of the displaced air as a share of the body's own; above 1 the body rises.
    buoyancy: Range = (0.0, 0.05)


REGIMES: tuple[Regime, ...] = (
    Regime(name="calm", drag=(0.001, 0.004)),
    Regime(name="drag", drag=(0.06, 0.12)),
    Regime(name="gale", drag=(0.04, 0.07), wind_speed=(14.0, 22.0)),
    Regime(name="spin", drag=(0.005, 0.02), spin_rate=(80.0, 140.0)),
    Regime(name="rocket", drag=(0.003, 0.01), thrust=(12.0, 20.0)),
    Regime(name="balloon", drag=(0.03, 0.06), buoyancy=(1.2, 1.8)),
)


@dataclass(frozen=True, slots=True)
class FlightParameters:
    """The parameters of ``n`` flights, units as in `Regime`."""

    #: Index into `REGIMES`, shape ``(n,)``.
    regime: Integers
    #: Shape ``(n,)``.
    drag: Floats
    #: Wind vector, m/s, shape ``(n, 3)``.
    wind: Floats
    #: Spin vector, rad/s, shape ``(n, 3)``.
    spin: Floats
    #: Shape ``(n,)``.
    thrust: Floats
    #: Shape ``(n,)``.
    buoyancy: Floats


def draw_parameters(n: int, *, rng: np.random.Generator) -> FlightParameters:
    """Draw `n` flights, each regime equally likely."""
    regime = rng.integers(len(REGIMES), size=n)

    def draw(name: str) -> Floats:
        low, high = np.array([getattr(r, name) for r in REGIMES], dtype=np.float64)[regime].T
        return np.asarray(rng.uniform(low, high))

    heading = rng.uniform(0.0, 2.0 * np.pi, size=n)
    downwind = np.stack([np.cos(heading), np.sin(heading), np.zeros(n)], axis=1)
    axis = rng.normal(size=(n, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    return FlightParameters(
        regime=regime,
        drag=draw("drag"),
        wind=draw("wind_speed")[:, None] * downwind,
        spin=draw("spin_rate")[:, None] * axis,
        thrust=draw("thrust"),
        buoyancy=draw("buoyancy"),
    )
