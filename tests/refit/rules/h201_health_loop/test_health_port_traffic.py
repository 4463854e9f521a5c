"""H201: a migrated agent health_answers the same health requests as before, on the same port."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq

from argosy.refit.codemods.file_pipeline import rewrite_file, select_codemods
from argosy.refit.rewrite.tree_index import TreeIndex

LIMIT_S = 30.0
MAIN = """

if __name__ == "__main__":
    import sys

    agent = {name}(int(sys.argv[1]))
    agent.run()
"""
OWN_SOCKET = """\
from argosy.agent.compat import BaseAgent
import threading
import time
import zmq


class Translator(BaseAgent):
    def __init__(self, port):
        self.jobs = ["a", "b"]
        super().__init__("Translator", port=port)
        self.port = port
        self.health_port = self.port + 1
        self.health_socket = self.context.socket(zmq.REP)
        self.health_socket.setsockopt(zmq.LINGER, 0)
        self.health_socket.bind(f"tcp://127.0.0.1:{self.health_port}")
        self._start_health()

    def _start_health(self):
        self.health_thread = threading.Thread(target=self._answer_health, daemon=True)
        self.health_thread.start()

    def _answer_health(self):
        while self.running:
            try:
                if self.health_socket.poll(100):
                    self.health_socket.recv()
                    self.health_socket.send_json(self._get_health_status())
            except Exception as error:
                print(error)

    def _get_health_status(self):
        found = super()._get_health_status()
        found.update({"status": "HEALTHY", "jobs": len(self.jobs), "languages": {"fil": 1}})
        return found
"""
THE_BASES_SOCKET = """\
from argosy.agent.compat import BaseAgent
import threading
import time
import zmq


class Memory(BaseAgent):
    def __init__(self, port):
        super().__init__(name="Memory", port=port)
        self._start_health_check()

    def _start_health_check(self):
        self.health_thread = threading.Thread(target=self._health_check_loop)
        self.health_thread.daemon = True
        self.health_thread.start()

    def _health_check_loop(self):
        while self.running:
            if self.health_socket.poll(100, zmq.POLLIN):
                _ = self.health_socket.recv()
                self.health_socket.send_json(self._get_health_status())
            time.sleep(0.1)

    def _get_health_status(self):
        return {"status": "degraded", "entries": 3, "uptime": time.time() - self.start_time}

    def cleanup(self):
        if hasattr(self, "health_thread") and self.health_thread.is_alive():
            self.health_thread.join(timeout=1)
        super().cleanup()
"""
CORE = """\
import json
import threading
import time
import zmq


class Core:
    def __init__(self, name, port):
        self.name, self.port, self.running = name, port, True
        self.health_check_port = port + 1
        self.context = zmq.Context()
        self.health_socket = self.context.socket(zmq.REP)
        self.health_socket.bind(f"tcp://127.0.0.1:{self.health_check_port}")
        self._start_health_check()

    def _start_health_check(self):
        threading.Thread(target=self._health_check_loop, daemon=True).start()

    def _health_check_loop(self):
        while self.running:
            if self.health_socket.poll(100):
                self.health_socket.recv()
                self.health_socket.send_json(self._get_health_status())

    def _get_health_status(self):
        return {"status": "ok", "name": self.name}

    def run(self):
        while self.running:
            time.sleep(0.1)
"""
OF_A_TREE = (
    THE_BASES_SOCKET.replace("argosy.agent.compat import BaseAgent", "core import Core")
    .replace("Memory(BaseAgent)", "Memory(Core)")
    .replace(', "uptime": time.time() - self.start_time', "")
    .replace("        super().cleanup()\n", "        self.running = False\n")
)
A_PORT_OF_ITS_OWN = (
    OWN_SOCKET.replace(
        'super().__init__("Translator", port=port)',
        'health = int(os.environ.get("NO_SUCH_PORT", str(port + 1)))\n        super().__init__("Translator")',
    )
    .replace(
        "        self.port = port\n        self.health_port = self.port + 1\n",
        "        self.health_port = health\n",
    )
    .replace("import threading\n", "import os\nimport threading\n")
)
PROGRAMS = {
    "a socket of its own": (OWN_SOCKET, "Translator", {"jobs": 2, "languages": {"fil": 1}}, "ok"),
    "a port that its base is not given": (
        A_PORT_OF_ITS_OWN,
        "Translator",
        {"jobs": 2, "languages": {"fil": 1}},
        "ok",
    ),
    "its base's socket": (THE_BASES_SOCKET, "Memory", {"entries": 3}, "degraded"),
    "a base of the tree's own": (OF_A_TREE, "Memory", {"entries": 3}, "degraded"),
}
REQUESTS = (b'{"action": "health_check"}', b'{"action": "ping"}', b"anything", b"\x00\xff", b"")


def free_port_pair() -> int:
    """Return a port that is free, as is the next one."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port: int = first.getsockname()[1]
            try:
                with socket.create_server(("127.0.0.1", port + 1)):
                    return port
            except OSError:
                continue


@contextmanager
def running(folder: Path, port: int) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "agent.py", str(port)], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def health_answers(folder: Path) -> list[dict[str, Any]]:
    """Start the agent, send it each question once it is up, and return what it says."""
    port = free_port_pair()
    with running(folder, port):
        until = time.monotonic() + LIMIT_S
        while (first := ask(port + 1, REQUESTS[0])) is None or first["status"] == "starting":
            assert time.monotonic() < until, "it is not up"
        found = [ask(port + 1, question) for question in REQUESTS]
    assert None not in found
    return found  # type: ignore[return-value]


def ask(port: int, question: bytes) -> dict[str, Any] | None:
    with zmq.Context() as context, context.socket(zmq.REQ) as req:
        req.linger = 0
        req.rcvtimeo = 5000
        req.connect(f"tcp://127.0.0.1:{port}")
        req.send(question)
        try:
            document: dict[str, Any] = json.loads(req.recv())
        except zmq.Again:
            return None
        return document


@pytest.mark.parametrize(("source", "name", "own", "word"), PROGRAMS.values(), ids=PROGRAMS)
def test_health_answers_are_same_before_and_after_migration(
    source: str, name: str, own: dict[str, object], word: str, tmp_path: Path
) -> None:
    program = tmp_path / "agent.py"
    (tmp_path / "core.py").write_text(CORE)
    program.write_text(source + MAIN.format(name=name))
    before = health_answers(tmp_path)
    files = {path.name: path.read_bytes() for path in tmp_path.glob("*.py")}
    outcome = rewrite_file("agent.py", files["agent.py"], TreeIndex(files), select_codemods(["H201"]))
    assert outcome.refused == ()
    assert outcome.after is not None
    assert (before[0]["status"] == "HEALTHY") == ("HEALTHY" in source), "its own loop did not answer before"
    assert b"Thread" not in outcome.after
    program.write_bytes(outcome.after)
    after = health_answers(tmp_path)
    for was, now in zip(before, after, strict=True):
        assert was.keys() <= now.keys()
        assert {key: now[key] for key in own} == {key: was[key] for key in own} == own
        assert now["status"] == word
