"""API for agents' code: the names that `argosy refit` and `argosy repair` write.

Importing this module loads nothing else; each name loads its module when it is first used.

    argosy.api.context()                      a shared ZeroMQ context, in the place of `zmq.Context()`
    argosy.api.req_socket(context)            a pooled REQ socket, in the place of `context.socket(zmq.REQ)`
    argosy.api.send_request(endpoint, …)      one request to a REP socket, as bytes
    argosy.api.send_json_request(endpoint, …) one request to a REP socket, as JSON
    argosy.api.host("redis", "REDIS_HOST")    a host from the environment or the fleet file
    argosy.api.endpoint("Translator")         a `tcp://host:port` from the fleet file
    argosy.api.placeholder("torch")           an object in the place of a package that is not installed

docs/reference/api.md documents each.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argosy.agent.missing_packages import placeholder
    from argosy.fleet.resolver import endpoint, host
    from argosy.wire import context
    from argosy.wire.client.pooled_req import req_socket, send_json_request, send_request

__all__ = [
    "context",
    "endpoint",
    "host",
    "placeholder",
    "req_socket",
    "send_json_request",
    "send_request",
]

_MODULES = {
    "context": "argosy.wire",
    "endpoint": "argosy.fleet.resolver",
    "host": "argosy.fleet.resolver",
    "placeholder": "argosy.agent.missing_packages",
    "req_socket": "argosy.wire.client.pooled_req",
    "send_json_request": "argosy.wire.client.pooled_req",
    "send_request": "argosy.wire.client.pooled_req",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module `argosy.api` has no attribute `{name}`")
    # `host` and `endpoint` look at the file that calls them, so that no wrapper may stand between.
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value
