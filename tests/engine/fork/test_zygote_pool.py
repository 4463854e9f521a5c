"""Zygote pool of the supervisor: what is forked, what is spawned and why, and how zygotes are replaced."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from argosy.engine.fork.zygote_pool import exec_reason
from argosy.engine.inventory.leftover_processes import is_leftover
from argosy.engine.plan.process_plan import ProcessPlan, ProcessSpec
from argosy.engine.process.os_process import all_pids, read_stat
from argosy.engine.protocol.state_machine import State
from argosy.engine.state.event_log import read_event_log
from argosy.engine.state.state_dir import StateDir

from ..supervisor.test_unit_set import HarnessRunner, UnitSetHarness, plan, run_with_harness, spec

__all__ = ["run_with_harness"]

SLEEPER = "import signal\nprint('up', flush=True)\nsignal.pause()\n"


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "agent.py"
    path.write_text(SLEEPER)
    return str(path)


def scripts(script: str, *names: str, **fields: object) -> list[ProcessSpec]:
    return [spec(name, sys.executable, script, name, cwd="/", **fields) for name in names]


def loading(*specs: ProcessSpec, modules: tuple[str, ...] = ("json",)) -> ProcessPlan:
    return msgspec.structs.replace(plan(*specs), preload=modules)


def parent_of(harness: UnitSetHarness, name: str) -> int:
    stat = read_stat(harness.unit_set.units[name].pid or 0)
    assert stat is not None
    return stat.parent_pid


def zygotes_of(harness: UnitSetHarness) -> set[int]:
    return harness.unit_set.launcher.zygote_pids


@pytest.mark.parametrize(
    ("argv", "fields", "env", "words"),
    [
        ((sys.executable, "/a.py"), {}, {}, ""),
        ((sys.executable, "-m", "argosy.agent", "a:B"), {}, {"PYTHONPATH": "/x:/y"}, ""),
        ((sys.executable, "/a.py"), {"start": "spawn"}, {}, "`start: spawn`"),
        (("/usr/bin/other", "/a.py"), {}, {}, "`/usr/bin/other`"),
        (("sleep", "1"), {}, {}, "`sleep`"),
        ((sys.executable, "-u", "/a.py"), {}, {}, "options"),
        ((sys.executable, "-c", "pass"), {}, {}, "options"),
        ((sys.executable, "/a.zip"), {}, {}, "`/a.zip` is not a .py file"),
        ((sys.executable, "/a.py"), {}, {"COVERAGE_PROCESS_START": "/c"}, "`COVERAGE_PROCESS_START`"),
        ((sys.executable, "/a.py"), {}, {"PYTHONPATH": "lib"}, "PYTHONPATH"),
    ],
)
def test_exec_reason_names_obstacle_to_fork(
    argv: tuple[str, ...], fields: dict[str, object], env: dict[str, str], words: str
) -> None:
    why = exec_reason(spec("A", *argv, **fields), env)
    assert words in why
    assert bool(why) == bool(words)


def test_zygote_forks_its_agents_and_forker_starts_others(
    run_with_harness: HarnessRunner, script: str
) -> None:
    async def test(harness: UnitSetHarness) -> None:
        alone = scripts(script, "C", start="spawn")
        harness.start(loading(*scripts(script, "A", "B"), *alone))
        await harness.until("A", "B", "C", state=State.READY)
        (zygote,) = zygotes_of(harness)
        assert [parent_of(harness, name) for name in "ABC"] == [zygote, zygote, harness.forker()]
        assert harness.unit_set.launcher.exec_reasons == {"C": "`start: spawn`"}

    run_with_harness(test)


def test_single_agent_starts_without_zygote(run_with_harness: HarnessRunner, script: str) -> None:
    async def test(harness: UnitSetHarness) -> None:
        harness.unit_set.set_plan(loading(*scripts(script, "A", "B")))
        harness.unit_set.units["A"].start()
        await harness.until("A", state=State.READY)
        assert parent_of(harness, "A") == harness.forker()

    run_with_harness(test)


def test_preload_none_disables_zygotes(run_with_harness: HarnessRunner, script: str) -> None:
    async def test(harness: UnitSetHarness) -> None:
        harness.start(msgspec.structs.replace(plan(*scripts(script, "A", "B")), preload="none"))
        await harness.until("A", "B", state=State.READY)
        assert zygotes_of(harness) == set()
        assert parent_of(harness, "A") == harness.forker()

    run_with_harness(test)


@pytest.mark.usefixtures("subreaper")
def test_killed_zygote_is_replaced_while_its_agents_keep_running(
    run_with_harness: HarnessRunner, script: str
) -> None:
    async def test(harness: UnitSetHarness) -> None:
        harness.start(loading(*scripts(script, "A", "B", restart="always")))
        await harness.until("A", "B", state=State.READY)
        (zygote,) = zygotes_of(harness)
        # Its children run: one that still waits to be let go ends with it, as it should.
        await until(
            harness, lambda: all(harness.folder.log_file(name).read_text() == "up\n" for name in "AB")
        )
        before = [harness.unit_set.units[name].pid for name in "AB"]
        os.kill(zygote, signal.SIGKILL)
        await until(harness, lambda: "zygote-lost" in kinds(harness.folder))
        await until(harness, lambda: kinds(harness.folder).count("zygote-ready") == 2)
        assert zygotes_of(harness) != {zygote}
        assert [harness.unit_set.units[name].pid for name in "AB"] == before
        assert parent_of(harness, "A") == os.getpid()
        os.kill(before[0] or 0, signal.SIGKILL)  # its end is seen all the same, and it is borne anew
        await until(harness, lambda: harness.unit_set.units["A"].pid not in (None, before[0]))
        assert {parent_of(harness, "A")} == zygotes_of(harness)

    run_with_harness(test)


def test_spawns_lost_with_zygote_are_requested_again(run_with_harness: HarnessRunner, script: str) -> None:
    async def test(harness: UnitSetHarness) -> None:
        harness.unit_set.set_plan(loading(*scripts(script, "A", "B")))
        await until(harness, lambda: "zygote-ready" in kinds(harness.folder))
        (zygote,) = zygotes_of(harness)
        os.kill(zygote, signal.SIGSTOP)
        for name in "AB":
            harness.unit_set.units[name].start()
        await until(harness, lambda: all(harness.unit_set.units[name].process.incarnation for name in "AB"))
        os.kill(zygote, signal.SIGKILL)
        await harness.until("A", "B", state=State.READY)

    run_with_harness(test)


def test_launcher_gives_up_zygote_that_keeps_dying(run_with_harness: HarnessRunner, script: str) -> None:
    async def test(harness: UnitSetHarness) -> None:
        harness.start(loading(*scripts(script, "A", "B")))
        for _ in range(3):
            await until(harness, lambda: zygotes_of(harness))
            (zygote,) = zygotes_of(harness)
            os.kill(zygote, signal.SIGKILL)
            await until(harness, lambda zygote=zygote: zygote not in zygotes_of(harness))
            if "zygote-ready" in kinds(harness.folder):
                return  # this machine was quicker than the test: it was warm already
        await harness.until("A", "B", state=State.READY)
        assert "zygote-failed" in kinds(harness.folder)
        assert parent_of(harness, "A") == harness.forker()

    run_with_harness(test)


def test_zygotes_exit_with_their_supervisor(run_with_harness: HarnessRunner, script: str) -> None:
    seen: list[int] = []

    async def test(harness: UnitSetHarness) -> None:
        harness.start(loading(*scripts(script, "A", "B")))
        await harness.until("A", "B", state=State.READY)
        seen.extend(zygotes_of(harness))

    run_with_harness(test)
    assert seen
    assert not set(seen) & set(all_pids())


DAEMON = """
import os, signal, sys
if os.fork() == 0:
    os.setsid()
    os.closerange(0, 100)
    signal.pause()
print('up', flush=True)
signal.pause()
"""


@pytest.mark.usefixtures("subreaper")
def test_leftover_of_forked_agent_is_found_by_its_environ(
    run_with_harness: HarnessRunner, tmp_path: Path
) -> None:
    """A fork of a forked child is no exec: its environment is still the one that the zygote's child took."""
    script = tmp_path / "daemon.py"
    script.write_text(DAEMON)

    async def test(harness: UnitSetHarness) -> None:
        told = {name: {"NOTIFY_SOCKET": str(harness.folder.notify_socket(name))} for name in "AB"}
        harness.start(
            loading(*(each for n in "AB" for each in scripts(str(script), n, env=told[n], restart="always")))
        )
        await harness.until("A", "B", state=State.READY)
        first = harness.unit_set.units["A"].pid or 0
        assert {parent_of(harness, "A")} == zygotes_of(harness)
        await until(harness, lambda: children_of(first))
        (left,) = children_of(first)
        assert left in {pid for pid in all_pids() if is_leftover(pid, str(harness.folder.notify_socket("A")))}
        os.kill(first, signal.SIGKILL)
        await until(harness, lambda: f"leftover process {left}" in event_texts(harness.folder, "A"))
        await harness.until("A", state=State.READY)
        assert left not in all_pids()
        for name in "AB":
            for pid in children_of(harness.unit_set.units[name].pid or 0):
                os.kill(pid, signal.SIGKILL)

    run_with_harness(test)


def children_of(parent: int) -> list[int]:
    return [pid for pid in all_pids() if (stat := read_stat(pid)) is not None and stat.parent_pid == parent]


def event_texts(folder: StateDir, agent: str) -> str:
    return "\n".join(entry.text for entry in read_event_log(folder.event_log) if entry.agent == agent)


@pytest.fixture
def subreaper() -> Iterator[None]:
    """Make this process what the supervisor is: orphans of its zygotes fall to it."""
    libc = ctypes.CDLL(None)
    libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    yield
    libc.prctl(36, 0, 0, 0, 0)


def kinds(folder: StateDir) -> list[str]:
    return [entry.kind for entry in read_event_log(folder.event_log)]


async def until(harness: UnitSetHarness, true: Callable[[], object]) -> None:
    """Wait until something is true that no transition tells."""
    loop = harness.unit_set.loop
    end = loop.time() + 20
    while not true():
        assert loop.time() < end
        woken = loop.create_future()
        loop.call_later(0.005, woken.set_result, None)
        await woken
