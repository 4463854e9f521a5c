"""Example fleet: some of its agents, started in a small fleet."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.wire import RemoteError, connect
from argosy.wire.client.sync_peer import SyncPeer
from launch import LittleFleet, Running, little_fleet, until

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "mainpc-pc2"


@pytest.fixture
def small_fleet() -> Iterator[LittleFleet]:
    with little_fleet() as made:
        yield made


def start(small_fleet: LittleFleet, name: str, target: str, *args: str) -> Running:
    """Start an agent of the example under its name and wait until it is ready."""
    command = [sys.executable, "-m", "argosy.agent", f"agents.{target}", *args]
    return small_fleet.start(name, name=name, command=command, PYTHONPATH=str(EXAMPLE))


def start_core(small_fleet: LittleFleet) -> None:
    start(small_fleet, "ServiceRegistry", "core:ServiceRegistry")
    start(small_fleet, "SystemDigitalTwin", "core:DigitalTwin")


def ask(small_fleet: LittleFleet, name: str) -> SyncPeer:
    return connect(name, timeout=5.0, book=small_fleet.path)


def test_agent_enrols_through_twin_and_is_found_in_registry(small_fleet: LittleFleet) -> None:
    start_core(small_fleet)
    engine = start(small_fleet, "EmotionEngine", "emotion:Engine")
    card = ask(small_fleet, "ServiceRegistry").call("find", name="EmotionEngine")
    assert (card["role"], card["machine"], card["pid"]) == ("Engine", "mainpc", engine.pid)
    with pytest.raises(RemoteError, match="`Nobody` has not enrolled; 3 others have"):
        ask(small_fleet, "ServiceRegistry").call("find", name="Nobody")


def test_pc2_agent_is_ready_without_registry_and_enrols_once_registry_starts(
    small_fleet: LittleFleet,
) -> None:
    small_fleet.add("ServiceRegistry")
    start(small_fleet, "PerformanceLoggerAgent", "monitor:PerformanceLogger", "--keep", "5")
    start(small_fleet, "ServiceRegistry", "core:ServiceRegistry")
    registry = ask(small_fleet, "ServiceRegistry")
    until(lambda: registry.call("listing", machine="pc2"))
    assert registry.call("listing", machine="pc2")[0]["name"] == "PerformanceLoggerAgent"


def test_memory_is_stored_on_other_machine_and_error_names_failed_agent(
    small_fleet: LittleFleet,
) -> None:
    start_core(small_fleet)
    store = start(small_fleet, "MemoryOrchestratorService", "memory:Store", "--limit", "3")
    start(small_fleet, "CacheManager", "memory:Cache", "--limit", "2", "--ttl-s", "60")
    start(small_fleet, "ContextManager", "memory:Context", "--window", "2")
    for name in ("MemoryOrchestratorService", "CacheManager", "ContextManager", "MemoryClient"):
        if name not in small_fleet.book.agents:
            small_fleet.add(name)
    start(small_fleet, "SystemHealthManager", "monitor:ErrorBus", "--keep", "10")
    start(small_fleet, "MemoryClient", "memory:MemoryClient")
    client = ask(small_fleet, "MemoryClient")
    for text in ("one", "two", "three"):
        passed = client.call("remember", who="ana", text=text)
    recent = [record["text"] for record in passed["value"]["recent"]]
    assert (passed["value"]["written"], recent, passed["value"]["first"]["text"]) == (
        3,
        ["three", "two"],
        "one",
    )
    way = [hop["agent"] for hop in passed["hops"]]
    assert way[:4] == [
        "MemoryClient",
        "MemoryOrchestratorService",
        "ContextManager",
        "MemoryOrchestratorService",
    ]
    assert len({hop["trace"] for hop in passed["hops"]}) == 1
    assert way[4:] == ["CacheManager"], "the first record was read from the store again"

    os.kill(store.pid, signal.SIGSTOP)
    told = "`MemoryOrchestratorService` did not answer `MemoryClient`, which asked it to `write`"
    with pytest.raises(RemoteError, match=told) as caught:
        client.call("remember", who="ana", text="four")
    assert caught.value.code == "hop-failed"
    os.kill(store.pid, signal.SIGCONT)
    bus = ask(small_fleet, "SystemHealthManager")
    until(lambda: bus.call("counts").get("MemoryOrchestratorService"))
    report = bus.call("errors")[0]
    assert (report["agent"], report["method"]) == ("MemoryClient", "write")


def test_model_manager_reserves_gpu_memory_within_budget(small_fleet: LittleFleet) -> None:
    start_core(small_fleet)
    start(
        small_fleet,
        "GGUFModelManager",
        "models:ModelManager",
        "--budget-gib",
        "4",
        "--models",
        "phi=2.5,tiny=1",
    )
    manager = ask(small_fleet, "GGUFModelManager")
    assert manager.call("reserve", model="phi", gib=2.5, holder="A") == 1.5
    assert manager.call("reserve", model="phi", gib=2.5, holder="A") == 1.5, "told again, it is one holding"
    with pytest.raises(RemoteError, match=r"`phi` needs 2.5 GiB of 4.0 GiB, and 2.5 GiB are held"):
        manager.call("reserve", model="phi", gib=2.5, holder="B")
    assert manager.call("release", model="phi", holder="A") is True
    assert manager.call("reserve", model="phi", gib=2.5, holder="B") == 1.5
