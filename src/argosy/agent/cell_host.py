"""The process of a cell: several agents in one process, one loop and one ZeroMQ context.

`python -m argosy.agent.cell_host MANIFEST` runs those agents of a manifest (see `cell_manifest`) that it is
told to, each with its own ports, health, notify socket and log prefix. The supervisor decides which
agents run; an agent that has ended is not started again in this process, since the state that it left in
its modules is unknown. An agent that fails ends the cell.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import faulthandler
import os
import signal
import socket
import sys
import traceback
from collections.abc import Iterable, Iterator
from typing import Final, NoReturn

import zmq

from argosy.agent.agent import Agent
from argosy.agent.agent_runtime import AgentRuntime
from argosy.agent.cell_manifest import CellMemberSpec, decode_members_update, read_cell_manifest
from argosy.agent.log_prefix import current_agent, flush_log_prefix, install_log_prefix
from argosy.agent.loop_watchdog import BlockedLoop, LoopWatchdog
from argosy.agent.notifier import Notifier
from argosy.agent.options import parse_options
from argosy.agent.runner import describe_syntax_error, exit_process, load_class, loop_factory, print_faults
from argosy.agent.settings import Settings, read_watchdog_s
from argosy.fault import ArgosyError, Fault, InputError
from argosy.wire.address_book import AddressResolver
from argosy.wire.zmq_context.context_handle import shared_context, terminate_shared

MAX_UPDATE_BYTES: Final = 1 << 18
# Without a watchdog a blocked loop is only logged.
_BLOCKED_LOOP_S: Final = 5.0


class CellHost:
    """The agents of one manifest in the running loop.

    path: the manifest's; it is read again for an agent that joins later.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._manifest = read_cell_manifest(path)
        self._resolver = AddressResolver(os.environ["ARGOSY_BOOK"])
        self._wanted: frozenset[str] = frozenset()
        self._runtimes: dict[str, AgentRuntime] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._finished: set[str] = set()
        self._exit_code = 0

    async def run(self) -> int:
        """Run agents until told to stop, or until one fails; return the exit code."""
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop.set)
        limit_s = read_watchdog_s()
        self._notifier = Notifier(self._manifest.notify, limit_s)
        self._loop_watchdog = LoopWatchdog(
            limit_s / 2 if limit_s else _BLOCKED_LOOP_S, self._on_loop_blocked, self._on_loop_unblocked
        )
        try:
            with _bind_update_socket(self._manifest.socket) as updates:
                self._loop.add_reader(updates, self._on_update, updates)
                self._send_heartbeat()
                self._feed_loop_watchdog()
                await self._stop.wait()
                self._loop.remove_reader(updates)
            await self._stop_all()
        finally:
            self._loop_watchdog.close()
            self._notifier.close()
        return self._exit_code

    # -- members -------------------------------------------------------------------------------

    def _on_update(self, updates: socket.socket) -> None:
        """Read the updates that wait; the last one counts."""
        update = None
        with contextlib.suppress(BlockingIOError):
            while True:
                update = decode_members_update(updates.recv(MAX_UPDATE_BYTES)) or update
        if update is not None:
            self._apply_members(update.members)

    def _apply_members(self, members: Iterable[str]) -> None:
        """Start new members, stop those that are no longer named."""
        names = tuple(members)
        self._wanted = frozenset(names)
        for name in names:
            if name in self._finished:
                self._notify_finished(name)
            elif name not in self._tasks:
                self._start_agent(name)
        for name in self._tasks.keys() - self._wanted:
            if name in self._runtimes:
                self._runtimes[name].request_stop()

    def _start_agent(self, name: str) -> None:
        context = contextvars.copy_context()
        context.run(current_agent.set, name)
        self._tasks[name] = self._loop.create_task(self._run_agent(name), context=context)

    async def _run_agent(self, name: str) -> None:
        """Run one agent to its end; one that fails ends the cell."""
        code, reason, is_permanent = 1, "", False
        try:
            runtime = self._make_runtime(name)
            self._runtimes[name] = runtime
            if name not in self._wanted:
                runtime.request_stop()
            code = await runtime.run(signals=())
            reason = runtime.start_failure
        except ArgosyError as error:
            code, reason = print_faults(error), error.faults[0].message
            is_permanent = code == InputError.exit_code
        except SyntaxError as error:
            traceback.print_exc()
            reason, is_permanent = describe_syntax_error(error), True
        except Exception as error:
            traceback.print_exc()
            reason = f"could not be loaded: {type(error).__name__}: {error}"
        finally:
            self._finished.add(name)
        if code and not self._stop.is_set():
            self._fail(code, f"`{name}` {reason}", is_permanent=is_permanent)
        else:
            self._notify_finished(name)

    def _make_runtime(self, name: str) -> AgentRuntime:
        spec = self._member_spec(name)
        cls = load_class(spec.run)
        if not issubclass(cls, Agent):
            message = f"`{spec.run}` is a BaseAgent, which needs a process of its own"
            raise InputError(Fault(name, "legacy-agent", message, "take `cell` from it"))
        options, port = parse_options(cls.Options, spec.args)
        address = self._resolver.address(name)
        if port is not None:
            raise InputError(Fault("--port", "cell-port", "in a cell the port is the fleet file's"))
        book = self._resolver.book
        settings = Settings(name, book.fleet, book.environment, address, self._resolver, spec.notify)
        return AgentRuntime(cls, settings, options)

    def _member_spec(self, name: str) -> CellMemberSpec:
        if name not in self._manifest.members:
            self._manifest = read_cell_manifest(self._path)
        if name not in self._manifest.members:
            message = f"the manifest of the cell has no agent `{name}`"
            raise InputError(Fault(self._path, "not-in-cell", message))
        return self._manifest.members[name]

    # -- shutdown ------------------------------------------------------------------------------

    def _fail(self, code: int, reason: str, *, is_permanent: bool) -> None:
        """End the cell. is_permanent: another start would end alike."""
        self._exit_code = code
        if is_permanent:
            self._notifier.send_permanent_failure(reason)
        else:
            self._notifier.send(b"STATUS=" + reason.replace("\n", " ").encode())
        self._stop.set()

    async def _stop_all(self) -> None:
        """Stop every agent, each once those in this cell that need it have ended."""
        dependents: dict[str, list[asyncio.Task[None]]] = {name: [] for name in self._tasks}
        agents = self._resolver.book.agents
        for name, task in self._tasks.items():
            for need in agents[name].needs if name in agents else ():
                if need in dependents:
                    dependents[need].append(task)

        async def stop_agent(name: str) -> None:
            if dependents[name]:
                await asyncio.wait(dependents[name])
            if name in self._runtimes:
                self._runtimes[name].request_stop()
            await asyncio.wait((self._tasks[name],))

        self._wanted = frozenset()
        await asyncio.gather(*map(stop_agent, self._tasks))

    def _notify_finished(self, name: str) -> None:
        """Report on the agent's own notify socket that it has ended in this process."""
        spec = self._manifest.members.get(name)
        if spec is not None:
            notifier = Notifier(spec.notify)
            notifier.send(b"X_ARGOSY_FINISHED=1")
            notifier.close()

    # -- heartbeat -----------------------------------------------------------------------------

    def _send_heartbeat(self) -> None:
        """Send a heartbeat; repeat which agents have ended, in case that message was lost."""
        self._notifier.send_heartbeat(ready=True, health="ok")
        for name in self._finished - self._wanted:
            self._notify_finished(name)
        self._loop.call_later(self._notifier.heartbeat_s, self._send_heartbeat)

    def _feed_loop_watchdog(self) -> None:
        self._loop_watchdog.heartbeat()
        self._loop.call_later(self._loop_watchdog.heartbeat_s, self._feed_loop_watchdog)

    def _on_loop_blocked(self, blocked: BlockedLoop, seconds: float) -> None:
        """Report what blocks the loop: to the supervisor, and with the stack in the log."""
        description = blocked.describe(seconds)
        self._notifier.send(b"STATUS=" + description.encode())
        context = contextvars.copy_context()
        context.run(current_agent.set, blocked.agent)
        context.run(sys.stderr.write, f"{description}\n{blocked.stack}")

    def _on_loop_unblocked(self, seconds: float) -> None:
        sys.stderr.write(f"the work loop runs again after {seconds:.1f} s\n")


@contextlib.contextmanager
def _bind_update_socket(path: str) -> Iterator[socket.socket]:
    """Yield the socket for members updates; the file of an earlier process is replaced."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as updates:
        updates.bind(path)
        os.chmod(path, 0o600)
        yield updates


def main(argv: list[str]) -> NoReturn:
    """Run the cell of a manifest; exits 0 after an ordered stop, else as the agent that failed."""
    install_log_prefix()
    # Sent by the supervisor when C code holds the interpreter and no thread can look.
    faulthandler.register(signal.SIGQUIT, file=sys.stderr.fileno())
    # Each agent has sockets of its own; the default is for 1023 of them.
    shared_context().set(zmq.MAX_SOCKETS, shared_context().get(zmq.SOCKET_LIMIT))
    try:
        _set_title(argv[0])
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            code = runner.run(CellHost(argv[0]).run())
    except ArgosyError as error:
        code = print_faults(error)
    finally:
        terminate_shared()
        flush_log_prefix()
    exit_process(code)


def _set_title(path: str) -> None:
    import setproctitle  # noqa: PLC0415 - argosy's own, and not the light agent's

    setproctitle.setproctitle(f"argosy: cell {read_cell_manifest(path).cell}")


if __name__ == "__main__":
    main(sys.argv[1:])
