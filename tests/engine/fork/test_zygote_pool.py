"""The supervisor's side of zygotes: who is forked, who is spawned and why, what happens when one dies."""

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

from ..supervisor.test_unit_set import Sail, Sea, plan, sail, spec

__all__ = ["sail"]

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


def parent_of(sea: Sea, name: str) -> int:
    stat = read_stat(sea.crew.units[name].pid or 0)
    assert stat is not None
    return stat.parent_pid


def zygotes_of(sea: Sea) -> set[int]:
    return sea.crew.launcher.zygote_pids


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
def test_what_cannot_be_forked_says_why(
    argv: tuple[str, ...], fields: dict[str, object], env: dict[str, str], words: str
) -> None:
    why = exec_reason(spec("A", *argv, **fields), env)
    assert words in why
    assert bool(why) == bool(words)


def test_agents_are_borne_by_their_zygote_and_the_rest_by_the_forker(sail: Sail, script: str) -> None:
    async def test(sea: Sea) -> None:
        alone = scripts(script, "C", start="spawn")
        sea.start(loading(*scripts(script, "A", "B"), *alone))
        await sea.until("A", "B", "C", state=State.READY)
        (zygote,) = zygotes_of(sea)
        assert [parent_of(sea, name) for name in "ABC"] == [zygote, zygote, sea.forker()]
        assert sea.crew.launcher.exec_reasons == {"C": "`start: spawn`"}

    sail(test)


def test_a_single_agent_is_not_kept_waiting_for_a_zygote(sail: Sail, script: str) -> None:
    async def test(sea: Sea) -> None:
        sea.crew.set_plan(loading(*scripts(script, "A", "B")))
        sea.crew.units["A"].start()
        await sea.until("A", state=State.READY)
        assert parent_of(sea, "A") == sea.forker()

    sail(test)


def test_none_switches_zygotes_off(sail: Sail, script: str) -> None:
    async def test(sea: Sea) -> None:
        sea.start(msgspec.structs.replace(plan(*scripts(script, "A", "B")), preload="none"))
        await sea.until("A", "B", state=State.READY)
        assert zygotes_of(sea) == set()
        assert parent_of(sea, "A") == sea.forker()

    sail(test)


@pytest.mark.usefixtures("subreaper")
def test_a_zygote_that_is_killed_is_replaced_and_its_agents_run_on(sail: Sail, script: str) -> None:
    async def test(sea: Sea) -> None:
        sea.start(loading(*scripts(script, "A", "B", restart="always")))
        await sea.until("A", "B", state=State.READY)
        (zygote,) = zygotes_of(sea)
        # Its children run: one that still waits to be let go ends with it, as it should.
        await until(sea, lambda: all(sea.folder.log_file(name).read_text() == "up\n" for name in "AB"))
        before = [sea.crew.units[name].pid for name in "AB"]
        os.kill(zygote, signal.SIGKILL)
        await until(sea, lambda: "zygote-lost" in kinds(sea.folder))
        await until(sea, lambda: kinds(sea.folder).count("zygote-ready") == 2)
        assert zygotes_of(sea) != {zygote}
        assert [sea.crew.units[name].pid for name in "AB"] == before
        assert parent_of(sea, "A") == os.getpid()
        os.kill(before[0] or 0, signal.SIGKILL)  # its end is seen all the same, and it is borne anew
        await until(sea, lambda: sea.crew.units["A"].pid not in (None, before[0]))
        assert {parent_of(sea, "A")} == zygotes_of(sea)

    sail(test)


def test_starts_that_a_dying_zygote_took_with_it_are_ordered_again(sail: Sail, script: str) -> None:
    async def test(sea: Sea) -> None:
        sea.crew.set_plan(loading(*scripts(script, "A", "B")))
        await until(sea, lambda: "zygote-ready" in kinds(sea.folder))
        (zygote,) = zygotes_of(sea)
        os.kill(zygote, signal.SIGSTOP)
        for name in "AB":
            sea.crew.units[name].start()
        await until(sea, lambda: all(sea.crew.units[name].process.incarnation for name in "AB"))
        os.kill(zygote, signal.SIGKILL)
        await sea.until("A", "B", state=State.READY)

    sail(test)


def test_a_zygote_whose_packages_kill_it_is_not_started_for_ever(sail: Sail, script: str) -> None:
    async def test(sea: Sea) -> None:
        sea.start(loading(*scripts(script, "A", "B")))
        for _ in range(3):
            await until(sea, lambda: zygotes_of(sea))
            (zygote,) = zygotes_of(sea)
            os.kill(zygote, signal.SIGKILL)
            await until(sea, lambda zygote=zygote: zygote not in zygotes_of(sea))
            if "zygote-ready" in kinds(sea.folder):
                return  # this machine was quicker than the test: it was warm already
        await sea.until("A", "B", state=State.READY)
        assert "zygote-failed" in kinds(sea.folder)
        assert parent_of(sea, "A") == sea.forker()

    sail(test)


def test_zygotes_end_with_their_supervisor(sail: Sail, script: str) -> None:
    seen: list[int] = []

    async def test(sea: Sea) -> None:
        sea.start(loading(*scripts(script, "A", "B")))
        await sea.until("A", "B", state=State.READY)
        seen.extend(zygotes_of(sea))

    sail(test)
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
def test_what_a_forked_agent_left_is_known_by_what_proc_shows_of_it(sail: Sail, tmp_path: Path) -> None:
    """A fork of a forked child is no exec: its environment is still the one that the zygote's child took."""
    script = tmp_path / "daemon.py"
    script.write_text(DAEMON)

    async def test(sea: Sea) -> None:
        told = {name: {"NOTIFY_SOCKET": str(sea.folder.notify_socket(name))} for name in "AB"}
        sea.start(
            loading(*(each for n in "AB" for each in scripts(str(script), n, env=told[n], restart="always")))
        )
        await sea.until("A", "B", state=State.READY)
        first = sea.crew.units["A"].pid or 0
        assert {parent_of(sea, "A")} == zygotes_of(sea)
        await until(sea, lambda: children_of(first))
        (left,) = children_of(first)
        assert left in {pid for pid in all_pids() if is_leftover(pid, str(sea.folder.notify_socket("A")))}
        os.kill(first, signal.SIGKILL)
        await until(sea, lambda: f"leftover process {left}" in said_of(sea.folder, "A"))
        await sea.until("A", state=State.READY)
        assert left not in all_pids()
        for name in "AB":
            for pid in children_of(sea.crew.units[name].pid or 0):
                os.kill(pid, signal.SIGKILL)

    sail(test)


def children_of(parent: int) -> list[int]:
    return [pid for pid in all_pids() if (stat := read_stat(pid)) is not None and stat.parent_pid == parent]


def said_of(folder: StateDir, agent: str) -> str:
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


async def until(sea: Sea, true: Callable[[], object]) -> None:
    """Wait until something is true that no transition tells."""
    loop = sea.crew.loop
    end = loop.time() + 20
    while not true():
        assert loop.time() < end
        woken = loop.create_future()
        loop.call_later(0.005, woken.set_result, None)
        await woken
