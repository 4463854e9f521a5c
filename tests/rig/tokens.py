"""A service that gives tokens to push with, by the protocol of registries, with a log of who asked."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rig.authority import Authority, ServerCertificate

USER, PASSWORD, IDENTITY = "argosy", "ship", "a-token-for-tokens"
SERVICE, ISSUER = "yard", "harbour"
_RIGHTS = {USER: {"pull", "push"}, "guest": {"pull"}, "": {"pull"}}


class TokenService:
    """Answers on loopback until it is left. authority: signs; a registry trusts it.

    asked: who, empty for nobody, and the scopes, in their order. answer: a status and a body in place of
    tokens. shows: it speaks TLS, with this certificate.
    """

    def __init__(self, authority: Authority, shows: ServerCertificate | None = None) -> None:
        self.authority = authority
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self.answer: tuple[int, bytes] | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.service = self  # type: ignore[attr-defined]
        if shows is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*shows)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "https" if shows else "http"
        self.realm = f"{scheme}://127.0.0.1:{self._server.server_address[1]}/token"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def __enter__(self) -> TokenService:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Answer nobody any more."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(30)
            self._server.server_close()

    def reply(self, user: str | None, words: dict[str, list[str]]) -> tuple[int, bytes]:
        """Return status and body. user: None when the password is wrong."""
        if user is None or words.get("service") != [SERVICE]:
            return 401, b'{"details": "incorrect username or password"}'
        scopes = tuple(sorted(map(_in_order, words.get("scope", []))))
        self.asked.append((user, scopes))
        if self.answer is not None:
            return self.answer
        return 200, json.dumps({"token": self._token(user, scopes), "expires_in": 60}).encode()

    def _token(self, user: str, scopes: tuple[str, ...]) -> str:
        """Return a token for what the user may do of what is asked for."""
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            granted = sorted(set(actions.split(",")) & _RIGHTS[user])
            access.append({"type": kind, "name": name, "actions": granted})
        now = int(time.time())
        claims = {"iss": ISSUER, "sub": user, "aud": SERVICE, "exp": now + 60, "nbf": now - 60, "iat": now}
        chain = "".join(self.authority.certificate.read_text().split("-----")[2].split())
        head = {"typ": "JWT", "alg": "ES256", "x5c": [chain]}
        parts = (head, {**claims, "jti": uuid.uuid4().hex, "access": access})
        body = ".".join(_coded(json.dumps(part).encode()) for part in parts)
        return f"{body}.{_coded(self.authority.signature(body.encode()))}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        words = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        given = self.headers.get("Authorization", "")
        name, _, password = base64.b64decode(given.removeprefix("Basic ")).decode().partition(":")
        self._send(name if not given or (name in _RIGHTS and password == PASSWORD) else None, words)

    def do_POST(self) -> None:
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        words = urllib.parse.parse_qs(form)
        is_known = words["grant_type"] == ["refresh_token"] and words["refresh_token"] == [IDENTITY]
        words["scope"] = [scope for text in words.get("scope", []) for scope in text.split()]
        self._send(USER if is_known else None, words)

    def _send(self, user: str | None, words: dict[str, list[str]]) -> None:
        status, body = self.server.service.reply(user, words)  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def _in_order(scope: str) -> str:
    """Return a scope with its actions in order: a registry asks for them in any."""
    head, _, actions = scope.rpartition(":")
    return f"{head}:{','.join(sorted(actions.split(',')))}"


def _coded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
