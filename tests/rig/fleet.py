"""A fleet in a temp folder, run through the real command, and taken down whatever happens."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ARGOSY = str(Path(sys.executable).with_name("argosy"))

# Tells that it is ready, then does what its arguments say.
SPEAKER = """
import os, signal, socket, sys, time
def tell(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])
print("up", os.environ["ARGOSY_AGENT"], flush=True)
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
tell("READY=1")
signal.pause()
"""


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Rig:
    """One fleet file in `folder`, its own state and runtime folders, and the verbs to use on it."""

    def __init__(self, folder: Path, runtime: Path) -> None:
        self.folder = folder
        self.env = dict(
            os.environ,
            XDG_STATE_HOME=str(folder / "state"),
            XDG_RUNTIME_DIR=str(runtime),
            HOME=str(folder),
            ENV_TYPE="testing",
        )
        self.env.pop("PYTHONPATH", None)
        (folder / "speaker.py").write_text(SPEAKER)
        self._others: list[subprocess.Popen[bytes]] = []

    def write(self, text: str, name: str = "fleet.yaml") -> Path:
        """Write the fleet file, or another file of the fleet."""
        path = self.folder / name
        path.write_text(textwrap.dedent(text))
        return path

    def argosy(
        self, *words: str, env: dict[str, str] | None = None, timeout: float = 40
    ) -> subprocess.CompletedProcess[str]:
        """Run `argosy WORDS` in the fleet's folder."""
        return subprocess.run(
            [ARGOSY, *words],
            cwd=self.folder,
            env={**self.env, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def json(self, *words: str, code: int | None = None, env: dict[str, str] | None = None) -> dict[str, Any]:
        """Run `argosy WORDS --json`, check the exit code and that stdout is one object, and return it.

        code: the one that is expected; by default 0, of `status` also 1, which says that not all are ready.
        """
        done = self.argosy(*words, "--json", env=env)
        expected = {code} if code is not None else {0, 1} if words[0] == "status" else {0}
        assert done.returncode in expected, f"{done.returncode}: {done.stdout}{done.stderr}"
        found: dict[str, Any] = json.loads(done.stdout)
        assert next(iter(found)) == "argosy"
        return found

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start `argosy WORDS` and do not wait for it."""
        process = subprocess.Popen(
            [ARGOSY, *words],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._others.append(process)
        return process

    def agents(self) -> dict[str, dict[str, Any]]:
        """Return the agents of `argosy status`."""
        found: dict[str, dict[str, Any]] = self.json("status")["agents"]
        return found

    def state(self) -> Path:
        """Return the fleet's state folder."""
        return Path(self.json("status")["folder"])

    def hub(self, *fleet: str) -> str:
        """Return where the hub's page is, once it listens."""
        self.until(lambda: bool(self.json("status", *fleet)["hub"]))
        found: str = self.json("status", *fleet)["hub"]
        return found

    def token(self, *fleet: str) -> str:
        """Return the hub's token."""
        return self.argosy("hub", *fleet, "--token").stdout.strip()

    def pid(self, agent: str) -> int:
        """Return the pid of one agent."""
        pid = self.agents()[agent]["pid"]
        assert isinstance(pid, int)
        return pid

    def until(self, what: Callable[[], bool], seconds: float = 30) -> None:
        """Wait for something that only a look can tell, with a deadline."""
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.01)

    def kill_supervisor(self) -> None:
        """Kill the supervisor with -9 and wait until it is dead."""
        pid = self.json("status")["supervisor"]["pid"]
        pidfd = os.pidfd_open(pid)
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        self.until(lambda: not is_alive(pid))
        os.close(pidfd)

    def leftovers(self) -> list[str]:
        """Return the command lines of processes that this fleet still has."""
        mark = f"XDG_STATE_HOME={self.folder / 'state'}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and entry.name != str(os.getpid()):
                try:
                    if mark in (entry / "environ").read_bytes():
                        found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
                except (OSError, ProcessLookupError):
                    continue
        return found

    def close(self) -> None:
        """Take everything down; fails when a process is left."""
        for process in self._others:
            if process.poll() is None:
                process.kill()
            process.communicate()
        self.argosy("down")
        # A supervisor on its way out removes its own files: it must be gone before the folder is removed.
        self.until(lambda: not self.leftovers(), 20)


def is_alive(pid: int) -> bool:
    """Return whether a process lives; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
