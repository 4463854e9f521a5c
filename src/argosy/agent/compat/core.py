"""What the base keeps for one agent, out of the way of the names that subclasses use.

It follows the agent through its constructor, its initialisation, its `run` and its `cleanup`, and
holds the process's post while the agent is the one that has it.
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

from argosy.agent.compat.arbiter import Claims
from argosy.agent.compat.asking import RECEIVE_MS
from argosy.agent.compat.given import Given
from argosy.agent.compat.loop import Inbox, turn_until_stopped
from argosy.agent.compat.ports import free_port
from argosy.agent.compat.post import Post, current_post, leave_post, take_post
from argosy.agent.compat.reading import Readers
from argosy.agent.compat.work import Stage, Work
from argosy.wire.ending import close_all
from argosy.wire.lease import Lease, context

_SLOT: Final = "_argosy"
FIELDS_WITHIN_S: Final = 5.0

_log = logging.getLogger("argosy.agent")


class Core:
    """One agent's standing in its process. post: None for a guest."""

    def __init__(self, agent: Any) -> None:
        self.agent = agent
        self.post: Post | None = None
        self.claims: Claims | None = None
        self.lease: Lease | Any = None
        self.work = Work(agent, self._changed)
        self.sockets: dict[str, Any] = {}
        self.once = {
            "_perform_initialization": Once(waits=True),
            "_health_check_loop": Once(waits=False),
        }
        self._initialized = threading.Event()
        self._constructors = 0
        self._builder = 0  # the thread of the outermost constructor
        self._built = threading.Event()
        self._runs = 0
        self._readers = Readers(agent)

    def _changed(self) -> None:
        if self.post:
            self.post.changed()

    # -- the constructor -----------------------------------------------------------------------

    @contextmanager
    def constructing(self) -> Iterator[None]:
        """Around every constructor of the agent's family; the outermost one begins and ends it.

        Raises SystemExit: the process has been told to end, and a further main block would go on.
        """
        if not self._constructors:
            if _was_terminated:
                sys.exit(0)
            self._claim_post()
            self._builder = threading.get_ident()
        self._constructors += 1
        try:
            yield
            if self._constructors == 1:
                self._constructed()
        except BaseException as error:
            if self._constructors == 1:
                self.work.move(Stage.FAILED, f"its constructor raised {_told(error)}")
            raise
        finally:
            self._constructors -= 1
            if not self._constructors:
                self._built.set()

    def wait_for_fields(self) -> None:
        """Let a hook that the constructor has begun in a thread wait until that has set the fields.

        A constructor that itself waits for the hook gets it after a while.
        """
        if self._constructors and threading.get_ident() != self._builder:
            self._built.wait(FIELDS_WITHIN_S)

    def _claim_post(self) -> None:
        post = current_post()
        if post is not None and not _yields(post, self.agent):
            post.note_guest(type(self.agent).__name__)
            return
        self.post = Post(self.agent, self.work, lambda: compute_payload(self.agent))
        take_post(self.post)

    def furnish(self, given: Given) -> Claims:
        """Return the agent's ports, opening the post if it holds it."""
        if self.claims is None:
            if self.post:
                self.claims = self.post.open(given)
                _end_in_order(self)
            else:
                main = given.port or free_port()
                self.claims = Claims(main, given.health_port or main + 1, {}, in_fleet=False)
        if self.lease is None or self.lease.closed:
            self.lease = context()
        return self.claims

    def _constructed(self) -> None:
        if self.claims is None:  # a subclass whose constructor never reached the base's
            self.agent.__init_base__()
        self._begin_hooks()
        self.work.move(Stage.CONSTRUCTED)

    def _begin_hooks(self) -> None:
        """Run, apart, what the old base ran in threads of its own, now that the fields are there."""
        agent = self.agent
        if is_overridden(agent, "_perform_initialization"):
            self.work.waits_for = "`_perform_initialization` has not returned"
            _in_thread("argosy-initialization", self._initialize)
        else:
            agent._perform_initialization()
            self._initialized.set()
        loop = type(agent)._health_check_loop
        if self.post and is_overridden(agent, "_health_check_loop") and not _serves_health(loop):
            _in_thread("argosy-health-check-loop", agent._health_check_loop)

    def _initialize(self) -> None:
        agent = self.agent
        try:
            agent._perform_initialization()
        except Exception as error:
            _log.exception("`_perform_initialization` failed")
            agent.initialization_error = str(error) or type(error).__name__
        finally:
            self.work.waits_for = ""
            _set(getattr(agent, "is_initialized", None))
            self._initialized.set()
            self._changed()

    # -- its work ------------------------------------------------------------------------------

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around every `run` of the agent's family; the outermost one is the work loop."""
        if not self._runs:
            self._enter_run()
        self._runs += 1
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
        if not self._constructors:
            self.work.waits_for = ""
            self.work.move(Stage.WORKING)

    def _wait_for_initialization(self) -> None:
        """Wait for the hook, or for its word that it has done enough; not inside the constructor."""
        while not (self._constructors or self._initialized.wait(0.05)):
            if _is_set(getattr(self.agent, "is_initialized", None)):
                return

    def _open_main(self) -> None:
        if self.post and self.post.claims:
            declared = self.post.claims
            self.post.open_main()
            if self.post.claims is not declared:  # it was held, and the agent does not insist
                self.agent.port = self.post.claims.main

    def _leave_run(self, error: BaseException | None) -> None:
        self._runs -= 1
        if not self._runs:
            failed = error is not None and isinstance(error, Exception)
            self.work.move(Stage.LEAVING, f"`run` raised {_told(error)}" if failed and error else "")

    def cleaning(self) -> None:
        """The agent has begun to clean up."""
        self.work.move(Stage.LEAVING)

    def serve(self) -> None:
        """Be the work loop until the agent's `running` is false; a guest only waits for that."""
        self._open_main()
        inbox = self.post.inbox if self.post else Inbox(lambda act: act())
        self._readers = Readers(self.agent)
        turn_until_stopped(self.agent, inbox, self.work, self._own_requests)

    def wake(self) -> None:
        """Let the work loop look at `running` at once."""
        if self.post and self.post.claims:
            self.post.inbox.bell.ring()

    def _own_requests(self) -> Any:
        """Return the REP socket under the agent's `socket`; None without one, or when the agent reads it."""
        found = self.sockets.get("socket")
        if found is None or self._readers.may_read():
            return None
        is_rep = isinstance(found, zmq.Socket) and not found.closed and int(found.type) == int(zmq.REP)
        return found if is_rep else None

    # -- sockets of the base that old code takes into its own hands ------------------------------

    def socket(self, key: str) -> Any:
        """Return the socket under an old name, made at first use.

        `socket` answers on the main port, from then on in place of the base. `health_socket` is
        bound to nothing: an old loop on it waits in vain, and the base goes on answering.
        """
        if key not in self.sockets:
            if self._is_too_late():
                return _closed_socket()
            made = self.lease.socket(zmq.REP)
            made.linger = 0
            made.rcvtimeo = RECEIVE_MS
            self.sockets[key] = made
            if key == "socket" and self.post and self.claims:
                made.bind(f"tcp://{self.post.settings.entry.bind}:{self.claims.main}")
        return self.sockets[key]

    def _is_too_late(self) -> bool:
        """Tell whether a look at a socket is no use of it: from a payload, or from a clean-up."""
        ended = self.lease is None or self.lease.closed or self.work.stage in (Stage.LEAVING, Stage.FAILED)
        return ended or threading.current_thread().name == "argosy-payload"

    def close(self) -> None:
        """Close what the base opened for the agent."""
        if self.lease is not None:
            self.lease.destroy()
        # What the agent has put in their place need not be of the lease.
        close_all([each for each in self.sockets.values() if isinstance(each, zmq.Socket)], 0)


class Once:
    """A hook that runs once in a process; a second caller gets nothing.

    waits: a second caller gets that when the first has returned, else at once.
    """

    def __init__(self, *, waits: bool) -> None:
        self._waits = waits
        self._thread: int | None = None
        self._done = threading.Event()
        self._lock = threading.Lock()

    def call(self, hook: Callable[[], Any]) -> Any:
        """Call the hook if this is the first call, or one from inside it to its super."""
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


def core_of(agent: Any) -> Core:
    """Return an agent's core, made at first sight."""
    core: Core | None = agent.__dict__.get(_SLOT)
    if core is None:
        core = agent.__dict__[_SLOT] = Core(agent)
    return core


def is_overridden(agent: Any, hook: str) -> bool:
    """Tell whether a subclass has a hook of its own."""
    return not getattr(getattr(type(agent), hook, None), "_is_base", False)


def compute_payload(agent: Any) -> Any:
    """Return what the agent says of itself, by the name it says it under."""
    if not is_overridden(agent, "_get_health_status") and is_overridden(agent, "health_check"):
        return agent.health_check()
    return agent._get_health_status()


def _yields(post: Post, agent: Any) -> bool:
    """Tell whether the holder of the post gives it up to a new agent."""
    if post.work.stage in (Stage.FAILED, Stage.LEAVING):
        return True
    is_program = type(agent).__module__ == "__main__"
    return is_program and type(post.holder).__module__ != "__main__"


def _serves_health(loop: Any) -> bool:
    """Tell whether a health loop only answers on the health socket, which the base does."""
    code = getattr(getattr(loop, "__wrapped__", loop), "__code__", None)
    return code is not None and "health_socket" in code.co_names


def _in_thread(name: str, act: Callable[[], object]) -> None:
    threading.Thread(target=act, name=name, daemon=True).start()


def _is_set(event: Any) -> bool:
    return bool(event.is_set()) if hasattr(event, "is_set") else event is True


def _set(event: Any) -> None:
    if hasattr(event, "set"):
        event.set()


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _closed_socket() -> Any:
    with context() as lease:
        made = lease.socket(zmq.REP)
    return made


_exits: list[bool] = []
_was_terminated = False


def _end_in_order(core: Core) -> None:
    """See to the process's end: the post is closed, and SIGTERM stops what has no handler for it."""
    if not _exits:
        _exits.append(True)
        atexit.register(leave_post)
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: _on_terminate(core))


def _on_terminate(core: Core) -> None:
    """Stop the work loop of the base, or leave whatever else the main thread is in; once."""
    global _was_terminated
    _was_terminated = True
    signal.signal(signal.SIGTERM, lambda *_: None)
    core.agent.running = False
    core.cleaning()
    if core.work.loops:
        core.wake()
    else:
        sys.exit(0)
