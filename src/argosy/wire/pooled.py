"""One question to a plain REP socket, on a connection that the next question finds again.

This stands where code made a REQ socket, sent, received and closed it for every question. What
travels is the same, so the peer may be of any age. A connection belongs to one thread and one
endpoint. It is thrown away when a question ends in any other way than with its answer, so that a
late answer finds nobody, and when it ended while nothing was asked; nothing is ever asked twice.

ZeroMQ is kept from reconnecting, as for a lane: an idle connection to a peer that has gone would
knock there for ever. Who is not there yet is dialled again as often as ZeroMQ would; as long as
no connection has been made, the question has not left.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from typing import Any, Final

import zmq
from zmq.utils import jsonapi

from argosy.wire.lease import shared_context
from argosy.wire.monitor import Monitor, has_input

MOST_KEPT: Final = 8  # connections of one thread; the one that was used longest ago goes
REDIAL_MS: Final = 100  # ZeroMQ's own interval
DAY_MS: Final = 24 * 3600 * 1000

_OPENED: Final = int(zmq.EVENT_HANDSHAKE_SUCCEEDED)
_ENDED: Final = int(zmq.EVENT_DISCONNECTED | zmq.EVENT_CONNECT_RETRIED)
_kept = threading.local()


def ask(endpoint: str, message: bytes, timeout_ms: int) -> bytes:
    """Send one message to a REP socket and return its answer, of which only the first frame is kept.

    timeout_ms: how long to wait for it, in milliseconds as RCVTIMEO has it.
    Raises zmq.Again: there was no answer in time; zmq.ZMQError: this is no endpoint;
    ValueError: `timeout_ms` is below 0, which would be for ever.
    """
    if timeout_ms < 0:
        raise ValueError(f"`timeout_ms` is {timeout_ms}, expected 0 or more milliseconds")
    line = _take(endpoint)
    try:
        answer = _answer(line, message, timeout_ms)
    except BaseException:
        line.close()
        raise
    _keep(line)
    return answer


def ask_json(endpoint: str, document: Any, timeout_ms: int) -> Any:
    """Send one JSON document and return the one that comes back, as `send_json` and `recv_json` do.

    Raises as `ask`; TypeError: the document has no encoding; ValueError: the answer is no JSON.
    """
    return jsonapi.loads(ask(endpoint, jsonapi.dumps(document), timeout_ms))


class _Line:
    """One REQ socket and what is known of its one connection; closed when its thread ends."""

    def __init__(self, endpoint: str) -> None:
        self.pid = 0  # nobody's, until there is something to close
        self.endpoint = endpoint
        self._dial()
        self.pid = os.getpid()

    def _dial(self) -> None:
        self.is_open = self.has_ended = False
        self.socket, self._monitor = _connected(self.endpoint)

    def look(self) -> None:
        """Take what has happened to the connection since the last look."""
        while told := self._monitor.read():
            self.is_open = self.is_open or told[0] == _OPENED
            self.has_ended = self.has_ended or bool(told[0] & _ENDED)

    def wait(self, timeout_ms: int) -> None:
        """Wait until something arrives, or something happens to the connection."""
        poller = zmq.Poller()
        poller.register(self.socket, zmq.POLLIN)
        poller.register(self._monitor.socket, zmq.POLLIN)
        poller.poll(timeout_ms)
        self.look()

    def redial(self) -> None:
        """Begin again with a new socket."""
        self.close()
        self._dial()

    def close(self) -> None:
        """Close at once."""
        if self.pid == os.getpid():
            self._monitor.close()
            self.socket.close(0)

    __del__ = close


def _connected(endpoint: str) -> tuple[zmq.Socket[bytes], Monitor]:
    socket: zmq.Socket[bytes] = shared_context().socket(zmq.REQ)
    try:
        socket.linger = 0
        socket.reconnect_ivl = DAY_MS
        monitor = Monitor(socket, _OPENED | _ENDED)
    except BaseException:
        socket.close(0)
        raise
    try:
        socket.connect(endpoint)
    except BaseException:
        monitor.close()
        socket.close(0)
        raise
    return socket, monitor


def _answer(line: _Line, message: bytes, timeout_ms: int) -> bytes:
    """Send and wait; a connection that was never made is dialled again, with the same message."""
    until_s = time.monotonic() + timeout_ms / 1000
    line.socket.send(message)
    # An inproc connection has no events: there only the answer itself ends the wait.
    while not (line.is_open or has_input(line.socket)) and (left_ms := _left_ms(until_s)):
        line.wait(left_ms)
        if line.has_ended and not line.is_open:
            time.sleep(min(REDIAL_MS, left_ms) / 1000)
            line.redial()
            line.socket.send(message)
    line.socket.rcvtimeo = _left_ms(until_s)
    return line.socket.recv_multipart()[0]


def _left_ms(until_s: float) -> int:
    # Rounded up: a wait of 0 ms just before the end would turn on the spot.
    return max(0, -int((time.monotonic() - until_s) * 1000 // 1))


def _lines() -> dict[str, _Line]:
    """Return this thread's connections, the one used last at the end."""
    lines: dict[str, _Line] = _kept.__dict__.setdefault("lines", {})
    return lines


def _take(endpoint: str) -> _Line:
    """Return a connection that nobody else uses, kept or new."""
    line = _lines().pop(endpoint, None)
    if line and line.pid == os.getpid():  # else it was inherited through a fork
        line.look()
        if not line.has_ended:
            return line
        line.close()
    return _Line(endpoint)


@atexit.register
def _drop() -> None:
    """Close this thread's: what other sockets still have to deliver waits for nobody's open ones."""
    lines = _lines()
    while lines:
        lines.popitem()[1].close()


def _keep(line: _Line) -> None:
    lines = _lines()
    lines[line.endpoint] = line
    while len(lines) > MOST_KEPT:
        lines.pop(next(iter(lines))).close()
