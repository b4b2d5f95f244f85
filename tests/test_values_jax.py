"""Values as real JAX makes them, on the CPU, become plain numbers in time, or are left out and counted."""

from __future__ import annotations

import functools
import logging
import math
from typing import Any

import pytest

from m import MetricsHub
from m.metrics.snapshot import PendingSnapshot, TrainingSnapshot
from m.metrics.values import DeferredNumber, to_metric, to_number, unconvertible_count


@pytest.fixture(scope="module")
def jax() -> Any:
    """JAX, loaded when the first test runs and not while tests are collected."""
    return pytest.importorskip("jax")


pytestmark = pytest.mark.usefixtures("no_name_was_warned_about")


@pytest.fixture
def slow(jax: Any) -> Any:
    """Gives a number that is still being computed for a while, as after a training step that was only dispatched."""
    work = jax.jit(lambda a: (a @ a @ a @ a @ a @ a).sum() * 0 + 0.5)
    matrix = jax.numpy.ones((1200, 1200))
    work(matrix).block_until_ready()

    def compute() -> Any:
        for _ in range(20):
            number = work(matrix)
            if not number.is_ready():
                return number
        pytest.skip("this machine computes faster than it asks")

    return compute


@pytest.mark.fault("F7")
def test_one_number_of_any_kind_that_is_there_is_read_at_once(jax: Any) -> None:
    jnp = jax.numpy
    given = {
        "float32": (jnp.float32(0.5), 0.5),
        "bfloat16": (jnp.bfloat16(0.5), 0.5),
        "int32": (jnp.int32(3), 3),
        "bool": (jnp.array(True), True),
        "one element": (jnp.ones((1, 1)), 1.0),
        "weakly typed": (jnp.asarray(2.0), 2.0),
        "nan": (jnp.float32("nan"), math.nan),
    }
    for kind, (value, expected) in given.items():
        jax.block_until_ready(value)
        for got in (to_number(value, kind), to_metric(value, kind)):
            assert type(got) is type(expected), kind
            assert got == expected or (got != got and expected != expected), kind


@pytest.mark.fault("F7")
def test_what_is_not_one_number_is_left_out_and_counted(jax: Any) -> None:
    jnp = jax.numpy
    gone = jnp.float32(0.5) + 0
    gone.delete()
    nothing = {
        "many": jnp.zeros(3),
        "none": jnp.zeros(0),
        "complex": jnp.array(1j),
        "key": jax.random.key(0),
        "old key": jax.random.PRNGKey(0),
        "shape only": jax.ShapeDtypeStruct((), jnp.float32),
        "deleted": gone,
    }
    for kind, value in nothing.items():
        before = unconvertible_count()
        number = to_number(value, kind)
        assert (number.resolve() if type(number) is DeferredNumber else number) is None, kind
        assert unconvertible_count() == before + 1, kind


@pytest.mark.fault("F7")
def test_a_number_that_is_still_computed_is_not_waited_for(slow: Any) -> None:
    seen: list[Any] = []
    with MetricsHub([lambda snapshot: seen.append((snapshot.step, snapshot.train_loss))], strict=True) as hub:
        hub.start()
        loss = slow()
        snapshot = TrainingSnapshot(0, loss, custom_metrics={"same": loss}, expert_utilization={0: loss})
        hub.emit(snapshot)
        assert type(snapshot) is PendingSnapshot
        assert seen == []
        hub.emit(TrainingSnapshot(1, 0.25))
        assert seen == [(0, 0.5), (1, 0.25)]


@pytest.mark.fault("F8")
def test_a_number_whose_memory_the_next_step_takes_is_not_lost(jax: Any, slow: Any) -> None:
    """The learning rate in an optimizer's state goes to the next step, which is given the state's memory."""

    @functools.partial(jax.jit, donate_argnums=0)
    def next_step(state: Any) -> Any:
        return state + 1

    number = slow()
    pending = TrainingSnapshot(0, 0.5, learning_rate=number)
    assert type(pending) is PendingSnapshot
    next_step(number)
    assert number.is_deleted()
    assert pending.resolve().learning_rate == 0.5

    there = jax.numpy.float32(0.5) + 0
    there.block_until_ready()
    snapshot = TrainingSnapshot(0, 0.5, learning_rate=there)
    next_step(there)
    assert there.is_deleted()
    assert snapshot.learning_rate == 0.5


@pytest.mark.fault("F7")
def test_emitting_inside_a_function_that_jax_traces_says_so_once(jax: Any, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Any] = []

    @jax.jit
    def train_step(x: Any) -> Any:
        snapshot = TrainingSnapshot(0, x, custom_metrics={"same": x})
        seen.append((snapshot.train_loss, snapshot.custom_metrics))
        return x * 2

    with caplog.at_level(logging.WARNING):
        for step in range(5):
            train_step(float(step))
        jax.vmap(train_step.__wrapped__)(jax.numpy.ones(3))
        jax.lax.scan(lambda carry, x: (carry, train_step.__wrapped__(x)), 0.0, jax.numpy.ones(3))
    assert set(map(str, seen)) == {"(None, {})"}
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert all("while JAX traced it" in line and "call it outside" in line for line in said)
    assert [line.split()[1] for line in said] == ["'train_loss'", "'same'"]


@pytest.mark.fault("F7")
def test_a_step_may_be_an_array(jax: Any) -> None:
    assert TrainingSnapshot(jax.numpy.int32(7), 0.5).step == 7
    with pytest.raises(TypeError, match="step must be a whole number"):
        TrainingSnapshot(jax.numpy.zeros(2), 0.5)
