"""What the model sees of a flight and what it has to predict, both normalised.

Seen: a short window of noisy positions and velocities, and noisy instrument readings. To predict: the true
position and velocity a while later. The regime is kept apart, to measure specialisation; it is never an
input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from m.examples.trajectory_3d.arrays import Floats, Integers
from m.examples.trajectory_3d.physics import launch_velocities, simulate
from m.examples.trajectory_3d.regimes import FlightParameters, draw_parameters

TIME_STEP_S = 0.05
#: Number of observations, one each time step from the launch on: half a second of flight.
WINDOW = 11
#: From the last observation to the state to predict: 1.5 s.
HORIZON_STEPS = 30

POSITION_NOISE_M = 0.05
VELOCITY_NOISE_M_S = 0.15
WIND_NOISE_M_S = 0.3
SPIN_NOISE_RAD_S = 2.0
THRUST_NOISE_M_S2 = 0.2
BUOYANCY_NOISE = 0.02
#: Standard deviation of the natural logarithm of the estimated drag: about five percent.
LOG_DRAG_NOISE = 0.05


@dataclass(frozen=True, slots=True)
class Dataset:
    """``n`` examples in physical units."""

    #: Shape ``(n, n_features)``: see `observe`.
    inputs: Floats
    #: Shape ``(n, 6)``: displacement since the last observation in m, then velocity in m/s.
    targets: Floats
    #: Index into `regimes.REGIMES`, shape ``(n,)``.
    regime: Integers

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True, slots=True)
class Normalizer:
    """Shifts and scales columns to mean 0 and standard deviation 1, as measured where it was fitted."""

    mean: Floats
    std: Floats

    @classmethod
    def fit(cls, values: Floats) -> Normalizer:
        """Measure the columns of `values`; a constant column is only shifted."""
        std = values.std(axis=0)
        return cls(mean=values.mean(axis=0), std=np.where(std > 0.0, std, 1.0))

    def normalize(self, values: Floats) -> Floats:
        """Physical units to normalised ones, as float32: far finer than the noise, and faster to train on."""
        return np.asarray((values - self.mean) / self.std, dtype=np.float32)


def observe(parameters: FlightParameters, position: Floats, velocity: Floats, *, rng: np.random.Generator) -> Floats:
    """Observe the window, noise included: shape ``(n, n_features)``.

    `position` and `velocity` are the true states at the window's times, shape ``(WINDOW, n, 3)``. Features:
    the earlier positions relative to the last one, all velocities, and the instruments: wind and spin (vector
    and magnitude), thrust, buoyancy and the logarithm of the drag. The magnitudes are there because the
    router is linear and "windy, from anywhere" is not a half-space of the wind vector.
    """
    n = position.shape[1]
    seen_position = position + rng.normal(scale=POSITION_NOISE_M, size=position.shape)
    seen_velocity = velocity + rng.normal(scale=VELOCITY_NOISE_M_S, size=velocity.shape)
    wind = parameters.wind + rng.normal(scale=WIND_NOISE_M_S, size=(n, 3))
    spin = parameters.spin + rng.normal(scale=SPIN_NOISE_RAD_S, size=(n, 3))
    columns = [
        *(seen_position[:-1] - seen_position[-1]),
        *seen_velocity,
        wind,
        np.linalg.norm(wind, axis=1, keepdims=True),
        spin,
        np.linalg.norm(spin, axis=1, keepdims=True),
        (parameters.thrust + rng.normal(scale=THRUST_NOISE_M_S2, size=n))[:, None],
        (parameters.buoyancy + rng.normal(scale=BUOYANCY_NOISE, size=n))[:, None],
        (np.log(parameters.drag) + rng.normal(scale=LOG_DRAG_NOISE, size=n))[:, None],
    ]
    return np.concatenate(columns, axis=1)


def make_dataset(n: int, *, rng: np.random.Generator) -> Dataset:
    """Simulate and observe `n` flights, each from its launch."""
    parameters = draw_parameters(n, rng=rng)
    flights = simulate(
        parameters,
        launch_velocities(n, rng=rng),
        n_times=WINDOW + HORIZON_STEPS,
        time_step_s=TIME_STEP_S,
    )
    inputs = observe(parameters, flights.position[:WINDOW], flights.velocity[:WINDOW], rng=rng)
    displacement = flights.position[-1] - flights.position[WINDOW - 1]
    targets = np.concatenate([displacement, flights.velocity[-1]], axis=1)
    return Dataset(inputs=inputs, targets=targets, regime=parameters.regime)
