"""Actions on agents of this machine, for a user or a recovery; each is recorded.

The supervisor carries them out, as for `argosy restart` and `argosy down --only`. An action is persisted
before it starts, and its outcome afterwards; no action deletes data.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from argosy.engine.control.control_client import connect
from argosy.engine.protocol.messages import ControlMessage, ControlReply, Restart, Restarted, Stop, Stopped
from argosy.engine.state.state_dir import StateDir
from argosy.fault import ArgosyError, Fault, RefusedError
from argosy.hub.store.records import HubEvent
from argosy.hub.store.store_writer import StoreFullError, StoreWriter

MAX_CONCURRENT: Final = 8  # each holds a thread until the supervisor replies


class ActionExecutor:
    """Carries out actions through this machine's supervisor."""

    def __init__(self, writer: StoreWriter, state_dir: StateDir) -> None:
        self._writer = writer
        self._state_dir = state_dir
        self._running = 0

    async def restart(self, agents: Sequence[str], requested_by: str) -> dict[str, Any]:
        """Restart agents, and return which are ready again and which are not.

        Raises ArgosyError: the action was refused, which is recorded.
        """
        answer = await self._execute("restart", agents, requested_by, Restart(names=list(agents)))
        assert isinstance(answer, Restarted), "the reply to Restart is Restarted"
        return {
            "restarted": answer.restarted,
            "not_ready": answer.not_ready,
            "reconnected": answer.reconnected,
            "seconds": round(answer.seconds, 3),
        }

    async def stop(self, agents: Sequence[str], requested_by: str) -> dict[str, Any]:
        """Stop agents, and return which stopped and which had to be killed. Raises as `restart`."""
        answer = await self._execute("stop", agents, requested_by, Stop(names=list(agents)))
        assert isinstance(answer, Stopped), "the reply to Stop is Stopped"
        return {"stopped": answer.stopped, "killed": answer.killed, "seconds": round(answer.seconds, 3)}

    async def record(self, action: str, agents: Sequence[str], requested_by: str, **fields: Any) -> HubEvent:
        """Persist an action about to be carried out, and return its event.

        Raises StoreFullError: it cannot be persisted, so it must not be carried out.
        """
        event = _action_event(action, agents, requested_by, fields)
        await self._writer.append_or_raise([event])
        return event

    async def _record_outcome(
        self, action: str, agents: Sequence[str], requested_by: str, **fields: Any
    ) -> None:
        with contextlib.suppress(StoreFullError):  # the action is done and its result must be returned
            await self._writer.append_soon([_action_event(action, agents, requested_by, fields)])

    async def _execute(
        self, action: str, agents: Sequence[str], requested_by: str, request: ControlMessage
    ) -> ControlReply:
        if self._running >= MAX_CONCURRENT:
            message = f"{self._running} actions are running, which is the limit"
            raise RefusedError(Fault("hub", "too-many-actions", message, "wait until one ends"))
        self._running += 1
        try:
            await self.record(action, agents, requested_by, outcome="started")
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
    body = {"action": action, "agents": list(agents), "by": requested_by, **fields}
    return HubEvent(int(time.time() * 1000), "action", agents[0] if len(agents) == 1 else "", body)
