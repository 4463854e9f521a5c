"""The request guard: which requests are answered, and which actions are carried out.

A web page on the internet can make a browser on this machine send requests to 127.0.0.1, and with DNS
rebinding it can read the responses. Therefore:

* a request with an unknown host name is refused; IP addresses are accepted, because they cannot be rebound;
* the hub's data is only for its own user, also on a shared machine: a read needs the token in a header, or
  the browser's cookie derived from it; see `AccessLevel`;
* an action is a POST of JSON with the token in a header. The cookie is not sufficient, so nothing that a
  browser adds by itself is, and another origin cannot set the header without a CORS preflight, which is not
  answered;
* an action that the browser marks as coming from another origin is refused even with the token;
* actions are accepted only from this machine, unless the fleet file allows more.
"""

from __future__ import annotations

import enum
import hmac
import ipaddress
import logging
import os
import re
import socket
import struct
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
_PROC_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED: Final = "01"
_PROXY_HEADERS: Final = ("forwarded", "via", "x-forwarded-for", "x-real-ip")

_SocketEndpoint = tuple[str, int]

_log = logging.getLogger("argosy.hub")


class AccessLevel(enum.Enum):
    """What a request needs besides a known host name."""

    PUBLIC = "public"  # the page's static files; actions check their own access
    OWNER = "owner"  # the token, the cookie, or a local connection of the hub's own user
    TOKEN = "token"  # the token or the cookie: for confidential data, which a local proxy must not read


# The first match counts. `enter` is the path of the login in earlier versions.
_ACCESS_BY_PATH: Final = (
    (re.compile(r"/(login|enter|page/.*|api/actions/.*|api/token|api/login|api/enter)?"), AccessLevel.PUBLIC),
    (re.compile(r"/api/events|/api/agents/[^/]+/log"), AccessLevel.TOKEN),
    (re.compile(r"/api/.*|/events"), AccessLevel.OWNER),
)
# Public unless the fleet file requires the token.
_METRIC_PATHS: Final = frozenset(("/metrics", "/healthz"))


def required_access(path: str, *, is_metrics_guarded: bool) -> AccessLevel:
    """Return what a path needs. is_metrics_guarded: the fleet file requires the token for metrics too."""
    if path in _METRIC_PATHS:
        return AccessLevel.TOKEN if is_metrics_guarded else AccessLevel.PUBLIC
    return next((level for pattern, level in _ACCESS_BY_PATH if pattern.fullmatch(path)), AccessLevel.PUBLIC)


class RequestRefusedError(Exception):
    """A refused request. code: the HTTP status."""

    def __init__(self, code: int, fault: Fault) -> None:
        super().__init__(fault.message)
        self.code = code
        self.fault = fault


def fault_response(code: int, *faults: Fault) -> Response:
    """Return faults as a response, in the JSON form of `--json`."""
    body = {"argosy": "error/1", "errors": [msgspec.to_builtins(fault) for fault in faults]}
    headers = {"www-authenticate": "Bearer"} if code == HTTPStatus.UNAUTHORIZED else {}
    return Response(msgspec.json.encode(body), code, headers, "application/json")


class RequestGuard:
    """Middleware in front of all routes: checks host and access, reports errors, and adds security headers.

    host_names: returns the names accepted besides addresses. token: the token's file. is_metrics_guarded: see
    `required_access`.
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
    if isinstance(error, ArgosyError):  # such as a full store or an unreadable token
        return fault_response(HTTPStatus.SERVICE_UNAVAILABLE, *error.faults)
    _log.error("`%s` cannot be answered", path, exc_info=error)
    message = f"the hub failed: {type(error).__name__}: {error}"
    return fault_response(HTTPStatus.INTERNAL_SERVER_ERROR, Fault(path, "internal", message, "see hub.log"))


def check_host(host: str | None, host_names: Collection[str]) -> None:
    """Refuse an unknown host name; clients other than browsers may send none. Raises RequestRefusedError."""
    if host is None:
        return
    name = _name_of(host)
    known = {"localhost", socket.gethostname().lower(), *(each.lower() for each in host_names)}
    if name in known or _parse_address(name):
        return
    message = f"this hub is not called `{host}`"
    hint = f"use its address, or add `hub: {{hosts: [{name}]}}` to the fleet file"
    raise RequestRefusedError(HTTPStatus.MISDIRECTED_REQUEST, Fault("Host", "foreign-host", message, hint))


def check_action(request: Request, token: Path, policy: Literal["loopback", "anywhere", "never"]) -> None:
    """Check an action. Raises RequestRefusedError: it is refused; RefusedError: there is no token."""
    if policy == "never":
        raise _forbidden(
            "hub.actions", "no-actions", "the fleet file allows no actions", "`hub: {actions: …}`"
        )
    if policy == "loopback" and not is_from_loopback(request):
        client = request.client.host if request.client else "nobody"
        message = f"actions are accepted only from this machine, and this one came from {client}"
        raise _forbidden(
            "hub.actions", "not-loopback", message, "`hub: {actions: anywhere}` in the fleet file"
        )
    check_origin(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        message = "an action must be JSON with `content-type: application/json`"
        raise RequestRefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, Fault("Content-Type", "not-json", message)
        )
    check_token(request, token)


def check_token(request: Request, token: Path) -> None:
    """Raise RequestRefusedError if a request does not have the token."""
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not credential.strip():
        fault = Fault("Authorization", "no-token", "this needs the hub's token", _TOKEN_HINT)
        raise RequestRefusedError(HTTPStatus.UNAUTHORIZED, fault)
    if not is_token(token, credential.strip()):
        fault = Fault("Authorization", "wrong-token", "this is not the hub's token", _TOKEN_HINT)
        raise RequestRefusedError(HTTPStatus.UNAUTHORIZED, fault)


def check_read_access(request: Request, token: Path) -> None:
    """Check that a request may read agents' output: by the token or cookie. Raises RequestRefusedError."""
    if not has_cookie(request, token):
        check_token(request, token)


def can_read(request: Request, token: Path) -> bool:
    """Return whether `check_read_access` accepts a request."""
    try:
        check_read_access(request, token)
    except (RequestRefusedError, RefusedError):
        return False
    return True


def has_cookie(request: Request, token: Path) -> bool:
    """Return whether a request has the cookie and comes from the hub's own page."""
    name = cookie_name(token, _port_of(request))
    value = request.cookies.get(name, "")
    return (
        bool(value)
        and _is_same_site(request)
        and hmac.compare_digest(value.encode(), cookie_value(token, name).encode())
    )


def set_cookie(request: Request, response: Response, token: Path) -> None:
    """Add the cookie to a response. Call only after the token was checked."""
    name = cookie_name(token, _port_of(request))
    response.set_cookie(name, cookie_value(token, name), _COOKIE_MAX_AGE_S, httponly=True, samesite="strict")


def is_from_owner(request: Request) -> bool:
    """Return whether a request comes from a program of this user over the loopback interface.

    Requests that a proxy forwards do not count.
    """
    if any(name in request.headers for name in _PROXY_HEADERS) or not _is_same_site(request):
        return False
    client, server = request.client, request.scope.get("server")
    return bool(client and server and is_own_connection((client.host, client.port), (server[0], server[1])))


def is_own_connection(client: _SocketEndpoint, server: _SocketEndpoint) -> bool:
    """Return whether this process's user owns the end `client` of a loopback connection to `server`.

    `/proc/net/tcp` lists each connection with the uid of the socket's owner. False if that cannot be
    determined. It cannot be seen for which user a program makes a request.
    """
    if not (_is_loopback(client[0]) and _is_loopback(server[0])):
        return False
    return _connection_uid(_listed_addresses(*client), _listed_addresses(*server)) == os.geteuid()


def _connection_uid(local: set[str], remote: set[str]) -> int | None:
    """Return the uid of the connection with these ends."""
    for table in _PROC_TABLES:
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            # a closed connection has no owner and is listed with uid 0
            if fields[1] in local and fields[2] in remote and fields[3] == _ESTABLISHED and fields[9] != "0":
                return int(fields[7])
    return None


def _listed_addresses(host: str, port: int) -> set[str]:
    """Return the listed forms of an address; an IPv4 address may also be listed as IPv6-mapped."""
    address = ipaddress.ip_address(host)
    forms = [address.packed]
    if address.version == 4:
        forms.append(ipaddress.IPv6Address(f"::ffff:{address}").packed)
    elif address.ipv4_mapped:
        forms.append(address.ipv4_mapped.packed)
    words = [struct.unpack(f"={len(each) // 4}I", each) for each in forms]
    return {f"{''.join(f'{word:08X}' for word in each)}:{port:04X}" for each in words}


def _is_same_site(request: Request) -> bool:
    """Return whether no browser marks the request as cross-site; following a link counts as same-site."""
    return request.headers.get("sec-fetch-site", "none") in ("none", "same-origin")


def _port_of(request: Request) -> int:
    return int((request.scope.get("server") or ("", 0))[1] or 0)


def is_from_loopback(request: Request) -> bool:
    """Return whether a request comes from this machine."""
    return request.client is not None and _is_loopback(request.client.host)


def check_origin(request: Request) -> None:
    """Refuse a request that a browser marks as sent by another page. Raises RequestRefusedError."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    if site == "same-origin" and (origin is None or urlsplit(origin).netloc == request.headers.get("host")):
        return
    message = f"an action from another page (origin {origin or 'unknown'}, {site}) is refused"
    raise _forbidden("Origin", "foreign-origin", message, "use the hub's own page")


def _forbidden(where: str, code: str, message: str, hint: str) -> RequestRefusedError:
    return RequestRefusedError(HTTPStatus.FORBIDDEN, Fault(where, code, message, hint))


def _name_of(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _parse_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _is_loopback(name: str) -> bool:
    address = _parse_address(name)
    return address is not None and address.is_loopback
