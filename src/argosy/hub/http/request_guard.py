"""The gate: which requests are answered at all, and whose actions are carried out.

A page on the internet can make a browser on this machine ask whatever it likes of 127.0.0.1, and with a name
of its own that it suddenly points there (DNS rebinding) it can even read the answers. So:

* a request that calls the hub by a name which is not known here is refused, whatever it asks for; an address
  is no name, and cannot be rebound;
* what the hub knows is for its own user, on a machine that others use too: a read needs the token, in a
  header or by the cookie that a browser has for it; see `Need`;
* an action is a POST of JSON with the token in a header. The cookie never counts for one, so nothing that a
  browser adds by itself does, and a header cannot be set from elsewhere without a question that is not
  answered;
* an action that a browser says comes from another origin is refused even with the token;
* actions come from this machine, unless the fleet file says otherwise.
"""

from __future__ import annotations

import enum
import hmac
import ipaddress
import logging
import re
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

from argosy.fault import ArgosyError, Fault, RefusedError
from argosy.hub.http.connection_owner import is_own_connection
from argosy.hub.http.token import cookie_name, cookie_value, is_token

_CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = [
    (b"content-security-policy", _CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
_TOKEN_HINT: Final = (
    "`argosy hub --open` opens the page with it; a program sends the header `Authorization: Bearer TOKEN` "
    "with what `argosy hub --token` prints"
)
_COOKIE_MAX_AGE_S: Final = 30 * 86400
_PROXY_HEADERS: Final = ("forwarded", "via", "x-forwarded-for", "x-real-ip")

_log = logging.getLogger("argosy.hub")


class AccessLevel(enum.Enum):
    """What a request needs to be answered, besides a name of the hub."""

    PUBLIC = "nothing"  # the parts of the page, which tell nothing; actions see to themselves
    OWNER = "owner"  # the token, the cookie, or a connection that a program of the hub's own user made
    TOKEN = "token"  # the token or the cookie, as it may be confidential: who relays does not know it


# The first that fits counts.
_ACCESS_BY_PATH: Final = (
    (re.compile(r"/(enter|page/.*|api/actions/.*|api/token|api/enter)?"), AccessLevel.PUBLIC),
    (re.compile(r"/api/events|/api/agents/[^/]+/log"), AccessLevel.TOKEN),
    (re.compile(r"/api/.*|/events"), AccessLevel.OWNER),
)
# For whoever measures, unless the fleet file says else.
_METRIC_PATHS: Final = frozenset(("/metrics", "/healthz"))


def required_access(path: str, *, is_metrics_guarded: bool) -> AccessLevel:
    """Return what a path needs. is_all: the fleet file asks for the token of those who measure too."""
    if path in _METRIC_PATHS:
        return AccessLevel.TOKEN if is_metrics_guarded else AccessLevel.PUBLIC
    return next((need for pattern, need in _ACCESS_BY_PATH if pattern.fullmatch(path)), AccessLevel.PUBLIC)


class RequestRefusedError(Exception):
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


class RequestGuard:
    """In front of everything: refuses foreign names and those whom it does not know, answers for what fails,
    and adds what keeps a browser from doing anything with these pages that they do not do themselves.

    names: by which the hub may be called besides addresses. token: its file; is_all: see `need_of`.
    """

    def __init__(
        self,
        app: ASGIApp,
        host_names: Callable[[], Collection[str]],
        token: Path,
        is_metrics_guarded: Callable[[], bool],
    ) -> None:
        self._app = app
        self._host_names = host_names
        self._token = token
        self._is_metrics_guarded = is_metrics_guarded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def send_more(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        try:
            if scope["type"] == "http":
                self._check_access(Request(scope))
            await self._app(scope, receive, send_more)
        except RequestRefusedError as error:
            await fault_response(error.code, error.fault)(scope, receive, send_more)
        except Exception as error:
            if has_begun:
                raise
            await _failure_response(scope["path"], error)(scope, receive, send_more)

    def _check_access(self, request: Request) -> None:
        check_host(request.headers.get("host"), self._host_names())
        access = required_access(request.url.path, is_metrics_guarded=self._is_metrics_guarded())
        if access is AccessLevel.TOKEN or (access is AccessLevel.OWNER and not is_from_owner(request)):
            check_read_access(request, self._token)


def _failure_response(path: str, error: Exception) -> Response:
    if isinstance(error, ArgosyError):  # the store takes nothing, the token cannot be had
        return fault_response(HTTPStatus.SERVICE_UNAVAILABLE, *error.faults)
    _log.error("`%s` cannot be answered", path, exc_info=error)
    message = f"the hub failed: {type(error).__name__}: {error}"
    return fault_response(
        HTTPStatus.INTERNAL_SERVER_ERROR, Fault(path, "internal", message, "hub.log tells more")
    )


def check_host(host: str | None, host_names: Collection[str]) -> None:
    """Refuse a name that is not this hub's; what is no browser may leave it out. Raises GateError."""
    if host is None:
        return
    name = _name_of(host)
    known = {"localhost", socket.gethostname().lower(), *(each.lower() for each in host_names)}
    if name in known or _is_address(name):
        return
    message = f"this hub is not called `{host}`"
    hint = f"call it by its address, or add `hub: {{hosts: [{name}]}}` to the fleet file"
    raise RequestRefusedError(HTTPStatus.MISDIRECTED_REQUEST, Fault("Host", "foreign-host", message, hint))


def check_action(request: Request, token: Path, policy: Literal["loopback", "anywhere", "never"]) -> None:
    """Let an action through. Raises GateError: it is refused, and why; RefusedError: there is no token."""
    if policy == "never":
        raise _forbidden(
            "hub.actions", "no-actions", "the fleet file allows no actions", "`hub: {actions: …}`"
        )
    if policy == "loopback" and not is_from_loopback(request):
        client = request.client.host if request.client else "nobody"
        message = f"actions are taken from this machine only, and this came from {client}"
        raise _forbidden(
            "hub.actions", "not-loopback", message, "`hub: {actions: anywhere}` in the fleet file"
        )
    check_origin(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        message = "an action is JSON, with `content-type: application/json`"
        raise RequestRefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, Fault("Content-Type", "not-json", message)
        )
    check_token(request, token)


def check_token(request: Request, token: Path) -> None:
    """Raise GateError where a request does not carry the token."""
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not credential.strip():
        fault = Fault("Authorization", "no-token", "this needs the hub's token", _TOKEN_HINT)
        raise RequestRefusedError(HTTPStatus.UNAUTHORIZED, fault)
    if not is_token(token, credential.strip()):
        fault = Fault("Authorization", "wrong-token", "this is not the hub's token", _TOKEN_HINT)
        raise RequestRefusedError(HTTPStatus.UNAUTHORIZED, fault)


def check_read_access(request: Request, token: Path) -> None:
    """Let who asks see what agents printed: with the token, or the cookie for it. Raises GateError."""
    if not has_cookie(request, token):
        check_token(request, token)


def can_read(request: Request, token: Path) -> bool:
    """Return whether `check_sight` lets who asks through."""
    try:
        check_read_access(request, token)
    except (RequestRefusedError, RefusedError):
        return False
    return True


def has_cookie(request: Request, token: Path) -> bool:
    """Return whether a browser asks that was given the cookie, and its own page of the hub."""
    name = cookie_name(token, _port_of(request))
    value = request.cookies.get(name, "")
    return (
        bool(value)
        and _is_same_site(request)
        and hmac.compare_digest(value.encode(), cookie_value(token, name).encode())
    )


def set_cookie(request: Request, response: Response, token: Path) -> None:
    """Have a browser keep the cookie; to be called once it has shown the token."""
    name = cookie_name(token, _port_of(request))
    response.set_cookie(name, cookie_value(token, name), _COOKIE_MAX_AGE_S, httponly=True, samesite="strict")


def is_from_owner(request: Request) -> bool:
    """Return whether a program of this user asks over the loopback interface, by itself: what it passes on
    for others, as a proxy says that it does, is theirs.
    """
    if any(name in request.headers for name in _PROXY_HEADERS) or not _is_same_site(request):
        return False
    client, server = request.client, request.scope.get("server")
    return bool(client and server and is_own_connection((client.host, client.port), (server[0], server[1])))


def _is_same_site(request: Request) -> bool:
    """Return whether no browser says that a page of elsewhere asks; following a link is asking oneself."""
    return request.headers.get("sec-fetch-site", "none") in ("none", "same-origin")


def _port_of(request: Request) -> int:
    return int((request.scope.get("server") or ("", 0))[1] or 0)


def is_from_loopback(request: Request) -> bool:
    """Return whether a request comes from this machine."""
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def check_origin(request: Request) -> None:
    """Refuse what a browser says that another page sent."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    if site == "same-origin" and (origin is None or urlsplit(origin).netloc == request.headers.get("host")):
        return
    message = f"an action from another page (origin {origin or 'not told'}, {site}) is not carried out"
    raise _forbidden("Origin", "foreign-origin", message, "act on the hub's own page")


def _forbidden(where: str, code: str, message: str, hint: str) -> RequestRefusedError:
    return RequestRefusedError(HTTPStatus.FORBIDDEN, Fault(where, code, message, hint))


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
