"""The gate: which requests are answered at all, and whose actions are carried out.

A page on the internet can make a browser on this machine ask whatever it likes of 127.0.0.1, and with a name
of its own that it suddenly points there (DNS rebinding) it can even read the answers. So:

* a request that calls the hub by a name which is not known here is refused, whatever it asks for; an address
  is no name, and cannot be rebound;
* an action is a POST of JSON with the token in a header. There are no cookies, so nothing that a browser adds
  by itself ever counts, and a header cannot be set from elsewhere without a question that is not answered;
* an action that a browser says comes from another origin is refused even with the token;
* actions come from this machine, unless the fleet file says otherwise.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection
from http import HTTPStatus
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from argosy.fault import Fault, RefusedError
from argosy.hub.token import is_token

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
_TOKEN_HINT: Final = "`argosy hub --token` prints it; it goes into the header `Authorization: Bearer TOKEN`"


class GateError(Exception):
    """A request that is not answered. code: of HTTP."""

    def __init__(self, code: int, fault: Fault) -> None:
        super().__init__(fault.message)
        self.code = code
        self.fault = fault


def fault_response(code: int, *faults: Fault) -> Response:
    """Return faults as an answer, in the form that `--json` prints them."""
    body = {"argosy": "error/1", "errors": [msgspec.to_builtins(fault) for fault in faults]}
    headers = {"www-authenticate": "Bearer"} if code == HTTPStatus.UNAUTHORIZED else {}
    return Response(msgspec.json.encode(body), code, headers, "application/json")


class Gate:
    """In front of everything: refuses foreign names, and adds what keeps a browser from doing anything with
    these pages that they do not do themselves.

    names: by which the hub may be called besides addresses.
    """

    def __init__(self, app: ASGIApp, names: Callable[[], Collection[str]]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        if scope["type"] == "http":
            try:
                check_host(Request(scope).headers.get("host"), self._names())
            except GateError as error:
                await fault_response(error.code, error.fault)(scope, receive, send_more)
                return
        await self._app(scope, receive, send_more)


def check_host(host: str | None, names: Collection[str]) -> None:
    """Refuse a name that is not this hub's; what is no browser may leave it out. Raises GateError."""
    if host is None:
        return
    name = _name_of(host)
    known = {"localhost", socket.gethostname().lower(), *(each.lower() for each in names)}
    if name in known or _is_address(name):
        return
    message = f"this hub is not called `{host}`"
    hint = f"call it by its address, or add `hub: {{hosts: [{name}]}}` to the fleet file"
    raise GateError(HTTPStatus.MISDIRECTED_REQUEST, Fault("Host", "foreign-host", message, hint))


def admit(request: Request, token: Path, where: Literal["loopback", "anywhere", "never"]) -> None:
    """Let an action through. Raises GateError: it is refused, and why; RefusedError: there is no token."""
    if where == "never":
        raise _refused("hub.actions", "no-actions", "the fleet file allows no actions", "`hub: {actions: …}`")
    if where == "loopback" and not is_near(request):
        client = request.client.host if request.client else "nobody"
        message = f"actions are taken from this machine only, and this came from {client}"
        raise _refused("hub.actions", "not-loopback", message, "`hub: {actions: anywhere}` in the fleet file")
    _check_origin(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        message = "an action is JSON, with `content-type: application/json`"
        raise GateError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, Fault("Content-Type", "not-json", message))
    check_token(request, token)


def check_token(request: Request, token: Path) -> None:
    """Raise GateError where a request does not carry the token."""
    scheme, _, word = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not word.strip():
        fault = Fault("Authorization", "no-token", "this needs the hub's token", _TOKEN_HINT)
        raise GateError(HTTPStatus.UNAUTHORIZED, fault)
    if not is_token(token, word.strip()):
        fault = Fault("Authorization", "wrong-token", "this is not the hub's token", _TOKEN_HINT)
        raise GateError(HTTPStatus.UNAUTHORIZED, fault)


def check_sight(request: Request, token: Path) -> None:
    """Let who asks see what agents printed: this machine, or one with the token. Raises GateError.

    It may be confidential, and is not for whoever reaches the port.
    """
    if not is_near(request):
        check_token(request, token)


def has_sight(request: Request, token: Path) -> bool:
    """Return whether `check_sight` lets who asks through."""
    try:
        check_sight(request, token)
    except (GateError, RefusedError):
        return False
    return True


def is_near(request: Request) -> bool:
    """Return whether a request comes from this machine."""
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def _check_origin(request: Request) -> None:
    """Refuse what a browser says that another page sent."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    if site == "same-origin" and (origin is None or urlsplit(origin).netloc == request.headers.get("host")):
        return
    message = f"an action from another page (origin {origin or 'not told'}, {site}) is not carried out"
    raise _refused("Origin", "foreign-origin", message, "act on the hub's own page")


def _refused(where: str, code: str, message: str, hint: str) -> GateError:
    return GateError(HTTPStatus.FORBIDDEN, Fault(where, code, message, hint))


def _name_of(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
