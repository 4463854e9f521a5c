"""A local network of machines for tests: a namespace each, on one bridge, that can be cut and slowed.

Everything lives inside one holder process: its mount namespace has the machines' names, its
network namespace the bridge. When the holder ends, the kernel takes all of it away; it ends when
its standard input does, which is also the case when the test run was killed. Before that it ends
the machines' processes, those too that have left their parents.

A plain user gets the same inside a user namespace, where the kernel allows one.

Machines share the file system, so each needs folders of its own for sockets with a path.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rig.tools import missing_tools_reason

HERE = Path(__file__).resolve().parent
PATIENCE_S = 20.0
TOOLS = ("ip", "unshare", "nsenter")


class NoLanError(Exception):
    """This machine lets nobody make namespaces; the text says why."""


class Machine:
    """One machine: its name and address, and processes that run on it."""

    def __init__(self, lan: Lan, name: str, address: str, number: int) -> None:
        self.name = name
        self.address = address
        self._lan = lan
        self._port = f"port{number}"  # the bridge's end of its cable
        self._slow: subprocess.Popen[Any] | None = None
        self._slow_port = f"slow{number}"

    def words(self, argv: Sequence[str], cwd: str | Path | None = None) -> list[str]:
        """Return the words that run a program on this machine."""
        inside = ["ip", "netns", "exec", self.name, "env", "-C", str(cwd or os.getcwd()), *argv]
        return self._lan.words(inside)

    def popen(
        self, argv: Sequence[str], *, cwd: str | Path | None = None, **options: Any
    ) -> subprocess.Popen[Any]:
        """Start a process on this machine; its pid is its own. It is ended with the network."""
        return self._lan.start(self.words(argv, cwd), **options)

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        timeout_s: float = PATIENCE_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run a process on this machine to its end, whatever its exit code."""
        process = self.popen(
            argv, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        out, err = process.communicate(timeout=timeout_s)
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def cut(self) -> None:
        """Cut its cable: nothing arrives or leaves any more, and no interface tells of it."""
        self._lan.ip("link", "set", self._cable_end, "nomaster")

    def mend(self) -> None:
        """Mend its cable."""
        self._lan.ip("link", "set", self._cable_end, "master", "lan")

    def slow(self, delay_s: float = 0.0, loss: float = 0.0, seed: int = 1) -> None:
        """Give it a cable that delays each frame, both ways, and loses a share (0 to 1) of them."""
        if self._slow:
            self.quicken()
        self._lan.ip("link", "set", self._port, "nomaster")
        self._lan.ip("link", "add", f"{self._slow_port}a", "type", "veth", "peer", f"{self._slow_port}b")
        for end in "ab":
            self._lan.ip("link", "set", f"{self._slow_port}{end}", "up")
        words = (self._port, f"{self._slow_port}a", str(delay_s), str(loss), str(seed))
        self._slow = self._lan.popen(
            [sys.executable, str(HERE / "cable.py"), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._slow.stdout is not None
        assert self._slow.stdout.readline() == "ready\n"
        self.mend()

    def quicken(self) -> None:
        """Give it its plain cable back."""
        assert self._slow is not None, f"`{self.name}` has no slow cable"
        self._slow.communicate(timeout=PATIENCE_S)
        self._slow = None
        self._lan.ip("link", "del", f"{self._slow_port}a")
        self.mend()

    def pids(self) -> list[int]:
        """Return the processes of this machine."""
        return [int(pid) for pid in self._lan.ip("netns", "pids", self.name).split()]

    @property
    def _cable_end(self) -> str:
        return f"{self._slow_port}b" if self._slow else self._port


class Lan:
    """A bridge and its machines; `close` removes all of it, and every process on it.

    as_user: take the way of a plain user also where this one is root.
    Raises NoLanError: namespaces cannot be made here.
    """

    def __init__(self, *, as_user: bool = False) -> None:
        if reason := missing_tools_reason(*TOOLS):
            raise NoLanError(reason)
        self._user = ["-U"] if as_user or os.geteuid() else []
        self._started: list[subprocess.Popen[Any]] = []
        self.machines: dict[str, Machine] = {}
        self.holder = self._hold()

    def _hold(self) -> subprocess.Popen[str]:
        as_root = ["-r"] if self._user else []
        holder = subprocess.Popen(
            ["unshare", *self._user, *as_root, "-n", "-m", sys.executable, str(HERE / "holder.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the tests, not for it
        )
        assert holder.stdout is not None
        if holder.stdout.readline() != "ready\n":
            _, complaint = holder.communicate(timeout=PATIENCE_S)
            raise NoLanError(f"no network namespaces for user {os.geteuid()} here: {complaint.strip()}")
        return holder

    def machine(self, name: str, address: str, prefix: int = 24) -> Machine:
        """Make a machine with this IPv4 address on the network."""
        made = Machine(self, name, address, len(self.machines))
        self.ip("netns", "add", name)
        self.ip("link", "add", made._port, "type", "veth", "peer", "eth0", "netns", name)
        self.ip("-n", name, "addr", "add", f"{address}/{prefix}", "dev", "eth0")
        for interface in ("lo", "eth0"):
            self.ip("-n", name, "link", "set", interface, "up")
        self.ip("link", "set", made._port, "master", "lan", "up")
        self.machines[name] = made
        done = made.run([sys.executable, str(HERE / "offload.py"), "eth0"])
        assert done.returncode == 0, done.stderr
        return made

    def ip(self, *words: str) -> str:
        """Run `ip WORDS` beside the bridge and return what it prints."""
        done = subprocess.run(self.words(["ip", *words]), capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
        return done.stdout

    def popen(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a process beside the bridge; it is ended with the network."""
        return self.start(self.words(argv), **options)

    def start(self, words: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a process that is ended with the network."""
        process = subprocess.Popen(words, **options)
        self._started.append(process)
        return process

    def words(self, argv: Sequence[str]) -> list[str]:
        """Return the words that run a program beside the bridge."""
        user = [*self._user, "--preserve-credentials"] if self._user else []
        return ["nsenter", "-t", str(self.holder.pid), *user, "-n", "-m", "--", *argv]

    def close(self) -> None:
        """End every process on the machines, then the machines."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            if process.stdin and not process.stdin.closed:
                process.stdin.close()
                process.stdin = None
            process.communicate(timeout=PATIENCE_S)
        self.holder.communicate(timeout=PATIENCE_S)
