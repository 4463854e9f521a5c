"""Agent monitor: which reports count, from which process, and how a flood of reports is limited."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

import msgspec
import pytest

from argosy.engine.inventory.port_owners import PortOwners
from argosy.engine.plan.process_plan import LivenessSchedule, ProcessSpec
from argosy.engine.process.helper_process import HelperResult
from argosy.engine.unit.agent_monitor import AgentMonitor
from argosy.engine.unit.notify_socket import NotifyBatcher, NotifySocket, parse_fields
from argosy.fleet.fleet_spec import Probe

from .test_restart_policy import SPEC

NOTIFY = msgspec.structs.replace(SPEC, probe=Probe(probe="notify"))


class MonitorHarness:
    """The monitor of a process that is this one, and what it reported (`MonitoredUnit`, `ForkService`)."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "A.sock"
        self.received: list[str | None] = []
        self.frozen = 0
        self.why = ""
        self.drain_hook: Callable[[], None] = lambda: None
        loop = asyncio.get_running_loop()
        self.monitor = AgentMonitor(
            self, self.path, folder / "A.log", loop, self, PortOwners(), NotifyBatcher(loop)
        )
        self.monitor.listen()
        self._out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._out.setblocking(False)

    def on_health(self, health: str | None) -> None:
        self.received.append(health)

    def on_frozen(self, reason: str) -> None:
        self.frozen += 1
        self.why = reason

    def on_finished(self) -> None:
        raise AssertionError("it shares no process")

    def drain_events(self) -> None:
        self.drain_hook()

    async def run_helper(self, spec: ProcessSpec, command: Sequence[str], timeout_s: float) -> HelperResult:
        return HelperResult(None, "", f"`{command[0]}` is not run here within {timeout_s} s")

    def send(self, *fields: str) -> None:
        """Speak as this process."""
        self._out.sendto("\n".join(fields).encode(), str(self.path))

    def close(self) -> None:
        """Close both ends."""
        self._out.close()
        self.monitor.close()


@pytest.fixture
def listen(tmp_path: Path) -> Callable[[Callable[[MonitorHarness], Coroutine[None, None, None]]], None]:
    def run(test: Callable[[MonitorHarness], Coroutine[None, None, None]]) -> None:
        async def go() -> None:
            listening = MonitorHarness(tmp_path)
            try:
                await test(listening)
            finally:
                listening.close()

        asyncio.run(go())

    return run


Listen = Callable[[Callable[[MonitorHarness], Coroutine[None, None, None]]], None]


def test_monitor_reports_ready_then_later_health_reports(listen: Listen) -> None:
    async def test(it: MonitorHarness) -> None:
        it.monitor.start(NOTIFY, os.getpid())
        it.send("X_ARGOSY_HEALTH=ok")
        it.monitor.drain()
        assert it.received == [], "a word of health before READY is none of readiness"
        it.send("READY=1")
        it.send("READY=1", "X_ARGOSY_HEALTH=degraded")
        it.send("STATUS=well")
        it.send("STOPPING=1", "X_ARGOSY_HEALTH=stopping")
        it.send("READY=1")
        it.monitor.drain()
        assert it.received == ["ok", "degraded", "degraded"]

    listen(test)


def test_monitor_keeps_ready_received_before_fork_event(listen: Listen) -> None:
    async def test(it: MonitorHarness) -> None:
        it.drain_hook = lambda: it.monitor.start(NOTIFY, os.getpid())
        it.send("READY=1")
        it.monitor.drain()
        assert it.received == ["ok"]

    listen(test)


@pytest.mark.parametrize(("notify_mode", "received"), [("main", []), ("all", ["ok"])])
def test_monitor_accepts_other_processes_only_with_notify_all(
    listen: Listen, notify_mode: str, received: list[str]
) -> None:
    spec = msgspec.structs.replace(NOTIFY, probe=Probe(probe="notify", notify=notify_mode))

    async def test(it: MonitorHarness) -> None:
        it.monitor.start(spec, os.getpid() + 1)
        it.send("READY=1")
        it.monitor.drain()
        assert it.received == received

    listen(test)


def test_monitor_ignores_ready_after_stop(listen: Listen) -> None:
    async def test(it: MonitorHarness) -> None:
        it.monitor.start(NOTIFY, os.getpid())
        it.monitor.stop()
        it.send("READY=1")
        it.monitor.drain()
        assert it.received == []

    listen(test)


def test_ready_message_does_not_satisfy_alive_probe(listen: Listen) -> None:
    spec = msgspec.structs.replace(NOTIFY, probe=Probe(probe="alive", seconds=1000.0))

    async def test(it: MonitorHarness) -> None:
        it.monitor.start(spec, os.getpid())
        it.send("READY=1")
        it.monitor.drain()
        assert it.received == []

    listen(test)


def test_watchdog_starts_at_ready_and_expires_once(listen: Listen) -> None:
    spec = msgspec.structs.replace(NOTIFY, watchdog_s=0.02)

    async def test(it: MonitorHarness) -> None:
        it.monitor.start(spec, os.getpid())
        it.send("READY=1")
        it.monitor.drain()
        async with asyncio.timeout(20):
            while not it.frozen:
                await asyncio.sleep(0)
        assert (it.frozen, it.why) == (1, f"sent no heartbeat for 0.0 s (pid {os.getpid()})")

    listen(test)


def test_watchdog_does_not_run_before_ready(listen: Listen) -> None:
    spec = msgspec.structs.replace(NOTIFY, is_sdk=True, watchdog_s=0.02)

    async def test(it: MonitorHarness) -> None:
        it.monitor.start(spec, os.getpid())
        it.send("X_ARGOSY_HEALTH=starting", "WATCHDOG=1")
        it.monitor.drain()
        assert it.monitor._watchdog is None, "it is not ready: its start deadline counts"
        it.send("READY=1", "X_ARGOSY_HEALTH=ok", "WATCHDOG=1")
        it.monitor.drain()
        async with asyncio.timeout(20):
            while not it.frozen:
                await asyncio.sleep(0)

    listen(test)


def test_watchdog_starts_when_probe_reports_ready(listen: Listen) -> None:
    spec = msgspec.structs.replace(NOTIFY, probe=Probe(probe="alive", seconds=0.0), watchdog_s=0.02)

    async def test(it: MonitorHarness) -> None:
        it.send("WATCHDOG=1")
        it.monitor.start(spec, os.getpid())
        it.monitor.drain()
        async with asyncio.timeout(20):
            while not it.frozen:
                await asyncio.sleep(0)
        assert it.received == [None]

    listen(test)


def test_watchdog_reads_queued_messages_before_it_expires(
    listen: Listen,
) -> None:
    spec = msgspec.structs.replace(NOTIFY, watchdog_s=0.05)

    async def test(it: MonitorHarness) -> None:
        it.monitor.start(spec, os.getpid())
        it.send("READY=1")
        it.monitor.drain()
        it.send("WATCHDOG=1")
        time.sleep(0.1)  # the loop does not turn meanwhile: that is the stall
        it.monitor._on_watchdog_timer()
        assert it.frozen == 0

    listen(test)


@pytest.mark.parametrize(
    ("spec", "was_ready", "received"),
    [
        (NOTIFY, True, [None]),
        (NOTIFY, False, []),
        (msgspec.structs.replace(SPEC, probe=Probe(probe="alive", seconds=1000.0)), True, [None]),
        (msgspec.structs.replace(SPEC, probe=Probe(probe="alive", seconds=1000.0)), False, []),
        (msgspec.structs.replace(SPEC, probe=Probe(probe="tcp"), probe_port=1), True, []),
        (msgspec.structs.replace(NOTIFY, is_sdk=True), True, []),
    ],
)
def test_adopted_agent_is_ready_only_if_its_probe_reports_once(
    listen: Listen, spec: ProcessSpec, was_ready: bool, received: list[None]
) -> None:
    async def test(it: MonitorHarness) -> None:
        it.monitor.start_adopted(spec, os.getpid(), was_ready=was_ready)
        assert it.received == received

    listen(test)


def test_watchdog_runs_from_adoption_for_ready_agent(listen: Listen) -> None:
    spec = msgspec.structs.replace(NOTIFY, is_sdk=True, watchdog_s=0.02)

    async def test(it: MonitorHarness) -> None:
        it.monitor.start_adopted(spec, os.getpid(), was_ready=False)
        assert it.monitor._watchdog is None, "it is starting, and has its time for that"
        it.monitor.start_adopted(spec, os.getpid(), was_ready=True)
        async with asyncio.timeout(30):
            while not it.frozen:
                await asyncio.sleep(0)
        assert (it.received, it.why) == ([], f"sent no heartbeat for 0.0 s (pid {os.getpid()})")

    listen(test)


def test_liveness_probe_runs_from_adoption_for_ready_agent(listen: Listen) -> None:
    schedule = LivenessSchedule(interval_s=0.01, failures=2)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and never listens
        probe = Probe(probe="tcp", port=closed.getsockname()[1])
        spec = msgspec.structs.replace(NOTIFY, is_sdk=True, liveness=probe, liveness_schedule=schedule)

        async def test(it: MonitorHarness) -> None:
            it.monitor.start_adopted(spec, os.getpid(), was_ready=True)
            async with asyncio.timeout(30):
                while not it.frozen:
                    await asyncio.sleep(0)
            assert it.why.startswith("failed its liveness probe 2 times in a row: port ")

        listen(test)


def test_health_report_ends_readiness_probe_of_adopted_agent(listen: Listen) -> None:
    async def test(it: MonitorHarness) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:  # it listens, and answers nothing
            spec = msgspec.structs.replace(NOTIFY, is_sdk=True, port=silent.getsockname()[1])
            it.monitor.start_adopted(spec, os.getpid(), was_ready=True)
            (asking,) = it.monitor._tasks
            it.send("READY=1", "X_ARGOSY_HEALTH=degraded")
            it.monitor.drain()
            async with asyncio.timeout(30):
                await asyncio.wait([asking])
        assert (asking.cancelled(), it.received) == (True, ["degraded"])

    listen(test)


def test_notify_socket_limits_messages_per_drain(tmp_path: Path) -> None:
    async def test() -> int:
        loop = asyncio.get_running_loop()
        out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = tmp_path / "A.sock"
        taken = 0

        def taken_one(sender: int, fields: dict[str, str]) -> None:
            nonlocal taken
            taken += 1
            out.sendto(b"READY=1", str(path))  # for each message taken, another one comes

        made = NotifySocket(path, loop, NotifyBatcher(loop), taken_one)
        out.sendto(b"READY=1", str(path))
        made.drain()
        made.close()
        out.close()
        return taken

    assert 1 < asyncio.run(test()) < 100


def test_notify_message_fields_are_parsed() -> None:
    assert parse_fields(b"READY=1\nSTATUS=a=b\nnonsense\n\xff=x") == {
        "READY": "1",
        "STATUS": "a=b",
        "\ufffd": "x",
    }
