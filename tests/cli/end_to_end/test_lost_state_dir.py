"""Lost or outdated records: running agents are found, adopted, and never started twice."""

from __future__ import annotations

import os
import shutil
import signal
import struct
from binascii import crc32
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from argosy.engine.process import lease

from ..conftest import is_alive
from .test_process_faults import GATED, PAIR, fleet_state_dir, pids, supervisor

if TYPE_CHECKING:
    from ..conftest import Rig


@pytest.fixture
def pair(rig: Rig) -> Iterator[Rig]:
    """Two agents that run, with a witness of their own; never may one of them run twice."""
    rig.write(GATED, "gated.py")
    rig.write(PAIR % "")
    rig.json("up", "-d")
    yield rig
    assert list(rig.folder.glob("*.twice")) == []


def test_running_supervisor_adopts_agents_after_state_dir_deletion(pair: Rig) -> None:
    before, pid = pids(pair), supervisor(pair)
    shutil.rmtree(fleet_state_dir(pair))
    assert sorted(pair.json("up", "-d")["adopted"]) == ["A", "B"]
    assert (supervisor(pair), pids(pair)) == (pid, before)
    assert {lease.read_record(fleet_state_dir(pair) / "lease" / name).identity.pid for name in before} == set(  # type: ignore[union-attr]
        before.values()
    )
    pair.kill_supervisor()
    assert sorted(pair.json("up", "-d")["adopted"]) == ["A", "B"]
    assert pids(pair) == before


def test_killed_agent_restarts_after_state_dir_deletion(pair: Rig) -> None:
    before = pids(pair)
    shutil.rmtree(fleet_state_dir(pair))
    os.kill(before["B"], signal.SIGKILL)
    pair.until(lambda: pair.agents()["B"]["state"] == "ready" and pair.pid("B") != before["B"])
    assert pair.pid("A") == before["A"]
    assert (fleet_state_dir(pair) / "log" / "B.log").exists()


@pytest.mark.parametrize("verb", ["up", "down"])
def test_up_and_down_find_agents_without_supervisor_and_state_dir(pair: Rig, verb: str) -> None:
    before, folder = pids(pair), fleet_state_dir(pair)
    pair.kill_supervisor()
    shutil.rmtree(folder)
    assert pids(pair) == before, "status asks /proc"
    if verb == "up":
        assert sorted(pair.json("up", "-d")["adopted"]) == ["A", "B"]
        assert pids(pair) == before
    else:
        assert sorted(pair.json("down")["stopped"]) == ["A", "B"]
        assert not any(map(is_alive, before.values()))


@pytest.mark.parametrize("verb", ["up", "down"])
def test_up_and_down_find_agents_with_unreadable_applied_plan(pair: Rig, verb: str) -> None:
    before = pids(pair)
    pair.kill_supervisor()
    (fleet_state_dir(pair) / "applied.json").write_text('{"version": 99}')
    if verb == "up":
        assert sorted(pair.json("up", "-d")["adopted"]) == ["A", "B"]
        assert pids(pair) == before
    else:
        assert sorted(pair.json("down")["stopped"]) == ["A", "B"]


def test_next_supervisor_replaces_one_without_state_and_runtime_dirs(pair: Rig) -> None:
    before, old = pids(pair), supervisor(pair)
    shutil.rmtree(fleet_state_dir(pair))
    shutil.rmtree(Path(pair.env["XDG_RUNTIME_DIR"], "argosy"))
    assert sorted(pair.json("up", "-d")["adopted"]) == ["A", "B"]
    assert pids(pair) == before
    assert supervisor(pair) != old
    os.kill(before["B"], signal.SIGKILL)
    pair.until(lambda: not is_alive(old))
    pair.until(lambda: pair.agents()["B"]["state"] == "ready" and pair.pid("B") != before["B"])
    assert pair.pid("A") == before["A"]


def test_supervisor_adopts_agents_with_version_1_leases(pair: Rig) -> None:
    before = pids(pair)
    for name in before:
        path = fleet_state_dir(pair) / "lease" / name
        record = lease.read_record(path)
        assert record is not None
        fields = (record.boot_id, record.incarnation, record.identity.start_ticks, record.generation)
        body = struct.pack("<I16sQQQI", 1, *fields, record.identity.pid)
        path.write_bytes(body + struct.pack("<I", crc32(body)))
    pair.kill_supervisor()
    assert sorted(pair.json("up", "-d")["adopted"]) == ["A", "B"]
    assert pids(pair) == before


# Starts a daemon that leaves the session and closes all it has.
DAEMON = """
import os, signal, socket
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 256)
        open("daemon.pid", "w").write(str(os.getpid()))
        signal.pause()
    os._exit(0)
os.wait()
while not os.path.exists("daemon.pid"):
    pass
"""
DAEMON_MAKER = f"""{DAEMON}
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
    out.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
signal.pause()
"""


def test_supervisor_kills_daemon_of_adopted_agent_after_its_exit(rig: Rig) -> None:
    rig.write(DAEMON_MAKER, "maker.py")
    rig.write("fleet: toy\nagents:\n  A: {run: maker.py, ready: {probe: notify}, restart: never}\n")
    rig.json("up", "-d")
    daemon = int((rig.folder / "daemon.pid").read_text())
    rig.kill_supervisor()
    assert rig.json("up", "-d")["adopted"] == ["A"]
    os.kill(rig.pid("A"), signal.SIGKILL)
    rig.until(lambda: not is_alive(daemon))
    rig.until(lambda: rig.agents()["A"]["state"] == "exited")


@pytest.fixture
def leftover_daemon(rig: Rig) -> tuple[Rig, int]:
    """A daemon that outlived its agent and its supervisor, which died in that order."""
    rig.write(DAEMON_MAKER, "maker.py")
    rig.write("fleet: toy\nagents:\n  A: {run: maker.py, ready: {probe: notify}}\n  B: {run: speaker.py}\n")
    rig.json("up", "-d")
    daemon, agent = int((rig.folder / "daemon.pid").read_text()), rig.pid("A")
    rig.kill_supervisor()
    for pid in pids(rig).values():
        os.kill(pid, signal.SIGKILL)
    rig.until(lambda: not is_alive(agent) and is_alive(daemon))
    (rig.folder / "daemon.pid").unlink()
    return rig, daemon


def test_status_and_clean_report_leftover_daemon_and_down_kills_it(leftover_daemon: tuple[Rig, int]) -> None:
    rig, daemon = leftover_daemon
    told, folder = rig.agents()["A"], fleet_state_dir(rig)
    assert (told["state"], told["pid"]) == ("failing", daemon)
    assert f"leftover process {daemon}" in told["reason"]
    assert f"pid {daemon}" in rig.argosy("clean").stdout
    other = rig.folder / "other"
    other.mkdir()
    for name in ("maker.py", "fleet.yaml"):
        shutil.copy(rig.folder / name, other)
    rig.json("up", "-d", "--only", "A", "other/")  # an agent of the same name, and its daemon
    theirs = int((other / "daemon.pid").read_text())
    assert rig.json("down")["stopped"] == ["A"]
    assert (is_alive(daemon), is_alive(theirs)) == (False, True)
    assert f"failing: leftover process {daemon}" in (folder / "event-log").read_text()
    assert rig.agents()["A"]["state"] == "exited"
    rig.json("down", "other/")
    assert not is_alive(theirs)


@pytest.mark.parametrize("is_deleted", [False, True], ids=["records", "no-records"])
def test_up_kills_leftover_daemon_before_start(leftover_daemon: tuple[Rig, int], is_deleted: bool) -> None:
    rig, daemon = leftover_daemon
    if is_deleted:
        shutil.rmtree(fleet_state_dir(rig))
    started = rig.json("up", "-d")
    assert (sorted(started["ready"]), started["adopted"]) == (["A", "B"], [])
    assert not is_alive(daemon)
    assert is_alive(int((rig.folder / "daemon.pid").read_text()))


# A daemon of an agent of a cell, whose process carries no agent's name.
CELL_MAKER = """
import subprocess, sys
from argosy.agent import Agent
class Maker(Agent):
    async def start(self) -> None:
        subprocess.run([sys.executable, "daemon.py"], check=True)
"""


@pytest.mark.parametrize("verb", [pytest.param("up", marks=pytest.mark.soak), "down"])
def test_up_and_down_kill_leftover_daemon_of_cell(rig: Rig, verb: str) -> None:
    rig.write(CELL_MAKER, "crew.py")
    rig.write(DAEMON, "daemon.py")
    rig.write('fleet: toy\nagents:\n  A: {run: "crew:Maker", cell: one}\n')
    rig.json("up", "-d")
    daemon, cell = int((rig.folder / "daemon.pid").read_text()), rig.pid("A")
    rig.kill_supervisor()
    os.kill(cell, signal.SIGKILL)
    rig.until(lambda: not is_alive(cell) and is_alive(daemon))
    (rig.folder / "daemon.pid").unlink()
    if verb == "up":
        assert rig.json("up", "-d")["ready"] == ["A"]
        assert is_alive(int((rig.folder / "daemon.pid").read_text()))
    else:
        rig.json("down")
    assert not is_alive(daemon)


def test_stop_continues_after_unit_state_deletion_and_supervisor_crash(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        defaults: {ready: {probe: notify}, stop_timeout: 60s}
        agents:
          A: {run: speaker.py, args: [deaf]}
          B: {run: speaker.py}
        """)
    rig.json("up", "-d")
    folder, b = fleet_state_dir(rig), rig.pid("B")
    (folder / "unit-state").unlink()
    down = rig.start("down", "--only", "A")
    rig.until(lambda: rig.agents()["A"]["state"] == "stopping")
    down.kill()  # else it starts the next supervisor, to go on
    down.wait()
    rig.kill_supervisor()
    assert rig.json("up", "-d", "--only", "B")["adopted"] == ["B"]
    assert rig.agents()["A"]["state"] == "stopping"
    assert rig.pid("B") == b
    os.kill(rig.pid("A"), signal.SIGKILL)


def test_supervisor_recovers_generation_from_overwritten_lock_file(pair: Rig) -> None:
    before, folder = pids(pair), fleet_state_dir(pair)
    pair.kill_supervisor()
    (folder / "supervisor.lock").write_text("it was here, and it is not a number\n")
    assert sorted(pair.json("up", "-d")["adopted"]) == ["A", "B"]
    assert pids(pair) == before


# Reads the address book when it starts, as an agent of the library does.
READER = """
import os, signal, socket
from argosy.wire.address_book import read_address_book
assert "B" in read_address_book(os.environ["ARGOSY_BOOK"]).agents
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
    out.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
print("has read the book", flush=True)
signal.pause()
"""
READERS = """
fleet: toy
defaults: {run: reader.py, ready: {probe: notify}}
agents: {A: {port: 7701}, B: {port: 7702}}
"""


@pytest.mark.parametrize("is_adopted", [False, True], ids=["started", "adopted"])
def test_supervisor_rewrites_address_book_after_state_dir_deletion(rig: Rig, is_adopted: bool) -> None:
    rig.write(READER, "reader.py")
    rig.write(READERS)
    rig.json("up", "-d")
    if is_adopted:
        rig.kill_supervisor()
        rig.json("up", "-d")
    before, folder = pids(rig), fleet_state_dir(rig)
    wanted = {name: (folder / name).read_bytes() for name in ("book.json", "applied.json")}
    shutil.rmtree(folder)
    os.kill(before["B"], signal.SIGKILL)
    rig.until(lambda: rig.agents()["B"]["state"] == "ready" and rig.pid("B") != before["B"])
    assert {name: (folder / name).read_bytes() for name in wanted} == wanted
    assert (folder / "applied.json").stat().st_mode & 0o777 == 0o600
    assert "has read the book" in rig.argosy("logs", "B").stdout
    rig.kill_supervisor()
    assert sorted(rig.json("up", "-d")["adopted"]) == ["A", "B"]
    assert sorted(rig.json("down")["stopped"]) == ["A", "B"]


def test_supervisor_restores_state_dir_after_deletion_without_any_start(pair: Rig) -> None:
    before, folder = pids(pair), fleet_state_dir(pair)
    names = {
        "applied.json",
        "book.json",
        "unit-state",
        "event-log",
        "supervisor.lock",
        "lease/A",
        "lease/B",
        "log",
    }
    shutil.rmtree(folder)
    pair.until(lambda: all((folder / name).exists() for name in names), 10)
    pair.kill_supervisor()
    assert sorted(pair.json("up", "-d")["adopted"]) == ["A", "B"]
    assert pids(pair) == before
