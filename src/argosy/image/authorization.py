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
from argosy.image.credentials import Credentials

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = re.compile(rf'({_WORD})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))', re.DOTALL)
_SCHEME: Final = re.compile(_WORD)
_PORTS: Final = {"http": 80, "https": 443}


class Challenge(msgspec.Struct, frozen=True):
    """One way in that is offered; the scheme and the names of its parameters in lower case."""

    scheme: str
    parameters: dict[str, str]


class Authorization:
    """What is known to open one registry.

    session: asks the token service. home: an address of the registry; as an address has them, with a scheme.
    """

    def __init__(self, session: requests.Session, home: str, credentials: Credentials | None) -> None:
        self._session = session
        self._home = _origin(home)
        self._credentials = credentials
        self._value = ""
        self.has_token = False

    def headers_for(self, url: str) -> dict[str, str]:
        """Return the headers that go along to an address: none to anybody else than the registry."""
        return {"Authorization": self._value} if self._value and self.is_home(url) else {}

    def is_home(self, url: str) -> bool:
        """Return whether an address is the registry's."""
        return _origin(url) == self._home

    def take_up(self, header: str) -> bool:
        """Take up what the registry asks for; False when there is nothing else to send than was refused.

        header: the value of `WWW-Authenticate`. Raises MissingError: the token service does not answer.
        Raises RefusedError: it answers, and not with a token.
        """
        offered = {each.scheme: each.parameters for each in reversed(read_challenges(header))}
        if "bearer" in offered:
            token = self._token(offered["bearer"])
            self.has_token = bool(token)
            self._value = f"Bearer {token}" if token else ""
            return self.has_token
        if "basic" not in offered or self._credentials is None or self._credentials.is_token:
            return False
        before, self._value = self._value, self._credentials.as_basic
        return before != self._value

    def _token(self, asked: dict[str, str]) -> str:
        """Return a token; empty when the service does not know who asks."""
        realm = asked.get("realm", "")
        if urlsplit(realm).scheme not in _PORTS:
            message = f"the registry wants a token from `{realm}`, expected an address that begins with http"
            raise RefusedError(Fault(self._home[1], "registry-refused", message, _KEEPER_HINT))
        place = urlsplit(realm).netloc
        try:
            answer = self._ask(realm, asked)
        except requests.exceptions.SSLError:
            raise
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
            message = f"the token service `{realm}`, which the registry names, does not answer"
            raise MissingError(Fault(place, "registry-down", message, _KEEPER_HINT)) from error
        if answer.status_code in (400, 401, 403):
            return ""
        try:
            told: dict[str, Any] = msgspec.json.decode(answer.content, type=dict[str, Any])
        except msgspec.MsgspecError:
            told = {}
        token = told.get("token") or told.get("access_token")
        if answer.status_code != 200 or not isinstance(token, str):
            found = f"{answer.status_code} {answer.reason}".strip()
            message = f"the token service `{realm}` answers {found}, expected JSON with a `token`"
            raise RefusedError(Fault(place, "registry-refused", message, _KEEPER_HINT))
        return token

    def _ask(self, realm: str, asked: dict[str, str]) -> requests.Response:
        """Ask the service as docker does: by password, or with the token that a login left for that."""
        service, scope = asked.get("service", ""), asked.get("scope", "")
        known = self._credentials
        if known is not None and known.is_token:
            form = {"grant_type": "refresh_token", "refresh_token": known.password, "client_id": "argosy"}
            form |= {name: value for name, value in (("service", service), ("scope", scope)) if value}
            return self._session.post(realm, data=form)
        words = [("service", service)] if service else []
        words += [("scope", each) for each in scope.split()]
        headers = {"Authorization": known.as_basic} if known is not None else {}
        return self._session.get(realm, params=words, headers=headers)


_KEEPER_HINT: Final = "who keeps the registry has to say"


def read_challenges(header: str) -> tuple[Challenge, ...]:
    """Return the ways in of a `WWW-Authenticate` header (RFC 9110, 11.6.1), in their order.

    What is none of that is passed over; a parameter that comes twice is the first one.
    """
    found: list[Challenge] = []
    at = 0
    while at < len(header):
        parameter = _PARAMETER.match(header, at)
        scheme = None if parameter else _SCHEME.match(header, at)
        if parameter and found:
            quoted, plain = parameter[2], parameter[3]
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
            found[-1].parameters.setdefault(parameter[1].lower(), value)
        elif scheme:
            found.append(Challenge(scheme[0].lower(), {}))
        match = parameter or scheme
        at = match.end() if match else at + 1
    return tuple(found)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme)
