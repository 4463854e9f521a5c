"""The echo agent, with a handler of every kind."""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final

import msgspec

from argosy.agent import Agent, request
from wire_cases.execution_log import ExecutionLog
from wire_cases.load_loops import print_ready

EXECUTION_LOG_VARIABLE: Final = (
    "BENCH_EXECUTION_LOG"  # the variable with the path of an agent's log of executions
)


class EchoRequest(msgspec.Struct):
    """A typed request and reply of the size that most have."""

    number: int
    text: str


class NumberedRequest(msgspec.Struct):
    """A request with a unique number. deadline_us: on this machine's monotonic clock."""

    number: int
    deadline_us: int
    text: str
    weights: list[float] = []


class Echo(Agent):
    """Returns what it receives."""

    def __init__(self) -> None:
        path = os.environ.get(EXECUTION_LOG_VARIABLE)
        self._execution_log = ExecutionLog(path) if path else None

    async def start(self) -> None:
        print_ready()

    @request(short=True)
    def echo(self, message: EchoRequest) -> EchoRequest:
        return message

    @request
    async def echo_in_task(self, message: EchoRequest) -> EchoRequest:
        return message

    @request
    def echo_in_thread(self, message: EchoRequest) -> EchoRequest:
        return message

    @request(short=True)
    def frame(self, data: bytes) -> bytes:
        return data

    @request(short=True)
    def array(self, array: Any) -> Any:
        return array

    @request
    async def hold(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    @request(short=True)
    def run_short(self, numbered: NumberedRequest) -> NumberedRequest:
        return self._run(numbered)

    @request
    async def run_in_task(self, numbered: NumberedRequest) -> NumberedRequest:
        return self._run(numbered)

    @request
    def run_in_thread(self, numbered: NumberedRequest) -> NumberedRequest:
        return self._run(numbered)

    def _run(self, numbered: NumberedRequest) -> NumberedRequest:
        if self._execution_log:
            self._execution_log.append(numbered.number, numbered.deadline_us)
        return numbered
