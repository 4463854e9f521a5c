"""Signs of life: who may speak, what counts, and one that floods."""

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


class Listening:
    """The monitor of a process that is this one, and what it reported (`MonitoredUnit`, `ForkService`)."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "A.sock"
        self.heard: list[str | None] = []
        self.frozen = 0
        self.why = ""
        self.births: Callable[[], None] = lambda: None
        loop = asyncio.get_running_loop()
        self.signs = AgentMonitor(
            self, self.path, folder / "A.log", loop, self, PortOwners(), NotifyBatcher(loop)
        )
        self.signs.listen()
        self._out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._out.setblocking(False)

    def on_health(self, health: str | None) -> None:
        self.heard.append(health)

    def on_frozen(self, reason: str) -> None:
        self.frozen += 1
        self.why = reason

    def on_finished(self) -> None:
        raise AssertionError("it shares no process")

    def drain_events(self) -> None:
        self.births()

    async def run_helper(self, spec: ProcessSpec, command: Sequence[str], timeout_s: float) -> HelperResult:
        return HelperResult(None, "", f"`{command[0]}` is not run here within {timeout_s} s")

    def say(self, *fields: str) -> None:
        """Speak as this process."""
        self._out.sendto("\n".join(fields).encode(), str(self.path))

    def close(self) -> None:
        """Close both ends."""
        self._out.close()
        self.signs.close()


@pytest.fixture
def listen(tmp_path: Path) -> Callable[[Callable[[Listening], Coroutine[None, None, None]]], None]:
    def run(test: Callable[[Listening], Coroutine[None, None, None]]) -> None:
        async def go() -> None:
            listening = Listening(tmp_path)
            try:
                await test(listening)
            finally:
                listening.close()

        asyncio.run(go())

    return run


Listen = Callable[[Callable[[Listening], Coroutine[None, None, None]]], None]


def test_ready_and_then_its_own_word(listen: Listen) -> None:
    async def test(it: Listening) -> None:
        it.signs.start(NOTIFY, os.getpid())
        it.say("X_ARGOSY_HEALTH=ok")
        it.signs.drain()
        assert it.heard == [], "a word of health before READY is none of readiness"
        it.say("READY=1")
        it.say("READY=1", "X_ARGOSY_HEALTH=degraded")
        it.say("STATUS=well")
        it.say("STOPPING=1", "X_ARGOSY_HEALTH=stopping")
        it.say("READY=1")
        it.signs.drain()
        assert it.heard == ["ok", "degraded", "degraded"]

    listen(test)


def test_ready_that_comes_before_its_birth_is_heard_is_not_lost(listen: Listen) -> None:
    async def test(it: Listening) -> None:
        it.births = lambda: it.signs.start(NOTIFY, os.getpid())
        it.say("READY=1")
        it.signs.drain()
        assert it.heard == ["ok"]

    listen(test)


@pytest.mark.parametrize(("who", "heard"), [("main", []), ("all", ["ok"])])
def test_another_process_speaks_only_where_all_may(listen: Listen, who: str, heard: list[str]) -> None:
    spec = msgspec.structs.replace(NOTIFY, probe=Probe(probe="notify", notify=who))

    async def test(it: Listening) -> None:
        it.signs.start(spec, os.getpid() + 1)
        it.say("READY=1")
        it.signs.drain()
        assert it.heard == heard

    listen(test)


def test_what_was_said_for_the_process_before_counts_no_more(listen: Listen) -> None:
    async def test(it: Listening) -> None:
        it.signs.start(NOTIFY, os.getpid())
        it.signs.stop()
        it.say("READY=1")
        it.signs.drain()
        assert it.heard == []

    listen(test)


def test_another_probe_is_not_answered_by_ready(listen: Listen) -> None:
    spec = msgspec.structs.replace(NOTIFY, probe=Probe(probe="alive", seconds=1000.0))

    async def test(it: Listening) -> None:
        it.signs.start(spec, os.getpid())
        it.say("READY=1")
        it.signs.drain()
        assert it.heard == []

    listen(test)


def test_the_watchdog_rings_once_and_starts_with_ready(listen: Listen) -> None:
    spec = msgspec.structs.replace(NOTIFY, watchdog_s=0.02)

    async def test(it: Listening) -> None:
        it.signs.start(spec, os.getpid())
        it.say("READY=1")
        it.signs.drain()
        async with asyncio.timeout(20):
            while not it.frozen:
                await asyncio.sleep(0)
        assert (it.frozen, it.why) == (1, f"sent no heartbeat for 0.0 s (pid {os.getpid()})")

    listen(test)


def test_an_agent_that_holds_its_loop_while_it_loads_is_not_ended_by_its_watchdog(listen: Listen) -> None:
    spec = msgspec.structs.replace(NOTIFY, is_sdk=True, watchdog_s=0.02)

    async def test(it: Listening) -> None:
        it.signs.start(spec, os.getpid())
        it.say("X_ARGOSY_HEALTH=starting", "WATCHDOG=1")
        it.signs.drain()
        assert it.signs._watchdog is None, "it is not ready: its start deadline counts"
        it.say("READY=1", "X_ARGOSY_HEALTH=ok", "WATCHDOG=1")
        it.signs.drain()
        async with asyncio.timeout(20):
            while not it.frozen:
                await asyncio.sleep(0)

    listen(test)


def test_the_watchdog_of_one_that_a_probe_found_ready_counts_from_then_on(listen: Listen) -> None:
    spec = msgspec.structs.replace(NOTIFY, probe=Probe(probe="alive", seconds=0.0), watchdog_s=0.02)

    async def test(it: Listening) -> None:
        it.say("WATCHDOG=1")
        it.signs.start(spec, os.getpid())
        it.signs.drain()
        async with asyncio.timeout(20):
            while not it.frozen:
                await asyncio.sleep(0)
        assert it.heard == [None]

    listen(test)


def test_after_a_stall_of_the_supervisor_what_waits_is_heard_before_the_watchdog_is_judged(
    listen: Listen,
) -> None:
    spec = msgspec.structs.replace(NOTIFY, watchdog_s=0.05)

    async def test(it: Listening) -> None:
        it.signs.start(spec, os.getpid())
        it.say("READY=1")
        it.signs.drain()
        it.say("WATCHDOG=1")
        time.sleep(0.1)  # the loop does not turn meanwhile: that is the stall
        it.signs._on_watchdog_timer()
        assert it.frozen == 0

    listen(test)


@pytest.mark.parametrize(
    ("spec", "was_ready", "heard"),
    [
        (NOTIFY, True, [None]),
        (NOTIFY, False, []),
        (msgspec.structs.replace(SPEC, probe=Probe(probe="alive", seconds=1000.0)), True, [None]),
        (msgspec.structs.replace(SPEC, probe=Probe(probe="alive", seconds=1000.0)), False, []),
        (msgspec.structs.replace(SPEC, probe=Probe(probe="tcp"), probe_port=1), True, []),
        (msgspec.structs.replace(NOTIFY, is_sdk=True), True, []),
    ],
)
def test_only_what_says_ready_once_is_believed_without_a_new_sign(
    listen: Listen, spec: ProcessSpec, was_ready: bool, heard: list[None]
) -> None:
    async def test(it: Listening) -> None:
        it.signs.start_adopted(spec, os.getpid(), was_ready=was_ready)
        assert it.heard == heard

    listen(test)


def test_one_that_was_ready_is_watched_from_its_adoption_on(listen: Listen) -> None:
    spec = msgspec.structs.replace(NOTIFY, is_sdk=True, watchdog_s=0.02)

    async def test(it: Listening) -> None:
        it.signs.start_adopted(spec, os.getpid(), was_ready=False)
        assert it.signs._watchdog is None, "it is starting, and has its time for that"
        it.signs.start_adopted(spec, os.getpid(), was_ready=True)
        async with asyncio.timeout(30):
            while not it.frozen:
                await asyncio.sleep(0)
        assert (it.heard, it.why) == ([], f"sent no heartbeat for 0.0 s (pid {os.getpid()})")

    listen(test)


def test_one_that_was_ready_is_asked_whether_it_lives_from_its_adoption_on(listen: Listen) -> None:
    schedule = LivenessSchedule(interval_s=0.01, failures=2)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and never listens
        probe = Probe(probe="tcp", port=closed.getsockname()[1])
        spec = msgspec.structs.replace(NOTIFY, is_sdk=True, liveness=probe, liveness_schedule=schedule)

        async def test(it: Listening) -> None:
            it.signs.start_adopted(spec, os.getpid(), was_ready=True)
            async with asyncio.timeout(30):
                while not it.frozen:
                    await asyncio.sleep(0)
            assert it.why.startswith("failed its liveness probe 2 times in a row: port ")

        listen(test)


def test_its_own_word_ends_the_questions_of_one_that_was_adopted(listen: Listen) -> None:
    async def test(it: Listening) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:  # it listens, and answers nothing
            spec = msgspec.structs.replace(NOTIFY, is_sdk=True, port=silent.getsockname()[1])
            it.signs.start_adopted(spec, os.getpid(), was_ready=True)
            (asking,) = it.signs._tasks
            it.say("READY=1", "X_ARGOSY_HEALTH=degraded")
            it.signs.drain()
            async with asyncio.timeout(30):
                await asyncio.wait([asking])
        assert (asking.cancelled(), it.heard) == (True, ["degraded"])

    listen(test)


def test_one_that_floods_gets_its_turn_and_no_more(tmp_path: Path) -> None:
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


def test_fields() -> None:
    assert parse_fields(b"READY=1\nSTATUS=a=b\nnonsense\n\xff=x") == {
        "READY": "1",
        "STATUS": "a=b",
        "\ufffd": "x",
    }
