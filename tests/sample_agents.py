"""Agents that tests run as processes of their own."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator

import msgspec

from argosy.agent import Agent, Health, event, every, request, run, trace


class Utterance(msgspec.Struct):
    text: str
    loud: bool = False


class Echo(Agent):
    """Answers in every way that a handler can run."""

    class Options(msgspec.Struct):
        greeting: str = "hello"
        sizes: list[int] = []

    def __init__(self) -> None:
        self.executed: list[str] = []

    @request
    async def echo(self, text: str, times: int = 1) -> str:
        return text * times

    @request(short=True)
    def add(self, a: int, b: int = 2) -> int:
        return a + b

    @request
    def in_thread(self, text: str) -> str:
        return text.upper()

    @request
    async def speak(self, utterance: Utterance) -> Utterance:
        return Utterance(utterance.text, loud=True)

    @request
    async def wait(self, seconds: float) -> str:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.executed.append("wait cancelled")
            raise
        return "waited"

    @request
    def block(self, seconds: float) -> str:
        time.sleep(seconds)
        return "blocked"

    @request(short=True)
    def hang(self, seconds: float) -> str:
        time.sleep(seconds)
        return "hung"

    @request
    async def boom(self) -> None:
        raise ValueError("no such voice")

    @request
    async def refuse(self) -> None:
        error = RuntimeError("busy")
        error.code = "busy"  # type: ignore[attr-defined]
        raise error

    @request
    async def secret(self) -> object:
        return object()

    @request
    async def note(self, text: str) -> None:
        self.executed.append(text)

    @request
    async def noted(self) -> list[str]:
        return self.executed

    @request
    async def size(self, data: bytes) -> tuple[str, int]:
        return type(data).__name__, len(data)

    @request
    async def blob(self, length: int) -> bytes:
        return b"x" * length

    @request
    async def count(self, to: int, size: int = 0) -> AsyncIterator[object]:
        try:
            for number in range(to):
                yield b"x" * size if size else number
        finally:
            self.executed.append("count ended")

    @request
    async def stumble(self) -> AsyncIterator[int]:
        yield 1
        raise ValueError("stumbled")

    @request
    async def greet(self) -> str:
        return f"{self.options.greeting} {self.options.sizes}"

    @request
    async def pid(self) -> int:
        return os.getpid()


class Front(Agent):
    """Asks Back, and hears what it publishes."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    @request
    async def ask(self, text: str, timeout: float = 5.0) -> dict[str, str]:
        began = trace()
        answer = await self.peer("Back").within(timeout).answer(text=text)
        return {"trace": began, **answer}

    @request
    def ask_from_thread(self, text: str) -> str:
        return self.connect("Back").answer(text=text)["text"]

    @event("said")
    async def on_said(self, utterance: Utterance) -> None:
        self.heard.append((utterance.text, self.trace))

    @event("shouted")
    def on_shouted(self, text: str) -> None:
        self.heard.append((text, self.trace))

    @request
    async def everything(self) -> list[tuple[str, str]]:
        return self.heard


class Back(Agent):
    @request
    async def answer(self, text: str) -> dict[str, str]:
        await self.publish("said", Utterance(text))
        return {"text": text.upper(), "back_trace": self.trace}

    @request
    async def shout(self, text: str) -> int:
        return await self.publish("shouted", text)


class HealthAgent(Agent):
    """Says how it is."""

    def __init__(self) -> None:
        self.ticks = 0

    @request
    async def feel(self, status: str, reason: str = "") -> None:
        self.report(status, reason, mood=status)

    @request
    def feel_in_thread(self, status: str) -> None:
        self.report(status)

    @every("20ms")
    async def tick(self) -> None:
        self.ticks += 1
        if self.ticks == 2:
            raise ValueError("a tick may fail")

    @request
    async def ticked(self) -> int:
        return self.ticks


class Ill(Agent):
    def health(self) -> Health:
        raise OSError("no sensor")


class FailsToStart(Agent):
    async def start(self) -> None:
        raise RuntimeError("the model is missing")


class FailsToBeMade(Agent):
    def __init__(self) -> None:
        raise RuntimeError("no card")


class Slow(Agent):
    """Starts when a file appears."""

    class Options(msgspec.Struct):
        gate: str

    async def start(self) -> None:
        while not os.path.exists(self.options.gate):
            await asyncio.sleep(0.01)

    @request
    async def hello(self) -> str:
        return "hello"


class LifecyclePrinter(Agent):
    """Tells on stdout in which order it lives."""

    async def start(self) -> None:
        print("start", flush=True)

    @request
    async def work(self, seconds: float) -> str:
        await asyncio.sleep(seconds)
        print("worked", flush=True)
        return "worked"

    async def stop(self) -> None:
        print("stop", flush=True)


if __name__ == "__main__":
    run(Echo)
