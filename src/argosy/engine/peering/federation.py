"""Forwards requests about the whole fleet to the other machines, and merges the replies.

Each machine gets its part as a request of its own. If a machine becomes unreachable, an apply waits for it
and is sent again, which is safe: agents that run already are adopted and not started again.

A read-only command of a client of another machine is run here, and its output is sent there.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import msgspec

from argosy.engine.peering.peer_protocol import PeerUnreachableError
from argosy.engine.protocol.messages import (
    Apply,
    ApplyPreview,
    ApplySummary,
    CommandOutput,
    Refused,
    RelayCommand,
    Restart,
    Restarted,
    Stop,
    Stopped,
)
from argosy.fault import Fault, InputError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from argosy.engine.control.control_server import ClientSession
    from argosy.engine.peering.peer_set import PeerSet


# Part of the start timeout that is left to a machine to stop late agents and to report.
_RESERVED_CLOSING_S: Final = 1.0
_CONNECT_WAIT_S: Final = 10.0
# Command to the options that make it read-only and limited to this machine.
_READ_ONLY_COMMANDS: Final = {"logs": {"--here"}, "restart": {"--here", "--dry-run"}}
_CHUNK_BYTES: Final = 65536


class RemoteApply:
    """The results of an apply on the other machines. refused: machine to why it did not take part."""

    def __init__(self, machines: Iterable[str]) -> None:
        self.machines = list(machines)
        self.adopted: list[str] = []
        self.refused: dict[str, str] = {}
        self.tasks: list[asyncio.Task[None]] = []

    def cancel(self) -> None:
        """Stop waiting for the other machines."""
        for task in self.tasks:
            task.cancel()


class Federation:
    """Sends requests to the machines of a `PeerSet`."""

    def __init__(self, peers: PeerSet) -> None:
        self._peers = peers

    # ---- up

    def apply(
        self,
        request: Apply,
        remote_agent_names: Iterable[str],
        session: ClientSession,
        on_machine_done: Callable[[str], None],
    ) -> RemoteApply:
        """Have the machines of these agents start them; calls `on_machine_done(machine)` for each machine."""
        names = list(remote_agent_names)
        self._peers.expect_apply(names, request.apply_id)
        if request.origin or self._peers.plan is None:
            return RemoteApply(())
        machines = dict.fromkeys(self._peers.remote_agents[name].spec.machine for name in names)
        remote_apply = RemoteApply(machines)
        for machine in remote_apply.machines:
            # Shorter than the whole start timeout, so that dependents get the reason.
            self._peers.connections[machine].start_waiting(min(_CONNECT_WAIT_S, request.timeout_s / 2))
            task = asyncio.ensure_future(self._apply_at(machine, request, session, remote_apply))
            remote_apply.tasks.append(task)

            def on_done(_: object, machine: str = machine) -> None:
                on_machine_done(machine)

            task.add_done_callback(on_done)
        return remote_apply

    async def _apply_at(
        self, machine: str, request: Apply, session: ClientSession, remote_apply: RemoteApply
    ) -> None:
        plan = self._peers.plan
        assert plan is not None, "there are other machines"
        peer_request = msgspec.structs.replace(
            request,
            machine=machine,
            origin=plan.machine,
            environ={},
            timeout_s=max(request.timeout_s - _RESERVED_CLOSING_S, request.timeout_s / 2),
        )
        connection = self._peers.connections[machine]
        while await connection.wait_connected():
            with contextlib.suppress(PeerUnreachableError):
                async for reply in connection.request(peer_request):
                    if isinstance(reply, ApplyPreview):
                        session.send(msgspec.structs.replace(reply, machine=machine))
                    elif isinstance(reply, ApplySummary):
                        remote_apply.adopted += reply.adopted
                    elif isinstance(reply, Refused):
                        remote_apply.refused[machine] = "; ".join(map(str, reply.faults))
                return
        remote_apply.refused[machine] = connection.description

    def merge_summary(self, summary: ApplySummary, remote_apply: RemoteApply) -> ApplySummary:
        """Return the summary with the results that the other machines reported."""
        self._peers.stop_expecting()
        not_ready = dict(summary.not_ready)
        for name in not_ready:
            remote_agent = self._peers.remote_agents.get(name)
            if remote_agent is not None and (reason := remote_apply.refused.get(remote_agent.spec.machine)):
                not_ready[name] = reason
        adopted = [*summary.adopted, *(name for name in remote_apply.adopted if name in summary.ready)]
        return msgspec.structs.replace(summary, not_ready=not_ready, adopted=adopted)

    # ---- down, restart

    async def stop(self, request: Stop, local_names: Sequence[str]) -> list[Stopped]:
        """Have the machines stop their part. local_names: agents that are stopped here meanwhile."""
        plan = self._peers.plan
        if request.origin or plan is None:
            return []
        names_by_machine = self._group_by_machine(request.names)
        every = [*local_names, *(name for names in names_by_machine.values() for name in names)]

        async def stop_at(machine: str, names: list[str]) -> Stopped:
            peer_request = msgspec.structs.replace(
                request,
                names=None if request.names is None else names,
                origin=plan.machine,
                stopping_elsewhere=[name for name in every if name not in names],
            )
            reply = await self._request_last_reply(machine, peer_request)
            if isinstance(reply, str):
                return Stopped(stopped=[], killed=[], seconds=0.0, unreachable={machine: reply})
            assert isinstance(reply, Stopped), "a Stop is answered by Stopped"
            return reply

        return await asyncio.gather(*(stop_at(*part) for part in names_by_machine.items()))

    async def restart(self, request: Restart) -> list[Restarted]:
        """Have the machines restart their part."""
        plan = self._peers.plan
        if request.origin or plan is None:
            return []

        async def restart_at(machine: str, names: list[str]) -> Restarted:
            peer_request = msgspec.structs.replace(request, names=names, origin=plan.machine)
            reply = await self._request_last_reply(machine, peer_request)
            if isinstance(reply, str):
                not_ready = dict.fromkeys(names, reply)
                return Restarted(restarted=[], not_ready=not_ready, reconnected=[], seconds=0.0)
            assert isinstance(reply, Restarted), "a Restart is answered by Restarted"
            return reply

        names_by_machine = self._group_by_machine(request.names)
        return await asyncio.gather(
            *(restart_at(machine, names) for machine, names in names_by_machine.items() if names)
        )

    async def _request_last_reply(self, machine: str, request: Stop | Restart) -> object:
        """Return the last reply to a request, or why the machine has not carried it out."""
        connection = self._peers.connections[machine]
        if not connection.is_connected:
            return connection.description
        last: object = None
        try:
            async for reply in connection.request(request):
                last = reply
        except RefusedError as error:
            last = Refused(faults=list(error.faults))
        return "; ".join(fault.message for fault in last.faults) if isinstance(last, Refused) else last

    def _group_by_machine(self, names: Iterable[str] | None) -> dict[str, list[str]]:
        """Return which of these agents each machine runs; None for all agents of all machines."""
        peers = self._peers
        if names is None:
            return {
                machine: [each.name for each in peers.remote_agents_of(machine)]
                for machine in peers.connections
            }
        names_by_machine: dict[str, list[str]] = {}
        for name in names:
            if name in peers.remote_agents:
                names_by_machine.setdefault(peers.remote_agents[name].spec.machine, []).append(name)
        return names_by_machine

    # ---- read-only commands

    async def relay(self, request: RelayCommand, session: ClientSession) -> None:
        """Pass on the output of a command on another machine.

        Raises InputError: there is no such machine; PeerUnreachableError: it is not connected.
        """
        connection = self._peers.connections.get(request.machine)
        if connection is None:
            message = f"this supervisor is not linked to a machine `{request.machine}`"
            raise InputError(Fault(request.machine, "unknown-machine", message, "`argosy status` lists them"))
        async for reply in connection.request(request):
            if isinstance(reply, CommandOutput | Refused):
                session.send(reply)


async def run_relayed_command(fleet_path: str, args: Sequence[str], session: ClientSession) -> None:
    """Run `argosy ARGS` on this machine's fleet file, and send its output; an empty message is the end.

    Kills the process when cancelled. Raises InputError: the command is not read-only.
    """
    if not args or args[0] not in _READ_ONLY_COMMANDS or not _READ_ONLY_COMMANDS[args[0]].issubset(args):
        found = args[0] if args else ""
        expected = ", ".join(
            " ".join([command, *sorted(needed)]) for command, needed in _READ_ONLY_COMMANDS.items()
        )
        message = f"`{found}` is not run for other machines; expected one of: {expected}"
        raise InputError(Fault(found, "usage", message))
    process = subprocess.Popen(
        [sys.executable, "-m", "argosy", *args, "--fleet", fleet_path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), process.stdout)
    try:
        while data := await reader.read(_CHUNK_BYTES):
            session.send(CommandOutput(data=data))
        session.send(CommandOutput(data=b""))
    finally:
        process.kill()
        process.returncode = 0  # the supervisor reaps all its children itself
        pipe.close()
