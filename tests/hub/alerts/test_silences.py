"""Silences: set on one hub, applied by every hub, whatever the order of messages and the clocks."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.engine.state.state_dir import locate_state_dir
from argosy.fleet.loader import load_fleet
from argosy.hub.alerts.actions import ActionExecutor
from argosy.hub.alerts.alert_manager import AlertManager
from argosy.hub.alerts.silences import Silences, SilenceTarget, SilenceWindow
from argosy.hub.ingest.current_state import CurrentState, StateUpdater
from argosy.hub.replication.replicator import PeerHubStatus
from argosy.hub.store.records import HubEvent
from argosy.hub.store.store_writer import StoreWriter

ROOT = SilenceTarget(agents=("Root",))
AHEAD_S = 1000.0


def test_silences_ignore_older_request_that_arrives_late() -> None:
    for words in itertools.permutations([(1.0, 50.0), (2.0, None), (3.0, 80.0)]):
        quiet = Silences()
        for said_s, until_s in words:
            window = None if until_s is None else SilenceWindow("k", frozenset("A"), until_s, "me", ROOT)
            quiet.apply("k", said_s, window)
        assert [window.until_s for window in quiet.windows(4.0)] == [80.0]
        quiet.apply("k", 4.0, None)
        assert quiet.windows(5.0) == []


@given(
    st.lists(
        st.tuples(st.sampled_from("AB"), st.integers(0, 50), st.none() | st.integers(60, 99)), max_size=9
    )
)
def test_silences_apply_newest_request_of_each_key(words: list[tuple[str, int, int | None]]) -> None:
    quiet = Silences()
    last: dict[str, tuple[int, int | None]] = {}
    for name, said_s, until_s in words:
        window = None if until_s is None else SilenceWindow(name, frozenset(name), until_s, "me")
        quiet.apply(name, said_s, window)
        if said_s >= last.get(name, (0, None))[0]:
            last[name] = said_s, until_s
    open_ = {window.key: window.until_s for window in quiet.windows(55)}
    assert open_ == {name: until_s for name, (_, until_s) in last.items() if until_s is not None}


class Machine:
    """A machine's hub, as far as its records and its alerts go."""

    def __init__(self, folder: Path, name: str, peers: Sequence[PeerHubStatus]) -> None:
        self.writer = StoreWriter(
            folder / f"{name}.db",
            name,
            0.005,
            on_replicated=lambda batch: self.state_updater.update_from_batch(batch),
        )
        self.acts = ActionExecutor(self.writer, locate_state_dir(folder / "fleet.yaml"))
        self.watch = AlertManager(self.writer, name, load_fleet(folder / "fleet.yaml"), peers, self.acts)
        self.running: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        self.state_updater = await self.writer.read(
            lambda reading: StateUpdater(CurrentState(), reading, lambda _: None, self.watch.on_action)
        )
        await self.watch.restore()
        self.running = asyncio.create_task(self.watch.run())

    async def pull(self, other: Machine) -> None:
        await self.writer.store_batches(
            await other.writer.records_after(await self.writer.positions(), 1 << 20, 0.0)
        )

    async def until(self, covered: set[str]) -> None:
        async with asyncio.timeout(30):
            while self.covered() != covered:
                await asyncio.sleep(0.01)

    def covered(self) -> set[str]:
        return self.watch.evaluator.silences.silenced_agents(("Root", "Leaf", "Other"), self.watch.now_s())

    async def end(self) -> None:
        assert self.running is not None
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        await self.writer.close()


async def record(machine: Machine, action: str, at_s: float, **more: Any) -> HubEvent:
    body = {"action": action, "agents": ["Root"], "silenced_agents": ["Root"], "by": "me", **more}
    event = HubEvent(int(1000 * at_s), "action", "Root", body)
    await machine.writer.append([event])
    return event


def test_silence_is_replicated_to_other_hub_and_corrected_for_clock_skew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.py").touch()
    (tmp_path / "fleet.yaml").write_text(
        "fleet: duo\nagents:\n  Root: {run: a.py}\n  Leaf: {run: a.py, needs: [Root]}\n  Other: {run: a.py}\n"
    )

    async def trial() -> None:
        peer = PeerHubStatus("pc1", skew_s=AHEAD_S)  # the clock of pc1 is so far ahead of that of pc2
        one, two = Machine(tmp_path, "pc1", []), Machine(tmp_path, "pc2", [peer])
        await one.begin()
        await two.begin()
        now_s = time.time()
        await record(one, "silence", now_s + AHEAD_S, until=now_s + AHEAD_S + 600)
        await two.pull(one)
        await two.until({"Root", "Leaf"})
        (window,) = two.watch.evaluator.silences.windows(now_s)
        assert two.watch.evaluator.silences.local_end_s(window) == pytest.approx(now_s + 600, abs=30)
        await two.end()

        two = Machine(tmp_path, "pc2", [peer])  # its next life goes on with it
        await two.begin()
        await two.until({"Root", "Leaf"})
        two.watch.on_action("pc2", await record(two, "unsilence", now_s + 1))
        await record(
            one, "silence", now_s + AHEAD_S - 5, until=now_s + AHEAD_S + 600
        )  # said before, heard after
        await two.pull(one)
        await two.until(set())
        await record(one, "silence", now_s + AHEAD_S + 2, until=now_s + AHEAD_S - 1)  # it is over by now
        await two.pull(one)
        await two.until(set())
        await one.end()
        await two.end()

    asyncio.run(trial())
