"""Two machines in namespaces of their own, one fleet file, and folders and keys for each."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rig.fleet import ARGOSY, SPEAKER
from rig.lan import Lan, Machine

ADDRESSES = {"one": "192.168.100.16", "two": "192.168.100.17"}
PATIENCE_S = 30.0

FLEET = """
fleet: duo
machines: {one: {}, two: {}}
environments:
  development: {one: 192.168.100.16, two: 192.168.100.17}
defaults: {run: speaker.py, ready: {probe: notify}}
agents:
"""


class Duo:
    """A fleet on some machines of a network; `close` ends all of it."""

    def __init__(self, root: Path, addresses: dict[str, str] | None = None) -> None:
        root.mkdir(exist_ok=True)
        self.root = root
        self.fleet = root / "fleet.yaml"
        self.lan = Lan()
        try:
            self.machines: dict[str, Machine] = {
                name: self.lan.machine(name, address) for name, address in (addresses or ADDRESSES).items()
            }
        except BaseException:
            self.lan.close()
            raise
        (root / "speaker.py").write_text(SPEAKER)
        for name in self.machines:
            for kind in ("state", "run", "home"):
                (root / name / kind).mkdir(parents=True, mode=0o700)

    def write(self, agents: str) -> None:
        """Write the fleet file: these agents."""
        self.fleet.write_text(FLEET + textwrap.indent(textwrap.dedent(agents).strip(), "  ") + "\n")

    def make_keys(self, *machines: str) -> None:
        """Make the keys on the first machine, and give each its own."""
        names = machines or tuple(self.machines)
        first = next(iter(self.machines))
        self.argosy(first, "keys", "make")
        for name in names[1:]:
            self.argosy(first, "keys", "copy", name, "-o", str(self.root / name / "keys"))
        for name in names[1:]:
            (self.root / first / "keys" / f"{name}.secret").unlink()

    def env(self, name: str) -> dict[str, str]:
        """Return the environment of a machine's user."""
        own = self.root / name
        env = {
            **os.environ,
            "XDG_STATE_HOME": str(own / "state"),
            "XDG_RUNTIME_DIR": str(own / "run"),
            "HOME": str(own / "home"),
            "ARGOSY_KEYS": str(own / "keys"),
            "ENV_TYPE": "development",
            "NO_COLOR": "1",
        }
        env.pop("PYTHONPATH", None)
        return env

    def argosy(
        self, name: str, *words: str, code: int | None = 0, timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run `argosy WORDS` on a machine; code: what it has to exit with, None for anything."""
        done = self.machines[name].run(
            [ARGOSY, *words, "--fleet", str(self.fleet)], env=self.env(name), timeout_s=timeout_s
        )
        # `status` ends with 1 as long as not all are ready, which is for the test to judge.
        expected = {None: {done.returncode}, 0: {0, 1} if words[0] == "status" else {0}}.get(code, {code})
        assert done.returncode in expected, f"{done.returncode}: {done.stdout}{done.stderr}"
        return done

    def json(self, name: str, *words: str, code: int | None = 0) -> dict[str, Any]:
        """Run `argosy WORDS --json` on a machine and return the object."""
        found: dict[str, Any] = json.loads(self.argosy(name, *words, "--json", code=code).stdout)
        return found

    def serve(self, name: str) -> subprocess.Popen[str]:
        """Start `argosy serve` on a machine, and return once it serves."""
        log = self.root / name / "serve.log"
        with open(log, "ab") as errors:
            process = self.machines[name].popen(
                [ARGOSY, "serve", "--machine", name, "--fleet", str(self.fleet)],
                env=self.env(name),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert process.stdout is not None
        told = process.stdout.readline()
        assert told.startswith("serving "), log.read_text()
        return process

    def status(self, name: str) -> dict[str, Any]:
        """Return what `status` on a machine tells."""
        return self.json(name, "status")

    def agents(self, name: str, *fields: str) -> dict[str, tuple[Any, ...]]:
        """Return some fields of every agent, as a machine tells them."""
        return {
            agent: tuple(told[field] for field in fields)
            for agent, told in self.status(name)["agents"].items()
        }

    def until_seen(self, name: str, other: str, state: str) -> dict[str, Any]:
        """Wait until a machine sees another so, and return how."""
        seen: dict[str, Any] = until(lambda: _when(self.status(name)["machines"].get(other), state))
        return seen

    def kill_supervisor(self, name: str) -> None:
        """Kill a machine's supervisor, and return once it is dead."""
        pid = self.status(name)["supervisor"]["pid"]
        pidfd = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            until(lambda: not _is_running(pid))
        finally:
            os.close(pidfd)

    def kill_machine(self, name: str) -> None:
        """Kill every process of a machine, and return once none is left."""

        def kill() -> bool:
            left = [pid for pid in self.machines[name].pids() if _is_running(pid)]
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            return not left

        until(kill)

    def close(self) -> None:
        """End every process and both machines."""
        self.lan.close()
        shutil.rmtree(self.root, ignore_errors=True)


def _when(machine: dict[str, Any] | None, state: str) -> dict[str, Any] | None:
    return machine if machine is not None and machine["state"] == state else None


def _is_running(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(true: Callable[[], Any], within_s: float = PATIENCE_S) -> Any:
    """Return the first result that is true."""
    end = time.monotonic() + within_s
    while not (found := true()):
        assert time.monotonic() < end, f"not true within {within_s} s"
        time.sleep(0.02)
    return found
