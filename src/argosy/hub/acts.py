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

from argosy.engine.client import connect
from argosy.engine.folder import Folder
from argosy.engine.messages import Answer, Message, Restart, Restarted, Stop, Stopped
from argosy.fault import ArgosyError, Fault, RefusedError
from argosy.hub.keeper import FullError, Keeper
from argosy.hub.record import Event

MOST_AT_ONCE: Final = 8  # each holds a thread while the supervisor is at it


class Acts:
    """Carries out orders to agents through this machine's supervisor."""

    def __init__(self, keeper: Keeper, folder: Folder) -> None:
        self._keeper = keeper
        self._folder = folder
        self._under_way = 0

    async def restart(self, agents: Sequence[str], by: str) -> dict[str, Any]:
        """Restart agents, and return who is ready again and who is not.

        Raises ArgosyError: it was refused; the record says so too.
        """
        answer = await self._order("restart", agents, by, Restart(names=list(agents)))
        assert isinstance(answer, Restarted), "a restart is answered by its outcome"
        return {
            "restarted": answer.restarted,
            "not_ready": answer.not_ready,
            "reconnected": answer.reconnected,
            "seconds": round(answer.seconds, 3),
        }

    async def stop(self, agents: Sequence[str], by: str) -> dict[str, Any]:
        """Stop agents, and return which were stopped and which had to be killed; raises as `restart`."""
        answer = await self._order("stop", agents, by, Stop(names=list(agents)))
        assert isinstance(answer, Stopped), "a stop is answered by its outcome"
        return {"stopped": answer.stopped, "killed": answer.killed, "seconds": round(answer.seconds, 3)}

    async def note(self, do: str, agents: Sequence[str], by: str, **more: Any) -> Event:
        """Leave a record of something that is done here, and return it.

        Raises FullError: the disk does not take it, so it is not to be done.
        """
        event = _event(do, agents, by, more)
        await self._keeper.keep_first([event])
        return event

    async def _note_after(self, do: str, agents: Sequence[str], by: str, **more: Any) -> None:
        with contextlib.suppress(FullError):  # it is done, and who asked for it is to be answered
            await self._keeper.keep_soon([_event(do, agents, by, more)])

    async def _order(self, do: str, agents: Sequence[str], by: str, request: Message) -> Answer:
        if self._under_way >= MOST_AT_ONCE:
            message = f"{self._under_way} actions are under way, which is as many as there may be"
            raise RefusedError(Fault("hub", "too-many-actions", message, "wait until one is over"))
        self._under_way += 1
        try:
            await self.note(do, agents, by, outcome="begun")
            try:
                answer = await asyncio.to_thread(self._ask, request)
            except ArgosyError as error:
                await self._note_after(do, agents, by, outcome="refused", text=str(error))
                raise
            await self._note_after(do, agents, by, outcome="done", result=msgspec.to_builtins(answer))
            return answer
        finally:
            self._under_way -= 1

    def _ask(self, request: Message) -> Answer:
        client = connect(self._folder, "hub")
        if client is None:
            fault = Fault("hub", "not-running", "no supervisor runs on this machine", "`argosy up -d`")
            raise RefusedError(fault)
        with client:
            client.send(request)
            return client.receive(None)


def _event(do: str, agents: Sequence[str], by: str, more: dict[str, Any]) -> Event:
    body = {"do": do, "agents": list(agents), "by": by, **more}
    return Event(int(time.time() * 1000), "action", agents[0] if len(agents) == 1 else "", body)
