"""Starts the processes of a wire bench: servers on one core, callers on another, and their address book.

They are pinned because a ratio means nothing while the scheduler runs both processes on one core. With only
one core, all run on it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Final

import msgspec

from argosy.fault import Fault, RefusedError
from argosy.wire.address_book import AddressBook, AgentAddress, write_address_book
from wire_cases.worker import WorkOrder, WorkResult

BENCH: Final = Path(__file__).resolve().parents[1]
_READY: Final = b"ready\n"
_END_WITHIN_S: Final = 10.0
_read_done = msgspec.json.Decoder(WorkResult).decode


class Server:
    """A process that answers requests."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], errors: Path) -> None:
        self.name = name
        self.process = process
        self.pid = process.pid
        self._errors = errors

    def wait_until_ready(self) -> None:
        """Return when it prints `ready`; raises RefusedError with its last stderr line if it exits before."""
        assert self.process.stdout is not None
        if self.process.stdout.readline() != _READY:
            raise self.failure()

    def failure(self) -> RefusedError:
        """Return the error for a process that exited unexpectedly."""
        return RefusedError(_exit_fault(self.name, self.process, self._errors))

    def processor_s(self) -> float:
        """Return the processor seconds of the process, to the nanosecond."""
        return time.clock_gettime((~self.pid << 3) | 2)

    def end(self) -> None:
        """Kill it and wait for its exit."""
        self.process.kill()
        self.process.wait(_END_WITHIN_S)
        if self.process.stdout:
            self.process.stdout.close()


class LoadClient:
    """A process that sends requests on order."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], errors: Path) -> None:
        self.name = name
        self.process = process
        self.pid = process.pid
        self._errors = errors

    def run(self, load: str, seconds: float) -> WorkResult:
        """Run one load function; raises RefusedError with the last stderr line if the process fails."""
        orders, answers = self._pipes()
        try:
            orders.write(msgspec.json.encode(WorkOrder(load, seconds)) + b"\n")
            orders.flush()
            return _read_done(answers.readline())
        except (BrokenPipeError, msgspec.DecodeError):
            raise RefusedError(_exit_fault(f"{self.name}, {load}", self.process, self._errors)) from None

    def end(self) -> None:
        """Close its input and wait for its exit."""
        for pipe in self._pipes():
            pipe.close()
        self.process.wait(_END_WITHIN_S)

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        return self.process.stdin, self.process.stdout


class BenchProcesses:
    """Starts and ends the processes of one bench, in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.book = folder / "book.json"
        self._agents: dict[str, AgentAddress] = {}
        self._cores = sorted(os.sched_getaffinity(0))
        self._servers: list[Server] = []
        self._callers: list[LoadClient] = []

    def agent(self, name: str, target: str, **env: str) -> Server:
        """Start an agent of the class `module:Class`, on the servers' core."""
        server = self.launch_agent(name, target, **env)
        server.wait_until_ready()
        return server

    def launch_agent(self, name: str, target: str, **env: str) -> Server:
        """Start an agent without waiting until it is ready."""
        self.register_agent(name)
        command = [sys.executable, "-m", "argosy.agent", target]
        return self.launch(name, command, {"ARGOSY_AGENT": name, **env})

    def register_agent(self, name: str) -> None:
        """Add an agent to the address book; it has only an ipc socket."""
        if name not in self._agents:
            self._agents[name] = AgentAddress("here")
            write_address_book(
                self.book, AddressBook("bench", "testing", ("here",), str(self.folder), self._agents)
            )

    def server(self, module: str) -> Server:
        """Start the server of a module, on the servers' core."""
        server = self.launch(module, self._program("serve", module))
        server.wait_until_ready()
        return server

    def launch(
        self, name: str, command: list[str], env: Mapping[str, str] | None = None, *, is_client: bool = False
    ) -> Server:
        """Start a process that prints `ready`, without waiting for it.

        is_client: run it on the callers' core, not on the servers'.
        """
        errors = self.folder / f"{name}.err"
        with self._on(self._cores[-1 if is_client else 0]), errors.open("ab") as sink:
            process = subprocess.Popen(
                command, cwd=BENCH, env=self._environ(env), stdout=subprocess.PIPE, stderr=sink
            )
        server = Server(name, process, errors)
        self._servers.append(server)
        return server

    def caller(self, module: str, **env: str) -> LoadClient:
        """Start a process with the load functions of a module, on the callers' core."""
        errors = self.folder / f"{module}.call.err"
        with self._on(self._cores[-1]), errors.open("ab") as sink:
            process = subprocess.Popen(
                self._program("call", module),
                cwd=BENCH,
                env=self._environ(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
            )
        caller = LoadClient(module, process, errors)
        self._callers.append(caller)
        return caller

    def close(self) -> None:
        """End all processes, callers first."""
        for caller in self._callers:
            caller.end()
        for server in self._servers:
            server.end()

    def kill_all(self) -> None:
        """Kill all processes after an error, since a caller may wait forever."""
        for caller in self._callers:
            caller.process.kill()
        self.close()

    def _program(self, role: str, module: str) -> list[str]:
        return [sys.executable, "-m", "wire_cases.worker", role, module, str(self.folder)]

    def _environ(self, more: Mapping[str, str] | None) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ARGOSY_") and k != "NOTIFY_SOCKET"}
        return {**kept, "ARGOSY_BOOK": str(self.book), **(more or {})}

    @contextlib.contextmanager
    def _on(self, core: int) -> Iterator[None]:
        """Pin this process to one core meanwhile; started processes inherit it for all their threads."""
        os.sched_setaffinity(0, {core})
        try:
            yield
        finally:
            os.sched_setaffinity(0, self._cores)


@contextlib.contextmanager
def bench_processes() -> Iterator[BenchProcesses]:
    """Yield the processes of a bench; end them and remove their files afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="aw-", dir="/tmp"))  # short: a socket path has at most 107 bytes
    processes = BenchProcesses(folder)
    try:
        yield processes
        processes.close()
    except BaseException:
        processes.kill_all()
        raise
    finally:
        shutil.rmtree(folder)


def _exit_fault(name: str, process: subprocess.Popen[bytes], errors: Path) -> Fault:
    process.wait(_END_WITHIN_S)
    stderr_lines = errors.read_text(errors="replace").strip().splitlines()
    last_line = f", its last line: {stderr_lines[-1]}" if stderr_lines else ""
    return Fault("bench", "ended", f"`{name}` ended with {process.returncode}{last_line}")
