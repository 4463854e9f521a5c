"""The work loop of a BaseAgent: requests are handled one after the other, in its main thread.

They come from the responder, and from a REP socket when the agent has one of its own.

A ZeroMQ socket belongs to one thread at a time; two that wait on one may crash the process. Some agents
start a loop on their socket in a thread and then call the `run` of BaseAgent, which leaves such a socket
alone. It recognises one by the agent's methods: one that reads the socket, and that a thread is in. Before
there is one, it waits some time: a started thread may not be there yet.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any, Final

import msgspec
import zmq

from argosy.agent.legacy.main_thread import ITERATION_S, MainThreadProgress
from argosy.agent.legacy.request_adapter import request_document, send_error, send_result
from argosy.wire.protocol import codec
from argosy.wire.server.incoming_request import IncomingRequest

_log = logging.getLogger("argosy.agent")

_MAX_WAITING: Final = 10_000


class RequestQueue:
    """Requests that wait for the work loop, and the return path of their replies."""

    def __init__(self, post: Callable[[Callable[[], object]], object]) -> None:
        self._post = post
        self._waiting: deque[tuple[str, IncomingRequest]] = deque()
        self.wakeup = WakeupPipe()

    def put(self, key: str, request: IncomingRequest) -> None:
        """Append a request. key: the server that received it."""
        if len(self._waiting) >= _MAX_WAITING:
            request.refuse(codec.OVERLOADED, f"{len(self._waiting)} requests wait for the work loop")
            return
        self._waiting.append((key, request))
        self.wakeup.wake()

    def refuse(self, code: str, message: str, key: str = "") -> None:
        """Refuse the waiting requests of one server, or of all; for the responder's thread."""
        for _ in range(len(self._waiting)):
            item = self._pop()
            if item and key in ("", item[0]):
                send_error(item[1], code, message)
            elif item:
                self._waiting.append(item)

    def get(self) -> IncomingRequest | None:
        """Return the next request, None when there is none."""
        item = self._pop()
        return item[1] if item else None

    def _pop(self) -> tuple[str, IncomingRequest] | None:
        try:
            return self._waiting.popleft()
        except IndexError:  # another thread was quicker
            return None

    def handle(self, request: IncomingRequest, handler: Callable[[Any], Any]) -> None:
        """Handle one request; its reply is sent by the responder."""
        if request.is_finished or request.is_expired():
            self._post(lambda: request.refuse(codec.EXPIRED, "its turn came after its deadline"))
            return
        try:
            result = _call_handler(handler, request_document(request))
        except Exception as error:
            code, message = type(error).__name__, str(error)
            self._post(lambda: send_error(request, code, message))
        else:
            self._post(lambda: send_result(request, result))


def run_work_loop(
    agent: Any, queue: RequestQueue, progress: MainThreadProgress, get_own_socket: Callable[[], Any]
) -> None:
    """Handle requests while the agent is `running`.

    get_own_socket: returns the REP socket that the agent uses itself, None while it has none.
    """
    progress.is_in_base_loop = True
    try:
        while agent.running:
            progress.on_iteration()
            socket = get_own_socket()
            if _wait_for_request(queue, socket):
                _answer_own_socket(agent, socket)
            while inquiry := queue.get():
                queue.handle(inquiry, agent.handle_request)
                progress.on_iteration()
    finally:
        progress.is_in_base_loop = False


def _wait_for_request(queue: RequestQueue, socket: Any) -> bool:
    """Wait for a request, at most one turn; return whether the agent's own socket has one."""
    poller = zmq.Poller()
    poller.register(queue.wakeup.fd, zmq.POLLIN)
    if socket is not None:
        poller.register(socket, zmq.POLLIN)
    ready = dict(poller.poll(int(ITERATION_S * 1000)))
    if queue.wakeup.fd in ready:
        queue.wakeup.clear()
    return socket is not None and socket in ready


def _answer_own_socket(agent: Any, socket: zmq.Socket[bytes]) -> None:
    """Answer one request on the agent's own REP socket; there is always a reply."""
    try:
        reply = _call_handler(agent.handle_request, json.loads(socket.recv(zmq.NOBLOCK)))
        text = json.dumps(reply, default=str).encode()
    except zmq.Again:
        return
    except Exception as error:
        text = msgspec.json.encode({"status": "error", "error": str(error)})
    socket.send(text)


def _call_handler(handler: Callable[[Any], Any], document: Any) -> Any:
    if document is None:
        raise ValueError("the request is not JSON")
    try:
        return handler(document)
    except Exception:
        _log.exception("`handle_request` failed")
        raise


class WakeupPipe:
    """A pipe that holds at most a byte or so: any number of wakes before a clear count as one."""

    def __init__(self) -> None:
        self.fd, self._write_fd = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write_fd, False)
        self._is_set = False

    def wake(self) -> None:
        """Make the descriptor readable; safe in any thread and in a signal handler."""
        if not self._is_set:
            self._is_set = True
            os.write(self._write_fd, b"\0")

    def clear(self) -> None:
        """Make it unreadable again; to be called before what it announced is taken."""
        try:
            os.read(self.fd, 64)
        except BlockingIOError:
            pass
        self._is_set = False  # after the read, or a wake in between would be lost with its byte

    def close(self) -> None:
        """Close both ends; a later wake is an error of its caller."""
        os.close(self.fd)
        os.close(self._write_fd)


THREAD_START_WAIT_S: Final = 2.0
_SOCKET_ATTRIBUTE: Final = "socket"
_READ_METHODS: Final = frozenset(
    ("recv", "recv_string", "recv_json", "recv_multipart", "recv_pyobj", "poll", "register")
)


class SocketReaders:
    """The methods of one agent that read its socket; used by BaseAgent's loop, in the loop's thread."""

    def __init__(self, agent: Any) -> None:
        self._codes = frozenset(_reading_code(type(agent)))
        self._until_s = time.monotonic() + THREAD_START_WAIT_S
        self._is_read = False

    def is_read_by_agent(self) -> bool:
        """Return whether a thread of the agent reads the socket, or may be about to."""
        if not self._codes or self._is_read:
            return self._is_read
        self._is_read = any(frame.f_code in self._codes for frame in _other_frames())
        return self._is_read or time.monotonic() < self._until_s


def _reading_code(cls: type) -> Iterator[CodeType]:
    """Yield the code of the methods that use a `socket` attribute and read, nested functions included."""
    for each in cls.__mro__:
        if each.__module__.startswith("argosy."):
            continue
        for value in vars(each).values():
            code = getattr(getattr(value, "__wrapped__", value), "__code__", None)
            if isinstance(code, CodeType):
                yield from _with_nested(code)


def _with_nested(code: CodeType) -> Iterator[CodeType]:
    if _SOCKET_ATTRIBUTE in code.co_names and _READ_METHODS & set(code.co_names):
        yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _with_nested(inner)


def _other_frames() -> Iterator[FrameType]:
    own = threading.get_ident()
    for thread, top in sys._current_frames().items():
        frame: FrameType | None = top if thread != own else None
        while frame:
            yield frame
            frame = frame.f_back
