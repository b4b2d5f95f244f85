"""What the rules of ``m.health`` cost, what they miss, and what they say of healthy runs.

``python -m benchmarks.health [SEEDS]`` runs as many seeds of each, 20 unless given (of planted faults 5 at the most):
about a quarter of an hour.
``python -m benchmarks health``, among the other suites, takes 2 seeds.
"""

from __future__ import annotations

import argparse
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable

from benchmarks.losses import KINDS, STEPS, snapshots
from benchmarks.measure import Figure, interleaved, machine, table
from m.examples.trajectory_3d.demo import DEFAULT_STEPS, snapshot_of_step
from m.examples.trajectory_3d.faults import FAULTS, train_with
from m.examples.trajectory_3d.training import TrajectoryTrainer
from m.health.defaults import default_rules
from m.health.rule import Rule
from m.health.stall import Stall
from m.health.watcher import Watcher
from m.hub.hub import MetricsHub
from m.metrics.alerts import Alert
from m.metrics.run import Run
from m.metrics.snapshot import TrainingSnapshot

PLANTED_AT = 400
WITHIN = 50
MOST_PLANTED = 5
STALL_S = 3.0
"""Instead of the 5 minutes of the default, so that the benchmark ends."""


def run(seeds: int = 2) -> None:
    """Print the tables."""
    costs()
    healthy_demo(seeds)
    planted(min(seeds, MOST_PLANTED))
    healthy_losses(seeds)


# -- cost -----------------------------------------------------------------------------------------------------------


def costs() -> None:
    """Microseconds a snapshot, as a mean: what a rule does now and then is in it."""
    draw = random.Random(0)
    given = [
        TrainingSnapshot(
            step,
            train_loss=(1.0 + 3.0 / (1 + step / 500)) * draw.gauss(1.0, 0.05),
            learning_rate=3e-4,
            aux_loss=0.01,
            expert_utilization={expert: draw.uniform(0.08, 0.17) for expert in range(8)},
            batch_size=32,
            sequence_length=2048,
            gradient_norm=1.0,
        )
        for step in range(20_000)
    ]
    cases: list[tuple[str, Callable[[], float]]] = [("all default rules", lambda: _watching(default_rules(), given))]
    for rule in default_rules():
        cases.append((f"{type(rule).__name__} alone", lambda rule=rule: _watching([rule], given)))
    cases.append(("no rule", lambda: _watching([], given)))
    table("rules alone, 8 experts", "us, mean of snapshots", interleaved(cases, 5))
    emits: list[tuple[str, Callable[[], float]]] = [
        ("no sink, default rules", lambda: _emitting([], None, given)),
        ("no sink, no rules", lambda: _emitting([], (), given)),
        ("one function, default rules", lambda: _emitting([lambda snapshot: None], None, given)),
        ("one function, no rules", lambda: _emitting([lambda snapshot: None], (), given)),
    ]
    table("emit alone", "us, mean of snapshots", interleaved(emits, 5))


def _watching(rules: Iterable[Rule], given: list[TrainingSnapshot]) -> float:
    watcher = Watcher(rules, _must_not_fail)
    watcher.start(Run())
    before = time.perf_counter()
    for snapshot in given:
        watcher.watch(snapshot)
    watcher.catch_up()
    return (time.perf_counter() - before) / len(given) * 1e6


def _emitting(
    sinks: list[Callable[[TrainingSnapshot], None]], rules: tuple[()] | None, given: list[TrainingSnapshot]
) -> float:
    with MetricsHub(sinks, rules=rules) as hub:
        before = time.perf_counter()
        for snapshot in given:
            hub.emit(snapshot)
        return (time.perf_counter() - before) / len(given) * 1e6


def _must_not_fail(name: str, error: BaseException) -> bool:
    return True


# -- what they say --------------------------------------------------------------------------------------------------


def healthy_demo(seeds: int) -> None:
    """Whole runs of ``python -m m demo``, on the clock that there is."""
    total: Counter[str] = Counter()
    for seed in range(seeds):
        with MetricsHub([lambda snapshot: None], strict=True) as hub:
            hub.start(total_steps=DEFAULT_STEPS)
            for result in TrajectoryTrainer(seed=seed, total_steps=DEFAULT_STEPS).train():
                hub.emit(snapshot_of_step(result))
        total.update(alert.rule for alert in hub.alerts)
    print(f"\nhealthy runs of the demo: {seeds} of {DEFAULT_STEPS} steps, alerts: {total.total()}  {_by_rule(total)}")


def planted(seeds: int) -> None:
    """Each fault in runs of the demo; only its own alert counts as having noticed it."""
    figures = []
    for fault in FAULTS:
        after: list[float] = []
        others: Counter[str] = Counter()
        for seed in range(seeds):
            alerts = alerts_with(fault, seed)
            others.update(alert.rule for alert in alerts if alert.rule != fault)
            after.extend([alert.step - PLANTED_AT for alert in alerts if alert.rule == fault][:1])
        noticed = sum(each <= WITHIN for each in after)
        name = f"{fault}: {noticed} of {seeds} within {WITHIN}"
        if others:
            name += f"; also {_by_rule(others)}"
        figures.append(Figure(name, tuple(after) or (float("nan"),)))
    table(f"faults planted in the demo at step {PLANTED_AT}", "steps until the alert", figures)


def alerts_with(fault: str, seed: int) -> list[Alert]:
    """The alerts of a run of the demo into which ``fault`` was planted, up to some steps after it."""
    trainer = TrajectoryTrainer(seed=seed, total_steps=DEFAULT_STEPS)
    with MetricsHub([lambda snapshot: None], rules=default_rules(stall=Stall(at_least_s=STALL_S)), strict=True) as hub:
        hub.start(total_steps=DEFAULT_STEPS)
        for result in train_with(fault, trainer, at=PLANTED_AT, stall_s=STALL_S + 1.5):
            hub.emit(snapshot_of_step(result))
            if result.step >= PLANTED_AT + WITHIN + 10:
                break
    return list(hub.alerts)


def healthy_losses(seeds: int) -> None:
    """Made-up runs of every kind; whatever is said of them is a false alarm."""
    print(f"\nfalse alarms in {seeds} healthy runs of {STEPS} steps of each kind")
    width = max(map(len, KINDS))
    for kind in KINDS:
        said: Counter[str] = Counter()
        for seed in range(seeds):
            watcher = Watcher(default_rules(stall=None, throughput_drop=None), _must_not_fail)
            watcher.start(Run())
            said.update(alert.rule for snapshot in snapshots(kind, seed) for alert in watcher.watch(snapshot))
            said.update(alert.rule for alert in watcher.catch_up())
        print(f"  {kind:<{width}} {said.total():>4}  {_by_rule(said)}")


def _by_rule(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {rule}" for rule, count in counts.most_common())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.health", description=__doc__)
    parser.add_argument("seeds", type=int, nargs="?", default=20, help="runs of each kind (default: %(default)s)")
    seeds = parser.parse_args().seeds
    logging.getLogger("m.hub").setLevel(logging.ERROR)
    print(machine())
    run(seeds)
