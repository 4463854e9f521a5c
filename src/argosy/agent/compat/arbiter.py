"""Who gets a port: the agent's own sockets before the base's, declared ports before typed ones.

An old agent binds again the port that its base has bound already, or a port that another agent
of its machine declares. So each bind of the process is looked at first. On the agent's own ports
the base's socket gives way. A bind on another agent's port, or on the health port of old (the
main port plus one) where another one is declared, goes elsewhere and is reported.

ZeroMQ binds are seen by taking the place of `zmq.Socket.bind`, since old code makes contexts of
its own; binds of plain sockets through the interpreter's audit event, which can make room for
them, but not move them.
"""

from __future__ import annotations

import enum
import logging
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec
import zmq

from argosy.wire.port import wait_free

_log = logging.getLogger("argosy.agent")

_REQUESTS: Final = frozenset((int(zmq.REP), int(zmq.ROUTER)))


class Way(enum.Enum):
    """What happens to a bind."""

    PASS = "pass"
    GIVE = "give"
    MOVE = "move"


class Ruling(msgspec.Struct, frozen=True):
    """The decision on one bind. port: the one to give up, or to move to, 0 for any free one."""

    way: Way
    port: int = 0
    reason: str = ""


PASS: Final = Ruling(Way.PASS)


class Claims(msgspec.Struct, frozen=True):
    """The ports of an agent: its own, those of others on its machine, and whether it uses its main one.

    in_fleet: the ports are declared, and not just what the constructor said.
    """

    main: int
    health: int | None
    others: Mapping[int, str]
    in_fleet: bool


def rule(claims: Claims, port: int, *, takes_requests: bool, main_is_free: bool) -> Ruling:
    """Decide on a bind of the agent's.

    takes_requests: the socket is of a kind that answers. main_is_free: no socket of the agent's
    is on its main port yet, so that a request socket on a wrong port is meant to be there.
    """
    if port in (claims.main, claims.health):
        return Ruling(Way.GIVE, port)
    if port in claims.others:
        to = claims.main if takes_requests and main_is_free else 0
        return Ruling(Way.MOVE, to, f"port {port} is declared for `{claims.others[port]}`")
    if claims.in_fleet and takes_requests and port == claims.main + 1:
        return Ruling(Way.MOVE, 0, f"the health port is {claims.health}, not {port}")
    return PASS


class Court(Protocol):
    """Who rules for this process, and makes room."""

    def ruling(self, port: int, takes_requests: bool) -> Ruling: ...

    def give_way(self, port: int, lent: bool) -> None: ...

    def moved(self, port: int, to: str, reason: str) -> None: ...


_seat: list[Court] = []
_busy = threading.local()
_installed: list[Callable[..., Any]] = []


def seat(court: Court | None) -> None:
    """Let `court` rule over this process's binds from now on; None lets all pass."""
    _seat[:] = [court] if court else []
    if court and not _installed:
        _installed.append(zmq.Socket.bind)
        zmq.Socket.bind = _bind  # type: ignore[method-assign]
        sys.addaudithook(_on_audit)


class exempt:  # noqa: N801 - reads as a statement: `with exempt():`
    """Binds of argosy's own in this thread pass."""

    def __enter__(self) -> None:
        self._was = getattr(_busy, "on", False)
        _busy.on = True

    def __exit__(self, *_: object) -> None:
        _busy.on = self._was


def _bind(self: zmq.Socket[Any], addr: str) -> Any:
    """Bind a ZeroMQ socket where the court says."""
    court = _court()
    port = _port(addr)
    if court is None or not port:
        return _installed[0](self, addr)
    with exempt():
        ruling = court.ruling(port, int(self.type) in _REQUESTS)
        if ruling.way is Way.PASS:
            return _installed[0](self, addr)
        if ruling.port:
            court.give_way(ruling.port, lent=False)
        if ruling.way is Way.GIVE:
            _leave(self, port)
            return _installed[0](self, addr)
        result = _installed[0](self, f"{addr.rpartition(':')[0]}:{ruling.port or '*'}")
        court.moved(port, _told(self), ruling.reason)
        return result


def _on_audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.bind":
        return
    court = _court()
    if court is None:
        return
    plain, address = arguments
    if plain.type != socket.SOCK_STREAM or not isinstance(address, tuple) or not address[1]:
        return
    with exempt():
        ruling = court.ruling(address[1], True)
        if ruling.way is Way.GIVE:
            court.give_way(ruling.port, lent=True)
        elif ruling.way is Way.MOVE:
            _log.warning("a plain socket binds port %d, although %s", address[1], ruling.reason)


def _court() -> Court | None:
    return _seat[0] if _seat and not getattr(_busy, "on", False) else None


def _leave(bound: zmq.Socket[Any], port: int) -> None:
    """Let a socket go from a port that it has already, as the base's own has; it is bound there anew."""
    last = _told(bound)
    if _port(last) == port:
        bound.unbind(last)
        wait_free([last])  # the context's own thread lets go of it, in its own time


def _told(bound: zmq.Socket[Any]) -> str:
    """Return the endpoint that a socket has got."""
    endpoint = bound.get(zmq.LAST_ENDPOINT)
    return endpoint.decode() if isinstance(endpoint, bytes) else str(endpoint)


def _port(address: object) -> int:
    """Return the port of a TCP endpoint with a fixed one, 0 for all other addresses."""
    if not isinstance(address, str) or not address.startswith("tcp://"):
        return 0
    port = address.rpartition(":")[2]
    return int(port) if port.isdecimal() else 0
