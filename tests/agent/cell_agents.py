"""Agents that share one process in the tests of cells."""

from __future__ import annotations

import asyncio
import sys
import threading
import time

from argosy.agent import Agent, request


class Plain(Agent):
    @request
    async def say(self, text: str) -> str:
        print(text)
        return self.name

    @request(short=True)
    def hang(self, seconds: float) -> None:
        time.sleep(seconds)

    @request
    def from_outside(self) -> None:
        """Print from a thread that is not the agent's."""
        thread = threading.Thread(target=lambda: sys.stdout.write("from nowhere\n"))
        thread.start()
        thread.join()


class Slow(Plain):
    async def stop(self) -> None:
        await asyncio.sleep(0)
        print("stops")


class Needing(Agent):
    async def start(self) -> None:
        print("hears", await self.peer("A").say(text="hello"))

    async def stop(self) -> None:
        print("stops")


class Broken(Agent):
    async def start(self) -> None:
        raise RuntimeError("no model")


class Old:
    """Not an agent at all."""
