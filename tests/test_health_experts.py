"""Experts that get nothing and routing that has collapsed are told; few tokens and a rough start are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from health_doubles import experts, raised, routed

from m import CollapsedRouting, DeadExperts, TrainingSnapshot

EVEN = [1.0] * 8


def test_a_dead_expert_is_told_once_by_number_within_fifty_steps() -> None:
    dead = [*EVEN[:3], 0.0, *EVEN[4:]]
    alerts = raised(DeadExperts(), experts(routed(EVEN, 512, 300) + routed(dead, 512, 3000)))
    assert len(alerts) == 1
    assert 300 < alerts[0].step < 350
    assert alerts[0].message == "expert 3 of 8 gets less than 5 % of the fair share since step 300"


def test_many_dead_experts_are_one_alert_that_names_some() -> None:
    alerts = raised(DeadExperts(), experts([{each: float(each >= 64) for each in range(128)}] * 500))
    assert [alert.message for alert in alerts] == [
        "64 experts get less than 5 % of the fair share since step 0: experts 0, 1, 2, 3, 4 and 59 more"
    ]
    assert alerts[0].value == 64


def test_an_expert_that_dies_later_is_another_alert() -> None:
    first, both = [0.0, *EVEN[1:]], [0.0, *EVEN[1:5], 0.0, 1.0, 1.0]
    alerts = raised(DeadExperts(), experts(routed(EVEN, 512, 100) + routed(first, 512, 60) + routed(both, 512, 400)))
    assert ["expert 0 of 8" in alerts[0].message, "expert 5 of 8" in alerts[1].message] == [True, True]
    assert len(alerts) == 2


def test_an_expert_that_comes_back_may_die_again() -> None:
    dead = [0.0, *EVEN[1:]]
    course = [weights for _ in range(2) for weights in (EVEN, dead)]
    alerts = raised(DeadExperts(), experts([each for weights in course for each in routed(weights, 512, 200)]))
    assert [alert.step // 200 for alert in alerts] == [1, 3]


def test_counts_are_as_good_as_shares() -> None:
    counts: list[dict[Any, Any]] = [{0: 0, 1: 700, 2: 650, 3: 698}] * 60
    (alert,) = raised(DeadExperts(), experts(counts))
    assert alert.message.startswith("expert 0 of 4")


def test_few_tokens_for_many_experts_leave_experts_out_by_chance_and_that_is_no_alert() -> None:
    few = experts(routed([1.0] * 256, 16, 2000))
    assert raised(DeadExperts(), few) == []
    assert raised(CollapsedRouting(), few) == []


def test_utilization_that_is_given_now_and_then_counts_where_it_is_given() -> None:
    dead = routed([0.0, *EVEN[1:]], 512, 60)
    sparse = [
        TrainingSnapshot(step, 1.0, expert_utilization=dead[step // 10] if step % 10 == 0 else None)
        for step in range(600)
    ]
    assert len(raised(DeadExperts(), sparse)) == 1


def test_collapsed_routing_is_told_once_within_fifty_steps() -> None:
    two = [1.0, 1.0, *[0.001] * 6]
    alerts = raised(CollapsedRouting(), experts(routed(EVEN, 512, 300) + routed(two, 512, 2000)))
    assert len(alerts) == 1
    assert 300 < alerts[0].step < 350
    assert alerts[0].message == "the router uses 8 experts as if there were 2.1"


def test_four_experts_of_which_two_are_always_chosen_have_collapsed() -> None:
    assert len(raised(CollapsedRouting(), experts([{0: 0.5, 1: 0.5, 2: 0.0, 3: 0.0}] * 100))) == 1


def test_routing_that_is_only_uneven_is_not_told() -> None:
    uneven = [4.0, 3.0, 2.0, 2.0, 1.0, 1.0, 1.0, 0.5]
    assert raised(CollapsedRouting(), experts(routed(uneven, 512, 1000))) == []
    assert raised(DeadExperts(), experts(routed(uneven, 512, 1000))) == []


def test_loads_that_are_no_loads_are_passed_over() -> None:
    odd: list[dict[Any, Any]] = [{0: float("nan"), 1: 1.0}, {0: 0.0, 1: 0.0}, {0: 1.0}, {0: -1.0, 1: 0.5}, {}] * 50
    assert raised(DeadExperts(), experts(odd)) == []
    assert raised(CollapsedRouting(), experts(odd)) == []


def test_each_layer_is_looked_at_and_named() -> None:
    """A mapping of expert -> load for each layer, of which some are looked at in each snapshot."""
    rule, collapse = DeadExperts(), CollapsedRouting()
    even = dict.fromkeys(range(8), 0.125)
    layers = {f"{layer}": even | ({2: 0.0, 5: 0.0} if layer == 11 else {}) for layer in range(16)}
    layers["3"] = {each: float(each < 2) for each in range(8)}

    given = TrainingSnapshot(7, 1.0, expert_utilization=layers)
    said = [(rule.watch(given), collapse.watch(given)) for _ in range(600)]
    dead = [alert.message for alert, _ in said if alert is not None]
    assert " and ".join(dead).count("layer 11: experts 2, 5") == 1
    assert "layer 3: experts 2, 3, 4, 5, 6" in " and ".join(dead)
    assert [alert.message for _, alert in said if alert is not None] == ["layer 3 uses 8 experts as if there were 2.0"]


@pytest.mark.parametrize("as_given", [np.array, lambda layers: dict(enumerate(layers))])
def test_experts_are_watched_in_each_layer(as_given: Any) -> None:
    """A snapshot's layers are mappings of its own and no dictionaries."""
    layers = [[500.0, 500.0, 500.0, 501.0], [500.0, 0.0, 501.0, 999.0], [1999.0, 0.0, 0.0, 1.0]]
    (alert,) = raised(DeadExperts(), experts([as_given(layers)] * 60))
    assert alert.message.endswith("since step 0: layer 1: expert 1; layer 2: experts 1, 2, 3")
    (alert,) = raised(CollapsedRouting(), experts([as_given(layers)] * 60))
    assert alert.message == "layer 2 uses 4 experts as if there were 1.0"


def test_an_expert_is_one_of_those_of_its_own_layer() -> None:
    """Also where another layer, of more experts, is looked at after it."""
    few, many = dict.fromkeys(range(8), 1.0) | {3: 0.0}, dict.fromkeys(range(64), 1.0)
    layers = [{0: few, 1: many | {40: float(step < 10)}} for step in range(60)]
    assert "layer 0: expert 3 of 8 gets" in raised(DeadExperts(), experts(layers))[0].message


@pytest.mark.parametrize("weight", [0.0, 0.005, 0.02, 0.05, 0.1])
def test_an_expert_that_is_seldom_chosen_is_told_once_however_long_it_goes_on(weight: float) -> None:
    """Where a fair expert gets one token a step, a single token is no life."""
    few = experts(routed([weight, *[1.0] * 63], 64, 10_000))
    (alert,) = raised(DeadExperts(), few)
    assert alert.message.startswith("expert 0 of 64")


@pytest.mark.parametrize(("n", "tokens"), [(64, 16), (256, 64), (128, 64)])
def test_a_validation_with_many_tokens_does_not_stand_for_the_steps_with_few(n: int, tokens: int) -> None:
    dealt: list[Any] = routed([1.0] * n, tokens, 3000)
    dealt[504] = dict.fromkeys(range(n), 100_000 / n)
    dealt[505] = {**dealt[504], 0: 3.0}
    assert raised(DeadExperts(), experts(dealt)) == []
    assert raised(CollapsedRouting(), experts(dealt)) == []


def test_routing_at_the_border_of_collapse_is_told_once() -> None:
    """Half of the experts do nearly all, and a little more or less from time to time."""
    course = [
        each
        for turn in range(20)
        for each in routed([1.0] * 32 + [0.0 if turn % 2 else 0.02] * 32, 4096, 100, seed=turn)
    ]
    assert len(raised(CollapsedRouting(), experts(course))) == 1
    recovered = [*course[:200], *routed([1.0] * 64, 4096, 200), *course[:200]]
    assert len(raised(CollapsedRouting(), experts(recovered))) == 2
