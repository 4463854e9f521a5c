"""The publications of an agent of another machine.

On one machine a subscriber knows where every agent publishes, a socket with a path. Elsewhere that
is a port that the publisher got from its kernel, another one in each of its lives, so it is asked
for over a lane, which is closed again. ZeroMQ is kept from reconnecting, as for a lane: who held
the port in the last life need not be who holds it now. When the connection ends the agent is asked
again, at 0.1 to 15 s; who publishes nothing to other machines is left alone for a minute.

Nothing is sent on an idle connection. That its machine has vanished is for the kernel to find out,
by keep-alive, which wakes no process.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
import zmq

from argosy.fault import ArgosyError
from argosy.wire.blocking import named_channel
from argosy.wire.book import Directory
from argosy.wire.call import Answer
from argosy.wire.channel import Channel
from argosy.wire.keys import secure
from argosy.wire.lane import DAY_MS, receive
from argosy.wire.lease import shared_context
from argosy.wire.monitor import Monitor
from argosy.wire.reactor import Reactor, Timer
from argosy.wire.topic import PORT_METHOD

ASK_S: Final = 2.0
FIRST_PAUSE_S: Final = 0.1
MOST_PAUSE_S: Final = 15.0
SILENT_PAUSE_S: Final = 60.0  # for one that says it has no port
DRAIN_MESSAGES: Final = 128

# Seconds: a machine that has vanished is found 25 s after its last word.
KEEPALIVE_IDLE_S: Final = 10
KEEPALIVE_EVERY_S: Final = 5
KEEPALIVE_TIMES: Final = 3

_OPENED: Final = int(zmq.EVENT_HANDSHAKE_SUCCEEDED)
_ENDED: Final = int(zmq.EVENT_DISCONNECTED | zmq.EVENT_CONNECT_RETRIED)


class _Question:
    """The sink of one question for a port; the answer is 0 for one that publishes to nobody afar."""

    def __init__(self, answered: Callable[[int], object], failed: Callable[[], object]) -> None:
        self._answered = answered
        self._failed = failed
        self._is_over = False

    def done(self) -> bool:
        return self._is_over

    def set_result(self, answer: Answer, /) -> None:
        self._is_over = True
        try:
            port = msgspec.msgpack.decode(answer[0], type=int)
        except msgspec.DecodeError:
            port = 0
        self._answered(port)

    def set_exception(self, error: BaseException, /) -> None:
        # An agent of an older argosy knows no such method; it is asked again as one that is not there.
        self._is_over = True
        self._failed()


class DistantFeed:
    """One agent's publications under some topics, through all of its lives.

    take: gets each message. caller: who asks, for people.
    """

    def __init__(
        self,
        name: str,
        directory: Directory,
        reactor: Reactor,
        topics: Iterable[str],
        take: Callable[[list[memoryview]], object],
        caller: str = "",
    ) -> None:
        self._name = name
        self._directory = directory
        self._reactor = reactor
        self._topics = tuple(topics)
        self._take = take
        self._caller = caller
        self._channel: Channel | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: Monitor | None = None
        self._timer: Timer | None = None
        self._pause_s = FIRST_PAUSE_S
        self._is_closed = False
        self.questions = 0
        self._ask()

    def close(self) -> None:
        """Close at once."""
        self._is_closed = True
        self._end_question()
        self._disconnect()
        if self._timer:
            self._timer.cancel()

    # -- where it publishes -------------------------------------------------------------------

    def _ask(self) -> None:
        self._timer = None
        self.questions += 1
        self._channel = named_channel(self._name, self._directory, self._reactor, self._caller)
        # The channel is closed in the next tick: it is in the middle of telling.
        question = _Question(
            lambda port: self._reactor.soon(lambda: self._on_port(port)),
            lambda: self._reactor.soon(self._on_failure),
        )
        self._channel.submit(PORT_METHOD, {}, ASK_S, question, "")

    def _end_question(self) -> None:
        channel, self._channel = self._channel, None
        if channel:
            channel.close()

    def _on_port(self, port: int) -> None:
        self._end_question()
        if self._is_closed:
            return
        if not port:
            self._later(SILENT_PAUSE_S)
            return
        try:
            self._connect(port)
        except (ArgosyError, zmq.ZMQError):  # its entry or its key is not here; it may still come
            self._disconnect()
            self._again()

    def _on_failure(self) -> None:
        self._end_question()
        if not self._is_closed:
            self._again()

    def _again(self) -> None:
        """Ask in a while, longer each time until a connection is made."""
        pause_s, self._pause_s = self._pause_s, min(MOST_PAUSE_S, 2 * self._pause_s)
        self._later(pause_s)

    def _later(self, pause_s: float) -> None:
        # Spread: the subscribers of one publisher lose it in the same instant.
        self._timer = self._reactor.later(pause_s * random.uniform(0.75, 1.0), self._ask)

    # -- the connection -----------------------------------------------------------------------

    def _connect(self, port: int) -> None:
        endpoint = f"tcp://{self._directory.entry(self._name).host}:{port}"
        self._socket = socket = _subscriber()
        self._monitor = Monitor(socket, _OPENED | _ENDED)
        secure(self._directory, self._name, socket, endpoint)
        for topic in self._topics:
            socket.setsockopt(zmq.SUBSCRIBE, topic.encode() + b"\0")
        socket.connect(endpoint)
        for fd, act in ((socket.fileno(), self._on_readable), (self._monitor.fd, self._on_monitor)):
            self._reactor.watch(fd, act)
            self._reactor.soon(act)  # a descriptor tells of changes since the last look only

    def _disconnect(self) -> None:
        socket, monitor = self._socket, self._monitor
        self._socket = self._monitor = None
        if monitor:
            self._reactor.unwatch(monitor.fd)
            monitor.close()
        if socket:
            self._reactor.unwatch(socket.fileno())
            socket.close(0)

    def _on_readable(self) -> None:
        for _ in range(DRAIN_MESSAGES):
            message = receive(self._socket) if self._socket else None
            if message is None:
                return
            self._take(message)
        self._reactor.soon(self._on_readable)

    def _on_monitor(self) -> None:
        while self._monitor and (told := self._monitor.read()):
            if told[0] == _OPENED:
                self._pause_s = FIRST_PAUSE_S
            else:
                self._on_readable()  # what came before the end
                self._disconnect()
                self._again()


def _subscriber() -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = shared_context().socket(zmq.SUB)
    socket.linger = 0
    socket.reconnect_ivl = DAY_MS
    socket.tcp_keepalive = 1
    socket.tcp_keepalive_idle = KEEPALIVE_IDLE_S
    socket.tcp_keepalive_intvl = KEEPALIVE_EVERY_S
    socket.tcp_keepalive_cnt = KEEPALIVE_TIMES
    return socket
