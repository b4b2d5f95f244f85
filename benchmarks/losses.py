"""Losses as real runs have them, healthy ones, made from a seed: what the rules of ``m.health`` must say nothing of."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator

from m.metrics.snapshot import TrainingSnapshot

STEPS = 10_000
Losses = Iterator[float | None]


def _cosine(step: int) -> float:
    """Warm-up over 500 steps, then half a cosine to 1 %."""
    if step < 500:
        return 3e-4 * (step + 1) / 500
    return 3e-4 * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - 500) / (STEPS - 500))))


def _restarts(step: int) -> float:
    return 1e-3 * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step % 2000) / 2000)))


def _drops(step: int) -> float:
    return 0.1 * (0.1 if step > 4000 else 1.0) * (0.1 if step > 7000 else 1.0)


def _constant(step: int) -> float:
    return 3e-4


def _power(step: int) -> float:
    return 2.0 + 8.8 * (1 + step / 40) ** -0.6


def language_model(draw: random.Random) -> Losses:
    """Warm-up and cosine, normal noise of 2 %."""
    for step in range(STEPS):
        yield _power(step) * (1 + draw.gauss(0, 0.02))


def heavy_tails(draw: random.Random) -> Losses:
    """Noise of Student's t with 3 degrees of freedom: many batches far off, some very far."""
    for step in range(STEPS):
        student = draw.gauss(0, 1) / math.sqrt(draw.gammavariate(1.5, 2.0) / 3)
        yield max(_power(step) + 0.1 * student, 0.0)


def skewed(draw: random.Random) -> Losses:
    """Small batches: lognormal noise of 40 %."""
    for step in range(STEPS):
        yield 0.3 * _power(step) * draw.lognormvariate(0, 0.4)


def fine_tuning(draw: random.Random) -> Losses:
    """Fine-tuning that learns by heart: steps down at each epoch, to a tiny loss with great relative noise."""
    for step in range(STEPS):
        yield 1.5 * 0.3 ** (step // 1000) * draw.lognormvariate(0, 0.5)


def rate_drops(draw: random.Random) -> Losses:
    """Classification with a constant learning rate that falls to a tenth twice: the loss drops within some steps."""
    for step in range(STEPS):
        level = 0.9 + 1.4 * math.exp(-step / 600)
        level *= (0.55 if step > 4000 else 1.0) * (0.8 if step > 7000 else 1.0)
        yield level * (1 + draw.gauss(0, 0.12))


def warm_restarts(draw: random.Random) -> Losses:
    """Cosine with restarts every 2,000 steps: each sends the loss up for a while."""
    for step in range(STEPS):
        up = 0.25 * math.exp(-(step % 2000) / 300)
        yield (0.08 + up + 2.0 * math.exp(-step / 250)) * (1 + draw.gauss(0, 0.1))


def policy_loss(draw: random.Random) -> Losses:
    """Reinforcement learning: a loss around 0 whose spread changes."""
    for step in range(STEPS):
        yield draw.gauss(-0.01, 0.02 + 0.015 * math.sin(step / 700))


def value_loss(draw: random.Random) -> Losses:
    """Reinforcement learning: a loss that grows as returns do, in surges."""
    level = 0.2
    for _ in range(STEPS):
        level = max(level + draw.gauss(0.0008, 0.01), 0.05)
        yield level * draw.lognormvariate(0, 0.35)


def negative_objective(draw: random.Random) -> Losses:
    """A negative log-likelihood of densities: falls through 0 and on."""
    for step in range(STEPS):
        yield 4.0 - 2.0 * math.log1p(step / 30) + draw.gauss(0, 0.3)


def adversarial(draw: random.Random) -> Losses:
    """A generator's loss: swings of changing length and height, noise of 15 %."""
    phase = 0.0
    height = 0.5
    for _ in range(STEPS):
        phase += draw.uniform(0.002, 0.03)
        height = min(max(height + draw.gauss(0, 0.01), 0.2), 0.9)
        yield (1.2 + height * math.sin(phase)) * (1 + draw.gauss(0, 0.15))


def mixture(draw: random.Random) -> Losses:
    """A batch in seven is from another task, with three times the loss."""
    for step in range(STEPS):
        yield _power(step) * (3.0 if draw.random() < 1 / 7 else 1.0) * (1 + draw.gauss(0, 0.05))


def accumulated(draw: random.Random) -> Losses:
    """Gradients accumulated over 4 snapshots: a number at every fourth, none in between."""
    for step in range(STEPS):
        yield _power(step) * (1 + draw.gauss(0, 0.03)) if step % 4 == 3 else None


KINDS: dict[str, Callable[[random.Random], Losses]] = {
    "language model, warm-up and cosine": language_model,
    "noise with heavy tails (Student's t, 3)": heavy_tails,
    "small batches, lognormal noise": skewed,
    "fine-tuning down to a tiny loss": fine_tuning,
    "drops with the learning rate": rate_drops,
    "cosine with warm restarts": warm_restarts,
    "reinforcement learning, policy loss": policy_loss,
    "reinforcement learning, rising value loss": value_loss,
    "negative log-likelihood below zero": negative_objective,
    "adversarial, swinging": adversarial,
    "mixture of tasks": mixture,
    "gradients accumulated": accumulated,
}
_RATES: dict[str, Callable[[int], float]] = {
    "language model, warm-up and cosine": _cosine,
    "mixture of tasks": _cosine,
    "gradients accumulated": _cosine,
    "cosine with warm restarts": _restarts,
    "drops with the learning rate": _drops,
}


def snapshots(kind: str, seed: int) -> Iterator[TrainingSnapshot]:
    """One run of ``kind``: loss, gradient and learning rate at each step."""
    draw = random.Random(f"{kind} {seed}")
    for step, loss in enumerate(KINDS[kind](draw)):
        yield TrainingSnapshot(
            step,
            loss,  # type: ignore[arg-type]
            learning_rate=_RATES.get(kind, _constant)(step),
            gradient_norm=draw.lognormvariate(0, 0.5),
        )
