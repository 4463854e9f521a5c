"""Sends requests to agents that are killed and frozen, until a given time.

`python -m wire_cases.soak_client KIND INDEX UNTIL SEED AGENT...`: KIND is `tasks` (on one loop), `threads`
(blocking) or `old` (a bare REQ socket and JSON), UNTIL a time of the monotonic clock. Each request has a
unique number. Outcomes go to a file; the number of started requests is printed at the end.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import zmq

from argosy.agent import trace
from argosy.wire import Peer, WireError, connect
from argosy.wire.address_book import AddressResolver, socket_path
from argosy.wire.client.sync_peer import named_channel
from argosy.wire.transport.reactor import LoopReactor
from wire_cases.echo_agent import NumberedRequest
from wire_cases.execution_log import CALLER_SHIFT, Outcome, OutcomeLog
from wire_cases.load_loops import new_runner, print_ready

TASKS: Final = 48
THREADS: Final = 6
METHODS: Final = ("run_short", "run_in_task", "run_in_thread")
PAUSE_S: Final = 0.004  # between two requests of one caller; a higher rate would only measure the machine
_SHORTEST_S: Final = 0.3
_LONGEST_S: Final = 2.5
_DRAIN_S: Final = 10.0  # for requests in flight at the end


class ClientReport(msgspec.Struct, frozen=True):
    """The report of one client. late_ms: the longest time from a deadline to the end of its request."""

    started: int
    late_ms: float


class SoakClient:
    """Makes requests and logs their outcomes."""

    def __init__(self, index: int, folder: Path, until_s: float, seed: int) -> None:
        self.until_s = until_s
        self.begun = 0
        self.late_s = 0.0
        self._first = index << CALLER_SHIFT
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._outcomes = OutcomeLog(folder / f"client.{index}")
        self._random = random.Random(seed)

    def is_running(self) -> bool:
        """Return whether more requests are to be sent."""
        return time.monotonic() < self.until_s

    def next_request(self) -> tuple[str, NumberedRequest, float]:
        """Return the next request: method, argument, time-out in seconds."""
        with self._lock:
            self.begun += 1
            number = self._first + next(self._numbers)
            timeout_s = self._random.uniform(_SHORTEST_S, _LONGEST_S)
            method = self._random.choice(METHODS)
            text = "x" * self._random.choice((8, 64, 512, 4096))
        deadline_us = time.monotonic_ns() // 1000 + int(timeout_s * 1e6)
        return method, NumberedRequest(number, deadline_us, text, [float(number)]), timeout_s

    def record_outcome(self, numbered: NumberedRequest, outcome: Outcome) -> None:
        """Log how a request ended."""
        late_s = time.monotonic() - numbered.deadline_us / 1e6
        with self._lock:
            self.late_s = max(self.late_s, late_s)
            self._outcomes.append(numbered.number, outcome)

    def close(self) -> None:
        """Close the outcome log and print the report."""
        self._outcomes.close()
        sys.stdout.buffer.write(msgspec.json.encode(ClientReport(self.begun, self.late_s * 1000)) + b"\n")
        sys.stdout.buffer.flush()


def request_in_tasks(client: SoakClient, agents: Sequence[str]) -> None:
    """Send requests from many tasks on one loop, over one lane per agent."""
    with new_runner() as runner:
        runner.run(_request_in_tasks(client, agents))


async def _request_in_tasks(client: SoakClient, agents: Sequence[str]) -> None:
    directory = AddressResolver(os.environ["ARGOSY_BOOK"])
    reactor = LoopReactor(asyncio.get_running_loop())
    channels = [named_channel(agent, directory, reactor, "press") for agent in agents]
    peers = [Peer(channel) for channel in channels]
    tasks = [asyncio.create_task(_request_loop(client, peers[i % len(peers)])) for i in range(TASKS)]
    done, _ = await asyncio.wait(tasks, timeout=client.until_s - time.monotonic() + _DRAIN_S)
    for task in done:
        task.result()
    for channel in channels:
        channel.close()


async def _request_loop(client: SoakClient, peer: Peer) -> None:
    while client.is_running():
        trace()
        method, numbered, timeout_s = client.next_request()
        try:
            answer = await peer.call(method, timeout=timeout_s, returns=NumberedRequest, numbered=numbered)
            outcome = Outcome.ANSWERED if answer == numbered else Outcome.WRONG
        except WireError as error:
            outcome = Outcome[type(error).__name__]
        client.record_outcome(numbered, outcome)
        await asyncio.sleep(PAUSE_S)


def request_in_threads(client: SoakClient, agents: Sequence[str]) -> None:
    """Send requests from threads, each with its own lane per agent."""
    peers = [connect(agent) for agent in agents]

    def work(index: int) -> None:
        while client.is_running():
            _request_once(client, peers[index % len(peers)])
            index += 1
            time.sleep(PAUSE_S)

    _in_threads(client, work)


def _request_once(client: SoakClient, peer: Any) -> None:
    method, numbered, timeout_s = client.next_request()
    try:
        answer = peer.call(method, timeout=timeout_s, returns=NumberedRequest, numbered=numbered)
        outcome = Outcome.ANSWERED if answer == numbered else Outcome.WRONG
    except WireError as error:
        outcome = Outcome[type(error).__name__]
    client.record_outcome(numbered, outcome)


def request_as_legacy(client: SoakClient, agents: Sequence[str]) -> None:
    """Send requests without argosy: REQ, JSON, a time-out, then a new socket."""
    directory = AddressResolver(os.environ["ARGOSY_BOOK"])
    runtime = directory.book.runtime
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

    def work(index: int) -> None:
        legacy_clients = [_LegacyClient(context, f"ipc://{socket_path(runtime, agent)}") for agent in agents]
        while client.is_running():
            legacy_clients[index % len(legacy_clients)].ask(client)
            index += 1
            time.sleep(PAUSE_S)
        for each in legacy_clients:
            each.close()

    _in_threads(client, work)


class _LegacyClient:
    """One REQ socket, replaced after a time-out."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> None:
        self._context = context
        self._endpoint = endpoint
        self._socket = self._open()

    def _open(self) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.REQ)
        socket.linger = 0
        socket.connect(self._endpoint)
        return socket

    def ask(self, client: SoakClient) -> None:
        method, numbered, timeout_s = client.next_request()
        self._socket.send(msgspec.json.encode({"action": method, "numbered": numbered}))
        if self._socket.poll(int(timeout_s * 1000)):
            client.record_outcome(numbered, _outcome_of(msgspec.json.decode(self._socket.recv()), numbered))
        else:
            client.record_outcome(numbered, Outcome.TIMED_OUT)
            self._socket.close()
            self._socket = self._open()

    def close(self) -> None:
        self._socket.close()


def _outcome_of(document: dict[str, Any], numbered: NumberedRequest) -> Outcome:
    if "error" in document:
        return Outcome.REFUSED
    return Outcome.ANSWERED if document["result"] == msgspec.to_builtins(numbered) else Outcome.WRONG


def _in_threads(client: SoakClient, work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(THREADS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(max(0.0, client.until_s - time.monotonic()) + _DRAIN_S)


_KINDS: Final = {"tasks": request_in_tasks, "threads": request_in_threads, "old": request_as_legacy}

if __name__ == "__main__":
    kind, index, until, seed, *agents = sys.argv[1:]
    client = SoakClient(int(index), Path(os.environ["ARGOSY_BOOK"]).parent, float(until), int(seed))
    print_ready()
    _KINDS[kind](client, agents)
    client.close()
