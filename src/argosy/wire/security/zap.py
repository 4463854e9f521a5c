"""Authentication of other machines: CURVE at a bound socket, and a log line for each rejected peer.

An unknown peer is recognised by its key, which ZeroMQ asks about by ZAP (RFC 27): a request on an inproc
endpoint, one per context, so the agents of one process share its `ZapHandler`. It answers in
the work loop; a thread for it, as pyzmq's, would be one more per process for a few requests a day.

A peer without a key, or with a wrong key for this machine, fails before ZAP is asked.
Only the socket's monitor reports it, without an address: the address is recorded when the connection is
accepted, and found by its descriptor when the connection closes, right after the failure. A peer without
CURVE may notice the mismatch first and leave; that looks like a port scan, which is logged too unless it
comes from this machine, as a readiness probe does. A peer that left before its address could be read
is logged without one: an unneeded line is better than a missing one.

ZAP_ENFORCE_DOMAIN matters: without it a missing handler accepts any peer that knows the public key.
"""

from __future__ import annotations

import itertools
import logging
import socket
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import zmq
from zmq.utils import z85

from argosy.fault import Fault, RefusedError
from argosy.wire.security.curve_keys import Keyring
from argosy.wire.transport.reactor import Reactor
from argosy.wire.transport.socket_monitor import SocketMonitor, has_input
from argosy.wire.zmq_context.context_handle import shared_context

LOG_INTERVAL_S: Final = 10.0  # between two lines about one address and reason
MAX_LOGGED_PEERS: Final = 256  # addresses whose last line is remembered
ZAP_ENDPOINT: Final = "inproc://zeromq.zap.01"
ZAP_VERSION: Final = b"1.0"

_ACCEPTED: Final = int(zmq.EVENT_ACCEPTED)
_DISCONNECTED: Final = int(zmq.EVENT_DISCONNECTED)
_HANDSHAKE_FAILED: Final = int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
_HANDSHAKE_ABORTED: Final = int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)
_MONITORED: Final = _ACCEPTED | _DISCONNECTED | _HANDSHAKE_FAILED | _HANDSHAKE_ABORTED
_NO_KEY_REASON: Final = "it showed no key"
_REASONS: Final = {
    int(zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH): _NO_KEY_REASON,
    int(zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC): "it expects another key of this machine",
}
_numbers = itertools.count(1)

_log = logging.getLogger("argosy.wire")


class _RemoteAddress(NamedTuple):
    """The address of a peer; is_local: it belongs to this machine."""

    address: str
    is_local: bool


_UNKNOWN_ADDRESS: Final = _RemoteAddress("an unknown address (it left at once)", False)


class RejectionLog:
    """Counts rejected peers and logs them: one line at once, then one per LOG_INTERVAL_S and address."""

    def __init__(self, agent: str, now_s: Callable[[], float] = time.monotonic) -> None:
        self.count = 0
        self._agent = agent
        self._now_s = now_s
        self._last_logged: dict[tuple[str, str], tuple[float, int]] = {}

    def record(self, address: str, reason: str) -> None:
        """Record one rejected peer."""
        self.count += 1
        logged_s, suppressed = self._last_logged.get((address, reason), (-LOG_INTERVAL_S, 0))
        now_s = self._now_s()
        if now_s - logged_s < LOG_INTERVAL_S:
            self._last_logged[address, reason] = logged_s, suppressed + 1
            return
        self._last_logged.pop((address, reason), None)
        while len(self._last_logged) >= MAX_LOGGED_PEERS:
            del self._last_logged[next(iter(self._last_logged))]
        self._last_logged[address, reason] = now_s, 0
        more = f" ({suppressed} more times since the last line)" if suppressed else ""
        _log.warning("`%s` refused a peer at %s: %s%s", self._agent, address, reason, more)


class CurveAuthenticator:
    """Authenticates peers of one agent's sockets on other machines.

    Raises RefusedError: this machine has no key, or something else in this process answers ZAP.
    """

    def __init__(self, agent: str, keyring: Keyring, reactor: Reactor) -> None:
        self.rejections = RejectionLog(agent)
        self._keyring = keyring
        self._pair = keyring.own_pair()
        self._reactor = reactor
        self._domain = f"argosy.{next(_numbers)}".encode()
        self._handshake_monitors: list[_HandshakeMonitor] = []
        self._zap_handler = _get_zap_handler(reactor)
        self._zap_handler.authenticators[self._domain] = self._authenticate

    def protect(self, bound: zmq.Socket[Any]) -> None:
        """Accept only the fleet's keys on the endpoints that this socket binds from now on."""
        self._handshake_monitors.append(_HandshakeMonitor(bound, self._reactor, self.rejections))
        bound.curve_server = 1
        bound.curve_secretkey = self._pair.secret
        bound.zap_domain = self._domain
        bound.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def _authenticate(self, address: str, public: bytes) -> str | None:
        """Return the machine whose key this is; an unknown key is recorded as rejected."""
        name = self._keyring.machine_of_key(public)
        if name is None:
            self.rejections.record(address, f"its key is not one of this fleet's (`{public.decode()}`)")
        return name

    def close(self) -> None:
        """Stop; to be called before the protected sockets are closed."""
        for monitor in self._handshake_monitors:
            monitor.close()
        self._zap_handler.authenticators.pop(self._domain, None)
        self._zap_handler.close_if_idle()

    def statistics(self) -> dict[str, int]:
        """Return how many connections were rejected."""
        return {"refused": self.rejections.count}


class ZapHandler:
    """Answers ZAP for one context, by the authenticator of each domain."""

    def __init__(self, context: zmq.Context[Any], reactor: Reactor) -> None:
        self.context = context
        self.authenticators: dict[bytes, Callable[[str, bytes], str | None]] = {}
        self._reactor = reactor
        self._socket: zmq.Socket[bytes] = context.socket(zmq.REP)
        self._socket.linger = 0
        try:
            self._socket.bind(ZAP_ENDPOINT)
        except zmq.ZMQError as error:
            self._socket.close(0)
            message = "something else in this process answers ZeroMQ's ZAP requests"
            raise RefusedError(
                Fault(ZAP_ENDPOINT, "zap-taken", message, "argosy cannot share a process with `zmq.auth`")
            ) from error
        self._fd: int = self._socket.fileno()
        reactor.add_reader(self._fd, self._on_readable)
        self._on_readable()  # the descriptor signals only changes since the last read

    def close_if_idle(self) -> None:
        """Close when no authenticator is left."""
        if not self.authenticators and not self._socket.closed:
            self._reactor.remove_reader(self._fd)
            self._socket.unbind(ZAP_ENDPOINT)  # at once; after `close` it stays bound for a while
            self._socket.close(0)

    @property
    def closed(self) -> bool:
        """True when it no longer answers."""
        return self._socket.closed

    def _on_readable(self) -> None:
        # Read until empty each time, for the same reason.
        while not self._socket.closed and has_input(self._socket):
            self._socket.send_multipart(self._authenticate_request(self._socket.recv_multipart()))

    def _authenticate_request(self, zap_request: list[bytes]) -> list[bytes]:
        _, number, domain, address, _, mechanism, *credentials = zap_request
        authenticate = self.authenticators.get(domain)
        name = None
        if authenticate and mechanism == b"CURVE" and len(credentials) == 1:
            name = authenticate(address.decode("utf-8", "replace"), z85.encode(credentials[0]))
        if name is None:
            return [ZAP_VERSION, number, b"400", b"this key is not known here", b"", b""]
        return [ZAP_VERSION, number, b"200", b"", name.encode(), b""]


_zap_handler: ZapHandler | None = None


def _get_zap_handler(reactor: Reactor) -> ZapHandler:
    """Return the handler of this process's context, made when the first authenticator needs it."""
    global _zap_handler
    context = shared_context()  # a new context after a fork
    if _zap_handler is None or _zap_handler.closed or _zap_handler.context is not context:
        _zap_handler = ZapHandler(context, reactor)
    return _zap_handler


class _HandshakeMonitor:
    """Monitors a bound socket for failed handshakes, and records each with its address."""

    def __init__(self, bound: zmq.Socket[Any], reactor: Reactor, rejections: RejectionLog) -> None:
        self._reactor = reactor
        self._rejections = rejections
        self._peers: dict[int, _RemoteAddress] = {}
        self._failure = ""
        self._has_left_early = False
        self._monitor = SocketMonitor(bound, _MONITORED)
        reactor.add_reader(self._monitor.fd, self._on_readable)
        self._on_readable()  # the descriptor signals only changes since the last read

    def close(self) -> None:
        self._reactor.remove_reader(self._monitor.fd)
        self._monitor.close()

    def _on_readable(self) -> None:
        while event := self._monitor.read():
            self._on_event(*event)

    def _on_event(self, event: int, value: int) -> None:
        if event == _ACCEPTED:
            self._peers[value] = _remote_address(value)
        elif event == _HANDSHAKE_FAILED:
            self._failure = _REASONS.get(value, "it does not follow the ZeroMQ protocol")
            self._has_left_early = False
        elif event == _HANDSHAKE_ABORTED:
            self._failure, self._has_left_early = _NO_KEY_REASON, True
        elif event == _DISCONNECTED:
            peer, failure = self._peers.pop(value, _UNKNOWN_ADDRESS), self._failure
            self._failure = ""
            if failure and not (self._has_left_early and peer.is_local):
                self._rejections.record(peer.address, failure)


def _remote_address(descriptor: int) -> _RemoteAddress:
    """Return the peer address of a connection of this process."""
    try:
        connection = socket.socket(fileno=descriptor)
    except OSError:
        return _UNKNOWN_ADDRESS
    try:
        peer, own = connection.getpeername(), connection.getsockname()
        return (
            _RemoteAddress(str(peer[0]), peer[0] == own[0]) if isinstance(peer, tuple) else _UNKNOWN_ADDRESS
        )
    except OSError:
        return _UNKNOWN_ADDRESS
    finally:
        connection.detach()  # the descriptor is ZeroMQ's
