"""A fleet whose engine is stopped at named steps (`traps`), and files that record each start of an agent.

Each life of an agent is a line in a file that the agent itself writes, and each takes a lock that the
engine knows nothing of: what argosy says of itself proves nothing here.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from argosy.engine.control.control_client import ControlClient, SupervisorLostError, connect
from argosy.engine.process.os_process import all_pids
from argosy.engine.protocol.messages import Apply, ApplySummary, ControlMessage, FleetStatus
from argosy.engine.state.event_log import read_event_log
from argosy.engine.state.state_dir import locate_state_dir
from argosy.fault import RefusedError
from argosy.fleet.loader import load_fleet
from rig.fleet import Rig, is_alive

TRAPS = Path(__file__).with_name("traps.py")
DEAD_WITHIN_S = 10.0

# Writes down that it lives, and takes a lock of its own: a second one of its name leaves a mark.
WITNESS = """
import fcntl, os, signal, socket, sys
name = os.environ["ARGOSY_AGENT"]
with open(f"{name}.lives", "ab", buffering=0) as lives:
    lives.write(b"%d\\n" % os.getpid())
if "closing" in sys.argv:
    os.closerange(3, 256)
lock = open(f"{name}.witness", "a")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    open(f"{name}.twice", "w")
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
while True:  # readiness is a level: nobody may be listening just now
    try:
        out.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    except OSError:
        pass
    signal.sigtimedwait([], 0.05)
"""

# A is spawned by the bare forker; B and C are forked by a zygote.
FLEET = """
fleet: toy
defaults: {ready: {probe: notify}}
agents:
  A: {run: witness.py, start: spawn}
  B: {run: witness.py, needs: [A]}
  C: {run: witness.py, needs: [A]}
"""


class Point(NamedTuple):
    """A step of the engine's own code, and what happens there.

    at: `module.Function` or `module.Class.method`, or with ` name` behind it that builtin, called in it.
    on: "call" or "return"; "c_call" or "c_return" of a builtin. kinds: of process: client, supervisor,
    forker or zygote; those of an agent until its program begins are its forker's. do: "kill" it,
    "pause" it, "orphan" it (kill the supervisor at this moment), "fill" the disk of the state folder, or
    "lose" that folder. nth: which time.
    """

    at: str
    on: str = "call"
    kinds: tuple[str, ...] = ("supervisor",)
    do: str = "kill"
    nth: int = 1

    def __str__(self) -> str:
        which = f" {self.nth}" if self.nth > 1 else ""
        return f"{'/'.join(self.kinds)} {self.do} {self.on} {self.at}{which}"


class Trial:
    """The fleet of `rig`, whose engine can be stopped at `points`, by name."""

    def __init__(self, rig: Rig, points: Mapping[str, Point], fleet: str = FLEET) -> None:
        self.rig = rig
        self.path = rig.write(fleet)
        rig.write(WITNESS, "witness.py")
        self.traps = rig.folder / "traps"
        self.traps.mkdir()
        self.watch(points)
        self.folder = locate_state_dir(self.path, rig.env)
        (self.traps / "disk").symlink_to(self.folder.path)
        self._supervisors: list[subprocess.Popen[bytes]] = []

    def watch(self, points: Mapping[str, Point]) -> None:
        """Have processes that begin from now on know of these points."""
        told = {name: point._asdict() for name, point in points.items()}
        (self.traps / "points.json").write_text(json.dumps(told))

    def note_calls(self) -> None:
        """Have the next supervisor note each of its calls that is seen from outside, or outlives it."""
        (self.traps / "calls.supervisor").touch()
        (self.traps / "calls.supervisor.noted").unlink(missing_ok=True)

    def noted_calls(self) -> list[str]:
        """Return the places of these calls, in their order, as the `at` of points."""
        return (self.traps / "calls.supervisor.noted").read_text().splitlines()

    def mutate(self, mutants: Mapping[str, str]) -> None:
        """Run these lines in each process of a kind before it begins, from now on."""
        (self.traps / "mutants.json").write_text(json.dumps(mutants))

    # ---- traps

    def arm(self, name: str) -> None:
        """Have the next process that comes to this point stop there."""
        (self.traps / f"{name}.triggered").unlink(missing_ok=True)
        (self.traps / f"{name}.armed").touch()

    def disarm(self) -> None:
        """Let every process pass."""
        for armed in self.traps.glob("*.armed"):
            armed.unlink()

    def triggered(self, name: str) -> int | None:
        """Return the number of the process that has come to the point, None before that."""
        try:
            return int((self.traps / f"{name}.triggered").read_text())
        except FileNotFoundError:
            return None

    def await_triggered(self, name: str) -> int:
        """Wait until a process has come to the point; return its number."""
        self.rig.until(lambda: self.triggered(name) is not None)
        pid = self.triggered(name)
        assert pid is not None
        return pid

    # ---- the command

    def tell(self, request: ControlMessage) -> ControlClient:
        """Send the supervisor a request and do not wait for what becomes of it.

        Raises SupervisorLostError: there is none.
        """
        client = connect(self.folder, "test")
        if client is None:
            raise SupervisorLostError("no supervisor answers")
        client.send(request)
        return client

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start `argosy WORDS --json` with the traps in it."""
        return subprocess.Popen(
            [sys.executable, str(TRAPS), str(self.traps), *words, "--json"],
            cwd=self.rig.folder,
            env=self.rig.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Run `argosy WORDS --json` with the traps in it; return the exit code and what it told."""
        with self.start(*words) as process:
            try:
                out, err = process.communicate(timeout=40)
            except BaseException:
                process.kill()
                raise
        return process.returncode, json.loads(out) if out else {"errors": err}

    def up(self) -> ApplySummary:
        """Bring all of the fleet up, as `argosy up -d` does; a change that is under way is waited for."""
        apply = Apply(
            fleet=load_fleet(self.path),
            environment="testing",
            machine=None,
            environ={name: os.fsencode(value) for name, value in self.rig.env.items()},
        )
        while True:
            try:
                with connect(self.folder, "test") or self._start_supervisor() as client:
                    client.send(apply)
                    for answer in client.stream():
                        if isinstance(answer, ApplySummary):
                            assert not answer.not_ready, answer.not_ready
                            return answer
            except SupervisorLostError:
                continue
            except RefusedError as error:
                if error.faults[0].code != "busy":
                    raise

    def _start_supervisor(self) -> ControlClient:
        """Start one with the traps in it, and wait until it has adopted what runs."""
        ready, ready_in = os.pipe()
        words = [
            sys.executable,
            str(TRAPS),
            str(self.traps),
            "--supervisor",
            str(self.path),
            "toy",
            str(ready_in),
        ]
        with open(self.rig.folder / "supervisor.log", "ab") as log:
            process = subprocess.Popen(
                words, env=self.rig.env, stdout=log, stderr=log, pass_fds=[ready_in], start_new_session=True
            )
        os.close(ready_in)
        with open(ready, "rb") as file:
            told = file.read()
        self._supervisors.append(process)
        client = connect(self.folder, "test")
        if client is None:
            raise SupervisorLostError(told.decode() or "it was killed before it was ready")
        return client

    def close(self) -> None:
        """Kill all that is left of the fleet, its engine and its clients."""
        self.disarm()
        while left := self.processes():
            for pid in left:
                end(pid)
        for process in self._supervisors:
            process.wait()
        self._supervisors.clear()

    def processes(self) -> list[int]:
        """Return what lives of this fleet: by its environment, which a supervisor's title may lie upon."""
        mark = os.fsencode(f"XDG_STATE_HOME={self.rig.env['XDG_STATE_HOME']}")
        found = {pid for pid in all_pids() if mark in _proc(pid, "environ").split(b"\0")}
        found |= {pid for pid in self._begun() if _proc(pid, "cmdline").startswith(b"argosy: supervisor")}
        return sorted(filter(is_alive, found - {os.getpid()}))

    def _begun(self) -> set[int]:
        try:
            return {int(line) for line in (self.traps / "supervisors").read_text().split()}
        except FileNotFoundError:
            return set()

    def reset_fleet(self) -> None:
        """Have nothing of the fleet: no process, no state, no mark of a witness."""
        self.close()
        shutil.rmtree(self.folder.path.parent, ignore_errors=True)
        for pattern in ("*.twice", "*.lives"):
            for mark in self.rig.folder.glob(pattern):
                mark.unlink()

    # ---- witnesses

    def lives(self, agent: str) -> list[int]:
        """Return the processes of an agent whose program has begun, oldest first."""
        try:
            return [int(line) for line in (self.rig.folder / f"{agent}.lives").read_text().split()]
        except FileNotFoundError:
            return []

    def living(self, agent: str) -> list[int]:
        """Return those of them that live."""
        return [pid for pid in self.lives(agent) if is_alive(pid)]

    def report(self) -> FleetStatus:
        """Return what the supervisor says. Raises SupervisorLostError: there is none."""
        client = connect(self.folder, "test")
        if client is None:
            raise SupervisorLostError("no supervisor answers")
        with client:
            return client.fetch_status()

    def is_up(self) -> bool:
        """Return whether a supervisor answers."""
        client = connect(self.folder, "test")
        if client is None:
            return False
        with client:
            return True

    def is_listening(self) -> bool:
        """Return whether the control socket takes connections, answered or not."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            return channel.connect_ex(str(self.folder.control_socket)) == 0

    def await_zygote(self) -> None:
        """Wait until the zygote of this supervisor is warm: until then one agent alone is spawned."""

        def is_warm() -> bool:
            kinds = [entry.kind for entry in read_event_log(self.folder.event_log)]
            return "zygote-ready" in kinds[len(kinds) - kinds[::-1].index("supervisor") :]

        self.rig.until(is_warm)

    def kill_supervisor(self) -> None:
        """Kill it with -9 and wait until it is dead."""
        end(self.report().pid)

    def faults(self, agents: Iterable[str]) -> list[str]:
        """Return what is wrong with a fleet of which just these agents shall run; empty when nothing is."""
        report = self.report()
        shall = set(agents)
        found = [f"{mark.stem} ran twice at once" for mark in sorted(self.rig.folder.glob("*.twice"))]
        for name, agent in sorted(report.agents.items()):
            living, told = self.living(name), [agent.pid] if agent.pid is not None else []
            if living != told:
                found.append(f"{name}: {living} live, status says {told}")
            if (agent.state.value == "ready") != (name in shall) or len(living) != (name in shall):
                found.append(f"{name} is {agent.state.value} ({agent.reason}), {len(living)} live")
        if not shall <= set(report.agents):
            found.append(f"status knows {sorted(report.agents)} alone")
        found += [f"forker {pid} of nobody" for pid in self.forkers() if _parent(pid) != report.pid]
        return found

    def forkers(self) -> list[int]:
        """Return the living forkers and zygotes of this fleet."""
        mark = os.fsencode(str(self.traps))
        words = {pid: _proc(pid, "cmdline") for pid in all_pids() if is_alive(pid)}
        return [pid for pid, said in words.items() if mark in said and b"import main" in said]

    def settle(self, agents: Iterable[str], seconds: float = 10) -> None:
        """Wait until exactly these agents run, and nothing else is wrong; fails with what is."""
        agents = list(agents)
        faults: list[str] = []

        def is_well() -> bool:
            faults[:] = self.faults(agents)
            return not faults

        try:
            self.rig.until(is_well, seconds)
        except AssertionError:
            raise AssertionError("; ".join(faults)) from None


def end(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a process a signal, wherever it is by now; one that is killed is dead when this returns.

    A killed process lives on for a moment: who looked then would take the old life for the new one.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(handle, number)
        if number == signal.SIGKILL:
            ended, _, _ = select.select([handle], [], [], DEAD_WITHIN_S)
            assert ended, f"process {pid} was killed and lives on after {DEAD_WITHIN_S:g} s"
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def _proc(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _parent(pid: int) -> int:
    stat = _proc(pid, "stat")
    return int(stat.rpartition(b")")[2].split()[1]) if stat else 0
