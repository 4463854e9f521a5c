"""A change under way: settling and stopping in order, against a model of the crew."""

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


class Model:
    """A unit without a process: what a change sees of it, and what came of it. is_stuck: no kill ends it."""

    stop_timeout_s = 0.0
    is_stuck = False
    was_killed = False

    def __init__(self, name: str, state: State, crew: ModelCrew) -> None:
        self.name = name
        self.state = state
        self.desired_up = True
        self.is_reachable = True
        self._crew = crew

    @property
    def spec(self) -> Model:
        """What is asked of a spec here is the names that it needs."""
        return self

    def need_names(self) -> list[str]:
        return self._crew.needs[self.name]

    @property
    def has_process(self) -> bool:
        return self.state in (State.READY, State.STARTING, State.STOPPING)

    def kill(self) -> None:
        self.was_killed = True
        if not self.is_stuck:
            self.state = State.EXITED
            self._crew.changed(self)

    def stop(self) -> None:
        assert not self.desired_up
        self._crew.told.append(self.name)
        if self.state in (State.READY, State.STARTING):
            self.state = State.STOPPING
            self._crew.dying.append(self)
        elif self.state is State.WAITING:
            self.state = State.EXITED
            self._crew.changed(self)


class ModelCrew:
    """needs: name to what it needs."""

    def __init__(self, needs: dict[str, list[str]], states: dict[str, State]) -> None:
        self.needs = needs
        self.told: list[str] = []
        self.dying: list[Model] = []
        self.units = {name: Model(name, states[name], self) for name in needs}
        self.stop: OrderedStop | None = None

    def of(self, name: str) -> list[Model]:
        return [self.units[other] for other, needs in self.needs.items() if name in needs]

    def changed(self, unit: Model) -> None:
        if self.stop is not None:
            asyncio.get_running_loop().call_soon(self.stop.on_transition, cast(Unit, unit))


def as_units(units: Iterable[Model]) -> list[Unit]:
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
def test_each_goes_before_what_it_needs_and_none_waits_longer_than_that(
    fleet: tuple[dict[str, list[str]], dict[str, State]], dice: random.Random
) -> None:
    needs, states = fleet
    running = {name for name, state in states.items() if state in (State.READY, State.STARTING)}
    gone: list[str] = []

    async def run() -> None:
        crew = ModelCrew(needs, states)
        crew.stop = OrderedStop(as_units(crew.units.values()), cast(Dependents, crew))
        stopping = asyncio.ensure_future(crew.stop.run())
        await asyncio.sleep(0)
        while crew.dying:
            living = {unit.name for unit in crew.units.values() if unit.has_process}
            free = {name for name in living if not any(d.has_process for d in crew.of(name))}
            assert {unit.name for unit in crew.dying} == free, "told as soon as, and not before, it is free"
            unit = crew.dying.pop(dice.randrange(len(crew.dying)))
            unit.state = State.EXITED
            gone.append(unit.name)
            crew.changed(unit)
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            await stopping
        assert sorted(crew.told) == sorted(needs)

    asyncio.run(run())
    assert set(gone) == running
    for name in gone:
        assert all(gone.index(name) < gone.index(need) for need in needs[name] if need in running)


@pytest.mark.parametrize("is_stuck", [False, True])
def test_a_stop_ends_although_nobody_does(is_stuck: bool) -> None:
    async def run() -> None:
        crew = ModelCrew({"A": [], "B": ["A"], "C": []}, dict.fromkeys("ABC", State.READY))
        crew.units["B"].is_stuck = is_stuck
        crew.stop = OrderedStop(as_units(crew.units.values()), cast(Dependents, crew), slack_s=0.02)
        async with asyncio.timeout(20):
            await crew.stop.run()
        assert sorted(crew.told) == ["B", "C"], "A waits for B, which never ends"
        assert all(unit.was_killed for unit in crew.units.values())
        assert [unit.name for unit in crew.stop.still_running()] == (["B"] if is_stuck else [])

    asyncio.run(run())


def test_a_stop_that_goes_on_is_not_cut_short() -> None:
    async def run() -> None:
        needs = {f"N{number}": [f"N{number - 1}"] if number else [] for number in range(8)}
        crew = ModelCrew(needs, dict.fromkeys(needs, State.READY))
        crew.stop = OrderedStop(as_units(crew.units.values()), cast(Dependents, crew), slack_s=0.5)
        stopping = asyncio.ensure_future(crew.stop.run())
        while not stopping.done():
            await asyncio.sleep(0.1)
            for unit in [crew.dying.pop(0)] if crew.dying else []:
                unit.state = State.EXITED
                crew.changed(unit)
        assert not any(unit.was_killed for unit in crew.units.values())

    asyncio.run(run())


def settle(scenario: object) -> tuple[bool, list[str]]:
    async def run() -> tuple[bool, list[str]]:
        crew = ModelCrew({"A": [], "B": []}, {"A": State.STARTING, "B": State.WAITING})
        gone: list[str] = []
        settling = SettleWaiter(as_units(crew.units.values()), is_unattended=lambda: bool(gone))
        waiting = asyncio.ensure_future(settling.wait(0.05 if scenario == "late" else 20))
        await asyncio.sleep(0)

        def turn(name: str, state: State) -> None:
            crew.units[name].state = state
            settling.on_transition(cast(Unit, crew.units[name]))

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
def test_settling(scenario: str, expected: tuple[bool, list[str]]) -> None:
    assert settle(scenario) == expected


def test_nothing_to_wait_for_is_settled_and_an_early_interruption_is_kept() -> None:
    async def run() -> None:
        assert await SettleWaiter([]).wait(20)
        crew = ModelCrew({"A": []}, {"A": State.STARTING})
        settling = SettleWaiter(as_units(crew.units.values()))
        settling.interrupt()
        assert await settling.wait(20)
        assert settling.is_interrupted

    asyncio.run(run())


def test_what_waits_for_nothing_more_is_settled() -> None:
    assert State.WAITING not in SETTLED_STATES
    assert State.RESTART_PENDING not in SETTLED_STATES
