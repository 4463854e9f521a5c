"""Alerts of a running fleet: told to a receiver once, in order, also when it was away, and never for planned
work.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from rig.fleet import free_ports

if TYPE_CHECKING:
    from .conftest import Rig

FLEET = """
fleet: toy
hub: {{port: {page}, alerts: {{webhook: "http://127.0.0.1:{hook}/", after: 500ms, clear: 500ms}}}}
defaults: {{ready: {{probe: notify}}, restart: never}}
agents:
  Root: {{run: speaker.py}}
  Leaf: {{run: speaker.py, needs: [{{agent: Root, on_death: degrade}}]}}
"""


class Receiver:
    """A local receiver of webhooks that can be away."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self._server: HTTPServer | None = None
        self.port = 0

    def open(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.taken.append(json.loads(body))
                receiver.keys.append(self.headers["idempotency-key"])
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

    def said(self) -> list[tuple[str, str]]:
        return [(each["kind"], each["subject"]) for each in self.taken]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    made.open()
    yield made
    made.close()


@pytest.fixture
def toy(rig: Rig, receiver: Receiver) -> Iterator[Rig]:
    (page,) = free_ports(1)
    rig.write(FLEET.format(page=page, hook=receiver.port))
    rig.env["ARGOSY_HUB"] = "on"
    rig.json("up", "-d")
    rig.until(lambda: '"agent":"Leaf"' in _get(rig, "/api/fleet"))
    yield rig
    rig.argosy("down")


def _get(rig: Rig, path: str) -> str:
    with urllib.request.urlopen(rig.hub() + path, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def test_a_dead_root_is_one_alert_with_its_dependents_and_is_cleared(toy: Rig, receiver: Receiver) -> None:
    os.kill(toy.pid("Root"), signal.SIGKILL)
    toy.until(lambda: bool(receiver.taken))
    (raised,) = receiver.taken
    assert (raised["kind"], raised["subject"], raised["dependents"]) == ("raised", "Root", ["Leaf"])
    assert (raised["fleet"], raised["machine"]) == ("toy", "")
    assert [each["subject"] for each in json.loads(_get(toy, "/api/alerts"))["open"]] == ["Root"]
    toy.json("up", "-d")
    toy.until(lambda: len(receiver.taken) == 2)
    assert receiver.said() == [("raised", "Root"), ("cleared", "Root")]
    assert json.loads(_get(toy, "/api/alerts"))["open"] == []


def test_nothing_is_lost_while_the_receiver_and_the_hub_are_down(toy: Rig, receiver: Receiver) -> None:
    receiver.close()
    os.kill(toy.pid("Root"), signal.SIGKILL)
    toy.until(lambda: '"waiting":1' in _get(toy, "/api/alerts"))
    pid = json.loads((toy.state() / "hub.lock").read_bytes())["pid"]
    os.kill(pid, signal.SIGKILL)
    receiver.open()
    toy.until(lambda: len(receiver.taken) >= 1, 30)
    assert receiver.said()[0] == ("raised", "Root")
    assert len(set(receiver.keys)) == len(receiver.keys)


def test_a_restart_that_was_asked_for_wakes_nobody(toy: Rig, receiver: Receiver) -> None:
    toy.json("restart", "Root", "Leaf")
    os.kill(toy.pid("Leaf"), signal.SIGKILL)
    toy.until(lambda: bool(receiver.taken))
    assert receiver.said() == [("raised", "Leaf")]
