"""BaseAgent: a base class for agents written before argosy, which stay unchanged.

What is documented here is what a subclass may rely on. Methods whose job argosy does by other means do
nothing, as is said there.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import datetime
from types import SimpleNamespace
from typing import Any, Final

from argosy.agent.legacy.agent_state import state_of
from argosy.agent.legacy.constructor_args import parse_command_line, parse_constructor_arguments, parse_port
from argosy.agent.legacy.method_hooks import base_method, wrap_hooks
from argosy.agent.legacy.port_arbiter import free_port
from argosy.agent.legacy.service_discovery import agent_address, request_agent

JOIN_TIMEOUT_S: Final = 2.0  # for all of an agent's threads together, at its end

logger = logging.getLogger("argosy.agent")


class BaseAgent:
    """The base class of agents written before argosy.

    Its constructor takes `name`, `port`, `health_check_port`, `config`, `strict_port` and
    `capabilities` in any order, by position or keyword, and ignores other keywords. Ports that the
    fleet declares win. The first agent of a process has its ports; others bind nothing.
    """

    name: str
    port: int
    health_check_port: int
    running: bool = True  # also for loops that a constructor starts before it calls this class's constructor

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        wrap_hooks(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        arguments = parse_constructor_arguments(
            type(self).__name__, args, kwargs, getattr(self, "config", None)
        )
        state = state_of(self)
        ports = state.setup(arguments)
        self.args = SimpleNamespace(**{"host": None, "port": None, **parse_command_line()})
        self.name = arguments.name
        self.port = ports.main
        self.health_check_port = ports.health or ports.main + 1
        self.health_port = self.health_check_port
        self.config = {} if arguments.config is None else arguments.config
        self.strict_port = arguments.strict_port
        self.context = state.context
        self.health_context = state.context
        self.running = True
        self.is_initialized = threading.Event()
        self.initialization_error: str | None = None
        self.start_time = time.time()
        self.logger = logging.getLogger(arguments.name)
        self.health_thread: threading.Thread | None = None
        self._cleanup_called = False
        self.capabilities = arguments.capabilities or self._get_default_capabilities()

    def __init_base__(self) -> None:
        """Initialize an agent whose constructor did not call this class's; keeps the attributes it set."""
        before = {key: value for key, value in vars(self).items() if key != "_argosy"}
        BaseAgent.__init__(self, name=before.get("name"), port=before.get("port"))
        vars(self).update(before)

    # -- sockets, unless a subclass sets or uses them -----------------------------------------------

    @property
    def socket(self) -> Any:
        """A REP socket on the main port; a subclass that uses it answers there instead of the responder."""
        return state_of(self).socket("socket")

    @socket.setter
    def socket(self, value: Any) -> None:
        state_of(self).sockets["socket"] = value

    @property
    def health_socket(self) -> Any:
        """A REP socket that is not bound: the responder answers on the health port."""
        return state_of(self).socket("health_socket")

    @health_socket.setter
    def health_socket(self, value: Any) -> None:
        state_of(self).sockets["health_socket"] = value

    # -- work loop -----------------------------------------------------------------------------------

    @base_method
    def run(self) -> None:
        """Handle requests in the main thread until `running` is false, then clean up."""
        try:
            state_of(self).serve()
        except KeyboardInterrupt:
            logger.info("`%s` was interrupted", self.name)
        finally:
            self.cleanup()

    def stop(self) -> None:
        """Stop the work loop; `run` cleans up."""
        self.running = False
        state_of(self).wake()

    def shutdown(self) -> None:
        """Stop, and clean up."""
        self.stop()
        self.cleanup()

    @base_method
    def cleanup(self) -> None:
        """Join the agent's threads (2 s in all) and close what this class opened; once."""
        if self._cleanup_called:
            return
        self._cleanup_called = True
        self.running = False
        _join_threads(self)
        state_of(self).close()

    # -- requests and health -----------------------------------------------------------------------

    def handle_request(self, request: dict[str, Any]) -> Any:
        """Answer one request; an exception becomes a reply with its text."""
        action = request.get("action") if isinstance(request, dict) else None
        if action in ("ping", "health", "health_check"):
            return self._get_health_status()
        return {"status": "error", "error": f"Unknown action: {action}"}

    @base_method
    def _get_health_status(self) -> dict[str, Any]:
        """Return the agent's payload, which is merged into the health standard."""
        return {
            "status": "degraded" if self.initialization_error else "ok",
            "ready": True,
            "initialized": self.is_initialized.is_set(),
            "message": f"{self.name} is healthy",
            "timestamp": datetime.now().isoformat(),
            "uptime": time.time() - self.start_time,
            "active_threads": threading.active_count(),
        }

    @base_method
    def health_check(self) -> dict[str, Any]:
        """Return the payload, for code that asks its own agent."""
        document: dict[str, Any] = self._get_health_status()
        return document

    @base_method
    def _perform_initialization(self) -> None:
        """Prepare: called once, in a thread, when the constructor has returned.

        `run` waits until it returns, or until it sets `is_initialized`.
        """
        self.is_initialized.set()

    # -- other agents ------------------------------------------------------------------------------

    def get_agent_endpoint(self, agent_name: str) -> tuple[str, int]:
        """Return (host, port) as the fleet declares them; raises RuntimeError for an unknown agent."""
        return agent_address(agent_name)

    def send_request_to_agent(
        self,
        agent_name: str,
        request: dict[str, Any],
        host: str | None = None,
        port: int | None = None,
        timeout: int = 5000,
        retries: int = 1,
        retry_delay: float = 1.0,
    ) -> dict[str, Any]:
        """Send a request to another agent and return its reply.

        timeout: milliseconds. retry_delay: seconds. Raises RuntimeError: no reply.
        """
        return request_agent(
            self.name, agent_name, request, host, parse_port(port), timeout, retries, retry_delay
        )

    def send_event(self, event_type: str, data: Any = None, propagate: bool = False) -> None:
        """Publish `data` under the topic `event_type` to all subscribers. Never blocks."""
        self._publish(event_type, data)

    def report_error(
        self,
        error_type: str = "",
        message: str = "",
        severity: Any = "error",
        context: Any = None,
        stack_trace: str | None = None,
        related_task_id: str | None = None,
        **more: Any,
    ) -> None:
        """Log an error and publish it under the topic `errors`. Never blocks, never raises."""
        severity_name = str(getattr(severity, "value", severity)).lower()
        logger.error("`%s` reports %s (%s): %s", self.name, error_type, severity_name, message)
        report = {
            "agent": self.name,
            "error_type": str(error_type),
            "message": str(message),
            "severity": severity_name,
            "context": context,
            "stack_trace": stack_trace,
            "related_task_id": related_task_id,
            "timestamp": datetime.now().isoformat(),
            **more,
        }
        self._publish("errors", {key: value for key, value in report.items() if value is not None})

    def _publish(self, topic: str, value: Any) -> None:
        identity = state_of(self).identity
        if identity:
            identity.publish(topic, value)

    # -- done by argosy --------------------------------------------------------------------------------

    @base_method
    def _health_check_loop(self) -> None:
        """Nothing: an override with work of its own is run in a thread."""

    def _do_nothing(self) -> None:
        """Nothing: argosy does it by other means."""

    _init_sockets = _do_nothing  # sockets are made when they are used
    _start_health_check = _do_nothing  # health is answered from the constructor on
    _start_http_health_server = _do_nothing  # the fleet's hub and probes use ZeroMQ
    _start_initialization = _do_nothing  # `_perform_initialization` is called after the constructor
    _register_with_digital_twin = _do_nothing  # the fleet's address book has each agent's address
    _setup_logging = _do_nothing  # the engine keeps an agent's output
    _setup_graceful_shutdown = _do_nothing  # SIGTERM ends the work loop

    def _atexit_cleanup(self) -> None:
        """Clean up unless that is done."""
        if self.running:
            self.cleanup()

    def _get_default_capabilities(self) -> list[str]:
        """Return the capabilities of an agent that declares none."""
        return ["basic_agent"]

    def _find_available_port(self, start_port: int = 5000, max_attempts: int = 100) -> int:
        """Return a port that is free now; the arguments are ignored."""
        return free_port()

    def _safe_int(self, value: Any, default: int = 0) -> int:
        """Return a number given as a number or as text, else `default`."""
        try:
            return int(value)
        except (TypeError, ValueError):
            return default


def _join_threads(agent: BaseAgent) -> None:
    """Join the threads in attributes named `..._thread` and `..._threads`."""
    until_s = time.monotonic() + JOIN_TIMEOUT_S
    for key, value in list(vars(agent).items()):
        if key.endswith(("_thread", "_threads")):
            for each in value if isinstance(value, list | tuple) else [value]:
                if (
                    isinstance(each, threading.Thread)
                    and each.is_alive()
                    and each is not threading.current_thread()
                ):
                    each.join(max(0.0, until_s - time.monotonic()))


wrap_hooks(BaseAgent)
