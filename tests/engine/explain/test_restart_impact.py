"""Restart impact: which agents go down with which, and from when to when."""

from __future__ import annotations

from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.engine.explain.restart_impact import RestartImpact, estimate_impact, simulate_start
from argosy.engine.explain.timing_history import (
    DEFAULT_START_S,
    DurationEstimate,
    TimingHistory,
    estimate_starts,
)
from argosy.engine.plan.process_plan import ProcessSpec
from argosy.fleet.dependency_graph import UnknownAgentError, graph_from_edges
from argosy.fleet.fleet_spec import Need, Probe
from argosy.fleet.schedule import compute_ready_times

OnDeath = Literal["wait", "restart", "stop", "degrade"]

START_S, STOP_S, CELL_START_S = 2.0, 0.5, 4.0


def spec(name: str, cell: str | None = None, **needs: OnDeath) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        argv=("python",),
        env={},
        cwd="/",
        is_sdk=True,
        machine=None,
        group=None,
        ports=(),
        host="127.0.0.1",
        port=None,
        probe=Probe(probe="notify"),
        probe_port=None,
        needs=tuple(Need(agent, on_death=how) for agent, how in needs.items()),
        wants=(),
        required=True,
        watchdog_s=None,
        start_timeout_s=60,
        stop_timeout_s=10,
        restart="on-failure",
        restart_times=5,
        restart_within_s=60,
        backoff_first_s=0.1,
        backoff_most_s=30,
        open_files=0,
        cell=cell,
    )


def impact(names: list[str], *specs: ProcessSpec, down: tuple[str, ...] = ()) -> RestartImpact:
    processes = {each.name: each for each in specs}
    past = {name: TimingHistory((START_S,), (STOP_S,)) for name in processes}
    past |= {f"cell:{each.cell}": TimingHistory((CELL_START_S,), (STOP_S,)) for each in specs if each.cell}
    return estimate_impact(names, processes, [name for name in processes if name not in down], past)


def spans(found: RestartImpact) -> dict[str, tuple[float, float]]:
    return {each.agent: (each.from_s, each.to_s) for each in found.outages}


def causes(found: RestartImpact) -> dict[str, tuple[str, str]]:
    return {each.agent: (each.cause, each.caused_by) for each in found.outages}


def test_restart_impact_follows_chain_of_needs() -> None:
    found = impact(
        ["A"], spec("A"), spec("Stops", A="stop"), spec("Follows", Stops="restart"), spec("Waits", A="wait")
    )
    assert spans(found) == {"A": (0, 2.5), "Stops": (0, 4.5), "Follows": (4.5, 7.0)}
    assert found.reconnecting == ("Waits",)
    assert found.unavailable_s == {"Waits": 2.5}
    assert found.cell_members == {}


def test_agent_is_affected_until_last_of_its_needs_is_ready() -> None:
    found = impact(
        ["A", "B"], spec("A"), spec("B"), spec("C", B="restart"), spec("User", A="degrade", C="degrade")
    )
    assert spans(found) == {"A": (0, 2.5), "B": (0, 2.5), "C": (2.5, 5.0)}
    assert found.unavailable_s == {"User": 2.5}
    found = impact(["B"], spec("B", "one"), spec("A", "one", B="wait"), spec("User", A="wait", B="wait"))
    ready_s = {name: span[1] for name, span in spans(found).items()}
    assert ready_s["A"] > ready_s["B"]
    assert found.unavailable_s == {"User": ready_s["A"]}


def test_restart_impact_skips_stopped_dependents() -> None:
    found = impact(
        ["A"], spec("A"), spec("Stops", A="stop"), spec("Restarts", A="restart"), down=("Stops", "Restarts")
    )
    assert set(spans(found)) == {"A"}
    assert (found.degraded, found.reconnecting, found.indirectly_affected) == ((), (), ())


def test_cell_goes_down_together_and_starts_in_order_of_needs() -> None:
    found = impact(
        ["B"], spec("A", "one"), spec("B", "one", A="wait"), spec("Other", "two", A="wait"), spec("Alone")
    )
    up_s = STOP_S + CELL_START_S
    assert spans(found) == {"A": (0, up_s + 2), "B": (0, up_s + 4)}
    assert causes(found) == {"A": ("cell", "B"), "B": ("named", "")}
    assert (found.cell_members, found.reconnecting) == ({"one": ["A"]}, ("Other",))


def test_restarted_dependent_takes_its_cell_down() -> None:
    found = impact(
        ["A"],
        spec("A"),
        spec("Follows", "one", A="restart"),
        spec("Mate", "one"),
        spec("Ails", A="degrade"),
        spec("Stops", "two", Mate="stop"),
        spec("Third", "two"),
    )
    assert causes(found) == {
        "A": ("named", ""),
        "Follows": ("restart", "A"),
        "Mate": ("cell", "Follows"),
        "Stops": ("stop", "Mate"),
        "Third": ("cell", "Stops"),
    }
    assert found.cell_members == {}, "as the restart itself tells only the mates of those that were named"
    assert {span[0] for name, span in spans(found).items() if name != "A"} == {2.5}
    assert found.degraded == ("Ails",)


def test_stopped_agent_of_running_cell_restarts_alone() -> None:
    found = impact(["B"], spec("A", "one"), spec("B", "one"), down=("B",))
    assert causes(found) == {"B": ("named", "")}


def test_agents_of_one_cell_named_together_have_cause_named() -> None:
    found = impact(["A", "B"], spec("A", "one"), spec("B", "one"), spec("C", "one"))
    assert causes(found) == {"A": ("named", ""), "B": ("named", ""), "C": ("cell", "A")}
    assert found.cell_members == {"one": ["C"]}


@pytest.mark.parametrize("name", ["A", "B"])
def test_restart_impact_terminates_for_mutually_dependent_cells(name: str) -> None:
    one = [spec("A", "one"), spec("D", "one", C="restart")]
    two = [spec("B", "two", A="wait"), spec("C", "two", B="wait")]
    found = impact([name], *one, *two)
    assert {"A": {"A", "D"}, "B": {"A", "B", "C", "D"}}[name] == set(spans(found))


@st.composite
def fleets(draw: st.DrawFn) -> list[ProcessSpec]:
    count = draw(st.integers(1, 8))
    found = []
    for at in range(count):
        needs = (
            draw(st.dictionaries(st.integers(0, at - 1), st.sampled_from(_WAYS), max_size=3)) if at else {}
        )
        cell = draw(st.sampled_from([None, "one", "two"]))
        found.append(spec(f"A{at}", cell, **{f"A{need}": how for need, how in needs.items()}))
    return found


_WAYS: list[OnDeath] = ["wait", "restart", "stop", "degrade"]


@given(specs=fleets(), data=st.data())
def test_restart_impact_matches_agents_that_supervisor_restarts(
    specs: list[ProcessSpec], data: st.DataObject
) -> None:
    names = data.draw(st.lists(st.sampled_from([each.name for each in specs]), min_size=1, unique=True))
    found = impact(names, *specs)
    touched: set[str] = set()
    stack = list(names)
    while stack:
        name = stack.pop()
        if name in touched:
            continue
        touched.add(name)
        own = next(each for each in specs if each.name == name)
        stack += [each.name for each in specs if own.cell and each.cell == own.cell]
        stack += [
            each.name
            for each in specs
            if any(need.agent == name and need.on_death in ("restart", "stop") for need in each.needs)
        ]
    assert set(spans(found)) == touched
    for cell in ("one", "two"):
        assert (
            len({spans(found)[each.name][0] for each in specs if each.cell == cell and each.name in touched})
            < 2
        )
    for outage in found.outages:
        assert outage.to_s >= outage.from_s + START_S + STOP_S
    assert msgspec.json.decode(msgspec.json.encode(found), type=RestartImpact) == found


@given(st.data(), st.integers(1, 4))
def test_simulated_start_respects_needs_and_slots_without_idling(data: st.DataObject, slots: int) -> None:
    names = [f"a{index}" for index in range(data.draw(st.integers(1, 9)))]
    needs = {
        name: data.draw(st.lists(st.sampled_from(names[:index]), unique=True)) if index else []
        for index, name in enumerate(names)
    }
    takes = {name: float(data.draw(st.integers(1, 5))) for name in names}
    graph = graph_from_edges(needs)
    simulated = simulate_start(graph, takes, slots)
    assert set(simulated) == set(names)
    for name, step in simulated.items():
        assert step.ready_s == step.started_s + takes[name]
        free_s = max((simulated[need].ready_s for need in needs[name]), default=0.0)
        assert step.started_s >= free_s
        under_way = [
            other for other, each in simulated.items() if each.started_s <= step.started_s < each.ready_s
        ]
        assert len(under_way) <= slots
        # One that waited longer than for its needs found every slot taken just before it began.
        if step.started_s > free_s:
            before = [o for o, each in simulated.items() if each.started_s < step.started_s <= each.ready_s]
            assert len(before) == slots
    unbounded = simulate_start(graph, takes, len(names))
    assert {name: step.ready_s for name, step in unbounded.items()} == compute_ready_times(graph, takes)


def test_simulated_start_prefers_longest_chain() -> None:
    graph = graph_from_edges({"Lone": [], "A": [], "B": ["A"], "C": ["B"]})
    simulated = simulate_start(graph, dict.fromkeys(graph.agents, 1.0), 1)
    assert sorted(simulated, key=lambda name: simulated[name].started_s) == ["A", "B", "Lone", "C"]


def test_simulated_start_raises_for_agent_without_duration() -> None:
    with pytest.raises(UnknownAgentError):
        simulate_start(graph_from_edges({"A": []}), {}, 1)


def test_unmeasured_agent_gets_median_start_duration() -> None:
    past = {"A": TimingHistory((1.0, 3.0)), "B": TimingHistory((8.0,)), "C": TimingHistory((), (1.0,))}
    assert estimate_starts(["A", "B", "C"], past) == {
        "A": DurationEstimate(2.0, 2),
        "B": DurationEstimate(8.0, 1),
        "C": DurationEstimate(5.0, 0),
    }
    assert estimate_starts(["D"], past) == {"D": DurationEstimate(DEFAULT_START_S, 0)}
