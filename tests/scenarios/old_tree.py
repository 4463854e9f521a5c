"""A small code base of the old kind: a base that binds one port twice, and agents that it stops."""

from __future__ import annotations

import textwrap
from pathlib import Path

BASE = """
import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import zmq

logger = logging.getLogger(__name__)


class BaseAgent:
    def __init__(self, name=None, port=None, health_check_port=None, **kwargs):
        self.name = name or self.__class__.__name__
        self.port = port
        self.health_check_port = health_check_port or port + 1
        self.running = True
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.REP)
        self.socket.bind(f"tcp://*:{self.port}")
        self.health_socket = self.context.socket(zmq.REP)
        self.health_socket.bind(f"tcp://*:{self.health_check_port}")
        HTTPServer(("0.0.0.0", self.health_check_port), BaseHTTPRequestHandler)
        threading.Thread(target=self._health_check_loop, daemon=True).start()

    def _health_check_loop(self):
        while self.running:
            if self.health_socket.poll(1000):
                self.health_socket.recv()
                self.health_socket.send_json(self._get_health_status())

    def _get_health_status(self):
        return {"status": "ok"}

    def handle_request(self, request):
        return {"status": "error", "error": "unknown action"}

    def run(self):
        while self.running:
            if self.socket.poll(1000):
                self.socket.send_json(self.handle_request(json.loads(self.socket.recv())))

    def cleanup(self):
        self.running = False
"""

PLAIN = """
from core.base import BaseAgent


class {name}(BaseAgent):
    {body}


if __name__ == "__main__":
    {name}(port={port}).run()
"""

BODIES = {
    "Registry": "pass",
    "Writer": """def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with open("written.txt", "w") as file:
            file.write(self.name)""",
    "Limited": """def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.limit = LIMIT""",
    "Heavy": """def __init__(self, **kwargs):
        super().__init__(**kwargs)
        raise RuntimeError("it wants a device that is not here")""",
}

DECISIONS = """
fleet:
  files: [startup_config.yaml]
  why: it is the only one
decisions:
  - file: agents/limited.py
    why: the limit was in a file that is gone
    replace:
      - old: "self.limit = LIMIT"
        new: "self.limit = 3"
"""


def write_tree(root: Path) -> None:
    """Write the code base, its configuration, and no more."""
    rows = ["global_settings:", "  environment:", "    PYTHONPATH: .", "agent_groups:", "  all:"]
    (root / "core").mkdir(parents=True)
    (root / "agents").mkdir()
    (root / "core" / "__init__.py").touch()
    (root / "core" / "base.py").write_text(BASE.lstrip())
    for number, (name, body) in enumerate(BODIES.items()):
        port = 7300 + 2 * number
        script = f"agents/{name.lower()}.py"
        (root / script).write_text(PLAIN.format(name=name, body=body, port=port).lstrip())
        rows += textwrap.indent(
            f"{name}:\n  script_path: {script}\n  port: {port}\n  health_check_port: {port + 1000}\n"
            f"  dependencies: {[] if name == 'Registry' else ['Registry']}\n",
            "    ",
        ).splitlines()
    (root / "startup_config.yaml").write_text("\n".join(rows) + "\n")
