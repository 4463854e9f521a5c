"""Launches a fleet by a program of this folder, which reads a launch specification and prints `up`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from argosy.fault import Fault, MissingError, RefusedError
from testbed.fleet_environment import FleetEnvironment

MAX_CONCURRENT = 10
POLL_S = 0.1
_STOP_WITHIN_S = 30.0
# Imports the given modules and prints all loaded modules except those of the working folder, the agents' own.
_LIST_MODULES_PROGRAM = """
import asyncio, importlib, os, sys
import argosy.agent.runner, argosy.wire
for name in sys.argv[1:]:
    importlib.import_module(name)
for name, module in list(sys.modules.items()):
    if name != "__main__" and not (getattr(module, "__file__", None) or "").startswith(os.getcwd()):
        print(name)
"""


LaunchSpecBuilder = Callable[[FleetEnvironment], dict[str, Any]]


class ProgramLauncher:
    """Runs a program beside this file as `PROGRAM.py LAUNCH_SPEC.json`.

    name: its name in the labels. launch_spec: build the content of the file; raises MissingError if the
    program cannot run.
    """

    def __init__(self, name: str, program: str, launch_spec: LaunchSpecBuilder) -> None:
        self.name = name
        self._path = Path(__file__).with_name(f"{program}.py")
        self._build_launch_spec = launch_spec

    def prepare(self, fleet_env: FleetEnvironment) -> None:
        """Write the launch specification."""
        self._launch_spec = fleet_env.home / "launch-spec.json"
        self._launch_spec.write_bytes(msgspec.json.encode(self._build_launch_spec(fleet_env)))

    def start(self, fleet_env: FleetEnvironment) -> None:
        """Start the program; return when it prints `up`."""
        self._program = subprocess.Popen(
            [sys.executable, str(self._path), str(self._launch_spec)],
            env=fleet_env.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._program.stdout, "it is a pipe"
        first_line = self._program.stdout.readline()
        if first_line != b"up\n":
            message = f"{self.name}: {first_line.decode().strip() or 'it ended'}"
            raise RefusedError(Fault("bench", "not-ready", message))

    def stop(self, fleet_env: FleetEnvironment) -> None:
        """Close the program's standard input, which makes it stop all agents, and wait for it."""
        self._program.communicate(timeout=_STOP_WITHIN_S)


def level_barrier_launcher(name: str = "level_barrier") -> ProgramLauncher:
    """Return the level barrier: one level of the graph after another, ten agents at a time, health polled.

    It is a typical start script without its usual faults: no fixed pauses, no agent forgotten, every answer
    checked.
    """
    return ProgramLauncher(name, "level_barrier", _level_barrier_spec)


def forkserver_launcher() -> ProgramLauncher:
    """Return multiprocessing's forkserver with all modules preloaded and a ready queue like argosy's."""
    return ProgramLauncher("forkserver", "forkserver", _forkserver_spec)


def ray_launcher() -> ProgramLauncher:
    """Return Ray on this machine: each agent runs in an actor, which is a process; all start at once."""
    return ProgramLauncher("ray", "ray_actors", _ray_spec)


def _level_barrier_spec(fleet_env: FleetEnvironment) -> dict[str, Any]:
    levels = [[fleet_env.command_of(name) for name in level] for level in fleet_env.graph.levels()]
    return {"max_concurrent": MAX_CONCURRENT, "poll_s": POLL_S, "levels": levels}


def _forkserver_spec(fleet_env: FleetEnvironment) -> dict[str, Any]:
    needs = {name: process.need_names() for name, process in fleet_env.processes.items()}
    return {
        "preload": _preload(fleet_env),
        "needs": needs,
        "agents": fleet_env.commands,
        "home": str(fleet_env.home),
    }


def _ray_spec(fleet_env: FleetEnvironment) -> dict[str, Any]:
    if importlib.util.find_spec("ray") is None:
        raise MissingError(Fault("bench", "no-peer", "ray is not installed", "pip install ray"))
    return {"agents": fleet_env.commands, "home": str(fleet_env.home)}


def _preload(fleet_env: FleetEnvironment) -> list[str]:
    """Return all installed modules that an agent of each class loads, directly or indirectly."""
    classes = {word.partition(":")[0] for each in fleet_env.commands for word in each.argv[3:4]}
    listed = subprocess.run(
        [sys.executable, "-c", _LIST_MODULES_PROGRAM, *classes],
        cwd=fleet_env.fleet_path.parent,
        env=fleet_env.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return listed.stdout.split()
