"""Acts: what is done to agents of this machine, for a person or for a recovery; each leaves a record.

The supervisor does it, as for `argosy restart` and `argosy down --only`. What is about to be done is on the
disk before it is, and how it went after; nothing here deletes anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from argosy.engine.state.state_dir import StateDir
from argosy.engine.supervisor.control_client import connect
from argosy.engine.supervisor.messages import ControlMessage, ControlReply, Restart, Restarted, Stop, Stopped
from argosy.fault import ArgosyError, Fault, RefusedError
from argosy.hub.store.records import HubEvent
from argosy.hub.store.store_writer import StoreFullError, StoreWriter

MAX_CONCURRENT: Final = 8  # each holds a thread while the supervisor is at it


class ActionExecutor:
    """Carries out orders to agents through this machine's supervisor."""

    def __init__(self, writer: StoreWriter, state_dir: StateDir) -> None:
        self._writer = writer
        self._state_dir = state_dir
        self._running = 0

    async def restart(self, agents: Sequence[str], requested_by: str) -> dict[str, Any]:
        """Restart agents, and return who is ready again and who is not.

        Raises ArgosyError: it was refused; the record says so too.
        """
        answer = await self._execute("restart", agents, requested_by, Restart(names=list(agents)))
        assert isinstance(answer, Restarted), "a restart is answered by its outcome"
        return {
            "restarted": answer.restarted,
            "not_ready": answer.not_ready,
            "reconnected": answer.reconnected,
            "seconds": round(answer.seconds, 3),
        }

    async def stop(self, agents: Sequence[str], requested_by: str) -> dict[str, Any]:
        """Stop agents, and return which were stopped and which had to be killed; raises as `restart`."""
        answer = await self._execute("stop", agents, requested_by, Stop(names=list(agents)))
        assert isinstance(answer, Stopped), "a stop is answered by its outcome"
        return {"stopped": answer.stopped, "killed": answer.killed, "seconds": round(answer.seconds, 3)}

    async def record(self, action: str, agents: Sequence[str], requested_by: str, **fields: Any) -> HubEvent:
        """Leave a record of something that is done here, and return it.

        Raises FullError: the disk does not take it, so it is not to be done.
        """
        event = _action_event(action, agents, requested_by, fields)
        await self._writer.append_or_raise([event])
        return event

    async def _record_outcome(
        self, action: str, agents: Sequence[str], requested_by: str, **fields: Any
    ) -> None:
        with contextlib.suppress(StoreFullError):  # it is done, and who asked for it is to be answered
            await self._writer.append_soon([_action_event(action, agents, requested_by, fields)])

    async def _execute(
        self, action: str, agents: Sequence[str], requested_by: str, request: ControlMessage
    ) -> ControlReply:
        if self._running >= MAX_CONCURRENT:
            message = f"{self._running} actions are under way, which is as many as there may be"
            raise RefusedError(Fault("hub", "too-many-actions", message, "wait until one is over"))
        self._running += 1
        try:
            await self.record(action, agents, requested_by, outcome="begun")
            try:
                answer = await asyncio.to_thread(self._send_to_supervisor, request)
            except ArgosyError as error:
                await self._record_outcome(action, agents, requested_by, outcome="refused", text=str(error))
                raise
            await self._record_outcome(
                action, agents, requested_by, outcome="done", result=msgspec.to_builtins(answer)
            )
            return answer
        finally:
            self._running -= 1

    def _send_to_supervisor(self, request: ControlMessage) -> ControlReply:
        client = connect(self._state_dir, "hub")
        if client is None:
            fault = Fault("hub", "not-running", "no supervisor runs on this machine", "`argosy up -d`")
            raise RefusedError(fault)
        with client:
            client.send(request)
            return client.receive(None)


def _action_event(action: str, agents: Sequence[str], requested_by: str, fields: dict[str, Any]) -> HubEvent:
    body = {"do": action, "agents": list(agents), "by": requested_by, **fields}
    return HubEvent(int(time.time() * 1000), "action", agents[0] if len(agents) == 1 else "", body)
