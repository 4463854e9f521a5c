"""A small legacy code base: its base class binds one port twice, so that its agents fail to start."""

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

# Each is broken in a way that a rule mends; `PORT` stands for its port.
SCRIPTS = {
    # A folder beside it hides the package that is meant, which has what it asks for.
    "Clock": """
from core.base import BaseAgent
from kit.clock import now


class Clock(BaseAgent):
    def handle_request(self, request):
        return {"now": now()}


if __name__ == "__main__":
    Clock(port=PORT).run()
""",
    # The port that nobody gave on the command line is None; the process's context comes from pyzmq.
    "Teller": """
import argparse

import zmq
from core.base import BaseAgent


class Teller(BaseAgent):
    def __init__(self, **words):
        own = int(words.get("port", PORT))
        super().__init__(port=own)
        self.shared = zmq.Context.instance()
        self.news = self.shared.socket(zmq.PUB)
        self.news.bind_to_random_port("tcp://127.0.0.1")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    given = parser.parse_args()
    Teller(port=given.port).run()
""",
    # A helper never imported; a bracket too many; a package that is not here, asked for a device alone.
    "Gauge": """
import torch
from core.base import BaseAgent


class Gauge(BaseAgent):
    def handle_request(self, request):
        used = torch.cuda.memory_allocated() if torch.cuda.is_available() else 0
        return {"used": used, "at": now())}


if __name__ == "__main__":
    Gauge(port=PORT).run()
""",
    # The same package, and work that needs it.
    "Painter": """
import torch
from core.base import BaseAgent


class Painter(BaseAgent):
    def handle_request(self, request):
        return {"picture": torch.zeros(3)}


if __name__ == "__main__":
    Painter(port=PORT).run()
""",
    # It answers in a thread of its own, and runs the loop of its base beside it.
    "Reader": """
import threading

import zmq
from core.base import BaseAgent


class Reader(BaseAgent):
    def __init__(self, **words):
        super().__init__(**words)
        self.socket = self.context.socket(zmq.REP)
        self.socket.bind(f"tcp://*:{self.port}")
        threading.Thread(target=self.answer, daemon=True).start()

    def answer(self):
        while self.running:
            if self.socket.poll(100):
                self.socket.recv()
                self.socket.send_json({"by": "its thread"})


if __name__ == "__main__":
    Reader(port=PORT).run()
""",
}
MODULES = {
    "lib/__init__.py": "",
    "lib/kit/__init__.py": "",
    "lib/kit/clock.py": "import time\n\n\ndef now():\n    return time.time()\n",
    "agents/kit/other.py": "",
    "tools/show.py": "from lib.kit.clock import now\n\nprint(now())\n",
    "tools/again.py": "from lib.kit.clock import now\n\nprint(now(), now())\n",
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
    for path, text in {"core/__init__.py": "", "core/base.py": BASE.lstrip(), **MODULES}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    plain = {name: PLAIN.format(name=name, body=body, port="PORT") for name, body in BODIES.items()}
    for number, (name, text) in enumerate({**plain, **SCRIPTS}.items()):
        port = 7300 + 2 * number
        script = f"agents/{name.lower()}.py"
        (root / script).write_text(text.replace("PORT", str(port)).lstrip())
        rows += textwrap.indent(
            f"{name}:\n  script_path: {script}\n  port: {port}\n  health_check_port: {port + 1000}\n"
            f"  dependencies: {[] if name == 'Registry' else ['Registry']}\n",
            "    ",
        ).splitlines()
    (root / "startup_config.yaml").write_text("\n".join(rows) + "\n")
