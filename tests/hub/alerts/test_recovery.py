"""Recovery: only for the alerts that are meant, within its budget, counted over lives of the hub."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.engine.state.state_dir import locate_state_dir
from argosy.fleet.loader import load_fleet
from argosy.hub.alerts.actions import ActionExecutor
from argosy.hub.alerts.alert_manager import AlertManager
from argosy.hub.alerts.recovery import RecoveryPolicy, RecoveryRule
from argosy.hub.store.records import HubEvent
from argosy.hub.store.store_reader import StoredEvent, StoreReader
from argosy.hub.store.store_writer import StoreWriter

RULE = RecoveryRule(0, "restart", agents=frozenset({"A"}), max_attempts=2, within_s=100.0, pause_s=10.0)


def alert(agent: str = "A", category: str = "unhealthy", metric: str = "") -> dict[str, Any]:
    return {"key": f"{category}:{agent}", "subject": agent, "category": category, "metric": metric}


def test_it_is_tried_again_after_its_pause_and_no_more_than_its_budget() -> None:
    made = RecoveryPolicy([RULE])
    tried = [(at, each) for at in range(60) for each in made.next_attempts([alert()], at)]
    assert [(at, each.number, each.is_exhausted) for at, each in tried] == [
        (0, 1, False),
        (10, 2, False),
        (20, 2, True),
    ]
    assert [each.number for each in made.next_attempts([alert()], 101)] == [
        2
    ]  # the first has left the budget


def test_others_alerts_are_not_meant() -> None:
    made = RecoveryPolicy([RULE, RecoveryRule(1, "run", run=("x",), metric="lag")])
    assert (
        made.next_attempts(
            [alert("B"), alert("pc2", "machine"), alert("B", "store"), alert("B", "threshold", "load")], 0
        )
        == []
    )
    assert [each.rule.index for each in made.next_attempts([alert("B", "threshold", "lag")], 0)] == [1]


def test_the_first_rule_counts_and_each_agent_has_a_budget_of_its_own() -> None:
    made = RecoveryPolicy([RULE, RecoveryRule(1, "restart")])
    found = made.next_attempts([alert("A"), alert("B"), alert("C")], 0)
    assert [(each.rule.index, each.agent) for each in found] == [(0, "A"), (1, "B"), (1, "C")]


def test_what_an_earlier_life_has_tried_counts() -> None:
    made = RecoveryPolicy([RULE])
    for at in (0.0, 1.0):
        made.count_attempt(0, "A", at)
    (last,) = made.next_attempts([alert()], 50)
    assert last.is_exhausted


@given(st.lists(st.floats(0, 30), max_size=200), st.integers(1, 4), st.floats(1, 200), st.floats(0, 20))
def test_never_more_than_the_budget_in_any_stretch_of_its_time(
    steps: list[float], times: int, within_s: float, pause_s: float
) -> None:
    made = RecoveryPolicy(
        [RecoveryRule(0, "restart", max_attempts=times, within_s=within_s, pause_s=pause_s)]
    )
    now, begun = 0.0, []
    for step in steps:
        now += step
        begun += [now for each in made.next_attempts([alert()], now) if not each.is_exhausted]
    for first in begun:
        assert sum(first <= at < first + within_s for at in begun) <= times


FLEET = """fleet: toy
agents: {A: {run: a.py}}
hub: {recovery: [{do: run, run: ["true"], times: 2, within: 1h, pause: 30s}]}
"""


class Scene:
    """A hub's keeper and watch, of a fleet whose recovery is a command that does nothing."""

    def __init__(self, folder: Path) -> None:
        (folder / "a.py").touch()
        (folder / "fleet.yaml").write_text(FLEET)
        self.keeper = StoreWriter(folder / "hub.db", "pc1", 0.0)
        acts = ActionExecutor(self.keeper, locate_state_dir(folder / "fleet.yaml"))
        self.watch = AlertManager(self.keeper, "pc1", load_fleet(folder / "fleet.yaml"), [], acts)
        self.now_s = time.time()

    async def say(self, kind: str, *bodies: dict[str, Any], ago_s: float = 0.0) -> None:
        at_ms = int((self.now_s - ago_s) * 1000)
        await self.keeper.append([HubEvent(at_ms, kind, "A", body) for body in bodies])

    def raise_alert(self) -> dict[str, Any]:
        self.watch.evaluator.restore("agent:A", self.now_s, ())
        self.watch.evaluator.update_state("A", "failing", "")
        return {**alert(), "key": "agent:A"}

    async def recoveries(self, count: int) -> list[str]:
        """Return how recoveries went, newest first, as soon as so much is told of them."""
        async with asyncio.timeout(30):
            while len(found := await self.keeper.read(_recoveries)) < count:
                await asyncio.sleep(0.005)
        return [each.event.body["outcome"] for each in found]

    async def close(self) -> None:
        self.watch.recovery_executor.cancel()
        await self.keeper.close()


def _recoveries(reading: StoreReader) -> list[StoredEvent]:
    return reading.events_of_kinds(("recovery",), 0, 1 << 62)


def test_a_budget_and_a_state_are_remembered_whatever_was_told_since(tmp_path: Path) -> None:
    async def go() -> None:
        scene = Scene(tmp_path)
        await scene.say("recovery", *2 * [{"rule": 0, "outcome": "started"}], ago_s=600.0)
        await scene.say("state", {"state": "ready"})
        await scene.say("log", *6000 * [{"text": "x"}])
        await scene.watch.restore()
        assert scene.watch.evaluator.causes.state_of("A").state == "ready"
        scene.watch.recovery_executor.start_due([scene.raise_alert()], scene.watch.now_s())
        assert (await scene.recoveries(3))[0] == "exhausted"
        await scene.close()

    asyncio.run(go())


@pytest.mark.parametrize("step_s", [86_400.0, -86_400.0], ids=["forward", "back"])
def test_a_clock_that_is_set_stops_no_recovery(
    step_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        scene, wall = Scene(tmp_path), time.time
        recovering, raised = scene.watch.recovery_executor, scene.raise_alert()
        monkeypatch.setattr(time, "time", lambda: wall() + step_s)
        recovering.start_due([raised], scene.watch.now_s())
        assert sorted(await scene.recoveries(2)) == ["done", "started"]
        async with asyncio.timeout(30):
            while not recovering.is_idle:
                await asyncio.sleep(0.005)
        recovering.start_due([raised], scene.watch.now_s() + 25)
        assert recovering.is_idle  # for its pause
        recovering.start_due([raised], scene.watch.now_s() + 61)
        assert not recovering.is_idle
        await scene.recoveries(4)
        await scene.close()

    asyncio.run(go())
