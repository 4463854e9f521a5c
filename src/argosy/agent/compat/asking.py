"""The old way to ask another agent: one REQ with JSON, which agents old and new answer."""

from __future__ import annotations

import os
import time
import uuid
from datetime import datetime
from typing import Any, Final

import zmq

from argosy.agent.needs import Needs
from argosy.fault import ArgosyError
from argosy.wire.book import Directory, Entry
from argosy.wire.lease import context
from argosy.wire.standing import LOST

RECEIVE_MS: Final = 5000  # the receive time-out that old code expects

# What the questions of this process have shown of the agents that they went to.
shown = Needs()


def endpoint_of(name: str) -> tuple[str, int]:
    """Return (host, port) of an agent, as its fleet declares it.

    Raises RuntimeError, as old callers expect: there is no fleet, no such agent, or it has no port.
    """
    entry = _directory_of(name)[1]
    if entry.port is None:
        raise RuntimeError(f"could not locate agent `{name}`: it declares no port")
    return entry.host, entry.port


def machine_of(name: str) -> tuple[str, frozenset[str]]:
    """Return an agent's machine and the names of all machines of its fleet; raises RuntimeError as above."""
    directory, entry = _directory_of(name)
    return entry.machine, frozenset(each.machine for each in directory.book.agents.values())


def _directory_of(name: str) -> tuple[Directory, Entry]:
    path = os.environ.get("ARGOSY_BOOK")
    if not path:
        raise RuntimeError(f"could not locate agent `{name}`: there is no fleet (ARGOSY_BOOK is not set)")
    try:
        directory = Directory(path)
        return directory, directory.entry(name)
    except ArgosyError as error:
        raise RuntimeError(f"could not locate agent `{name}`: {error}") from error


def ask(
    caller: str,
    name: str,
    request: dict[str, Any],
    host: str | None,
    port: int | None,
    timeout_ms: int,
    tries: int,
    pause_s: float,
) -> dict[str, Any]:
    """Send a request and return the answer; a bare answer comes under `data`.

    host, port: where to ask; the fleet's where either is missing. A wildcard means this machine.
    Raises RuntimeError: the agent cannot be located, or did not answer in any of the tries.
    """
    if not host or not port:
        declared_host, declared_port = endpoint_of(name)
        host, port = host or declared_host, port or declared_port
    if host in ("*", "0.0.0.0", "::"):
        host = "127.0.0.1"
    letter = {
        **request,
        "source_agent": caller,
        "request_id": str(uuid.uuid4()),
        "timestamp": datetime.now().isoformat(),
    }
    tell = shown.teller(name)
    for number in range(max(1, tries)):
        if number:
            time.sleep(pause_s)
        try:
            answer = _ask_once(f"tcp://{host}:{port}", letter, timeout_ms)
        except (zmq.ZMQError, ValueError) as error:
            last = error
            if isinstance(error, zmq.ZMQError):
                tell(LOST)
        else:
            tell("ok")
            return answer if isinstance(answer, dict) else {"status": "success", "data": answer}
    raise RuntimeError(f"no answer from `{name}` at {host}:{port} in {max(1, tries)} tries: {last}") from last


def _ask_once(endpoint: str, letter: dict[str, Any], timeout_ms: int) -> Any:
    """Raises zmq.Again after the time-out, ValueError when the answer is no JSON."""
    with context() as lease, lease.socket(zmq.REQ) as socket:
        socket.linger = 0
        socket.rcvtimeo = socket.sndtimeo = timeout_ms
        socket.connect(endpoint)
        socket.send_json(letter)
        return socket.recv_json()
