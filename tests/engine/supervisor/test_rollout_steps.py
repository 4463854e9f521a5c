"""Rollout steps: waiting until units settle, and stopping in dependency order, on a model of units."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.engine.protocol.state_machine import SETTLED_STATES, State
from argosy.engine.supervisor.dependents import Dependents
from argosy.engine.supervisor.rollout_steps import OrderedStop, SettleWaiter
from argosy.engine.unit.unit import Unit


class FakeUnit:
    """A unit without a process: what a change sees of it, and what came of it. is_stuck: no kill ends it."""

    stop_timeout_s = 0.0
    is_stuck = False
    was_killed = False

    def __init__(self, name: str, state: State, unit_set: FakeUnitSet) -> None:
        self.name = name
        self.state = state
        self.desired_up = True
        self.is_reachable = True
        self._unit_set = unit_set

    @property
    def spec(self) -> FakeUnit:
        """What is asked of a spec here is the names that it needs."""
        return self

    def need_names(self) -> list[str]:
        return self._unit_set.needs[self.name]

    @property
    def has_process(self) -> bool:
        return self.state in (State.READY, State.STARTING, State.STOPPING)

    def kill(self) -> None:
        self.was_killed = True
        if not self.is_stuck:
            self.state = State.EXITED
            self._unit_set.changed(self)

    def stop(self) -> None:
        assert not self.desired_up
        self._unit_set.stopped.append(self.name)
        if self.state in (State.READY, State.STARTING):
            self.state = State.STOPPING
            self._unit_set.stopping_units.append(self)
        elif self.state is State.WAITING:
            self.state = State.EXITED
            self._unit_set.changed(self)


class FakeUnitSet:
    """needs: name to what it needs."""

    def __init__(self, needs: dict[str, list[str]], states: dict[str, State]) -> None:
        self.needs = needs
        self.stopped: list[str] = []
        self.stopping_units: list[FakeUnit] = []
        self.units = {name: FakeUnit(name, states[name], self) for name in needs}
        self.stop: OrderedStop | None = None

    def of(self, name: str) -> list[FakeUnit]:
        return [self.units[other] for other, needs in self.needs.items() if name in needs]

    def changed(self, unit: FakeUnit) -> None:
        if self.stop is not None:
            asyncio.get_running_loop().call_soon(self.stop.on_transition, cast(Unit, unit))


def as_units(units: Iterable[FakeUnit]) -> list[Unit]:
    return cast(list[Unit], list(units))


@st.composite
def fleets(draw: st.DrawFn) -> tuple[dict[str, list[str]], dict[str, State]]:
    names = [f"N{number}" for number in range(draw(st.integers(0, 12)))]
    needs = {
        name: draw(st.lists(st.sampled_from(names[:at]), unique=True)) if at else []
        for at, name in enumerate(names)
    }
    states = {
        name: draw(
            st.sampled_from([State.READY, State.STARTING, State.WAITING, State.EXITED, State.GIVEN_UP])
        )
        for name in names
    }
    return needs, states


@given(fleets(), st.randoms(use_true_random=False))
def test_ordered_stop_stops_agents_before_their_needs_without_delay(
    fleet: tuple[dict[str, list[str]], dict[str, State]], dice: random.Random
) -> None:
    needs, states = fleet
    running = {name for name, state in states.items() if state in (State.READY, State.STARTING)}
    gone: list[str] = []

    async def run() -> None:
        unit_set = FakeUnitSet(needs, states)
        unit_set.stop = OrderedStop(as_units(unit_set.units.values()), cast(Dependents, unit_set))
        stopping = asyncio.ensure_future(unit_set.stop.run())
        await asyncio.sleep(0)
        while unit_set.stopping_units:
            living = {unit.name for unit in unit_set.units.values() if unit.has_process}
            free = {name for name in living if not any(d.has_process for d in unit_set.of(name))}
            assert {unit.name for unit in unit_set.stopping_units} == free, (
                "stopped as soon as, and not before, it is free"
            )
            unit = unit_set.stopping_units.pop(dice.randrange(len(unit_set.stopping_units)))
            unit.state = State.EXITED
            gone.append(unit.name)
            unit_set.changed(unit)
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            await stopping
        assert sorted(unit_set.stopped) == sorted(needs)

    asyncio.run(run())
    assert set(gone) == running
    for name in gone:
        assert all(gone.index(name) < gone.index(need) for need in needs[name] if need in running)


@pytest.mark.parametrize("is_stuck", [False, True])
def test_ordered_stop_ends_although_agents_do_not_exit(is_stuck: bool) -> None:
    async def run() -> None:
        unit_set = FakeUnitSet({"A": [], "B": ["A"], "C": []}, dict.fromkeys("ABC", State.READY))
        unit_set.units["B"].is_stuck = is_stuck
        unit_set.stop = OrderedStop(
            as_units(unit_set.units.values()), cast(Dependents, unit_set), slack_s=0.02
        )
        async with asyncio.timeout(20):
            await unit_set.stop.run()
        assert sorted(unit_set.stopped) == ["B", "C"], "A waits for B, which never ends"
        assert all(unit.was_killed for unit in unit_set.units.values())
        assert [unit.name for unit in unit_set.stop.still_running()] == (["B"] if is_stuck else [])

    asyncio.run(run())


def test_ordered_stop_kills_no_agent_while_stop_progresses() -> None:
    async def run() -> None:
        needs = {f"N{number}": [f"N{number - 1}"] if number else [] for number in range(8)}
        unit_set = FakeUnitSet(needs, dict.fromkeys(needs, State.READY))
        unit_set.stop = OrderedStop(
            as_units(unit_set.units.values()), cast(Dependents, unit_set), slack_s=0.5
        )
        stopping = asyncio.ensure_future(unit_set.stop.run())
        while not stopping.done():
            await asyncio.sleep(0.1)
            for unit in [unit_set.stopping_units.pop(0)] if unit_set.stopping_units else []:
                unit.state = State.EXITED
                unit_set.changed(unit)
        assert not any(unit.was_killed for unit in unit_set.units.values())

    asyncio.run(run())


def settle(scenario: object) -> tuple[bool, list[str]]:
    async def run() -> tuple[bool, list[str]]:
        unit_set = FakeUnitSet({"A": [], "B": []}, {"A": State.STARTING, "B": State.WAITING})
        gone: list[str] = []
        settling = SettleWaiter(as_units(unit_set.units.values()), is_unattended=lambda: bool(gone))
        waiting = asyncio.ensure_future(settling.wait(0.05 if scenario == "late" else 20))
        await asyncio.sleep(0)

        def turn(name: str, state: State) -> None:
            unit_set.units[name].state = state
            settling.on_transition(cast(Unit, unit_set.units[name]))

        if scenario == "ready":
            turn("A", State.READY)
            turn("B", State.BLOCKED)
        elif scenario == "falls again":
            turn("A", State.READY)
            turn("B", State.READY)
            turn("A", State.RESTART_PENDING)  # before the waiting task has had its turn
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not waiting.done()
            turn("A", State.GIVEN_UP)
        elif scenario == "interrupted":
            settling.interrupt()
        elif scenario == "unattended":
            gone.append("the client")
            settling.recheck_attended()
        return await waiting, [unit.name for unit in settling.unsettled()]

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("ready", (True, [])),
        ("falls again", (True, [])),
        ("interrupted", (True, ["A", "B"])),
        ("unattended", (True, ["A", "B"])),
        ("late", (False, ["A", "B"])),
    ],
)
def test_settle_waiter_ends_wait_and_reports_unsettled_agents(
    scenario: str, expected: tuple[bool, list[str]]
) -> None:
    assert settle(scenario) == expected


def test_settle_waiter_returns_at_once_without_units_or_after_interrupt() -> None:
    async def run() -> None:
        assert await SettleWaiter([]).wait(20)
        unit_set = FakeUnitSet({"A": []}, {"A": State.STARTING})
        settling = SettleWaiter(as_units(unit_set.units.values()))
        settling.interrupt()
        assert await settling.wait(20)
        assert settling.is_interrupted

    asyncio.run(run())


def test_waiting_and_restart_pending_are_not_settled_states() -> None:
    assert State.WAITING not in SETTLED_STATES
    assert State.RESTART_PENDING not in SETTLED_STATES
