"""Requests in plain JSON, `{"action": METHOD, ...}`, for scripts that do not use argosy."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import zmq

from argosy.fault import Fault, InputError
from argosy.wire.client.pooled_req import send_request
from argosy.wire.errors import DeadlineExceeded, NotSent, RemoteError

if TYPE_CHECKING:
    from argosy.engine.supervisor.agent_protocol import PlainJson


def call_json(
    agent: str, protocol: PlainJson, method: str, arguments: dict[str, Any], timeout_s: float
) -> Any:
    """Send one request, and return the reply unchanged.

    Raises InputError: an argument is named `action`. Raises NotSent: nothing listens on the port.
    Raises DeadlineExceeded: no reply in time. Raises RemoteError: the reply is an error.
    """
    if "action" in arguments:
        message = '`action` is the key of the method in `{"action": METHOD, ...}`'
        raise InputError(Fault("action", "usage", message, "use another name"))
    endpoint = protocol.endpoint(method)
    deadline_s = time.monotonic() + timeout_s
    _check_reachable(agent, method, endpoint, timeout_s)
    request = msgspec.json.encode({"action": method, **arguments})
    try:
        reply = send_request(endpoint, request, max(int((deadline_s - time.monotonic()) * 1000), 0))
    except zmq.Again as error:
        reason = f"no reply to plain JSON from `{endpoint}` within {timeout_s:g} s"
        raise DeadlineExceeded(agent, method, reason) from error
    return _decode_reply(agent, method, reply)


def describe_json_protocol(agent: str, protocol: PlainJson) -> str:
    """Return a description of the methods that are known."""
    known = f"it answers `{protocol.probe_method}`, " if protocol.probe_method else ""
    return (
        f"`{agent}` is a script without argosy's library: {known}other methods are not known; "
        f'`argosy call {agent} METHOD name=value` sends {{"action": METHOD, "name": value}} '
        f"to port {protocol.port}"
    )


def _check_reachable(agent: str, method: str, endpoint: str, timeout_s: float) -> None:
    """Raise NotSent if the port accepts no connection, since a REQ socket would wait for one."""
    url = urlsplit(endpoint)
    assert url.hostname is not None, "an endpoint has a host"
    assert url.port is not None, "and a port"
    try:
        socket.create_connection((url.hostname, url.port), timeout_s).close()
    except OSError as error:
        reason = f"nothing answers at `{endpoint}`: {(error.strerror or str(error)).lower()}"
        raise NotSent(agent, method, reason) from error


def _decode_reply(agent: str, method: str, raw_reply: bytes) -> Any:
    try:
        reply = msgspec.json.decode(raw_reply)
    except msgspec.DecodeError:
        return raw_reply.decode(errors="replace")
    if isinstance(reply, dict) and reply.get("error") and not reply.keys() & {"status", "result"}:
        raise _remote_error(agent, method, reply["error"])
    return reply


def _remote_error(agent: str, method: str, error: Any) -> RemoteError:
    """Return the error of a reply: `{"error": {"code", "message"}}`, or `{"error": TEXT}`."""
    if isinstance(error, dict):
        code, message = str(error.get("code", "error")), str(error.get("message", ""))
        return RemoteError(agent, method, code, message)
    return RemoteError(agent, method, "error", str(error))
