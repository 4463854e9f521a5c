"""The work loop of a BaseAgent: requests are handled one after the other, in its main thread.

They come from the responder, and from a REP socket when the agent has one of its own.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec
import zmq

from argosy.agent.legacy.main_thread import ITERATION_S, MainThreadProgress
from argosy.agent.legacy.request_adapter import request_document, send_error, send_result
from argosy.agent.legacy.wakeup_pipe import WakeupPipe
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
