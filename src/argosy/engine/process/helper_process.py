"""Helper commands that run beside an agent, such as an exec probe, for a limited time.

The supervisor never forks. So a helper command is a spawn request without a lease: a session of its own,
its output in a pipe of which the end is kept, and killed with its group at its time-out.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.process import os_process
from argosy.engine.process.lease import new_incarnation
from argosy.engine.protocol.fork_protocol import SpawnRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from argosy.engine.protocol.fork_protocol import Exited, Spawned

_MAX_OUTPUT_BYTES = 1 << 16


class HelperResult(NamedTuple):
    """How a command exited. code: its exit code; None when it never ran or was timed out."""

    code: int | None
    output: str
    error: str = ""

    def __str__(self) -> str:
        description = self.error or os_process.describe_exit(self.code)
        last = next((line.strip() for line in reversed(self.output.splitlines()) if line.strip()), "")
        return f"{description}: {last[:200]}" if last else description


class HelperProcess:
    """One running command. output: the descriptor that it writes to, closed by whoever receives it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.result: asyncio.Future[HelperResult] = loop.create_future()
        self.pid = 0
        self._pidfd = -1
        self._output_tail = b""
        self._pipe, self.output = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._pipe, False)
        loop.add_reader(self._pipe, self._read_output)

    def _read_output(self) -> None:
        """Read the pipe and keep the end of the output, so that the command never blocks on a full pipe."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._pipe, _MAX_OUTPUT_BYTES):
                self._output_tail = (self._output_tail + data)[-_MAX_OUTPUT_BYTES:]
            self._loop.remove_reader(self._pipe)

    def on_spawned(self, pid: int, pidfd: int) -> None:
        """Record its process; takes ownership of the descriptor."""
        self.pid, self._pidfd = pid, pidfd

    def on_exit(self, status: int) -> None:
        """Record its wait status."""
        self._read_output()
        self._set_result(HelperResult(os_process.exit_code(status), self.output_text()))

    def fail(self, error: str) -> None:
        """Complete it without a process."""
        self._set_result(HelperResult(None, "", error))

    def _set_result(self, outcome: HelperResult) -> None:
        if not self.result.done():
            self.result.set_result(outcome)

    def output_text(self) -> str:
        """Return the end of its output."""
        return self._output_tail.decode(errors="replace")

    def close(self) -> None:
        """Kill what is left of it, and release it."""
        if self._pidfd >= 0:
            if not self.result.done():
                os_process.kill_group(self._pidfd)
            os.close(self._pidfd)
        self._loop.remove_reader(self._pipe)
        os.close(self._pipe)


class HelperRunner:
    """All running helper commands. send(request, output): spawns one; returns False when it cannot."""

    def __init__(self, loop: asyncio.AbstractEventLoop, send: Callable[[SpawnRequest, int], bool]) -> None:
        self._loop = loop
        self._send_request = send
        self._pending_spawns: dict[int, HelperProcess] = {}
        self._running: dict[int, HelperProcess] = {}

    async def run(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: str, timeout_s: float
    ) -> HelperResult:
        """Run a command until it exits or is timed out; a cancelled one is killed."""
        helper = HelperProcess(self._loop)
        incarnation = new_incarnation()
        self._pending_spawns[incarnation] = helper
        try:
            if not self._send_request(_spawn_request(incarnation, argv, env, cwd), helper.output):
                return HelperResult(None, "", "could not be run, there is no forker")
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(helper.result)
        except TimeoutError:
            return HelperResult(None, helper.output_text(), f"had not exited after {timeout_s:.0f} s")
        finally:
            self._pending_spawns.pop(incarnation, None)
            self._running.pop(helper.pid, None)
            helper.close()

    def handle_spawned(self, spawned: Spawned, pidfd: int) -> bool:
        """Return whether a helper command was spawned; if so, takes ownership of the descriptor."""
        helper = self._pending_spawns.pop(spawned.incarnation, None)
        if helper is not None:
            helper.on_spawned(spawned.pid, pidfd)
            self._running[spawned.pid] = helper
        return helper is not None

    def handle_spawn_failed(self, incarnation: int, reason: str) -> None:
        """Handle a failed spawn, perhaps of a helper command."""
        helper = self._pending_spawns.pop(incarnation, None)
        if helper is not None:
            helper.fail(f"could not be run: {reason}")

    def handle_exit(self, exited: Exited) -> bool:
        """Return whether it was a helper command that exited."""
        helper = self._running.pop(exited.pid, None)
        if helper is not None:
            helper.on_exit(exited.status)
        return helper is not None

    def on_forker_lost(self) -> None:
        """Fail all commands that the forker had not spawned."""
        for incarnation in list(self._pending_spawns):
            self.handle_spawn_failed(incarnation, "the forker died")


def _spawn_request(incarnation: int, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> SpawnRequest:
    return SpawnRequest(
        name=argv[0],
        incarnation=incarnation,
        generation=0,
        lease="",
        generation_file="",
        argv=list(argv),
        env=dict(env),
        cwd=cwd,
    )
