"""Measures how soon the death of an agent arrives at a receiver as one alert with all its dependents."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Final

from argosy.fault import Fault, RefusedError
from hub_cases.hub_fleet import HubFleet, running_hub_fleet, wait_until
from testbed.result import Value, value_of

DEPENDENTS: Final = 20
GOAL_S: Final = 5.0

METHOD: Final = [
    f"hub.alert/root_cause: SIGKILL to an agent with {DEPENDENTS} dependents, which stays down; until a",
    "  local receiver has the alert, with default times; it must be the only one and name all dependents",
]

_NOTIFY_PROGRAM: Final = """
import os, signal, socket
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
    out.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
signal.pause()
"""


class _WebhookReceiver(HTTPServer):
    def __init__(self) -> None:
        self.received: list[tuple[float, dict[str, Any]]] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        at_s = time.monotonic()
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(204)
        self.end_headers()
        assert isinstance(self.server, _WebhookReceiver)
        self.server.received.append((at_s, body))

    def log_message(self, *_: object) -> None:
        pass


def measure_alert_latency(rounds: int) -> dict[str, Value]:
    """Return the seconds of each round. Raises RefusedError: a round had not exactly one alert."""
    receiver = _WebhookReceiver()
    with tempfile.TemporaryDirectory(prefix="argosy-b-", dir="/tmp") as temporary:
        path = _fleet(Path(temporary), receiver.server_port)
        took: list[float] = []
        for _ in range(rounds):
            # A new hub each round: after two deaths, a hub takes the root for flapping and reports less.
            with running_hub_fleet(path) as fleet:
                took.append(_round(fleet, receiver))
    receiver.shutdown()
    receiver.server_close()
    return {"hub.alert/root_cause": value_of(took, "s", goal=GOAL_S)}


def _round(fleet: HubFleet, receiver: _WebhookReceiver) -> float:
    receiver.received.clear()
    root = next(each for each in fleet.get_json("/api/fleet")["agents"] if each["agent"] == "Root")
    began_s = time.monotonic()
    os.kill(root["pid"], signal.SIGKILL)
    wait_until(lambda: bool(receiver.received))
    fleet.argosy("up", "-d")
    wait_until(lambda: len(receiver.received) > 1)  # raised and cleared
    notifications = [(body["kind"], body["subject"]) for _, body in receiver.received]
    (at_s, first), *_ = receiver.received
    if notifications != [("raised", "Root"), ("cleared", "Root")] or len(first["dependents"]) != DEPENDENTS:
        raise RefusedError(
            Fault("hub.alert", "bench", f"expected one alert with its dependents, got {notifications}")
        )
    wait_until(lambda: all(each["state"] == "ready" for each in fleet.get_json("/api/fleet")["agents"]))
    return at_s - began_s


def _fleet(folder: Path, port: int) -> Path:
    (folder / "speaker.py").write_text(_NOTIFY_PROGRAM)
    agents: dict[str, dict[str, Any]] = {"Root": {"run": "speaker.py"}}
    for number in range(DEPENDENTS):
        needs = [{"agent": "Root", "on_death": "degrade"}]
        agents[f"Leaf{number}"] = {"run": "speaker.py", "needs": needs}
    fleet = {
        "fleet": "alarm",
        "hub": {"alerts": {"webhook": f"http://127.0.0.1:{port}/"}},
        "defaults": {"restart": "never", "ready": {"probe": "notify"}},
        "agents": agents,
    }
    path = folder / "fleet.yaml"
    path.write_text(json.dumps(fleet))  # JSON is YAML too
    return path
