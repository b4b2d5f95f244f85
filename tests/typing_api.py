"""Realistic calls, never run: ``mypy --strict`` must accept each line and refuse the marked ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from m import (
    Alert,
    Background,
    CollapsedRouting,
    DeadExperts,
    Divergence,
    HubStats,
    LossSpike,
    MetricsHub,
    NonFiniteGradient,
    NonFiniteLoss,
    Plateau,
    Recorder,
    Rule,
    Run,
    Sink,
    SinkStats,
    Stall,
    Subscription,
    SystemMetrics,
    ThroughputDrop,
    ThroughputMetrics,
    TrainingSnapshot,
    default_rules,
)
from m.journal import Attempt, Follower, Gap, Journal, Recorded, Records, read
from sinks import JsonlSink


class LossFile:
    """A home-made sink: one method is enough, the others are optional."""

    background = "drop_oldest"

    def __init__(self, path: str) -> None:
        self.path = path
        self.lines: list[str] = []

    def start(self, run: Run) -> None:
        self.lines.append(f"# {run.description} {run.run_id}")

    def record(self, snapshot: TrainingSnapshot) -> None:
        self.lines.append(f"{snapshot.step} {snapshot.train_loss}")

    def alert(self, alert: Alert) -> None:
        self.lines.append(str(alert))

    def flush(self) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write("\n".join(self.lines))
        self.lines.clear()

    def close(self) -> None:
        self.flush()


class EveryNth:
    """A home-made wrapper: takes any sink that records."""

    def __init__(self, inner: Recorder, n: int) -> None:
        self.inner, self.n = inner, n

    def record(self, snapshot: TrainingSnapshot) -> None:
        if snapshot.step % self.n == 0:
            self.inner.record(snapshot)


def print_loss(snapshot: TrainingSnapshot) -> None:
    print(snapshot.train_loss)


def loop(steps: int, loss_of: Callable[[int], float]) -> HubStats:
    seen: list[TrainingSnapshot] = []
    sinks: list[Sink] = [LossFile("loss.txt"), EveryNth(LossFile("some.txt"), 10), print_loss, seen.append]
    with MetricsHub(sinks, strict=True, close_timeout=1.0) as hub:
        run: Run | None = hub.start(total_steps=steps, description="Training MoE", initial_step=0)
        assert run is None or run.total_steps == steps
        subscription: Subscription = hub.subscribe(
            lambda snapshot: None, name="late", background=Background(overflow="latest")
        )
        for step in range(steps):
            hub.emit(
                TrainingSnapshot(
                    step=step,
                    train_loss=loss_of(step),
                    val_loss=None,
                    expert_utilization={0: 0.5, 1: 0.5},
                    custom_metrics={"accuracy": 0.9, "phase": "warm-up"},
                )
            )
        hub.log({"train_loss": 0.5, "accuracy": 0.9})
        hub.log({"train_loss": 0.5}, step=3)
        hub.alert(Alert(step=3, rule="loss_spike", message="it jumped", value=9.0))
        flushed: bool = hub.flush(timeout=1.0)
        assert flushed
        stats: SinkStats = subscription.stats()
        print(stats.delivered, stats.dropped, stats.waiting, stats.last_error)
        with hub.subscribe(print_loss) as inner:
            print(inner.name)
        hub.unsubscribe(print_loss)
    return hub.stats()


def tracked(items: list[str]) -> Iterator[str]:
    hub = MetricsHub()
    for item in hub.track(items, description="letters"):
        yield item.upper()
    hub.close()


def signals(hub: MetricsHub) -> None:
    def receive(hub: MetricsHub, snapshot: TrainingSnapshot) -> None: ...

    @hub.run_started.connect
    def started(hub: MetricsHub, run: Run) -> None: ...

    hub.snapshot_emitted.connect(receive)
    hub.snapshot_emitted.connect(receive, sender=hub, weak=False)
    hub.snapshot_emitted.disconnect(receive)
    with hub.alert_raised.muted(), hub.run_closed.connected_to(started):
        hub.close_on(15)


def too_high(snapshot: TrainingSnapshot) -> str | None:
    return "the loss is above 10" if snapshot.train_loss > 10 else None


class Patient:
    """A home-made rule with a memory."""

    def __init__(self) -> None:
        self.steps = 0

    def start(self, run: Run) -> None:
        self.steps = 0

    def watch(self, snapshot: TrainingSnapshot) -> Alert | None:
        self.steps += 1
        return Alert(snapshot.step, "patience", "it has been long", 3.0) if self.steps > 1000 else None


def health() -> None:
    rules: list[Rule] = [
        NonFiniteLoss(),
        NonFiniteGradient(in_a_row=3),
        LossSpike(deviations=6, window=128),
        Divergence(times=2, lost=0.3),
        Plateau(patience=1000, tolerance=0.02),
        DeadExperts(share=0.01, patience=50),
        CollapsedRouting(effective=0.25),
        ThroughputDrop(times=1.5, seconds=60),
        Stall(at_least_s=600),
        too_high,
        Patient(),
    ]
    hub = MetricsHub(rules=rules)
    other = MetricsHub(rules=(*default_rules(plateau=None, loss_spike=LossSpike(6)), too_high))

    @hub.on_alert
    def react(alert: Alert) -> None:
        hub.stop(alert.message)

    newest: tuple[Alert, ...] = other.alerts
    if hub.should_stop:
        print(hub.stop_reason, newest, hub.stats().alerts)


def journals(path: str) -> list[float | None]:
    with MetricsHub([JsonlSink(path, fsync_every=5, rotate_mb=200, rank=3)]) as hub:
        hub.log({"train_loss": 0.5})
    journal: Journal = read(path, max_names=100)
    attempts: tuple[Attempt, ...] = journal.attempts
    print(journal.shortfall(), journal.bad_lines, attempts[0].missing, attempts[0].run.rank)
    follower = Follower(path, poll_every_s=0.1)
    for record in follower:
        if isinstance(record, Gap):
            print(record.lost, follower.bad_lines)
            follower.stop()
    losses: list[float | None] = [
        record.snapshot.train_loss for record in Records(path) if isinstance(record, Recorded)
    ]
    return losses + [each.snapshot.train_loss for each in journal.merged(overlap="all")]


def containers() -> tuple[ThroughputMetrics, SystemMetrics]:
    return ThroughputMetrics(steps_per_second=2.0), SystemMetrics(gradient_norm=1.0)


def mistakes(hub: MetricsHub, snapshot: TrainingSnapshot) -> None:
    snapshot.step = 3  # type: ignore[misc]
    TrainingSnapshot(step=1)  # type: ignore[call-arg]
    TrainingSnapshot(step="1", train_loss=0.5)  # type: ignore[arg-type]
    hub.emit({"train_loss": 0.5})  # type: ignore[arg-type]
    hub.subscribe(3)  # type: ignore[arg-type]
    hub.subscribe(lambda: None)  # type: ignore[arg-type,misc]
    Background(overflow="newest")  # type: ignore[arg-type]
    hub.alert("it jumped")  # type: ignore[arg-type]
    read("run.jsonl").merged(overlap="first")  # type: ignore[arg-type]
    default_rules(loss_spice=None)  # type: ignore[call-arg]
    MetricsHub(rules=[3])  # type: ignore[list-item]
    LossSpike(deviations="high")  # type: ignore[arg-type]
