"""Start stages of services: no cycle, and each unit in exactly one stage."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from argosy.image.plan.stages import stage_groups


@st.composite
def fleets(draw: st.DrawFn) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    count = draw(st.integers(1, 14))
    names = [f"a{number}" for number in range(count)]
    order = draw(st.permutations(names))
    needs = {
        name: tuple(draw(st.lists(st.sampled_from(order[:at]), unique=True, max_size=3))) if at else ()
        for at, name in enumerate(order)
    }
    group_of = {name: draw(st.sampled_from("xyz")) for name in names}
    return group_of, needs


@given(fleets())
def test_stage_groups_puts_needs_into_same_or_earlier_stage(
    drawn: tuple[dict[str, str], dict[str, tuple[str, ...]]],
) -> None:
    group_of, needs = drawn
    stages = stage_groups(group_of, needs)
    assert sorted(unit for stage in stages for unit in stage) == sorted(group_of)
    assert all(len({group_of[unit] for unit in stage}) == 1 for stage in stages)
    there: set[str] = set()
    for stage in stages:
        there.update(stage)
        assert all(need in there for unit in stage for need in needs[unit])
    assert stages == stage_groups(group_of, needs)


def test_stage_groups_keeps_groups_without_cycle_whole() -> None:
    group_of = {"a": "x", "b": "x", "c": "y", "d": "y"}
    assert stage_groups(group_of, {"c": ("a",), "d": ("b",)}) == [("a", "b"), ("c", "d")]


def test_stage_groups_splits_groups_that_need_each_other() -> None:
    group_of = {"a": "x", "b": "x", "c": "y"}
    assert stage_groups(group_of, {"c": ("a",), "b": ("c",)}) == [("a",), ("c",), ("b",)]
