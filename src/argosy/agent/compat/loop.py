"""The work loop of an old agent: requests are handled one after the other, in its main thread.

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

from argosy.agent.compat.bell import Bell
from argosy.agent.compat.desk import complain, document_of, give
from argosy.agent.compat.work import TURN_S, Work
from argosy.wire import codec
from argosy.wire.inquiry import Inquiry

_log = logging.getLogger("argosy.agent")

_MOST_WAITING: Final = 10_000


class Inbox:
    """Requests that wait for the work loop, and the way of their answers back."""

    def __init__(self, post: Callable[[Callable[[], object]], object]) -> None:
        self._post = post
        self._waiting: deque[tuple[str, Inquiry]] = deque()
        self.bell = Bell()

    def put(self, key: str, inquiry: Inquiry) -> None:
        """Let a request wait for its turn. key: the desk that it came to."""
        if len(self._waiting) >= _MOST_WAITING:
            inquiry.refuse(codec.OVERLOADED, f"{len(self._waiting)} requests wait for the work loop")
            return
        self._waiting.append((key, inquiry))
        self.bell.ring()

    def refuse(self, code: str, message: str, key: str = "") -> None:
        """Answer what waits, of one desk or of all, with an error; for the responder's thread."""
        for _ in range(len(self._waiting)):
            item = self._next()
            if item and key in ("", item[0]):
                complain(item[1], code, message)
            elif item:
                self._waiting.append(item)

    def take(self) -> Inquiry | None:
        """Return the next request, None when there is none."""
        item = self._next()
        return item[1] if item else None

    def _next(self) -> tuple[str, Inquiry] | None:
        try:
            return self._waiting.popleft()
        except IndexError:  # another thread was quicker
            return None

    def answer(self, inquiry: Inquiry, handle: Callable[[Any], Any]) -> None:
        """Handle one request; its answer leaves through the responder."""
        if inquiry.is_over or inquiry.expired():
            self._post(lambda: inquiry.refuse(codec.EXPIRED, "its turn came after its deadline"))
            return
        try:
            result = _handled(handle, document_of(inquiry))
        except Exception as error:
            code, message = type(error).__name__, str(error)
            self._post(lambda: complain(inquiry, code, message))
        else:
            self._post(lambda: give(inquiry, result))


def turn_until_stopped(agent: Any, inbox: Inbox, work: Work, own: Callable[[], Any]) -> None:
    """Handle requests while the agent is `running`.

    own: returns the REP socket that the agent has taken for itself, None while it has none.
    """
    work.loops = True
    try:
        while agent.running:
            work.turn()
            socket = own()
            if _is_rung(inbox, socket):
                _answer_own(agent, socket)
            while inquiry := inbox.take():
                inbox.answer(inquiry, agent.handle_request)
                work.turn()
    finally:
        work.loops = False


def _is_rung(inbox: Inbox, socket: Any) -> bool:
    """Wait for a request, at most one turn; tell whether the agent's own socket has one."""
    poller = zmq.Poller()
    poller.register(inbox.bell.fd, zmq.POLLIN)
    if socket is not None:
        poller.register(socket, zmq.POLLIN)
    ready = dict(poller.poll(int(TURN_S * 1000)))
    if inbox.bell.fd in ready:
        inbox.bell.silence()
    return socket is not None and socket in ready


def _answer_own(agent: Any, socket: zmq.Socket[bytes]) -> None:
    """Answer one request on the agent's own REP socket, always with something."""
    try:
        answer = _handled(agent.handle_request, json.loads(socket.recv(zmq.NOBLOCK)))
        text = json.dumps(answer, default=str).encode()
    except zmq.Again:
        return
    except Exception as error:
        text = msgspec.json.encode({"status": "error", "error": str(error)})
    socket.send(text)


def _handled(handle: Callable[[Any], Any], document: Any) -> Any:
    if document is None:
        raise ValueError("the request is no JSON")
    try:
        return handle(document)
    except Exception:
        _log.exception("`handle_request` failed")
        raise
