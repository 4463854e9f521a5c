"""Forkers and zygotes that stop, hang or die: noticed by a deadline, ended, replaced; agents run on."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

import pytest

from argosy.engine.fork import forker_client
from argosy.engine.process.os_process import boot_id, is_alive, read_stat
from argosy.engine.protocol.state_machine import State

from ..supervisor.test_unit_set import Sail, Sea, kinds, plan, sail, spec
from .test_zygote_pool import loading, script, scripts, subreaper, until, zygotes_of

__all__ = ["sail", "script", "subreaper"]

pytestmark = pytest.mark.usefixtures("subreaper")
NEVER_S = 1000.0


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped forker is ended soon."""
    monkeypatch.setattr(forker_client, "_STOPPED_TIMEOUT_S", 0.1)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped forker is let be: for what must not wait for it."""
    monkeypatch.setattr(forker_client, "_STOPPED_TIMEOUT_S", NEVER_S)
    monkeypatch.setattr(forker_client, "_REPLY_TIMEOUT_S", NEVER_S)


async def runs(sea: Sea, *names: str) -> None:
    """Wait until these run: one that still waits to be let go ends with its forker, as it should."""
    await sea.until(*names, state=State.READY)
    await until(sea, lambda: all(sea.folder.log_file(name).read_text() == "up\n" for name in names))


async def replaced(sea: Sea, old: int) -> None:
    await until(sea, lambda: sea.crew.launcher.forker_pid not in (None, old))
    assert not is_alive(old)


@pytest.mark.usefixtures("hasty")
def test_a_stopped_forker_is_ended_and_replaced_and_its_agent_runs_on(sail: Sail) -> None:
    async def test(sea: Sea) -> None:
        sea.start(plan(spec("A", "sh", "-c", "echo up; exec sleep 1000", restart="always")))
        await runs(sea, "A")
        agent, old = sea.crew.units["A"].pid, sea.forker()
        os.kill(old, signal.SIGSTOP)
        await replaced(sea, old)
        assert sea.crew.units["A"].pid == agent
        os.kill(agent or 0, signal.SIGKILL)
        await until(sea, lambda: sea.crew.units["A"].pid not in (None, agent))

    sail(test)


@pytest.mark.usefixtures("hasty")
def test_a_stopped_zygote_is_ended_and_replaced_and_its_agents_run_on(sail: Sail, script: str) -> None:
    async def test(sea: Sea) -> None:
        sea.start(loading(*scripts(script, "A", "B")))
        await runs(sea, "A", "B")
        before = [sea.crew.units[name].pid for name in "AB"]
        (old,) = zygotes_of(sea)
        os.kill(old, signal.SIGSTOP)
        await until(sea, lambda: zygotes_of(sea) not in (set(), {old}))
        assert not is_alive(old)
        assert [sea.crew.units[name].pid for name in "AB"] == before

    sail(test)


@pytest.mark.usefixtures("hasty")
def test_a_start_that_a_stopped_forker_was_asked_for_goes_on_with_the_next(sail: Sail) -> None:
    async def test(sea: Sea) -> None:
        old = sea.forker()
        os.kill(old, signal.SIGSTOP)
        sea.start(plan(spec("A")))
        await sea.until("A", state=State.READY)
        assert sea.forker() != old
        assert "spawn-timeout" not in kinds(sea.folder)

    sail(test)


def test_a_forker_that_tells_nothing_is_ended_and_replaced(
    sail: Sail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        forker_client, "_STOPPED_TIMEOUT_S", NEVER_S
    )  # a stop is how this test makes it silent
    monkeypatch.setattr(forker_client, "_REPLY_TIMEOUT_S", 0.1)

    async def test(sea: Sea) -> None:
        sea.start(plan(spec("A", "sh", "-c", "echo up; exec sleep 1000", restart="always")))
        await runs(sea, "A")
        agent, old = sea.crew.units["A"].pid, sea.forker()
        os.kill(old, signal.SIGSTOP)
        os.kill(agent or 0, signal.SIGKILL)
        await replaced(sea, old)
        await until(sea, lambda: sea.crew.units["A"].pid not in (None, agent))

    sail(test)


def test_a_forker_that_goes_on_in_time_is_kept(sail: Sail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forker_client, "_STOPPED_TIMEOUT_S", 0.3)

    async def test(sea: Sea) -> None:
        old = sea.forker()
        loop = sea.crew.loop
        over = loop.create_future()
        os.kill(old, signal.SIGSTOP)
        loop.call_later(0.1, os.kill, old, signal.SIGCONT)
        loop.call_later(0.5, over.set_result, None)
        await over
        assert sea.forker() == old
        sea.start(plan(spec("A")))
        await sea.until("A", state=State.READY)

    sail(test)


@pytest.mark.usefixtures("patient")
def test_the_end_of_an_agent_is_seen_although_its_forker_is_stopped(sail: Sail) -> None:
    async def test(sea: Sea) -> None:
        say = ("sh", "-c", "echo up; exec sleep 1000")
        sea.start(plan(spec("A", *say), spec("B", *say)))
        await runs(sea, "A", "B")
        os.kill(sea.forker(), signal.SIGSTOP)
        os.kill(sea.crew.units["A"].pid or 0, signal.SIGKILL)
        await sea.until("A", state=State.EXITED)
        assert sea.crew.units["A"].reason == "was killed by SIGKILL"
        await sea.stop()  # B too

    sail(test)


def test_the_end_of_a_forker_is_seen_although_its_channel_stays_open(sail: Sail) -> None:
    """A child that is paused before it has let go of what it inherited holds the channel open."""

    async def test(sea: Sea) -> None:
        old = sea.forker()
        # Empty until the forker is what it was started as.
        await until(sea, lambda: bool(Path(f"/proc/{old}/cmdline").read_bytes()))
        number = int(Path(f"/proc/{old}/cmdline").read_bytes().rstrip(b"\0").rpartition(b"\0")[2])
        pidfd = os.pidfd_open(old)
        copy = ctypes.CDLL(None).syscall(438, pidfd, number, 0)  # pidfd_getfd(2)
        os.close(pidfd)
        assert copy >= 0
        os.kill(old, signal.SIGKILL)
        await replaced(sea, old)
        os.close(copy)
        sea.start(plan(spec("A")))
        await sea.until("A", state=State.READY)

    sail(test)


@pytest.mark.usefixtures("patient")
def test_a_stopped_forker_keeps_no_supervisor_from_its_end(sail: Sail) -> None:
    stopped = []

    async def test(sea: Sea) -> None:
        stopped.append(sea.forker())
        os.kill(sea.forker(), signal.SIGSTOP)

    sail(test)
    assert read_stat(stopped[0]) is None


def test_what_a_dead_supervisor_left_stopped_is_ended_and_nothing_else(sail: Sail) -> None:
    async def test(sea: Sea) -> None:
        before = sea.folder.forkers_file.read_bytes()
        assert str(sea.forker()).encode() in before
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
            sea.folder.forkers_file.write_bytes(record)
            assert forker_client.kill_stale_forkers(sea.folder) == []
        sea.folder.forkers_file.write_bytes(before)
        os.kill(sea.forker(), signal.SIGSTOP)
        old = sea.forker()
        assert forker_client.kill_stale_forkers(sea.folder) == [old]
        await replaced(sea, old)

    sail(test)
