"""Messaging: one ZeroMQ context per process, requests with deadlines, topics with counted gaps.

Users import the names of `__all__`; other packages of argosy import modules, as each subpackage lists them.

From outside: `address_book`, `client`, `errors`, `protocol`, `pubsub`, `security`, `server`,
`trace`, `transport`, `zmq_context`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argosy.wire.client.peer import Peer
    from argosy.wire.client.sync_peer import connect
    from argosy.wire.errors import (
        BadArgument,
        NotSent,
        OutcomeUnknown,
        Overloaded,
        PeerFrozen,
        RemoteError,
        TooLarge,
        UnknownMethod,
        WireError,
    )
    from argosy.wire.zmq_context.context_handle import context

__all__ = [
    "BadArgument",
    "NotSent",
    "OutcomeUnknown",
    "Overloaded",
    "Peer",
    "PeerFrozen",
    "RemoteError",
    "TooLarge",
    "UnknownMethod",
    "WireError",
    "connect",
    "context",
]

_MODULES = {"Peer": "client.peer", "connect": "client.sync_peer", "context": "zmq_context.context_handle"}


def __getattr__(name: str) -> Any:
    # Loaded at first use: `argosy.wire.context` alone needs neither asyncio nor msgspec.
    if name not in __all__:
        raise AttributeError(f"module `argosy.wire` has no attribute `{name}`")
    value = getattr(importlib.import_module(f"argosy.wire.{_MODULES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value
