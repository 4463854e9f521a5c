"""Recovery: actions match their alerts, stay within the budget, and count attempts across hub restarts."""

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


def test_recovery_retries_after_pause_and_within_budget() -> None:
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


def test_recovery_rule_ignores_alerts_it_does_not_match() -> None:
    made = RecoveryPolicy([RULE, RecoveryRule(1, "run", run=("x",), metric="lag")])
    assert (
        made.next_attempts(
            [alert("B"), alert("pc2", "machine"), alert("B", "store"), alert("B", "threshold", "load")], 0
        )
        == []
    )
    assert [each.rule.index for each in made.next_attempts([alert("B", "threshold", "lag")], 0)] == [1]


def test_recovery_uses_first_matching_rule_and_budget_per_agent() -> None:
    made = RecoveryPolicy([RULE, RecoveryRule(1, "restart")])
    found = made.next_attempts([alert("A"), alert("B"), alert("C")], 0)
    assert [(each.rule.index, each.agent) for each in found] == [(0, "A"), (1, "B"), (1, "C")]


def test_recovery_counts_attempts_of_earlier_hub_process() -> None:
    made = RecoveryPolicy([RULE])
    for at in (0.0, 1.0):
        made.count_attempt(0, "A", at)
    (last,) = made.next_attempts([alert()], 50)
    assert last.is_exhausted


@given(st.lists(st.floats(0, 30), max_size=200), st.integers(1, 4), st.floats(1, 200), st.floats(0, 20))
def test_recovery_never_exceeds_budget_in_any_window(
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
    """A hub's writer and watch, of a fleet whose recovery is a command that does nothing."""

    def __init__(self, folder: Path) -> None:
        (folder / "a.py").touch()
        (folder / "fleet.yaml").write_text(FLEET)
        self.writer = StoreWriter(folder / "hub.db", "pc1", 0.0)
        acts = ActionExecutor(self.writer, locate_state_dir(folder / "fleet.yaml"))
        self.watch = AlertManager(self.writer, "pc1", load_fleet(folder / "fleet.yaml"), [], acts)
        self.now_s = time.time()

    async def append_events(self, kind: str, *bodies: dict[str, Any], ago_s: float = 0.0) -> None:
        at_ms = int((self.now_s - ago_s) * 1000)
        await self.writer.append([HubEvent(at_ms, kind, "A", body) for body in bodies])

    def raise_alert(self) -> dict[str, Any]:
        self.watch.evaluator.restore("agent:A", self.now_s, ())
        self.watch.evaluator.update_state("A", "failing", "")
        return {**alert(), "key": "agent:A"}

    async def recoveries(self, count: int) -> list[str]:
        """Return how recoveries went, newest first, as soon as so much is told of them."""
        async with asyncio.timeout(30):
            while len(found := await self.writer.read(_recoveries)) < count:
                await asyncio.sleep(0.005)
        return [each.event.body["outcome"] for each in found]

    async def close(self) -> None:
        self.watch.recovery_executor.cancel()
        await self.writer.close()


def _recoveries(reading: StoreReader) -> list[StoredEvent]:
    return reading.events_of_kinds(("recovery",), 0, 1 << 62)


def test_hub_restores_recovery_budget_and_agent_state_behind_many_events(tmp_path: Path) -> None:
    async def go() -> None:
        scene = Scene(tmp_path)
        await scene.append_events("recovery", *2 * [{"rule": 0, "outcome": "started"}], ago_s=600.0)
        await scene.append_events("state", {"state": "ready"})
        await scene.append_events("log", *6000 * [{"text": "x"}])
        await scene.watch.restore()
        assert scene.watch.evaluator.causes.state_of("A").state == "ready"
        scene.watch.recovery_executor.start_due([scene.raise_alert()], scene.watch.now_s())
        assert (await scene.recoveries(3))[0] == "exhausted"
        await scene.close()

    asyncio.run(go())


@pytest.mark.parametrize("step_s", [86_400.0, -86_400.0], ids=["forward", "back"])
def test_recovery_continues_after_wall_clock_jump(
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
