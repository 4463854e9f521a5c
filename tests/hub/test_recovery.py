"""Recovery: only for the alerts that are meant, within its budget, counted over lives of the hub."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from argosy.hub.recovery import Recovery, Rule

RULE = Rule(0, "restart", agents=frozenset({"A"}), times=2, within_s=100.0, pause_s=10.0)


def alert(agent: str = "A", about: str = "trouble", figure: str = "") -> dict[str, Any]:
    return {"key": f"{about}:{agent}", "subject": agent, "about": about, "figure": figure}


def test_it_is_tried_again_after_its_pause_and_no_more_than_its_budget() -> None:
    made = Recovery([RULE])
    tried = [(at, each) for at in range(60) for each in made.attempts([alert()], at)]
    assert [(at, each.number, each.is_last_word) for at, each in tried] == [
        (0, 1, False),
        (10, 2, False),
        (20, 2, True),
    ]
    assert [each.number for each in made.attempts([alert()], 101)] == [2]  # the first has left the budget


def test_others_alerts_are_not_meant() -> None:
    made = Recovery([RULE, Rule(1, "run", run=("x",), figure="lag")])
    assert (
        made.attempts(
            [alert("B"), alert("pc2", "machine"), alert("B", "store"), alert("B", "threshold", "load")], 0
        )
        == []
    )
    assert [each.rule.number for each in made.attempts([alert("B", "threshold", "lag")], 0)] == [1]


def test_the_first_rule_counts_and_each_agent_has_a_budget_of_its_own() -> None:
    made = Recovery([RULE, Rule(1, "restart")])
    found = made.attempts([alert("A"), alert("B"), alert("C")], 0)
    assert [(each.rule.number, each.agent) for each in found] == [(0, "A"), (1, "B"), (1, "C")]


def test_what_an_earlier_life_has_tried_counts() -> None:
    made = Recovery([RULE])
    for at in (0.0, 1.0):
        made.remember(0, "A", at)
    (last,) = made.attempts([alert()], 50)
    assert last.is_last_word


@given(st.lists(st.floats(0, 30), max_size=200), st.integers(1, 4), st.floats(1, 200), st.floats(0, 20))
def test_never_more_than_the_budget_in_any_stretch_of_its_time(
    steps: list[float], times: int, within_s: float, pause_s: float
) -> None:
    made = Recovery([Rule(0, "restart", times=times, within_s=within_s, pause_s=pause_s)])
    now, begun = 0.0, []
    for step in steps:
        now += step
        begun += [now for each in made.attempts([alert()], now) if not each.is_last_word]
    for first in begun:
        assert sum(first <= at < first + within_s for at in begun) <= times
