"""Rules of any kind are asked about every snapshot, say each thing once, and hurt nobody when they fail."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from health_doubles import Clock, experts, losses, noisy, raised

from m import (
    Alert,
    CollapsedRouting,
    DeadExperts,
    Divergence,
    LossSpike,
    NonFiniteGradient,
    NonFiniteLoss,
    Plateau,
    Run,
    Stall,
    TrainingSnapshot,
    default_rules,
)
from m.health.rule import Rule
from m.health.watcher import MOST_ROWS, PATIENCE_S, QUIET, Watcher
from m.metrics.snapshot import NUMBER_FIELDS


def watched(*rules: Rule, steps: int = 3) -> tuple[list[Alert], list[str]]:
    """The alerts over some snapshots, and the names of the rules that failed."""
    failed: list[str] = []

    def note(name: str, error: BaseException) -> bool:
        failed.append(f"{name}: {error}")
        return False

    watcher = Watcher(rules, note)
    watcher.start(Run())
    return [alert for step in range(steps) for alert in watcher.watch(TrainingSnapshot(step, step / 10))], failed


def loss_above_one(snapshot: TrainingSnapshot) -> str | None:
    return f"it is {snapshot.train_loss}" if snapshot.train_loss > 1 else None


async def later(snapshot: TrainingSnapshot) -> None:
    """No rule."""


class Counting:
    """A rule with a memory."""

    def __init__(self) -> None:
        self.seen = 0

    def start(self, run: Run) -> None:
        self.seen = 0

    def watch(self, snapshot: TrainingSnapshot) -> str | None:
        self.seen += 1
        return "two" if self.seen == 2 else None


def test_a_sentence_becomes_an_alert_that_has_the_name_of_the_rule() -> None:
    alerts, failed = watched(loss_above_one, Counting(), lambda snapshot: "always", steps=12)
    assert alerts == [
        Alert(0, "own_rule", "always"),
        Alert(1, "counting", "two"),
        Alert(11, "loss_above_one", "it is 1.1"),
    ]
    assert failed == []


def test_what_is_said_again_and_again_is_one_alert() -> None:
    alerts, _ = watched(loss_above_one, steps=10_000)
    assert [alert.step for alert in alerts] == [11]


def test_it_is_news_again_after_it_was_quiet_for_a_while() -> None:
    def sometimes(snapshot: TrainingSnapshot) -> str | None:
        return "now" if snapshot.step in (0, QUIET, 2 * QUIET + 1) else None

    alerts, _ = watched(sometimes, steps=300)
    assert [alert.step for alert in alerts] == [0, 2 * QUIET + 1]


def test_alerts_of_other_names_are_other_news() -> None:
    def two(snapshot: TrainingSnapshot) -> Alert:
        return Alert(snapshot.step, "even" if snapshot.step % 2 == 0 else "odd", "words")

    alerts, _ = watched(two, steps=100)
    assert [alert.rule for alert in alerts] == ["even", "odd"]


def test_a_new_run_begins_with_rules_that_have_forgotten() -> None:
    rule = Counting()
    watcher = Watcher([rule], lambda name, error: True)
    for _ in range(2):
        watcher.start(Run())
        assert [len(watcher.watch(TrainingSnapshot(0, 1.0))) for _ in range(3)] == [0, 1, 0]


@pytest.mark.parametrize(
    ("rule", "snapshots"),
    [
        (NonFiniteLoss(), losses([math.nan])),
        (NonFiniteGradient(in_a_row=3), losses([1.0] * 4, gradient_norm=math.nan)),
        (LossSpike(), losses([*noisy(lambda step: 1.0, 200), 3.0])),
        (Divergence(), losses(noisy(lambda step: 1.0 if step < 200 else 9.0, 240))),
        (Plateau(patience=100), losses([1.0] * 100)),
        (DeadExperts(), experts([{0: 0.0, 1: 500.0, 2: 501.0}] * 60)),
        (CollapsedRouting(), experts([{0: 500.0, 1: 0.0, 2: 1.0}] * 60)),
    ],
    ids=lambda given: type(given).__name__,
)
def test_in_a_new_run_a_rule_says_again_what_it_said_in_the_last(rule: Rule, snapshots: list[TrainingSnapshot]) -> None:
    alerts = raised(rule, snapshots)
    assert len(alerts) == 1
    assert repr(raised(rule, snapshots)) == repr(alerts)  # since Python 3.13 an alert of NaN does not equal itself


def test_a_rule_that_raises_is_set_aside_and_the_others_go_on() -> None:
    def broken(snapshot: TrainingSnapshot) -> str:
        raise ZeroDivisionError("no")

    alerts, failed = watched(broken, loss_above_one, steps=20)
    assert failed == ["broken: no"]
    assert [alert.step for alert in alerts] == [11]


@pytest.mark.parametrize("said", [True, 3.5, object(), ["text"]])
def test_a_rule_that_says_what_is_no_alert_is_set_aside(said: Any) -> None:
    alerts, failed = watched(lambda snapshot: said)
    assert alerts == []
    assert len(failed) == 1
    assert "a rule gives an Alert, a sentence or None; got" in failed[0]


@pytest.mark.parametrize("nothing", [None, "", False])
def test_nothing_may_be_said_in_any_way(nothing: Any) -> None:
    assert watched(lambda snapshot: nothing) == ([], [])


@pytest.mark.parametrize(
    ("no_rule", "message"),
    [
        (3, "a rule must be a function that takes a TrainingSnapshot"),
        (LossSpike, r"a rule must be an instance, got the class LossSpike; write LossSpike\(\.\.\.\)"),
        (later, "a rule must be a plain function, later is a coroutine function"),
    ],
)
def test_what_is_no_rule_is_refused(no_rule: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Watcher([no_rule], lambda name, error: True)
    with pytest.raises(TypeError, match=message):
        default_rules(loss_spike=no_rule)


def test_the_default_rules_can_be_tuned_muted_and_replaced_by_name() -> None:
    mine = LossSpike(deviations=6)
    rules = default_rules(loss_spike=mine, plateau=None, stall=loss_above_one)
    assert len(rules) == len(default_rules()) - 1
    assert mine in rules
    assert loss_above_one in rules
    assert not any(isinstance(rule, Plateau) for rule in rules)
    with pytest.raises(TypeError, match=r"there is no default rule plato; there are .*plateau"):
        default_rules(plato=None)  # type: ignore[call-arg]


def test_names_that_are_made_up_at_every_step_do_not_fill_the_memory() -> None:
    watcher = Watcher([lambda snapshot: Alert(snapshot.step, f"rule {snapshot.step}", "words")], lambda *_: True)
    for step in range(5000):
        watcher.watch(TrainingSnapshot(step, 1.0))
    assert len(watcher._said_at) <= 1000


def test_no_default_rule_fails_whatever_the_numbers_are() -> None:
    """A rule that raised would be set aside, and the run unwatched."""
    odd = [
        None,
        0.0,
        -0.0,
        1.0,
        -3.5,
        5e-324,
        1e-30,
        1e308,
        -1e308,
        math.nan,
        math.inf,
        -math.inf,
        2**62,
        10**299,
        True,
    ]
    draw = random.Random(0)

    def anything() -> Any:
        return draw.choice(odd)

    for calm in (0.0, 0.5, 0.99):  # so often a number is an ordinary one, so that the rules get to their windows
        watcher = Watcher(default_rules(), lambda name, error: True)
        watcher.start(Run())
        for step in range(3000):
            names = [name for name in NUMBER_FIELDS if name != "train_loss"]
            values = {name: 1.0 if draw.random() < calm else anything() for name in names}
            loads: Any = {
                each: 0.1 if draw.random() < calm else anything() for each in range(draw.choice([0, 1, 2, 8]))
            }
            at = step if draw.random() < calm else draw.choice([0, step - 5, 10**299, -(10**299)])
            loss = 1.0 + draw.random() if draw.random() < calm else anything()
            watcher.watch(TrainingSnapshot(at, loss, expert_utilization=loads, **values))
            watcher.look(step * 1000.0)


class Speaking:
    """A rule that says at which steps it is told to."""

    def __init__(self, *steps: int, says_once: bool = False) -> None:
        self.steps, self.says_once = steps, says_once

    def watch(self, snapshot: TrainingSnapshot) -> str | None:
        return "now" if snapshot.step in self.steps else None


def test_a_rule_that_says_each_thing_once_is_taken_at_its_word() -> None:
    assert [alert.step for alert in watched(Speaking(3, 4, 9, says_once=True), steps=20)[0]] == [3, 4, 9]
    assert [alert.step for alert in watched(Speaking(3, 4, 9), steps=20)[0]] == [3]
    assert all(rule.says_once for rule in default_rules())  # type: ignore[union-attr]


def test_what_one_rule_says_does_not_silence_another_of_the_same_name() -> None:
    alerts, _ = watched(Speaking(3), Speaking(7), lambda _: "first", lambda _: "second", steps=20)
    assert [(alert.step, alert.rule, alert.message) for alert in alerts] == [
        (0, "own_rule", "first"),
        (0, "own_rule", "second"),
        (3, "speaking", "now"),
        (7, "speaking", "now"),
    ]


def test_a_second_loss_that_breaks_soon_after_the_first_is_told_too() -> None:
    watcher = Watcher(default_rules(), lambda name, error: True)
    watcher.start(Run())
    told = []
    for step in range(300):
        aux, train = math.nan if step >= 100 else 0.1, math.nan if step >= 120 else 1.0
        told += watcher.watch(TrainingSnapshot(step, train, aux_loss=aux))
    assert [(alert.step, alert.message) for alert in told] == [(100, "aux_loss is nan"), (120, "train_loss is nan")]


# -- rules that hear of many at a time --------------------------------------------------------------------------------


def diverging(count: int = 400) -> list[TrainingSnapshot]:
    return losses(noisy(lambda step: 1.0 if step < 200 else 9.0, count))


class Timeline:
    """A watcher whose clock goes on by so much with each snapshot."""

    def __init__(
        self,
        *rules: Rule,
        each_s: float = 0.01,
        clock: Clock | None = None,
        failed: Callable[[str, BaseException], bool] = lambda name, error: True,
    ) -> None:
        self.clock, self.each_s = clock or Clock(), each_s
        self.watcher = Watcher(rules, failed, clock=self.clock)
        self.watcher.start(Run())

    def told(self, snapshots: list[TrainingSnapshot]) -> list[tuple[int, int]]:
        """At which snapshot there was an alert, and the step that it names."""
        told = []
        for snapshot in snapshots:
            self.clock.now += self.each_s
            told += [(snapshot.step, alert.step) for alert in self.watcher.watch(snapshot)]
        return told


def test_patient_rules_hear_of_a_snapshot_within_a_second() -> None:
    ((told, named),) = Timeline(Divergence()).told(diverging())
    assert 200 < named < 225
    assert named < told <= named + PATIENCE_S / 0.01 + 1


def test_patient_rules_hear_of_no_more_than_so_many_at_a_time() -> None:
    timeline = Timeline(Divergence(), each_s=0.0)
    ((told, named),) = timeline.told(diverging(1000))
    assert named < told < named + MOST_ROWS
    assert len(timeline.watcher._rows) < MOST_ROWS


def test_where_steps_take_long_a_patient_rule_hears_of_each_at_once() -> None:
    ((told, named),) = Timeline(Divergence(), each_s=PATIENCE_S).told(diverging())
    assert told == named


def test_a_new_run_knows_nothing_of_what_a_patient_rule_has_not_heard() -> None:
    timeline = Timeline(Divergence(), each_s=0.001)
    assert timeline.told(diverging(230)) == []
    timeline.watcher.start(Run())
    assert timeline.watcher.catch_up() == ()


def test_a_patient_rule_catches_up_before_it_is_looked_at() -> None:
    clock = Clock()
    timeline = Timeline(Stall(at_least_s=10.0, clock=clock), clock=clock)
    timeline.told(losses([1.0] * 150))
    watcher = timeline.watcher
    early = watcher.next_look
    assert watcher.look(early) == ()
    assert watcher.next_look == clock.now + 10.0 > early
    assert [alert.rule for alert in watcher.look(clock.now + 10.0)] == ["stall"]


def test_a_patient_rule_that_raises_is_set_aside_and_the_others_go_on() -> None:
    class Broken(Plateau):
        def watch_rows(self, rows: Any) -> Any:
            raise ZeroDivisionError("no")

    failed: list[str] = []
    timeline = Timeline(Broken(), Divergence(), failed=lambda name, error: bool(failed.append(name)))
    assert len(timeline.told(diverging())) == 1
    assert failed == ["broken"]
    with pytest.raises(ZeroDivisionError):
        Timeline(Broken()).told(diverging())


class Timed:
    """A rule that is looked at."""

    def __init__(self, next_look: float, says: Any) -> None:
        self.next_look, self.says, self.seen = next_look, says, 0

    def watch(self, snapshot: TrainingSnapshot) -> None:
        self.seen += 1

    def look(self, now: float) -> Any:
        if isinstance(self.says, Exception):
            raise self.says
        return self.says if now >= self.next_look else None

    def rest(self) -> None:
        self.next_look = math.inf


def test_rules_with_a_time_are_looked_at_when_the_first_of_them_wants_it() -> None:
    watcher = Watcher([Timed(20.0, "second"), loss_above_one, Timed(10.0, "first")], lambda name, error: True)
    watcher.watch(TrainingSnapshot(7, 1.0))
    assert watcher.next_look == 10.0
    assert watcher.look(9.0) == ()
    assert watcher.look(10.0) == (Alert(7, "timed", "first"),)
    watcher.rest()
    assert watcher.next_look == math.inf
    assert Watcher([loss_above_one], lambda name, error: True).next_look == math.inf


def test_a_rule_that_raises_when_it_is_looked_at_is_set_aside_and_the_others_go_on() -> None:
    failed: list[str] = []
    broken = Timed(1.0, ZeroDivisionError("no"))
    rules = [broken, Timed(5.0, "words"), Timed(1.0, 3)]
    watcher = Watcher(rules, lambda name, error: bool(failed.append(str(error)[:41])))
    assert [alert.message for alert in watcher.look(5.0)] == ["words"]
    watcher.watch(TrainingSnapshot(0, 1.0))
    watcher.look(6.0)
    assert failed == ["no", "a rule gives an Alert, a sentence or None"]
    assert (broken.seen, watcher.next_look) == (0, 5.0)
    with pytest.raises(ZeroDivisionError):
        Watcher([broken], lambda name, error: True).look(5.0)
