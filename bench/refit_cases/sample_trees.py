"""Provides the tree to measure: a given one, the reference monorepo, or a generated one."""

from __future__ import annotations

import random
import shutil
import tarfile
from pathlib import Path

from argosy.fault import Fault, InputError

ROOT = Path(__file__).resolve().parents[2]
CORPUS = "shared/corpus/monorepo-before.tar.xz"
AGENTS = 320
BROKEN_EVERY = 5

_AGENT = '''"""The {name} agent."""

import json
import logging
import os
import threading
import time

import zmq

LOG = logging.getLogger(__name__)
HUB_HOST = os.environ.get("HUB_HOST", "192.168.7.{host}")


class {name}(object):
    def __init__(self, port={port}):
        self.port = port
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.REP)
        self.socket.setsockopt(zmq.RCVTIMEO, 1000)
        self.socket.bind(f"tcp://*:{{self.port}}")
        self.running = True
        self.seen = {{}}

    def ask(self, peer, request):
        context = zmq.Context()
        socket = context.socket(zmq.REQ)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVTIMEO, {wait})
        try:
            socket.connect(f"tcp://{{HUB_HOST}}:{{peer}}")
            socket.send_json(request)
            return socket.recv_json()
        finally:
            socket.close()
            context.term()

{methods}
    def run(self):
        while self.running:
            try:
                request = self.socket.recv_json()
            except zmq.Again:
                continue
            self.socket.send_json(self.handle(request))

    def handle(self, request):
        action = request.get("action")
        if action in ("health", "ping"):
            return {{"status": "HEALTHY", "uptime": time.time()}}
        return getattr(self, f"do_{{action}}", self.unknown)(request)

    def unknown(self, request):
        return {{"status": "error", "message": json.dumps(sorted(request))}}


if __name__ == "__main__":
    agent = {name}()
    threading.Thread(target=agent.run, daemon=True).start()
    while agent.running:
        time.sleep({pause})
'''
_METHOD = """    def do_{word}(self, request):
        {item} = request.get("{word}") or {{}}
        total = {start}
        for key, value in sorted({item}.items()):
            if isinstance(value, (int, float)) and value > {least}:
                total += value * {factor}
            elif isinstance(value, str):
                self.seen[key] = value.strip().lower()
            else:
                LOG.debug("%s of %s is left out", key, "{word}")
        if total > {most}:
            LOG.warning("{word} is at %s", total)
            return {{"status": "warning", "{word}": total, "seen": len(self.seen)}}
        return {{"status": "ok", "{word}": round(total, 2)}}

"""
_FLEET = """fleet: made
machines: {here: {}}
environments:
  development: {here: 192.168.7.16, hub: 192.168.7.17}
agents:
"""
_WORDS = [
    "rate",
    "load",
    "lag",
    "depth",
    "drift",
    "noise",
    "tone",
    "pace",
    "share",
    "heat",
    "cost",
    "age",
    "weight",
    "score",
    "stock",
    "range",
]


def reference() -> Path | None:
    """Return the archive of the reference monorepo beside the checkout, or None."""
    return next((folder / CORPUS for folder in ROOT.parents if (folder / CORPUS).is_file()), None)


def unpack_tree(given: Path | None, target: Path) -> str:
    """Make the tree to measure at `target` and return its description.

    Raises InputError: `given` is neither a folder nor an archive.
    """
    source = given or reference()
    if source is None:
        generate_tree(target)
        return f"{AGENTS} agents made by the bench"
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns(".git", ".argosy"))
    elif tarfile.is_tarfile(source):
        with tarfile.open(source) as archive:
            archive.extractall(target, filter="data")
        _flatten(target)
    else:
        raise InputError(Fault(str(source), "no-tree", f"`{source}` is neither a folder nor an archive"))
    return source.name


def _flatten(target: Path) -> None:
    """Move the content of an archive's only folder up."""
    inside = list(target.iterdir())
    if len(inside) == 1 and inside[0].is_dir():
        for item in list(inside[0].iterdir()):
            item.rename(target / item.name)
        inside[0].rmdir()


def generate_tree(target: Path) -> None:
    """Write a typical monorepo: one file per agent, each with contexts of its own, some damaged."""
    random_source = random.Random(7)
    (target / "agents").mkdir(parents=True)
    fleet = [_FLEET]
    for number in range(AGENTS):
        name = f"Agent{number:03}"
        text = _agent(name, number, random_source)
        fleet.append(
            f"  {name}: {{run: agents/agent_{number:03}.py, machine: here, port: {5600 + number}}}\n"
        )
        if number % BROKEN_EVERY == BROKEN_EVERY - 1:
            text = _break_source(text, number, random_source)
        (target / f"agents/agent_{number:03}.py").write_text(text)
    (target / "fleet.yaml").write_text("".join(fleet))
    (target / "requirements.txt").write_text("pyzmq\nflask\n")


def _agent(name: str, number: int, random_source: random.Random) -> str:
    words = random_source.sample(_WORDS, 9)
    methods = "".join(
        _METHOD.format(
            word=word,
            item=random_source.choice(("table", "values", "given")),
            start=random_source.randrange(5),
            least=random_source.randrange(9),
            factor=random_source.randrange(2, 7),
            most=random_source.randrange(50, 900),
        )
        for word in words
    )
    return _AGENT.format(
        name=name,
        port=5600 + number,
        host=17,
        wait=random_source.randrange(500, 5000),
        pause=random_source.randrange(1, 9),
        methods=methods,
    )


def _break_source(text: str, number: int, random_source: random.Random) -> str:
    """Damage a file as text rewrites do: an extra bracket, a statement at column 0, two on one line."""
    kind = (number // BROKEN_EVERY) % 3
    if kind == 0:
        return text.replace("self.context.socket(zmq.REP)", "self.context.socket(zmq.REP))", 1)
    if kind == 1:
        return text.replace("        self.running = True\n", "import uuid\n        self.running = True\n", 1)
    return text.replace("        self.seen = {}\n", "        self.seen = {}        self.extra = 1\n", 1)
