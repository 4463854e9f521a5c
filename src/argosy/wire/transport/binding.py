"""Binding an endpoint, and the fault that names the one that could not be bound."""

from __future__ import annotations

import os
from typing import Any

import zmq

from argosy.fault import Fault, RefusedError


def bind_endpoint(socket: zmq.Socket[Any], name: str, endpoint: str) -> str:
    """Bind a socket of the agent `name`, and return the endpoint as it was bound.

    Makes the directory of an ipc socket. Raises RefusedError that names the endpoint that cannot be bound.
    """
    try:
        if endpoint.startswith("ipc://"):
            os.makedirs(os.path.dirname(endpoint[6:]), 0o700, exist_ok=True)
        socket.bind(endpoint)
    except (zmq.ZMQError, OSError) as error:
        raise RefusedError(bind_fault(name, endpoint, error)) from error
    last = socket.get(zmq.LAST_ENDPOINT)
    assert isinstance(last, bytes)
    return last.rstrip(b"\0").decode()


def bind_fault(name: str, endpoint: str, error: OSError | zmq.ZMQError) -> Fault:
    """Return the fault of an endpoint that could not be bound, with who may hold it."""
    reason = (error.strerror or str(error)).lower()
    if not endpoint.startswith("tcp://"):
        return Fault(name, "cannot-bind", f"`{name}` cannot bind `{endpoint}`: {reason}")
    host, _, port = endpoint[6:].rpartition(":")
    hint = f"`ss -ltnp 'sport = :{port}'` shows who holds it" if error.errno == zmq.EADDRINUSE else ""
    return Fault(name, "cannot-bind", f"`{name}` cannot bind port {port} on `{host}`: {reason}", hint)
