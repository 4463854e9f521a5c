"""Stopped, hung or dead forkers and zygotes are ended and started again; their agents keep running."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

import pytest

from argosy.engine.fork import forker_client
from argosy.engine.process.os_process import boot_id, is_alive, read_stat
from argosy.engine.protocol.state_machine import State

from ..supervisor.test_unit_set import HarnessRunner, UnitSetHarness, kinds, plan, run_with_harness, spec
from .test_zygote_pool import loading, script, scripts, subreaper, until, zygotes_of

__all__ = ["run_with_harness", "script", "subreaper"]

pytestmark = pytest.mark.usefixtures("subreaper")
NEVER_S = 1000.0


@pytest.fixture
def short_forker_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped forker is ended soon."""
    monkeypatch.setattr(forker_client, "_STOPPED_TIMEOUT_S", 0.1)


@pytest.fixture
def long_forker_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped forker is let be: for what must not wait for it."""
    monkeypatch.setattr(forker_client, "_STOPPED_TIMEOUT_S", NEVER_S)
    monkeypatch.setattr(forker_client, "_REPLY_TIMEOUT_S", NEVER_S)


async def wait_until_running(harness: UnitSetHarness, *names: str) -> None:
    """Wait until these run: one that still waits to be let go ends with its forker, as it should."""
    await harness.until(*names, state=State.READY)
    await until(harness, lambda: all(harness.folder.log_file(name).read_text() == "up\n" for name in names))


async def wait_until_replaced(harness: UnitSetHarness, old: int) -> None:
    await until(harness, lambda: harness.unit_set.launcher.forker_pid not in (None, old))
    assert not is_alive(old)


@pytest.mark.usefixtures("short_forker_timeout")
def test_stopped_forker_is_replaced_while_its_agent_keeps_running(run_with_harness: HarnessRunner) -> None:
    async def test(harness: UnitSetHarness) -> None:
        harness.start(plan(spec("A", "sh", "-c", "echo up; exec sleep 1000", restart="always")))
        await wait_until_running(harness, "A")
        agent, old = harness.unit_set.units["A"].pid, harness.forker()
        os.kill(old, signal.SIGSTOP)
        await wait_until_replaced(harness, old)
        assert harness.unit_set.units["A"].pid == agent
        os.kill(agent or 0, signal.SIGKILL)
        await until(harness, lambda: harness.unit_set.units["A"].pid not in (None, agent))

    run_with_harness(test)


@pytest.mark.usefixtures("short_forker_timeout")
def test_stopped_zygote_is_replaced_while_its_agents_keep_running(
    run_with_harness: HarnessRunner, script: str
) -> None:
    async def test(harness: UnitSetHarness) -> None:
        harness.start(loading(*scripts(script, "A", "B")))
        await wait_until_running(harness, "A", "B")
        before = [harness.unit_set.units[name].pid for name in "AB"]
        (old,) = zygotes_of(harness)
        os.kill(old, signal.SIGSTOP)
        await until(harness, lambda: zygotes_of(harness) not in (set(), {old}))
        assert not is_alive(old)
        assert [harness.unit_set.units[name].pid for name in "AB"] == before

    run_with_harness(test)


@pytest.mark.usefixtures("short_forker_timeout")
def test_spawn_requested_from_stopped_forker_is_done_by_next_forker(run_with_harness: HarnessRunner) -> None:
    async def test(harness: UnitSetHarness) -> None:
        old = harness.forker()
        os.kill(old, signal.SIGSTOP)
        harness.start(plan(spec("A")))
        await harness.until("A", state=State.READY)
        assert harness.forker() != old
        assert "spawn-timeout" not in kinds(harness.folder)

    run_with_harness(test)


def test_forker_without_reply_is_killed_and_replaced(
    run_with_harness: HarnessRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        forker_client, "_STOPPED_TIMEOUT_S", NEVER_S
    )  # a stop is how this test makes it silent
    monkeypatch.setattr(forker_client, "_REPLY_TIMEOUT_S", 0.1)

    async def test(harness: UnitSetHarness) -> None:
        harness.start(plan(spec("A", "sh", "-c", "echo up; exec sleep 1000", restart="always")))
        await wait_until_running(harness, "A")
        agent, old = harness.unit_set.units["A"].pid, harness.forker()
        os.kill(old, signal.SIGSTOP)
        os.kill(agent or 0, signal.SIGKILL)
        await wait_until_replaced(harness, old)
        await until(harness, lambda: harness.unit_set.units["A"].pid not in (None, agent))

    run_with_harness(test)


def test_forker_that_continues_before_timeout_is_kept(
    run_with_harness: HarnessRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forker_client, "_STOPPED_TIMEOUT_S", 0.3)

    async def test(harness: UnitSetHarness) -> None:
        old = harness.forker()
        loop = harness.unit_set.loop
        over = loop.create_future()
        os.kill(old, signal.SIGSTOP)
        loop.call_later(0.1, os.kill, old, signal.SIGCONT)
        loop.call_later(0.5, over.set_result, None)
        await over
        assert harness.forker() == old
        harness.start(plan(spec("A")))
        await harness.until("A", state=State.READY)

    run_with_harness(test)


@pytest.mark.usefixtures("long_forker_timeout")
def test_agent_exit_is_reported_while_forker_is_stopped(run_with_harness: HarnessRunner) -> None:
    async def test(harness: UnitSetHarness) -> None:
        say = ("sh", "-c", "echo up; exec sleep 1000")
        harness.start(plan(spec("A", *say), spec("B", *say)))
        await wait_until_running(harness, "A", "B")
        os.kill(harness.forker(), signal.SIGSTOP)
        os.kill(harness.unit_set.units["A"].pid or 0, signal.SIGKILL)
        await harness.until("A", state=State.EXITED)
        assert harness.unit_set.units["A"].reason == "was killed by SIGKILL"
        await harness.stop()  # B too

    run_with_harness(test)


def test_forker_exit_is_detected_while_its_channel_is_open(run_with_harness: HarnessRunner) -> None:
    """A child that is paused before it has let go of what it inherited holds the channel open."""

    async def test(harness: UnitSetHarness) -> None:
        old = harness.forker()
        # Empty until the forker is what it was started as.
        await until(harness, lambda: bool(Path(f"/proc/{old}/cmdline").read_bytes()))
        number = int(Path(f"/proc/{old}/cmdline").read_bytes().rstrip(b"\0").rpartition(b"\0")[2])
        pidfd = os.pidfd_open(old)
        copy = ctypes.CDLL(None).syscall(438, pidfd, number, 0)  # pidfd_getfd(2)
        os.close(pidfd)
        assert copy >= 0
        os.kill(old, signal.SIGKILL)
        await wait_until_replaced(harness, old)
        os.close(copy)
        harness.start(plan(spec("A")))
        await harness.until("A", state=State.READY)

    run_with_harness(test)


@pytest.mark.usefixtures("long_forker_timeout")
def test_supervisor_shutdown_kills_stopped_forker(run_with_harness: HarnessRunner) -> None:
    stopped = []

    async def test(harness: UnitSetHarness) -> None:
        stopped.append(harness.forker())
        os.kill(harness.forker(), signal.SIGSTOP)

    run_with_harness(test)
    assert read_stat(stopped[0]) is None


def test_stale_forker_cleanup_kills_only_recorded_forkers(run_with_harness: HarnessRunner) -> None:
    async def test(harness: UnitSetHarness) -> None:
        before = harness.folder.forkers_file.read_bytes()
        assert str(harness.forker()).encode() in before
        stat = read_stat(os.getpid())
        assert stat is not None
        boot = boot_id().hex().encode()
        # Another process has the number by now; another boot; a record that is none.
        for record in (
            b'{"boot":"%s","forkers":[[%d,%d]]}' % (boot, os.getpid(), stat.start_ticks + 1),
            b'{"boot":"%s","forkers":[[%d,%d]]}' % (b"0" * 32, os.getpid(), stat.start_ticks),
            b'{"boot":3}',
            b"",
        ):
            harness.folder.forkers_file.write_bytes(record)
            assert forker_client.kill_stale_forkers(harness.folder) == []
        harness.folder.forkers_file.write_bytes(before)
        os.kill(harness.forker(), signal.SIGSTOP)
        old = harness.forker()
        assert forker_client.kill_stale_forkers(harness.folder) == [old]
        await wait_until_replaced(harness, old)

    run_with_harness(test)
