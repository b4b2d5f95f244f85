"""The training loop: data, model and optimizer put together, one plain result per step.

Nothing here knows who reads the results: iterate over `TrajectoryTrainer.train` and do with them what you
like.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from m.examples.trajectory_3d.arrays import Floats
from m.examples.trajectory_3d.dataset import Normalizer, make_dataset
from m.examples.trajectory_3d.moe import MixtureOfExperts
from m.examples.trajectory_3d.optimizer import Adam, clip_by_global_norm
from m.examples.trajectory_3d.schedule import WarmupCosine
from m.examples.trajectory_3d.specialization import normalized_mutual_information


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one training step tells. Measured on the step's batch before its update, unless said otherwise."""

    #: Counted from 0.
    step: int
    #: Task loss: mean squared error of the normalised targets, so about 1 for predicting the mean. Without
    #: aux_loss.
    train_loss: float
    #: Load-balancing loss before its weight: 1 if balanced, up to n_experts; see
    #: `router.Routing.balance_loss`.
    aux_loss: float
    #: The rate this step's update was made with.
    learning_rate: float
    #: Euclidean norm, jointly over all gradients, before clipping.
    gradient_norm: float
    #: Share of the batch's ``batch_size * top_k`` assignments that went to each expert; sums to 1.
    expert_utilization: dict[int, float]
    #: Mean entropy of the examples' router softmax, nats: ln n_experts if undecided, 0 if certain.
    routing_entropy: float
    #: Root mean squared distance between predicted and true position, m.
    position_error: float
    #: Root mean squared length of the error of the velocity, m/s.
    velocity_error: float
    #: The task loss on held-out flights, after the update. None except at steps that are multiples of
    #: eval_every and at the last step.
    val_loss: float | None
    #: On the same held-out flights, 0 to 1: normalised mutual information between the true regime and the
    #: most probable expert. None at the same steps as val_loss.
    specialization: float | None
    #: Number of examples in the batch.
    batch_size: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Quality on the held-out flights; fields as in `StepResult`."""

    loss: float
    position_error: float
    velocity_error: float
    specialization: float


class TrajectoryTrainer:
    """Makes the flights and the model from `seed`, and trains; equal arguments give equal results.

    Defaults: 8 experts of 448 hidden units, 2 per example, 1024 examples per batch, 1000 steps. `n_train`
    flights are gone through in a new random order each epoch; `n_val` others are held out and looked at every
    `eval_every` steps.

    `exploration` is the standard deviation of the noise on the router's logits at the start; it falls
    linearly to 0 at the end. Held-out flights are routed as the training is at that step, noise included, so
    at the start nearly at random. `router_rate_scale` multiplies the learning rate of the router: it has to
    take sides while the experts still differ little, or they all become generalists.

    Raises `ValueError` for a count below 1, for `top_k` above `n_experts`, and for `batch_size` above
    `n_train`.
    """

    def __init__(
        self,
        *,
        n_experts: int = 8,
        top_k: int = 2,
        batch_size: int = 1024,
        seed: int = 0,
        total_steps: int = 1000,
        eval_every: int = 25,
        n_train: int = 32768,
        n_val: int = 2048,
        n_hidden: int = 448,
        peak_learning_rate: float = 5e-3,
        router_rate_scale: float = 5.0,
        exploration: float = 0.3,
        balance_weight: float = 0.02,
        max_gradient_norm: float = 1.0,
    ) -> None:
        counts = {
            "n_experts": n_experts,
            "batch_size": batch_size,
            "total_steps": total_steps,
            "eval_every": eval_every,
            "n_train": n_train,
            "n_val": n_val,
            "n_hidden": n_hidden,
        }
        for name, value in counts.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if batch_size > n_train:
            raise ValueError(f"batch_size must be at most n_train = {n_train}, got {batch_size}")
        self.n_experts = n_experts
        self.top_k = top_k
        self.batch_size = batch_size
        self.seed = seed
        self.total_steps = total_steps
        self.eval_every = eval_every
        self.exploration = exploration
        self.balance_weight = balance_weight
        self.max_gradient_norm = max_gradient_norm
        #: Steps done so far; the step that `train` makes next.
        self.step = 0

        # One stream each, so that, say, more validation flights do not change the initial model.
        train_rng, val_rng, model_rng, self._batch_rng = (
            np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4)
        )
        train, val = make_dataset(n_train, rng=train_rng), make_dataset(n_val, rng=val_rng)
        inputs, targets = Normalizer.fit(train.inputs), Normalizer.fit(train.targets)
        self._train_inputs = inputs.normalize(train.inputs)
        self._train_targets = targets.normalize(train.targets)
        self._val_inputs, self._val_targets = inputs.normalize(val.inputs), targets.normalize(val.targets)
        self._val_regime = val.regime
        self._target_std = targets.std.astype(np.float32)
        self._order = self._batch_rng.permutation(n_train)
        self._used = 0

        self.model = MixtureOfExperts(
            train.inputs.shape[1],
            train.targets.shape[1],
            n_experts=n_experts,
            top_k=top_k,
            n_hidden=n_hidden,
            rng=model_rng,
        )
        router_rates = {"router_weight": router_rate_scale, "router_bias": router_rate_scale}
        self.optimizer = Adam(self.model.parameters, rate_scales=router_rates)
        self.schedule = WarmupCosine(peak=peak_learning_rate, total_steps=total_steps)

    def train(self) -> Iterator[StepResult]:
        """Make the remaining steps, yielding after each; a second call goes on where the first was left."""
        while self.step < self.total_steps:
            yield self._train_step()

    def evaluate(self) -> Evaluation:
        """Measure the model as it is now on the held-out flights; changes nothing."""
        # The same draw at every evaluation, scaled, so that luck does not move the curve.
        noise = self._exploration_noise(len(self._val_inputs), rng=np.random.default_rng(self.seed))
        done = self.model.forward(self._val_inputs, logit_noise=noise)
        error = done.outputs - self._val_targets
        position_error, velocity_error = self._physical_errors(error)
        return Evaluation(
            loss=float(np.mean(error * error)),
            position_error=position_error,
            velocity_error=velocity_error,
            specialization=normalized_mutual_information(self._val_regime, done.routing.experts[:, 0]),
        )

    def _train_step(self) -> StepResult:
        inputs, targets = self._next_batch()
        noise = self._exploration_noise(len(inputs), rng=self._batch_rng)
        done = self.model.forward(inputs, logit_noise=noise)
        error = done.outputs - targets
        gradients = self.model.backward(done, (2.0 / error.size) * error, balance_weight=self.balance_weight)
        gradient_norm = clip_by_global_norm(gradients, max_norm=self.max_gradient_norm)
        learning_rate = self.schedule.learning_rate(self.step)
        self.optimizer.update(gradients, learning_rate=learning_rate)

        step = self.step
        self.step += 1
        due = step % self.eval_every == 0 or self.step == self.total_steps
        evaluation = self.evaluate() if due else None
        position_error, velocity_error = self._physical_errors(error)
        return StepResult(
            step=step,
            train_loss=float(np.mean(error * error)),
            aux_loss=done.routing.balance_loss(),
            learning_rate=learning_rate,
            gradient_norm=gradient_norm,
            expert_utilization=dict(enumerate(done.routing.dispatch_share().tolist())),
            routing_entropy=done.routing.entropy(),
            position_error=position_error,
            velocity_error=velocity_error,
            val_loss=None if evaluation is None else evaluation.loss,
            specialization=None if evaluation is None else evaluation.specialization,
            batch_size=len(inputs),
        )

    def _next_batch(self) -> tuple[Floats, Floats]:
        # The incomplete batch at the end of an epoch is skipped: every step has the same size.
        if self._used + self.batch_size > len(self._order):
            self._order = self._batch_rng.permutation(len(self._order))
            self._used = 0
        chosen = self._order[self._used : self._used + self.batch_size]
        self._used += self.batch_size
        return self._train_inputs[chosen], self._train_targets[chosen]

    def _exploration_noise(self, n: int, *, rng: np.random.Generator) -> Floats:
        remaining = 1.0 - self.step / self.total_steps
        draw = rng.standard_normal((n, self.n_experts), dtype=np.float32)
        return draw * np.float32(self.exploration * remaining)

    def _physical_errors(self, error: Floats) -> tuple[float, float]:
        """Root mean squared length of the position error in m and of the velocity error in m/s."""
        squared = (error * self._target_std) ** 2
        position, velocity = squared[:, :3].sum(axis=1).mean(), squared[:, 3:].sum(axis=1).mean()
        return float(np.sqrt(position)), float(np.sqrt(velocity))
