"""The environment in which a bench starts a fleet: temporary folders and the plan that argosy would run."""

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
    """The command that starts one agent, for any launcher.

    env: variables in addition to the launcher's own. log: the file that receives the output.
    """

    name: str
    argv: tuple[str, ...]
    cwd: str
    env: dict[str, str]
    port: int | None
    log: str


class FleetEnvironment(msgspec.Struct, frozen=True):
    """One fleet, ready to be started by any launcher.

    home: a temporary folder for the launcher's files. environ: variables of the launcher's own processes.
    processes: the processes as argosy's engine would start them.
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
        """Return an agent's variables that the launcher does not have, without NOTIFY_SOCKET."""
        process = self.processes[name]
        whole = full_environment(self.environ, process)
        return {k: v for k, v in whole.items() if self.environ.get(k) != v and k != "NOTIFY_SOCKET"}


@contextlib.contextmanager
def prepare_fleet(fleet_path: Path) -> Iterator[FleetEnvironment]:
    """Write the fleet's address book, yield the environment, and remove its folders afterwards.

    Raises InputError: the fleet file is wrong.
    """
    # The name is short because a socket path has at most 107 bytes.
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

    Raises MissingError: a port is still in use after `within_s`; the message names the process.
    """
    deadline = time.monotonic() + within_s
    wanted = [pair for process in fleet_env.processes.values() for pair in process.ports]
    while held := [port for host, port in wanted if not is_port_free(host, port)]:
        if time.monotonic() > deadline:
            first = PortOwners().owner_of_port(held[0])
            message = f"{len(held)} of {len(wanted)} ports of the fleet are in use, the first one by {first}"
            hint = f"`argosy down {fleet_env.fleet_path}` if it is this fleet that runs"
            raise MissingError(Fault("bench", "ports-taken", message, hint))
        time.sleep(0.25)


def _runtime_parent() -> str:
    """Return a folder in memory, like a login's `/run/user/UID`, or `/tmp` if there is none."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else "/tmp"


def _environ(home: Path, runtime: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_REMOVED_VARIABLES)}
    return kept | {
        "XDG_STATE_HOME": str(home / "s"),
        "XDG_RUNTIME_DIR": str(runtime),
        "ENV_TYPE": ENVIRONMENT,
    }
