"""A small fleet whose agents ask each other, each in a container of its own, a cell among them."""

from __future__ import annotations

from typing import Any

import zmq

# Ports are the first of so many.
FLEET = """
fleet: port
containers: agent
machines: {{quay: {{}}, pier: {{}}}}
agents:
  Speaker: {{run: "agents:Speaker", machine: pier, port: {0}, needs: [Memory]}}
  Memory: {{run: "agents:Memory", machine: quay, group: core, port: {1}, needs: [Left, Old]}}
  Left: {{run: "agents:Watch", machine: quay, group: core, cell: pair, port: {2}}}
  Right: {{run: "agents:Watch", machine: quay, group: core, cell: pair, port: {3}, needs: [Left]}}
  Old: {{run: old.py, machine: quay, group: core, port: {4}, ready: {{probe: zmq}}}}
"""
PORTS = 5
SERVICES = {"speaker": ["Speaker"], "memory": ["Memory"], "pair": ["Left", "Right"], "old": ["Old"]}
FILES = {
    "agents.py": """
import os
from argosy.agent import Agent, request

class Watch(Agent): ...

class Memory(Agent):
    @request
    async def recall(self, key: str) -> str:
        return f"{key}, from {os.environ['ARGOSY_MACHINE']}"

class Speaker(Agent):
    @request
    async def say(self, key: str) -> str:
        return f"{os.environ['ARGOSY_MACHINE']} says: {await self.peer('Memory').recall(key=key)}"
""",
    "old.py": """
import json, os, signal, sys, zmq
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if __name__ == "__main__":
    with zmq.Context() as context, context.socket(zmq.REP) as asked:
        asked.bind(f"tcp://0.0.0.0:{os.environ['ARGOSY_PORT']}")
        while True:
            asked.recv()
            asked.send(json.dumps({"status": "ok"}).encode())
""",
}
QUESTION = {"action": "say", "key": "word"}
ANSWER = {"result": "speaker says: word, from memory"}


def put(end_point: str, question: dict[str, str]) -> Any:
    """Return the answer of an agent, or what went wrong."""
    with zmq.Context.instance().socket(zmq.REQ) as asked:
        asked.linger = 0
        asked.rcvtimeo = 5000
        asked.connect(end_point)
        asked.send_json(question)
        try:
            return asked.recv_json()
        except zmq.ZMQError as error:
            return str(error)
