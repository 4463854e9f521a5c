"""Runs a fleet with its hub for a bench, in temporary folders."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from argosy.fault import Fault, RefusedError

_TIMEOUT_S: Final = 30.0


class HubFleet:
    """A running fleet with its hub. url: of the hub. link: to its page, with the token."""

    def __init__(self, path: Path, environ: dict[str, str]) -> None:
        self._path = path
        self._environ = environ
        self.url = self.link = ""

    def argosy(self, verb: str, *words: str) -> dict[str, Any]:
        """Run a verb and return its JSON. Raises RefusedError: it failed."""
        done = subprocess.run(
            [sys.executable, "-m", "argosy", verb, str(self._path), *words, "--json"],
            env=self._environ,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RefusedError(Fault(f"argosy {verb}", "bench", done.stdout + done.stderr))
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def get_json(self, path: str) -> Any:
        """Return the hub's JSON answer."""
        with urllib.request.urlopen(self.url + path, timeout=_TIMEOUT_S) as answer:
            return json.loads(answer.read())

    def hub_pid(self) -> int:
        """Return the pid of the hub."""
        lock = Path(self.argosy("status")["folder"], "hub.lock")
        return int(json.loads(lock.read_bytes())["pid"])


@contextlib.contextmanager
def running_hub_fleet(path: Path) -> Iterator[HubFleet]:
    """Start a fleet, wait until its hub knows all agents, and stop the fleet at the end."""
    with tempfile.TemporaryDirectory(prefix="argosy-b-", dir="/tmp") as temporary:
        environ = {
            **os.environ,
            "XDG_STATE_HOME": f"{temporary}/s",
            "XDG_RUNTIME_DIR": temporary,
            "ENV_TYPE": "testing",
            "ARGOSY_HUB": "on",
        }
        fleet = HubFleet(path, environ)
        try:
            up = fleet.argosy("up", "-d")
            wait_until(lambda: bool(fleet.argosy("status")["hub"]))
            fleet.url = fleet.argosy("status")["hub"]
            fleet.link = fleet.argosy("hub", "--open")["url"]
            wait_until(lambda: len(fleet.get_json("/api/fleet")["agents"]) == up["declared"])
            yield fleet
        finally:
            with contextlib.suppress(RefusedError):
                fleet.argosy("down")


def wait_until(what: Callable[[], bool], pause_s: float = 0.02) -> None:
    """Wait until `what` returns True. Raises RefusedError: it does not within 30 s."""
    end_s = time.monotonic() + _TIMEOUT_S
    while not what():
        if time.monotonic() > end_s:
            raise RefusedError(
                Fault("bench", "bench", f"the expected state was not reached within {_TIMEOUT_S:.0f} s")
            )
        time.sleep(pause_s)


def processor_s(pid: int) -> float:
    """Return the processor seconds of a process's threads, finer than clock ticks."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((each / "schedstat").read_text().split()[0]) for each in threads) / 1e9
