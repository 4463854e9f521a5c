"""Starts agents as processes for tests, in a small fleet of their own, and cleans up after them."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from argosy.wire.address_book import AddressBook, AgentAddress, write_address_book

HERE = Path(__file__).resolve().parent
PATIENCE_S = 20.0


def until(true: Callable[[], object], limit_s: float = PATIENCE_S) -> None:
    """Wait until something is true; fails with the condition's source when it never is."""
    end = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end, f"not true within {limit_s} s"
        time.sleep(0.002)


class Running:
    """One agent's process and the notify socket that it tells its state to."""

    def __init__(self, process: subprocess.Popen[str], notify: socket.socket, entry: AgentAddress) -> None:
        self.process = process
        self.notify = notify
        self.pid = process.pid
        self.url = f"tcp://{entry.host}:{entry.port}"
        self.health_url = f"tcp://{entry.host}:{entry.health_port}"

    def told(self, word: str) -> dict[str, str]:
        """Wait until the process says `word` and return all it said in that datagram."""
        end = time.monotonic() + PATIENCE_S
        while True:
            self.notify.settimeout(max(0.01, end - time.monotonic()))
            try:
                lines = self.notify.recv(65536).decode().splitlines()
            except TimeoutError:
                out, err = self.end(signal.SIGKILL)
                raise AssertionError(
                    f"`{word}` was never said; exit {self.process.returncode}\n{out}\n{err}"
                ) from None
            if word in lines:
                return dict(line.split("=", 1) for line in lines)

    def end(self, number: int = signal.SIGTERM) -> tuple[str, str]:
        """Send a signal if it still runs, wait, and return (stdout, stderr)."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            if number != signal.SIGKILL:
                self.process.send_signal(signal.SIGCONT)
        return self.process.communicate(timeout=PATIENCE_S)

    @property
    def code(self) -> int | None:
        return self.process.returncode


class LittleFleet:
    """A book and a runtime folder; agents are told by name which class to be.

    is_remote: callers take the agents to be on another machine, so they come by TCP.
    """

    def __init__(self, folder: Path, *, is_remote: bool = False) -> None:
        self.folder = folder
        self.path = folder / "book.json"
        self.running: list[Running] = []
        self._address = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}.{random.randint(1, 254)}"
        self.book = AddressBook("little", "testing", ("elsewhere" if is_remote else "here",), str(folder), {})
        self._write()

    def add(self, name: str, **fields: object) -> AgentAddress:
        """Put an agent in the book."""
        port = 5000 + 10 * len(self.book.agents)
        given = {
            "machine": "here",
            "host": self._address,
            "bind": self._address,
            "port": port,
            "health_port": port + 1,
        }
        entry = AgentAddress(**{**given, **fields})  # type: ignore[arg-type]
        self.book = msgspec.structs.replace(self.book, agents={**self.book.agents, name: entry})
        self._write()
        return entry

    def _write(self) -> None:
        write_address_book(self.path, self.book)

    def start(
        self,
        cls: str,
        *args: str,
        name: str = "",
        ready: bool = True,
        command: list[str] | None = None,
        **env: str,
    ) -> Running:
        """Start a class of `sample_agents`, and wait until it is ready."""
        name = name or cls
        entry = self.book.agents.get(name) or self.add(name)
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = f"{self.folder}/n{len(self.running)}"
        notify.bind(path)
        process = subprocess.Popen(
            command or [sys.executable, "-m", "argosy.agent", f"sample_agents:{cls}", *args],
            cwd=HERE,
            env={
                **os.environ,
                "ARGOSY_AGENT": name,
                "ARGOSY_BOOK": str(self.path),
                "NOTIFY_SOCKET": path,
                **env,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running = Running(process, notify, entry)
        self.running.append(running)
        if ready:
            running.told("READY=1")
        return running

    def close(self) -> None:
        for each in self.running:
            each.end(signal.SIGKILL)
            each.notify.close()


@contextmanager
def little_fleet(*, is_remote: bool = False) -> Iterator[LittleFleet]:
    """A fleet in a folder with a short path, so that its sockets have room for their names."""
    folder = Path(tempfile.mkdtemp(prefix="argosy-"))
    fleet = LittleFleet(folder, is_remote=is_remote)
    try:
        yield fleet
    finally:
        fleet.close()
        shutil.rmtree(folder)
