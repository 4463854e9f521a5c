"""The level barrier: a level of the graph after the other, ten agents at a time, health polled each 0.1 s.

What a fleet had before: its start script without its faults (no fixed pauses, no agent forgotten, every
answer checked). It is a program of its own (`level_barrier`), as argosy is.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from argosy.fault import Fault, RefusedError
from yard.stage import Stage

AT_A_TIME = 10
POLL_S = 0.1
_PROGRAM = Path(__file__).with_name("level_barrier.py")
_STOP_WITHIN_S = 30.0


class ByLevelBarrier:
    """Runs the program and talks to it through its standard input and output."""

    name = "level_barrier"

    def start(self, stage: Stage) -> None:
        """Return when the program has said that the last level answers."""
        orders = stage.home / "levels.json"
        orders.write_bytes(msgspec.json.encode(_orders(stage)))
        self._program = subprocess.Popen(
            [sys.executable, str(_PROGRAM), str(orders), str(AT_A_TIME), str(POLL_S)],
            env=stage.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._program.stdout, "it is a pipe"
        said = self._program.stdout.readline()
        if said != b"up\n":
            raise RefusedError(
                Fault("bench", "not-ready", f"level barrier: {said.decode().strip() or 'it ended'}")
            )

    def stop(self, stage: Stage) -> None:
        """Close the program's standard input, which tells it to stop all, and wait for it."""
        self._program.communicate(timeout=_STOP_WITHIN_S)


def _orders(stage: Stage) -> list[list[dict[str, object]]]:
    return [[_order(stage, name) for name in level] for level in stage.graph.levels()]


def _order(stage: Stage, name: str) -> dict[str, object]:
    process = stage.processes[name]
    return {
        "name": name,
        "argv": process.argv,
        "cwd": process.cwd,
        "env": stage.environment_of(name),
        "port": process.port,
        "log": str(stage.home / f"{name}.log"),
    }
