"""Where a fleet is started for a bench: folders of its own, the plan that argosy would carry out."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from argosy.engine.inventory.port_owners import PortOwners
from argosy.engine.plan.applied_plan import write_fleet_address_book
from argosy.engine.plan.process_plan import ProcessSpec, full_environment, plan_fleet
from argosy.engine.process.tcp_ports import is_port_free
from argosy.engine.state.state_dir import StateDir, locate_state_dir
from argosy.fault import Fault, MissingError
from argosy.fleet import Graph, build_graph, load_fleet, local_machines, place

ENVIRONMENT = "testing"
_REMOVED_VARIABLES = (
    "ARGOSY_",
    "XDG_STATE_HOME",
    "XDG_RUNTIME_DIR",
    "NOTIFY_SOCKET",
    "WATCHDOG_",
    "PYTHONDONTWRITEBYTECODE",
)


class AgentCommand(msgspec.Struct, frozen=True):
    """How one agent is started, by whoever it may be.

    env: on top of the way's own variables. log: where its output goes.
    """

    name: str
    argv: tuple[str, ...]
    cwd: str
    env: dict[str, str]
    port: int | None
    log: str


class FleetEnvironment(msgspec.Struct, frozen=True):
    """One fleet, ready to be started by any way.

    home: a folder for what the way writes, gone afterwards. environ: that of the way's own processes.
    processes: as argosy's engine would start them.
    """

    fleet_path: Path
    home: Path
    folder: StateDir
    environ: dict[str, str]
    processes: dict[str, ProcessSpec]
    graph: Graph

    @property
    def ports(self) -> dict[str, int]:
        """The port of each agent."""
        return {name: process.port for name, process in self.processes.items() if process.port is not None}

    @property
    def commands(self) -> list[AgentCommand]:
        """The commands of all agents, in the order of the fleet file."""
        return [self.command_of(name) for name in self.processes]

    def command_of(self, name: str) -> AgentCommand:
        """Return how an agent is started."""
        process, log = self.processes[name], str(self.home / f"{name}.log")
        return AgentCommand(name, process.argv, process.cwd, self.environment_of(name), process.port, log)

    def environment_of(self, name: str) -> dict[str, str]:
        """Return what an agent has on top of the way's own variables; nobody listens for its readiness."""
        process = self.processes[name]
        whole = full_environment(self.environ, process)
        return {k: v for k, v in whole.items() if self.environ.get(k) != v and k != "NOTIFY_SOCKET"}


@contextlib.contextmanager
def prepare_fleet(fleet_path: Path) -> Iterator[FleetEnvironment]:
    """Yield a stage with the fleet's address book written, and remove it afterwards.

    Raises InputError: the fleet file is wrong.
    """
    # Short: socket paths have 107 bytes.
    home = Path(tempfile.mkdtemp(prefix="ab-", dir="/tmp"))
    runtime = Path(tempfile.mkdtemp(prefix="ab-", dir=_runtime_parent()))
    try:
        environ = _environ(home, runtime)
        fleet = load_fleet(fleet_path)
        placement = place(fleet, ENVIRONMENT, environ)
        machines = local_machines(placement, None, environ)
        folder = locate_state_dir(fleet_path, environ)
        folder.create()
        write_fleet_address_book(folder, fleet, placement, [name for name in machines if name])
        plan = plan_fleet(fleet, placement, machines, folder)
        yield FleetEnvironment(fleet_path, home, folder, environ, plan.processes, build_graph(fleet))
    finally:
        shutil.rmtree(home)
        shutil.rmtree(runtime)


def wait_for_ports(fleet_env: FleetEnvironment, within_s: float) -> None:
    """Return when every port of the fleet is free.

    Raises MissingError: one is held for longer than `within_s`; names the holder.
    """
    deadline = time.monotonic() + within_s
    wanted = [pair for process in fleet_env.processes.values() for pair in process.ports]
    while held := [port for host, port in wanted if not is_port_free(host, port)]:
        if time.monotonic() > deadline:
            first = PortOwners().owner_of_port(held[0])
            message = f"{len(held)} of {len(wanted)} ports of the fleet are taken, the first: {first}"
            hint = f"`argosy down {fleet_env.fleet_path}` if it is this fleet that runs"
            raise MissingError(Fault("bench", "ports-taken", message, hint))
        time.sleep(0.25)


def _runtime_parent() -> str:
    """Return a folder in memory, as the one that a login gets is (`/run/user/UID`); else one on the disk."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else "/tmp"


def _environ(home: Path, runtime: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_REMOVED_VARIABLES)}
    return kept | {
        "XDG_STATE_HOME": str(home / "s"),
        "XDG_RUNTIME_DIR": str(runtime),
        "ENV_TYPE": ENVIRONMENT,
    }
