"""The processes of a wire bench: servers on one core, callers on another, an address book between them.

Pinned, because a scheduler that moves two processes onto one core for a while makes a ratio of
anything; with one core only, all are on it.
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
    """A process that is asked."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], errors: Path) -> None:
        self.name = name
        self.process = process
        self.pid = process.pid
        self._errors = errors

    def wait_until_ready(self) -> None:
        """Return when it has said so; raises RefusedError with its last words when it ends before."""
        assert self.process.stdout is not None
        if self.process.stdout.readline() != _READY:
            raise self.failure()

    def failure(self) -> RefusedError:
        """Return the error for a process that has ended and should not have."""
        return RefusedError(_exit_fault(self.name, self.process, self._errors))

    def processor_s(self) -> float:
        """Return the processor seconds that the process has taken so far, to the nanosecond."""
        return time.clock_gettime((~self.pid << 3) | 2)

    def end(self) -> None:
        """Kill it, and wait until it is gone."""
        self.process.kill()
        self.process.wait(_END_WITHIN_S)
        if self.process.stdout:
            self.process.stdout.close()


class LoadClient:
    """A process that asks when it is told to."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], errors: Path) -> None:
        self.name = name
        self.process = process
        self.pid = process.pid
        self._errors = errors

    def run(self, load: str, seconds: float) -> WorkResult:
        """Let it ask in one way for so long; raises RefusedError with its last words when it fails."""
        orders, answers = self._pipes()
        try:
            orders.write(msgspec.json.encode(WorkOrder(load, seconds)) + b"\n")
            orders.flush()
            return _read_done(answers.readline())
        except (BrokenPipeError, msgspec.DecodeError):
            raise RefusedError(_exit_fault(f"{self.name}, {load}", self.process, self._errors)) from None

    def end(self) -> None:
        """Let it end by itself, as a program does whose work is done."""
        for pipe in self._pipes():
            pipe.close()
        self.process.wait(_END_WITHIN_S)

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        return self.process.stdin, self.process.stdout


class BenchProcesses:
    """Starts the processes of one bench, in a folder of its own."""

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
        """As `agent`, and do not wait until it is ready."""
        self.register_agent(name)
        command = [sys.executable, "-m", "argosy.agent", target]
        return self.launch(name, command, {"ARGOSY_AGENT": name, **env})

    def register_agent(self, name: str) -> None:
        """Put an agent into the address book; it is reached by its ipc socket alone."""
        if name not in self._agents:
            self._agents[name] = AgentAddress("here")
            write_address_book(
                self.book, AddressBook("bench", "testing", ("here",), str(self.folder), self._agents)
            )

    def server(self, module: str) -> Server:
        """Start the server of a way, on the servers' core."""
        server = self.launch(module, self._program("serve", module))
        server.wait_until_ready()
        return server

    def launch(
        self, name: str, command: list[str], env: Mapping[str, str] | None = None, *, is_client: bool = False
    ) -> Server:
        """Start a process that says when it is ready, and do not wait for that.

        asks: it goes to the callers' core, else to the servers'.
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
        """Start a process that asks in the ways of a module, on the callers' core."""
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
        """End all that was started, callers first, who end by themselves."""
        for caller in self._callers:
            caller.end()
        for server in self._servers:
            server.end()

    def kill_all(self) -> None:
        """Kill all that was started: something has gone wrong, and a caller may wait for ever."""
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
        """Give what is started meanwhile one core; a process inherits it, with all its threads."""
        os.sched_setaffinity(0, {core})
        try:
            yield
        finally:
            os.sched_setaffinity(0, self._cores)


@contextlib.contextmanager
def bench_processes() -> Iterator[BenchProcesses]:
    """Yield a crew, and leave no process and no file of it."""
    folder = Path(tempfile.mkdtemp(prefix="aw-", dir="/tmp"))  # short: socket paths have 107 bytes
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
    last_line = f", its last words: {stderr_lines[-1]}" if stderr_lines else ""
    return Fault("bench", "ended", f"`{name}` ended with {process.returncode}{last_line}")
