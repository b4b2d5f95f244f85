"""The simulated flights obey the mechanics they claim, and the data set shows them without the answer."""

from __future__ import annotations

import numpy as np
import pytest

from m.examples.trajectory_3d import dataset
from m.examples.trajectory_3d.arrays import Floats
from m.examples.trajectory_3d.dataset import Normalizer, make_dataset
from m.examples.trajectory_3d.physics import GRAVITY, MAGNUS, launch_velocities, simulate
from m.examples.trajectory_3d.regimes import REGIMES, FlightParameters, draw_parameters


def flight(
    *,
    drag: float = 0.0,
    wind: tuple[float, float, float] = (0.0, 0.0, 0.0),
    spin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    thrust: float = 0.0,
    buoyancy: float = 0.0,
) -> FlightParameters:
    return FlightParameters(
        regime=np.zeros(1, dtype=np.int64),
        drag=np.array([drag]),
        wind=np.array([wind]),
        spin=np.array([spin]),
        thrust=np.array([thrust]),
        buoyancy=np.array([buoyancy]),
    )


LAUNCH = np.array([[20.0, 0.0, 15.0]])


def test_without_air_the_flight_is_a_parabola() -> None:
    flights = simulate(flight(), LAUNCH, n_times=41)
    t = 0.05 * np.arange(41)
    np.testing.assert_allclose(flights.position[:, 0, 0], 20.0 * t, atol=1e-9)
    np.testing.assert_allclose(flights.position[:, 0, 2], 15.0 * t - 0.5 * GRAVITY * t**2, atol=1e-9)
    np.testing.assert_allclose(flights.velocity[:, 0, 2], 15.0 - GRAVITY * t, atol=1e-9)


def test_thrust_accelerates_along_the_launch() -> None:
    flights = simulate(flight(thrust=10.0, buoyancy=1.0), LAUNCH, n_times=21)
    np.testing.assert_allclose(flights.velocity[-1, 0], LAUNCH[0] * (25.0 + 10.0) / 25.0, atol=1e-9)


def test_drag_alone_slows_as_the_exact_solution_says() -> None:
    """With ``v' = -k v²`` the speed is ``v0 / (1 + k v0 t)``."""
    flights = simulate(flight(drag=0.1, buoyancy=1.0), LAUNCH, n_times=41)
    speed = np.linalg.norm(flights.velocity[:, 0], axis=1)
    np.testing.assert_allclose(speed, 25.0 / (1.0 + 0.1 * 25.0 * 0.05 * np.arange(41)), rtol=1e-4)


def test_a_falling_body_reaches_its_terminal_speed() -> None:
    flights = simulate(flight(drag=0.1), LAUNCH, n_times=400)
    np.testing.assert_allclose(flights.velocity[-1, 0], [0.0, 0.0, -np.sqrt(GRAVITY / 0.1)], atol=1e-6)


def test_wind_takes_a_weightless_body_along() -> None:
    flights = simulate(flight(drag=0.5, wind=(0.0, 9.0, 0.0), buoyancy=1.0), LAUNCH, n_times=800)
    np.testing.assert_allclose(flights.velocity[-1, 0], [0.0, 9.0, 0.0], atol=0.1)


def test_spin_turns_the_velocity_and_keeps_the_speed() -> None:
    flights = simulate(flight(spin=(0.0, 0.0, 100.0), buoyancy=1.0), LAUNCH, n_times=41)
    np.testing.assert_allclose(np.linalg.norm(flights.velocity[:, 0], axis=1), 25.0, rtol=1e-6)
    heading = np.arctan2(flights.velocity[-1, 0, 1], flights.velocity[-1, 0, 0])
    assert heading == pytest.approx(MAGNUS * 100.0 * 2.0, rel=1e-5)


def test_a_finer_step_moves_no_flight_by_a_millimetre() -> None:
    rng = np.random.default_rng(0)
    parameters, launch = draw_parameters(500, rng=rng), launch_velocities(500, rng=rng)
    coarse = simulate(parameters, launch, n_times=41, time_step_s=0.05).position[-1]
    fine = simulate(parameters, launch, n_times=401, time_step_s=0.005).position[-1]
    assert np.linalg.norm(coarse - fine, axis=1).max() < 1e-3


def test_parameters_lie_in_the_ranges_of_their_regime() -> None:
    parameters = draw_parameters(3000, rng=np.random.default_rng(1))
    sizes: dict[str, Floats] = {
        "drag": parameters.drag,
        "wind_speed": np.linalg.norm(parameters.wind, axis=1),
        "spin_rate": np.linalg.norm(parameters.spin, axis=1),
        "thrust": parameters.thrust,
        "buoyancy": parameters.buoyancy,
    }
    for index, regime in enumerate(REGIMES):
        mine = parameters.regime == index
        assert mine.sum() > 3000 / len(REGIMES) / 2
        for name, values in sizes.items():
            low, high = getattr(regime, name)
            assert low - 1e-9 <= values[mine].min()
            assert values[mine].max() <= high + 1e-9


def test_equal_seeds_make_equal_data_and_others_do_not() -> None:
    first, again, other = (make_dataset(50, rng=np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.inputs, again.inputs)
    np.testing.assert_array_equal(first.targets, again.targets)
    assert not np.array_equal(first.inputs, other.inputs)


def test_inputs_are_the_noisy_window_and_targets_the_true_future() -> None:
    n = 4000
    data = make_dataset(n, rng=np.random.default_rng(5))
    assert len(data) == n
    assert data.inputs.shape == (n, 6 * dataset.WINDOW - 3 + 11)
    assert data.targets.shape == (n, 6)
    # The first observed velocity is the launch: its second component is zero but for the noise.
    sideways = data.inputs[:, 3 * (dataset.WINDOW - 1) + 1]
    assert sideways.std() == pytest.approx(dataset.VELOCITY_NOISE_M_S, rel=0.1)
    # A body's mean velocity over the horizon lies near the mean of its first and last.
    last_seen = data.inputs[:, 6 * dataset.WINDOW - 6 : 6 * dataset.WINDOW - 3]
    duration = dataset.HORIZON_STEPS * dataset.TIME_STEP_S
    drift = data.targets[:, :3] - duration * 0.5 * (last_seen + data.targets[:, 3:])
    assert np.sqrt((drift**2).mean()) < 2.0


def test_normalized_columns_have_mean_zero_and_standard_deviation_one() -> None:
    values = np.random.default_rng(0).normal(loc=5.0, scale=[1.0, 100.0, 0.0], size=(1000, 3))
    normalized = Normalizer.fit(values).normalize(values)
    assert normalized.dtype == np.float32
    np.testing.assert_allclose(normalized.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(normalized.std(axis=0), [1.0, 1.0, 0.0], atol=1e-5)
