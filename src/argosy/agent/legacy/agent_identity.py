"""The identity of a process: the agent object that has its name, its ports, its health and its requests.

Programs make agents inside agents: a client that derives from BaseAgent, a helper class that
a rewrite turned into one. A process has one identity. It belongs to the agent whose constructor
began first; one of the program's own module takes it from one of an imported module, and a new
one from one that has failed or left. All others bind nothing.

Health and the argosy endpoint are served from the constructor on. The main port is bound when
BaseAgent's own loop begins, or some time after an agent's own loop has begun without it: until then
the agent itself may bind it, and its clients wait in their own queues, as for an agent that
has not started. Had they connected to BaseAgent, their requests would have to be refused.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from typing import Any, Final

import msgspec

from argosy.agent.legacy.constructor_args import ConstructorArguments, parse_command_line, parse_port
from argosy.agent.legacy.health_reporter import HealthReporter
from argosy.agent.legacy.main_thread import MainThreadProgress, MainThreadStage
from argosy.agent.legacy.port_arbiter import (
    ALLOW,
    BindDecision,
    PortAssignment,
    choose_ports,
    decide_bind,
    exempt_binds,
    free_port,
    set_arbiter,
)
from argosy.agent.legacy.request_adapter import is_health_request, send_error, send_result
from argosy.agent.legacy.responder_thread import ResponderThread
from argosy.agent.legacy.service_discovery import observed_health
from argosy.agent.legacy.work_loop import RequestQueue
from argosy.agent.settings import Settings, read_settings
from argosy.fault import RefusedError
from argosy.wire.address_book import socket_path
from argosy.wire.protocol import codec
from argosy.wire.pubsub.topic import TOPICS_PORT_METHOD
from argosy.wire.server.incoming_request import IncomingRequest, MsgpackRequest
from argosy.wire.zmq_context.closing_sockets import wait_until_free
from argosy.wire.zmq_context.zmq_instance import install_shared_instance

MAIN_KEY: Final = "main"
HEALTH_KEY: Final = "health"
FLEET_KEY: Final = "fleet"

RECLAIM_INTERVAL_S: Final = 1.0
UNTAKEN_TIMEOUT_S: Final = (
    5.0  # requests that the agent's work loop does not read are refused after this time
)

_log = logging.getLogger("argosy.agent")


class AgentIdentity:
    """The identity of the agent that owns it; also the arbiter of its binds.

    owner: the agent. progress: of its main thread. compute: its health payload. ports: None until `open`.
    """

    def __init__(self, owner: object, progress: MainThreadProgress, compute: Callable[[], Any]) -> None:
        self.owner = owner
        self.progress = progress
        self.ports: PortAssignment | None = None
        self.settings = Settings("")
        self.moved_binds: dict[str, str] = {}
        self.other_agents: dict[str, None] = {}
        self._compute = compute
        self._agent_ports: set[int] = set()
        self._lent_ports: set[int] = set()
        self._is_strict = True
        self._is_main_open = False
        self._responder: ResponderThread | None = None

    # -- lifecycle -----------------------------------------------------------------------------

    def open(self, arguments: ConstructorArguments) -> PortAssignment:
        """Choose the ports, start the responder, answer health; return the ports. Only the first call acts.

        Raises InputError: a variable is wrong. Raises RefusedError: the health port is held.
        """
        if self.ports is None:
            self.settings = read_settings(arguments.name, port=parse_port(parse_command_line().get("port")))
            self.ports = choose_ports(self.settings, arguments)
            self._is_strict = arguments.strict_port
            self._start_responder()
            self._bind(HEALTH_KEY, self.ports.health)
        return self.ports

    def _start_responder(self) -> None:
        self._responder = responder = ResponderThread(self.settings, self._on_request)
        self.queue = RequestQueue(responder.post)
        self._health_reporter = HealthReporter(
            self.progress,
            self._compute,
            responder,
            self.moved_binds,
            self.other_agents,
            self._open_late,
            self._refuse_waiting,
            lambda: observed_health.by_kind(self.settings.current_address()),
        )
        responder.start()
        resolver = self.settings.resolver
        path = resolver and socket_path(resolver.book.runtime, self.settings.name)
        if path:
            responder.call(lambda: responder.bind(FLEET_KEY, [f"ipc://{path}"]))
            responder.call(responder.bind_topics)
        responder.post(self._health_reporter.on_heartbeat)
        responder.post(self._reclaim_ports)

    def open_main(self) -> None:
        """Serve the main port, unless the agent does; raises RefusedError when it is held."""
        responder, ports = self._responder, self.ports
        self._is_main_open = True
        is_apart = ports is not None and ports.main != ports.health
        if responder and ports and is_apart and not responder.call(lambda: responder.has_server(MAIN_KEY)):
            self._bind(MAIN_KEY, ports.main)

    def _open_late(self) -> None:
        """Bind the main port of an agent that runs its own loop and has not bound it by now."""
        if not self._is_stopping():
            try:
                self.open_main()
            except RefusedError as error:
                _log.error("%s", error)

    def _bind(self, key: str, port: int | None) -> None:
        responder = self._responder
        if responder is None or not port or port in self._agent_ports:
            return
        try:
            responder.call(lambda: responder.bind(key, [self._endpoint(port)]))
        except RefusedError:
            if self._is_strict:
                raise
            self._bind_elsewhere(responder, key, port)

    def _bind_elsewhere(self, responder: ResponderThread, key: str, port: int) -> None:
        """Bind any free port, for an agent without `strict_port`."""
        assert self.ports
        other = free_port(self.settings.address.bind)
        responder.call(lambda: responder.bind(key, [self._endpoint(other)]))
        self.ports = msgspec.structs.replace(self.ports, **{key: other})
        self.on_redirected(port, self._endpoint(other), "it is held, and `strict_port` is false")

    def _endpoint(self, port: int) -> str:
        return f"tcp://{self.settings.address.bind}:{port}"

    def close(self) -> None:
        """Stop serving; the ports are free when this returns."""
        responder, self._responder = self._responder, None
        if responder and self.ports:
            responder.stop()
            own_ports = {self.ports.main, self.ports.health or 0} - self._agent_ports - {0}
            with exempt_binds():
                wait_until_free([self._endpoint(port) for port in own_ports])

    def on_progress(self) -> None:
        """Handle a new stage of the main thread; safe in any thread and in a signal handler."""
        if self._responder:
            self._responder.post(self._health_reporter.notify)

    def publish(self, topic: str, value: object) -> None:
        """Publish on the fleet's topics, from any thread."""
        responder = self._responder
        if responder:
            responder.post(lambda: responder.publish(topic, value))

    # -- PortArbiter ---------------------------------------------------------------------------

    def decide(self, port: int, takes_requests: bool) -> BindDecision:
        """Decide on a bind of the agent's; before the ports are known, all are allowed and recorded."""
        if self.ports is None:
            self._agent_ports.add(port)
            return ALLOW
        main_is_free = self.ports.main not in self._agent_ports
        return decide_bind(self.ports, port, takes_requests=takes_requests, main_is_free=main_is_free)

    def release_port(self, port: int, is_temporary: bool) -> None:
        """Close BaseAgent's own socket on a port of the agent's, and wait until the port can be bound.

        is_temporary: for a plain socket, which may only test the port; then it is bound again once free.
        """
        responder = self._responder
        if responder is None:
            return
        self._agent_ports.add(port)
        if is_temporary:
            self._lent_ports.add(port)
        key, message = self._listener_key(port), "the agent is taking its port itself"
        refuse = functools.partial(self.queue.refuse, codec.STOPPING, message, key)
        if responder.call(lambda: responder.unbind(key, refuse)):
            wait_until_free([self._endpoint(port)])

    def _listener_key(self, port: int) -> str:
        return HEALTH_KEY if self.ports and port == self.ports.health else MAIN_KEY

    def on_redirected(self, port: int, endpoint: str, reason: str) -> None:
        """Report a bind that was redirected."""
        self.moved_binds[str(port)] = endpoint
        _log.warning("a bind on port %d went to `%s`: %s", port, endpoint, reason)

    def add_other_agent(self, name: str) -> None:
        """Report another agent object of this process, which has no identity and binds nothing."""
        self.other_agents[name] = None
        _log.info("`%s` is a second agent in this process, and binds nothing", name)

    def _reclaim_ports(self) -> None:
        """Bind released ports again that are free; in the responder's thread."""
        responder = self._responder
        if responder is None:
            return
        for port in [p for p in self._lent_ports if wait_until_free([self._endpoint(p)], 0.0)]:
            self._lent_ports.discard(port)
            self._agent_ports.discard(port)
            if self._listener_key(port) == HEALTH_KEY or self._is_main_open:
                responder.bind(self._listener_key(port), [self._endpoint(port)])
        responder.call_later(RECLAIM_INTERVAL_S, self._reclaim_ports)

    # -- requests, in the responder's thread ------------------------------------------------------

    def _on_request(self, key: str, request: IncomingRequest) -> None:
        if isinstance(request, MsgpackRequest) and request.method == TOPICS_PORT_METHOD:
            request.reply(self._responder.topics_port if self._responder else 0)
        elif key == HEALTH_KEY or is_health_request(request):
            self._health_reporter.with_document(lambda document: send_result(request, document))
        elif self._is_stopping():
            send_error(request, codec.STOPPING, "it is stopping")
        else:
            self.queue.put(key, request)
            if self._responder and not self.progress.is_in_base_loop:
                self._responder.call_later(UNTAKEN_TIMEOUT_S, self._refuse_untaken)

    def _is_stopping(self) -> bool:
        return self._responder is not None and self._responder.status.refusal == "stopping"

    def _refuse_untaken(self) -> None:
        """End requests that no loop of BaseAgent will take, since the agent runs its own loop."""
        if self.progress.stage is MainThreadStage.WORKING and not self.progress.is_in_base_loop:
            self.queue.refuse(codec.UNKNOWN_METHOD, "its `run` takes no requests from its base")

    def _refuse_waiting(self) -> None:
        self.queue.refuse(codec.STOPPING, "it takes no more requests here")


_current: list[tuple[int, AgentIdentity]] = []


def current_identity() -> AgentIdentity | None:
    """Return the process's identity, None where there is none; a forked child has none."""
    if _current and _current[0][0] != os.getpid():
        _current.clear()
        set_arbiter(None)
    return _current[0][1] if _current else None


def set_identity(identity: AgentIdentity) -> None:
    """Set the process's identity; the previous one is closed."""
    previous = current_identity()
    if previous:
        previous.close()
    _current[:] = [(os.getpid(), identity)]
    install_shared_instance()
    set_arbiter(identity)


def close_identity() -> None:
    """Close the process's identity, at its end."""
    identity = current_identity()
    if identity:
        set_arbiter(None)
        identity.close()
