"""What a registry asks of who comes (`WWW-Authenticate`), and what goes along with each request from then on.

A token is for what the registry said that it wants it for, a scope, and for some minutes: each refusal is
taken up by a new one. Nothing of it is sent to another host than the registry and its token service.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import requests

from argosy.fault import Fault, MissingError, RefusedError
from argosy.image.registry.credentials import Credentials

_HTTP_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = re.compile(rf'({_HTTP_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))', re.DOTALL)
_SCHEME: Final = re.compile(_HTTP_TOKEN)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class AuthChallenge(msgspec.Struct, frozen=True):
    """One way in that is offered; the scheme and the names of its parameters in lower case."""

    scheme: str
    parameters: dict[str, str]


class RegistryAuth:
    """What is known to open one registry.

    session: asks the token service. home: an address of the registry; as an address has them, with a scheme.
    """

    def __init__(self, session: requests.Session, registry_url: str, credentials: Credentials | None) -> None:
        self._session = session
        self._registry_origin = _origin(registry_url)
        self._credentials = credentials
        self._header_value = ""
        self.has_token = False

    def headers_for(self, url: str) -> dict[str, str]:
        """Return the headers that go along to an address: none to anybody else than the registry."""
        return {"Authorization": self._header_value} if self._header_value and self.is_registry(url) else {}

    def is_registry(self, url: str) -> bool:
        """Return whether an address is the registry's."""
        return _origin(url) == self._registry_origin

    def answer_challenge(self, header: str) -> bool:
        """Take up what the registry asks for; False when there is nothing else to send than was refused.

        header: the value of `WWW-Authenticate`. Raises MissingError: the token service does not answer.
        Raises RefusedError: it answers, and not with a token.
        """
        offered = {each.scheme: each.parameters for each in reversed(parse_challenges(header))}
        if "bearer" in offered:
            token = self._fetch_token(offered["bearer"])
            self.has_token = bool(token)
            self._header_value = f"Bearer {token}" if token else ""
            return self.has_token
        if "basic" not in offered or self._credentials is None or self._credentials.is_token:
            return False
        before, self._header_value = self._header_value, self._credentials.basic_header
        return before != self._header_value

    def _fetch_token(self, parameters: dict[str, str]) -> str:
        """Return a token; empty when the service does not know who asks."""
        realm = parameters.get("realm", "")
        if urlsplit(realm).scheme not in _DEFAULT_PORTS:
            message = f"the registry wants a token from `{realm}`, expected an address that begins with http"
            raise RefusedError(Fault(self._registry_origin[1], "registry-refused", message, _ADMIN_HINT))
        host = urlsplit(realm).netloc
        try:
            response = self._request_token(realm, parameters)
        except requests.exceptions.SSLError:
            raise
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
            message = f"the token service `{realm}`, which the registry names, does not answer"
            raise MissingError(Fault(host, "registry-down", message, _ADMIN_HINT)) from error
        if response.status_code in (400, 401, 403):
            return ""
        try:
            reply: dict[str, Any] = msgspec.json.decode(response.content, type=dict[str, Any])
        except msgspec.MsgspecError:
            reply = {}
        token = reply.get("token") or reply.get("access_token")
        if response.status_code != 200 or not isinstance(token, str):
            found = f"{response.status_code} {response.reason}".strip()
            message = f"the token service `{realm}` answers {found}, expected JSON with a `token`"
            raise RefusedError(Fault(host, "registry-refused", message, _ADMIN_HINT))
        return token

    def _request_token(self, realm: str, parameters: dict[str, str]) -> requests.Response:
        """Ask the service as docker does: by password, or with the token that a login left for that."""
        service, scope = parameters.get("service", ""), parameters.get("scope", "")
        credentials = self._credentials
        if credentials is not None and credentials.is_token:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": credentials.password,
                "client_id": "argosy",
            }
            form |= {name: value for name, value in (("service", service), ("scope", scope)) if value}
            return self._session.post(realm, data=form)
        query = [("service", service)] if service else []
        query += [("scope", each) for each in scope.split()]
        headers = {"Authorization": credentials.basic_header} if credentials is not None else {}
        return self._session.get(realm, params=query, headers=headers)


_ADMIN_HINT: Final = "who keeps the registry has to say"


def parse_challenges(header: str) -> tuple[AuthChallenge, ...]:
    """Return the ways in of a `WWW-Authenticate` header (RFC 9110, 11.6.1), in their order.

    What is none of that is passed over; a parameter that comes twice is the first one.
    """
    found: list[AuthChallenge] = []
    at = 0
    while at < len(header):
        parameter = _PARAMETER.match(header, at)
        scheme = None if parameter else _SCHEME.match(header, at)
        if parameter and found:
            quoted, plain = parameter[2], parameter[3]
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
            found[-1].parameters.setdefault(parameter[1].lower(), value)
        elif scheme:
            found.append(AuthChallenge(scheme[0].lower(), {}))
        match = parameter or scheme
        at = match.end() if match else at + 1
    return tuple(found)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme)
