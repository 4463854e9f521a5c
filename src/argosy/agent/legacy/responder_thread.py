"""The thread that answers for a BaseAgent while user code occupies the main thread.

It serves the ROUTERs of the declared ports, the notify socket and the topics, with the same parts
as an Agent's loop. It never runs user code, so nothing that an agent does can block it; the state that it
reports is the main thread's.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from argosy.agent.endpoint_binder import EndpointBinder
from argosy.agent.legacy.port_arbiter import exempt_binds
from argosy.agent.legacy.request_adapter import parse_legacy_request
from argosy.agent.legacy.work_loop import WakeupPipe
from argosy.agent.notifier import Notifier
from argosy.agent.settings import Settings
from argosy.wire.protocol.frame import new_incarnation
from argosy.wire.pubsub.topic import Publisher
from argosy.wire.server.agent_status import AgentStatus
from argosy.wire.server.incoming_request import IncomingRequest
from argosy.wire.server.rpc_server import RpcServer
from argosy.wire.transport.reactor import BlockingReactor, Timer

CALL_TIMEOUT_S: Final = 5.0

_log = logging.getLogger("argosy.agent")


class ResponderThread:
    """A thread with a reactor; servers by the port or path they serve.

    on_request: gets each request with the key of its server, in the responder's thread.
    """

    def __init__(self, settings: Settings, on_request: Callable[[str, IncomingRequest], None]) -> None:
        self.name = settings.name
        self.notifier = Notifier(settings.notify, settings.watchdog_s)
        self._settings = settings
        self._on_request = on_request
        self._callbacks: deque[Callable[[], object]] = deque()
        self._wakeup = WakeupPipe()
        self._reactor = BlockingReactor()
        self._binder = EndpointBinder(settings, self._reactor)
        self._servers: dict[str, RpcServer] = {}
        self._closed_counts: dict[str, int] = {}
        self.topics_port = 0
        self.status = AgentStatus()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="argosy-responder", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    # -- from any thread -------------------------------------------------------------------------

    def post(self, callback: Callable[[], object]) -> None:
        """Run `callback` in the responder's thread, soon; dropped after the end."""
        if not self._is_stopped:
            self._callbacks.append(callback)
            self._wakeup.wake()

    def call(self, callback: Callable[[], Any]) -> Any:
        """Run `callback` in the responder's thread, wait, and return its result or raise its error.

        Raises TimeoutError: the thread has ended.
        """
        if threading.current_thread() is self._thread:
            return callback()
        done = threading.Event()
        result: list[Any] = [None, None]

        def run() -> None:
            try:
                result[0] = callback()
            except Exception as error:
                result[1] = error
            done.set()

        self.post(run)
        if not done.wait(CALL_TIMEOUT_S):
            raise TimeoutError("the responder has ended")
        if result[1]:
            raise result[1]
        return result[0]

    def stop(self) -> None:
        """Close everything and end the thread; waits at most 1 s."""
        self.post(self._close)
        self._thread.join(1.0)

    # -- in its own thread -----------------------------------------------------------------------

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` once, after `delay_s`."""
        return self._reactor.call_later(delay_s, callback)

    def bind(self, key: str, endpoints: Sequence[str]) -> None:
        """Serve these endpoints; raises RefusedError that names one that cannot be bound."""
        server = RpcServer(
            self.name, self._reactor, partial(self._on_request, key), parse_legacy_request, self.status
        )
        try:
            self._binder.bind(server, endpoints)
        except Exception:
            server.close()
            raise
        self._servers[key] = server

    def unbind(self, key: str, refuse: Callable[[], object] | None = None) -> bool:
        """Close a server; False when there is none. refuse: answers requests that have arrived there."""
        server = self._servers.pop(key, None)
        if server is None:
            return False
        if refuse:
            server.drain()
            refuse()
        for name, count in server.statistics().items():
            self._closed_counts[name] = self._closed_counts.get(name, 0) + count
        server.close()
        return True

    def bind_topics(self) -> None:
        """Bind the topics endpoint if the fleet has one; the agent's own endpoint has made the directory."""
        self.topics_port = self._binder.bind_topics(self._publisher)
        self._send_beacon()

    def has_server(self, key: str) -> bool:
        """Return whether a server is open."""
        return key in self._servers

    def open(self) -> None:
        """Welcome argosy clients."""
        for server in self._servers.values():
            server.open()

    def publish(self, topic: str, value: object) -> None:
        """Publish to all subscribers."""
        try:
            self._publisher.publish(topic, value)
        except TypeError:
            _log.exception("`%s` publishes a value without an encoding", self.name)

    def statistics(self) -> dict[str, int]:
        """Return the sum of its servers' counts."""
        total = {**self._closed_counts, "in_flight": 0, "clients": 0}
        for server in self._servers.values():
            for name, count in server.statistics().items():
                total[name] = total.get(name, 0) + count
        return {"handled": 0, "failed": 0, **total}

    def _run(self) -> None:
        with exempt_binds():
            self._reactor.add_reader(self._wakeup.fd, self._on_wakeup)
            self._publisher = Publisher(self.name, new_incarnation(), self._reactor)
            while not self._is_stopped:
                self._run_reactor()

    def _run_reactor(self) -> None:
        """Run the reactor until the end, through failures that must not silence the agent."""
        try:
            self._reactor.run_until(lambda: self._is_stopped)
        except Exception:
            _log.exception("the responder of `%s` failed and continues", self.name)

    def _on_wakeup(self) -> None:
        self._wakeup.clear()
        while self._callbacks and not self._is_stopped:
            self._callbacks.popleft()()

    def _send_beacon(self) -> None:
        self._publisher.beacon()
        self.call_later(self.notifier.heartbeat_s, self._send_beacon)

    def _close(self) -> None:
        for key in list(self._servers):
            self.unbind(key)
        self._publisher.close()
        self._binder.close()
        self.notifier.close()
        self._is_stopped = True
