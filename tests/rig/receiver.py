"""A local receiver of webhooks that can be away."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


class Receiver:
    """Takes what is posted to its port, in order: bodies, and the keys that came with them."""

    def __init__(self) -> None:
        self._posted: list[tuple[str, dict[str, Any]]] = []
        self._server: HTTPServer | None = None
        self.port = 0

    def open(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver._posted.append((self.headers["idempotency-key"], json.loads(body)))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,)).start()

    def close(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def taken(self) -> list[dict[str, Any]]:
        """The bodies."""
        return [body for _, body in list(self._posted)]

    @property
    def keys(self) -> list[str]:
        """The keys."""
        return [key for key, _ in list(self._posted)]

    def said(self) -> list[tuple[str, str]]:
        """Return what was told, each once: what a hub was killed over comes again, with the same key."""
        return [(each["kind"], each["subject"]) for each in dict(list(self._posted)).values()]
