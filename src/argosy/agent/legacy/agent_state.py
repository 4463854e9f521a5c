"""BaseAgent's own state of one agent, kept apart from the attribute names that subclasses use.

It follows the agent through its constructor, its initialisation, its `run` and its `cleanup`, and
has the process's identity while the agent owns it.
"""

from __future__ import annotations

import atexit
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import zmq

from argosy.agent.legacy.agent_identity import AgentIdentity, close_identity, current_identity, set_identity
from argosy.agent.legacy.constructor_args import ConstructorArguments
from argosy.agent.legacy.main_thread import MainThreadProgress, MainThreadStage
from argosy.agent.legacy.port_arbiter import PortAssignment, free_port
from argosy.agent.legacy.service_discovery import DEFAULT_TIMEOUT_MS
from argosy.agent.legacy.work_loop import RequestQueue, SocketReaders, run_work_loop
from argosy.wire.zmq_context.context_handle import ContextHandle, context
from argosy.wire.zmq_context.context_shutdown import close_sockets

_STATE_ATTRIBUTE: Final = "_argosy"
FIELDS_TIMEOUT_S: Final = 5.0

_log = logging.getLogger("argosy.agent")


class LegacyAgentState:
    """The state of one agent. identity: None if another agent of the process owns it."""

    def __init__(self, agent: Any) -> None:
        self.agent = agent
        self.identity: AgentIdentity | None = None
        self.ports: PortAssignment | None = None
        self.context: ContextHandle | Any = None
        self.progress = MainThreadProgress(agent, self._on_progress)
        self.sockets: dict[str, Any] = {}
        self.run_once = {
            "_perform_initialization": RunOnce(waits=True),
            "_health_check_loop": RunOnce(waits=False),
        }
        self._initialized = threading.Event()
        self._constructor_depth = 0
        self._constructor_thread = 0  # the thread of the outermost constructor
        self._is_constructed = threading.Event()
        self._run_depth = 0
        self._readers = SocketReaders(agent)

    def _on_progress(self) -> None:
        if self.identity:
            self.identity.on_progress()

    # -- the constructor -----------------------------------------------------------------------

    @contextmanager
    def constructing(self) -> Iterator[None]:
        """Context of every constructor of the agent's class and bases; the outermost one begins and ends it.

        Raises SystemExit: the process was told to end, and a second main block would continue.
        """
        if not self._constructor_depth:
            if _was_terminated:
                sys.exit(0)
            self._claim_identity()
            self._constructor_thread = threading.get_ident()
        self._constructor_depth += 1
        try:
            yield
            if self._constructor_depth == 1:
                self._on_constructed()
        except BaseException as error:
            if self._constructor_depth == 1:
                self.progress.advance(
                    MainThreadStage.FAILED, f"its constructor raised {_describe_error(error)}"
                )
            raise
        finally:
            self._constructor_depth -= 1
            if not self._constructor_depth:
                self._is_constructed.set()

    def wait_for_fields(self) -> None:
        """Block a hook that the constructor has started in a thread until the constructor has set the fields.

        A constructor that itself waits for the hook is not blocked for longer than FIELDS_TIMEOUT_S.
        """
        if self._constructor_depth and threading.get_ident() != self._constructor_thread:
            self._is_constructed.wait(FIELDS_TIMEOUT_S)

    def _claim_identity(self) -> None:
        identity = current_identity()
        if identity is not None and not _is_replaceable(identity, self.agent):
            identity.add_other_agent(type(self.agent).__name__)
            return
        self.identity = AgentIdentity(self.agent, self.progress, lambda: compute_health_payload(self.agent))
        set_identity(self.identity)

    def setup(self, arguments: ConstructorArguments) -> PortAssignment:
        """Return the agent's ports; opens the identity if the agent owns it."""
        if self.ports is None:
            if self.identity:
                self.ports = self.identity.open(arguments)
                _install_exit_handlers(self)
            else:
                main = arguments.port or free_port()
                self.ports = PortAssignment(main, arguments.health_port or main + 1, {}, is_declared=False)
        if self.context is None or self.context.closed:
            self.context = context()
        return self.ports

    def _on_constructed(self) -> None:
        if self.ports is None:  # the subclass's constructor did not call BaseAgent's
            self.agent.__init_base__()
        self._start_hooks()
        self.progress.advance(MainThreadStage.CONSTRUCTED)

    def _start_hooks(self) -> None:
        """Run in threads the hooks that other base classes ran in threads, now that the fields are set."""
        agent = self.agent
        if is_overridden(agent, "_perform_initialization"):
            self.progress.waiting_reason = "`_perform_initialization` has not returned"
            _start_thread("argosy-initialization", self._initialize)
        else:
            agent._perform_initialization()
            self._initialized.set()
        loop = type(agent)._health_check_loop
        if self.identity and is_overridden(agent, "_health_check_loop") and not _is_plain_health_loop(loop):
            _start_thread("argosy-health-check-loop", agent._health_check_loop)

    def _initialize(self) -> None:
        agent = self.agent
        try:
            agent._perform_initialization()
        except Exception as error:
            _log.exception("`_perform_initialization` failed")
            agent.initialization_error = str(error) or type(error).__name__
        finally:
            self.progress.waiting_reason = ""
            _set_event(getattr(agent, "is_initialized", None))
            self._initialized.set()
            self._on_progress()

    # -- run and cleanup -----------------------------------------------------------------------

    @contextmanager
    def running(self) -> Iterator[None]:
        """Context of every `run` of the agent's class and bases; the outermost one is the work loop."""
        if not self._run_depth:
            self._enter_run()
        self._run_depth += 1
        try:
            yield
        except BaseException as error:
            self._leave_run(error)
            raise
        self._leave_run(None)

    def _enter_run(self) -> None:
        self._wait_for_initialization()
        if not is_overridden(self.agent, "run"):
            self._open_main()
        if not self._constructor_depth:
            self.progress.waiting_reason = ""
            self.progress.advance(MainThreadStage.WORKING)

    def _wait_for_initialization(self) -> None:
        """Wait until the hook returns or sets `is_initialized`; not inside the constructor."""
        while not (self._constructor_depth or self._initialized.wait(0.05)):
            if _is_event_set(getattr(self.agent, "is_initialized", None)):
                return

    def _open_main(self) -> None:
        if self.identity and self.identity.ports:
            declared = self.identity.ports
            self.identity.open_main()
            if self.identity.ports is not declared:  # the port was held, and the agent is not strict about it
                self.agent.port = self.identity.ports.main

    def _leave_run(self, error: BaseException | None) -> None:
        self._run_depth -= 1
        if not self._run_depth:
            failed = error is not None and isinstance(error, Exception)
            self.progress.advance(
                MainThreadStage.LEAVING, f"`run` raised {_describe_error(error)}" if failed and error else ""
            )

    def on_cleanup(self) -> None:
        """Handle the beginning of a clean-up."""
        self.progress.advance(MainThreadStage.LEAVING)

    def serve(self) -> None:
        """Run the work loop until the agent's `running` is false; without an identity only wait for that."""
        self._open_main()
        queue = self.identity.queue if self.identity else RequestQueue(lambda act: act())
        self._readers = SocketReaders(self.agent)
        run_work_loop(self.agent, queue, self.progress, self._own_rep_socket)

    def wake(self) -> None:
        """Make the work loop check `running` at once."""
        if self.identity and self.identity.ports:
            self.identity.queue.wakeup.wake()

    def _own_rep_socket(self) -> Any:
        """Return the REP socket in the agent's `socket`; None without one, or if the agent reads it."""
        found = self.sockets.get("socket")
        if found is None or self._readers.is_read_by_agent():
            return None
        is_rep = isinstance(found, zmq.Socket) and not found.closed and int(found.type) == int(zmq.REP)
        return found if is_rep else None

    # -- sockets of BaseAgent that subclasses use ----------------------------------------------

    def socket(self, key: str) -> Any:
        """Return the socket of an attribute, made at first use.

        `socket` serves the main port, from then on instead of the responder. `health_socket` is
        not bound: a loop on it receives nothing, and the responder continues to answer.
        """
        if key not in self.sockets:
            if self._is_closing():
                return _make_closed_socket()
            new_socket = self.context.socket(zmq.REP)
            new_socket.linger = 0
            new_socket.rcvtimeo = DEFAULT_TIMEOUT_MS
            self.sockets[key] = new_socket
            if key == "socket" and self.identity and self.ports:
                new_socket.bind(f"tcp://{self.identity.settings.address.bind}:{self.ports.main}")
        return self.sockets[key]

    def _is_closing(self) -> bool:
        """Return whether an access to a socket is not a use: from a payload, or from a clean-up."""
        ended = (
            self.context is None
            or self.context.closed
            or self.progress.stage in (MainThreadStage.LEAVING, MainThreadStage.FAILED)
        )
        return ended or threading.current_thread().name == "argosy-payload"

    def close(self) -> None:
        """Close what BaseAgent opened for the agent."""
        if self.context is not None:
            self.context.destroy()
        # Sockets that the agent has set instead need not be of this context handle.
        close_sockets([each for each in self.sockets.values() if isinstance(each, zmq.Socket)], 0)


class RunOnce:
    """A hook that runs once in a process; a second caller gets None.

    waits: a second caller gets it when the first has returned, else at once.
    """

    def __init__(self, *, waits: bool) -> None:
        self._waits = waits
        self._thread: int | None = None
        self._done = threading.Event()
        self._lock = threading.Lock()

    def call(self, hook: Callable[[], Any]) -> Any:
        """Call the hook if this is the first call, or a call from inside it through super."""
        with self._lock:
            is_first = self._thread is None
            if is_first:
                self._thread = threading.get_ident()
        if is_first:
            try:
                return hook()
            finally:
                self._done.set()
        if self._thread == threading.get_ident() and not self._done.is_set():
            return hook()
        if self._waits:
            self._done.wait()
        return None


def state_of(agent: Any) -> LegacyAgentState:
    """Return an agent's state, made at first use."""
    state: LegacyAgentState | None = agent.__dict__.get(_STATE_ATTRIBUTE)
    if state is None:
        state = agent.__dict__[_STATE_ATTRIBUTE] = LegacyAgentState(agent)
    return state


def is_overridden(agent: Any, hook: str) -> bool:
    """Return whether a subclass overrides a hook."""
    return not getattr(getattr(type(agent), hook, None), "_is_base", False)


def compute_health_payload(agent: Any) -> Any:
    """Return the agent's health payload, from whichever of the two methods it overrides."""
    if not is_overridden(agent, "_get_health_status") and is_overridden(agent, "health_check"):
        return agent.health_check()
    return agent._get_health_status()


def _is_replaceable(identity: AgentIdentity, agent: Any) -> bool:
    """Return whether a new agent takes the identity from its owner."""
    if identity.progress.stage in (MainThreadStage.FAILED, MainThreadStage.LEAVING):
        return True
    is_program = type(agent).__module__ == "__main__"
    return is_program and type(identity.owner).__module__ != "__main__"


def _is_plain_health_loop(loop: Any) -> bool:
    """Return whether a health loop only answers on the health socket, which BaseAgent does itself."""
    code = getattr(getattr(loop, "__wrapped__", loop), "__code__", None)
    return code is not None and "health_socket" in code.co_names


def _start_thread(name: str, target: Callable[[], object]) -> None:
    threading.Thread(target=target, name=name, daemon=True).start()


def _is_event_set(event: Any) -> bool:
    return bool(event.is_set()) if hasattr(event, "is_set") else event is True


def _set_event(event: Any) -> None:
    if hasattr(event, "set"):
        event.set()


def _describe_error(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _make_closed_socket() -> Any:
    with context() as handle:
        new_socket = handle.socket(zmq.REP)
    return new_socket


_exit_handlers: list[bool] = []
_was_terminated = False


def _install_exit_handlers(state: LegacyAgentState) -> None:
    """Close the identity at exit, and handle SIGTERM unless the agent has a handler for it."""
    if not _exit_handlers:
        _exit_handlers.append(True)
        atexit.register(close_identity)
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: _on_sigterm(state))


def _on_sigterm(state: LegacyAgentState) -> None:
    """Stop BaseAgent's work loop, or exit from whatever else the main thread runs; once."""
    global _was_terminated
    _was_terminated = True
    signal.signal(signal.SIGTERM, lambda *_: None)
    state.agent.running = False
    state.on_cleanup()
    if state.progress.is_in_base_loop:
        state.wake()
    else:
        sys.exit(0)
