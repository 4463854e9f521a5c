"""Authorizes requests to a registry: answers its challenges (`WWW-Authenticate`) with tokens or passwords.

A token is valid for one scope and some minutes, so each challenge is answered with a new one. Credentials are
sent only to the registry and its token service.
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
    """One challenge; the scheme and the names of its parameters are in lower case."""

    scheme: str
    parameters: dict[str, str]


class RegistryAuth:
    """The authorization of requests to one registry.

    session: for requests to the token service. registry_url: a URL of the registry; its scheme, host and port
    say which requests go to the registry.
    """

    def __init__(self, session: requests.Session, registry_url: str, credentials: Credentials | None) -> None:
        self._session = session
        self._registry_origin = _origin(registry_url)
        self._credentials = credentials
        self._header_value = ""
        self.has_token = False

    def headers_for(self, url: str) -> dict[str, str]:
        """Return the headers for a request to a URL: none for other hosts than the registry."""
        return {"Authorization": self._header_value} if self._header_value and self.is_registry(url) else {}

    def is_registry(self, url: str) -> bool:
        """Return whether a URL has the scheme, host and port of the registry."""
        return _origin(url) == self._registry_origin

    def answer_challenge(self, header: str) -> bool:
        """Answer a challenge; return False when there are no other credentials than the rejected ones.

        header: the value of `WWW-Authenticate`. Raises MissingError: the token service does not answer.
        Raises RefusedError: it answers without a token.
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
        """Return a token; empty when the token service rejects the credentials."""
        realm = parameters.get("realm", "")
        if urlsplit(realm).scheme not in _DEFAULT_PORTS:
            message = f"the registry names the token service `{realm}`, expected an http or https URL"
            raise RefusedError(Fault(self._registry_origin[1], "registry-refused", message, _ADMIN_HINT))
        host = urlsplit(realm).netloc
        try:
            response = self._request_token(realm, parameters)
        except requests.exceptions.SSLError:
            raise
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
            message = f"the token service `{realm}`, which the registry names, does not answer"
            raise MissingError(Fault(host, "registry-unreachable", message, _ADMIN_HINT)) from error
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
        """Request a token as docker does: with the password, or with the identity token of a login."""
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


_ADMIN_HINT: Final = "ask an administrator of the registry"


def parse_challenges(header: str) -> tuple[AuthChallenge, ...]:
    """Return the challenges of a `WWW-Authenticate` header (RFC 9110, 11.6.1), in their order.

    Malformed parts are skipped; of a repeated parameter the first one counts.
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
