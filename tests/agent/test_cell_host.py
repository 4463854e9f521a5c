"""Cell host: one process runs several agents, as the supervisor tells it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from argosy.agent.cell_manifest import (
    CellManifest,
    CellMemberSpec,
    MembersUpdate,
    encode_members_update,
    write_cell_manifest,
)
from argosy.wire import connect
from argosy.wire.client.sync_peer import SyncPeer
from launch import LittleFleet, until

HERE = Path(__file__).parent
PATIENCE_S = 15.0


class CellProcess:
    """A cell of agents by name and class; `cell` is what its process says of itself."""

    def __init__(self, fleet: LittleFleet, watchdog_s: float | None, **agents: str) -> None:
        self.fleet = fleet
        self.manifest = fleet.folder / "one"
        self._notify_sockets: dict[str, socket.socket] = {}
        self._closing = ExitStack()
        self._listen("cell")
        self.write(**agents)
        env = {
            **os.environ,
            "ARGOSY_BOOK": str(fleet.path),
            "PYTHONPATH": str(HERE),
            **({"WATCHDOG_USEC": str(int(watchdog_s * 1e6))} if watchdog_s else {}),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "argosy.agent.cell_host", str(self.manifest)],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.told("cell", "READY=1")["X_ARGOSY_HEALTH"] == "ok"

    def _listen(self, name: str) -> None:
        notify_socket = self._closing.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        notify_socket.bind(f"{self.fleet.folder}/n-{name}")
        notify_socket.settimeout(PATIENCE_S)
        self._notify_sockets[name] = notify_socket

    def write(self, **agents: str) -> None:
        """Write who may live, and put them in the book."""
        members = {}
        for name, cls in agents.items():
            if name not in self.fleet.book.agents:
                self._listen(name)
                self.fleet.add(name, needs=("A",) if cls == "Needing" else ())
            members[name] = CellMemberSpec(f"cell_agents:{cls}", (), f"{self.fleet.folder}/n-{name}")
        path = f"{self.fleet.folder}/calls"
        write_cell_manifest(self.manifest, CellManifest("one", path, f"{self.fleet.folder}/n-cell", members))

    def call(self, *names: str) -> None:
        """Tell the process who shall live."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.sendto(encode_members_update(MembersUpdate(names)), f"{self.fleet.folder}/calls")

    def told(self, name: str, word: str) -> dict[str, str]:
        """Wait until a datagram of the agent, or the cell, begins a line with `word`; return all of it."""
        while True:
            lines = self._notify_sockets[name].recv(65536).decode().splitlines()
            if any(line.startswith(word) for line in lines):
                return dict(line.split("=", 1) for line in lines)

    def live(self, *names: str) -> None:
        """Have these live and wait until all are ready."""
        self.call(*names)
        for name in names:
            self.told(name, "READY=1")

    def ask(self, name: str) -> SyncPeer:
        return connect(name, timeout=PATIENCE_S, book=self.fleet.path)

    def threads(self) -> list[str]:
        tasks = Path(f"/proc/{self.process.pid}/task")
        return sorted((each / "comm").read_text().strip() for each in tasks.iterdir())

    def end(self, number: int = signal.SIGTERM) -> list[str]:
        """Send a signal, wait, and return the lines of its output."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=PATIENCE_S)
        return out.splitlines()

    def close(self) -> None:
        self.end(signal.SIGKILL)
        self._closing.close()


@pytest.fixture
def cells(fleet: LittleFleet) -> Iterator[type[CellProcess]]:
    made: list[CellProcess] = []

    class Made(CellProcess):
        def __init__(self, watchdog_s: float | None = None, **agents: str) -> None:
            super().__init__(fleet, watchdog_s, **agents)
            made.append(self)

    yield Made
    for each in made:
        each.close()


def test_cell_agents_share_one_context_and_four_threads(
    cells: type[CellProcess],
) -> None:
    names = [f"A{number}" for number in range(12)]
    cell = cells(None, **dict.fromkeys(names, "Plain"))
    cell.live(names[0])
    # A thread has its own name a moment after it began.
    until(lambda: {"ZMQbg/IO/0", "ZMQbg/Reaper"} <= set(cell.threads()))
    one = cell.threads()
    assert [name for name in one if name.startswith("ZMQbg")] == ["ZMQbg/IO/0", "ZMQbg/Reaper"]
    assert len(one) == 4
    cell.live(*names)
    assert cell.threads() == one
    assert {cell.ask(name).call("say", text="hi") for name in names} == set(names)
    assert len(cell.threads()) <= 4, "what ran as tasks has needed no thread"
    assert cell.end().count("A7 | hi") == 1
    assert cell.process.returncode == 0


def test_cell_stops_removed_agent_and_does_not_start_it_again(cells: type[CellProcess]) -> None:
    cell = cells(None, A="Plain", B="Slow")
    cell.live("A", "B")
    cell.call("A")
    cell.told("B", "X_ARGOSY_FINISHED=1")
    assert cell.ask("A").call("say", text="still here") == "A"
    cell.call("A", "B")
    cell.told("B", "X_ARGOSY_FINISHED=1")
    assert [line for line in cell.end() if line.startswith("B")] == ["B | stops"]


def test_cell_ignores_malformed_members_updates(cells: type[CellProcess]) -> None:
    cell = cells(None, A="Plain", B="Plain")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        for data in (b"", b"nonsense", b'{"alive": 7}'):
            out.sendto(data, f"{cell.fleet.folder}/calls")
    cell.live("B")
    cell.live("B", "A")
    assert cell.process.poll() is None


def test_cell_rereads_manifest_for_agent_that_joins_later(cells: type[CellProcess]) -> None:
    cell = cells(None, A="Plain")
    cell.live("A")
    cell.write(A="Plain", B="Slow")
    cell.live("A", "B")
    assert "B | stops" in cell.end()


def test_cell_stops_agents_in_reverse_order_of_needs(cells: type[CellProcess]) -> None:
    cell = cells(None, A="Slow", B="Needing")
    cell.live("A", "B")
    lines = cell.end()
    assert "B | hears A" in lines
    assert [line for line in lines if line.endswith("stops")] == ["B | stops", "A | stops"]


def test_failed_start_of_member_ends_cell_and_names_agent(cells: type[CellProcess]) -> None:
    cell = cells(None, A="Plain", B="Broken")
    cell.live("A")
    cell.call("A", "B")
    words = cell.told("cell", "STATUS=`B`")["STATUS"]
    assert words == "`B` could not be started: RuntimeError: no model"
    cell.told("A", "STOPPING=1")
    out, _ = cell.process.communicate(timeout=PATIENCE_S)
    assert cell.process.returncode == 1
    assert "B | RuntimeError: no model" in out.splitlines()


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        ("Old", "`Old` of `cell_agents` is neither an `Agent` nor a `BaseAgent`"),
        ("Gone", "`Gone` of `cell_agents` is not there"),
    ],
)
def test_cell_reports_invalid_or_missing_agent_class(cells: type[CellProcess], cls: str, words: str) -> None:
    cell = cells(None, B=cls)
    cell.call("B")
    assert cell.told("cell", "STATUS=`B`")["STATUS"].startswith(f"`B` {words}")
    assert cell.process.wait(PATIENCE_S) == 2


def test_cell_reports_agent_missing_from_manifest(cells: type[CellProcess]) -> None:
    cell = cells(None, A="Plain")
    cell.call("Nobody")
    assert "has no agent `Nobody`" in cell.told("cell", "STATUS=`Nobody`")["STATUS"]
    assert cell.process.wait(PATIENCE_S) == 2


def test_cell_reports_blocked_loop_with_agent_and_handler(cells: type[CellProcess]) -> None:
    cell = cells(0.4, A="Plain", B="Plain")
    cell.live("A", "B")
    began = time.monotonic()
    with pytest.raises(Exception, match="hang"):
        connect("B", timeout=0.3, book=cell.fleet.path).call("hang", seconds=1.0)
    words = cell.told("cell", "STATUS=the work loop")["STATUS"]
    assert "`B` runs `hang` (" in words
    assert time.monotonic() - began < 1.0, "while it hangs, and not when it is over"
    assert cell.ask("A").call("say", text="again") == "A"
    lines = cell.end()
    assert any(line.startswith("B | the work loop has been blocked for 0.") for line in lines)
    assert "B |     time.sleep(seconds)" in lines
    assert any("the work loop runs again after" in line for line in lines)


def test_cell_output_without_known_agent_has_no_prefix(cells: type[CellProcess]) -> None:
    cell = cells(None, A="Plain")
    cell.live("A")
    cell.ask("A").call("from_outside")
    assert "from nowhere" in cell.end()
