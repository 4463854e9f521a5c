"""The hub of a machine, as an agent: it is handed reports, and hands the other machines what it has."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec

from argosy.agent import Agent, request
from argosy.hub.exchange import Puller, answer
from argosy.hub.keeper import Keeper
from argosy.hub.record import Event, Figures
from argosy.wire.book import HUB, Directory, hub_name

_decode_figures = msgspec.msgpack.Decoder(list[Figures]).decode


class Hub(Agent):
    """One machine's hub.

    Its options name the store's file, and how long (seconds) what comes in may wait for the disk.
    """

    class Options(msgspec.Struct, kw_only=True):
        """store: the file. flush: seconds. book: the fleet's address book."""

        store: str
        book: str
        flush: float = 1.0

    async def start(self) -> None:
        """Open the store and begin to pull; raises StoreError."""
        machine = self.name.removeprefix(HUB)
        self.keeper = Keeper(Path(self.options.store), machine, self.options.flush)
        others = [each for each in Directory(self.options.book).book.hubs if each != machine]
        self.pullers = {each: Puller(self.keeper, self.peer(hub_name(each)), each) for each in others}
        self._tasks = [asyncio.ensure_future(puller.run()) for puller in self.pullers.values()]

    async def stop(self) -> None:
        """Write what waits, and close the store."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.keeper.close()

    @request
    async def records(self, positions: bytes, wait_s: float) -> bytes:
        """Answer another hub: what follows its positions."""
        return await answer(self.keeper, positions, wait_s)

    @request
    async def take_figures(self, agent: str, life: str, number: int, figures: bytes, dropped: int = 0) -> int:
        """Keep an agent's figures, each once, and return the number that is on the disk by now.

        life: the agent's incarnation; number: of the last of `figures` in that life, counted from 1; dropped:
        how many it had to drop before these, for which a gap is told.
        """
        said = _decode_figures(figures)
        heard_life, heard = self.keeper.heard(agent)
        if heard_life != life:
            heard = 0
        new = said[max(0, heard - (number - len(said))) :] if heard < number else []
        gap = _gap(agent, dropped) if dropped and new else []
        await self.keeper.keep(gap, new, (agent, life, max(heard, number)))
        return max(heard, number)

    @request
    async def take_events(self, events: list[Event], source: str, life: str, number: int) -> int:
        """Keep events of one source, each once, and return the number that is on the disk by now.

        number: of the last of them in the source's life, counted from 1.
        """
        heard_life, heard = self.keeper.heard(source)
        if heard_life != life:
            heard = 0
        new = events[max(0, heard - (number - len(events))) :] if heard < number else []
        await self.keeper.keep(new, (), (source, life, max(heard, number)))
        return max(heard, number)

    @request
    async def sights(self) -> dict[str, Any]:
        """Return what is seen of the other machines' hubs."""
        return {machine: msgspec.to_builtins(puller.sight) for machine, puller in self.pullers.items()}


def _gap(agent: str, dropped: int) -> list[Event]:
    return [Event(int(time.time() * 1000), "gap", agent, {"dropped": dropped})]
