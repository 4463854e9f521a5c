"""A private health loop

Copied from agent to agent, each such loop costs a thread, a socket and a port, and has its own mistakes: it
answers as long as its thread lives, whatever the state of the agent's work.

Found by behavior, under any name: a loop in which everything sent on a socket is a health payload or an
error, and in which the received request is not used for work; and a loop that sends such payloads on a PUB or
PUSH socket. A loop that also answers other requests is not reported.

`auto` if a thread of its own runs the loop and the loop only answers: the refit then checks whether it can be
removed.

Instead: the health endpoint of `argosy.agent` (`argosy.agent.compat.BaseAgent` for old classes). It calls
`_get_health_status` and answers on the health port according to the state of the agent's work.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.analysis.health.health_loops import find_health_loops
from argosy.refit.core.finding import Finding, FindingAction
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile


def check(file: PythonFile) -> Iterator[Finding]:
    """Report each function that has a health loop, once."""
    reported: set[str] = set()
    for loop in find_health_loops(file):
        if loop.name in reported:
            continue
        reported.add(loop.name)
        behavior = "answers health requests" if loop.kind == "responder" else "sends health payloads"
        action: FindingAction = "auto" if loop.kind == "responder" and loop.is_only_socket else "review"
        message = f"`{loop.definition.name}` is a private loop that {behavior} on `{loop.socket}`"
        yield file.make_finding(loop.definition, message, loop.function, action=action)


RULE = Rule(
    code="H201",
    title="own health loop",
    action="review",
    required_words=(b"send", b"SEND"),
    check_file=check,
)

_HEAD = "import threading, time, zmq\n\nclass A(Base):\n"
_LOOP = (
    "        while self.running:\n"
    "            if self.s.poll(100):\n"
    "                self.s.recv()\n"
    "                self.s.send_json({payload})\n"
    "            time.sleep(0.1)\n"
)
MUST = (
    RuleCase(_HEAD + "    def f(self):  # <--\n" + _LOOP.format(payload="self._get_health_status()")),
    RuleCase(
        _HEAD
        + "    def spin(self):  # <--\n"
        + _LOOP.format(payload='{"status": "ok", "uptime": time.time() - self.t0}')
    ),
    RuleCase(
        _HEAD + "    def spin(self):  # <--\n" + _LOOP.format(payload="self.tell()") + "    def tell(self):\n"
        "        found = super()._get_health_status()\n        found.update({'queue': 1})\n"
        "        return found\n"
    ),
    RuleCase(
        "import json, zmq\n\ndef serve(sock, name):  # <--\n    while True:\n"
        "        request = sock.recv_json()\n"
        "        if request.get('action') == 'ping':\n"
        "            reply = {'status': 'HEALTHY', 'agent': name}\n        else:\n"
        "            reply = {'status': 'error', 'message': f'what is {request}'}\n"
        "        sock.send(json.dumps(reply).encode())\n"
    ),
    RuleCase(
        "import zmq\n\nclass A:\n    def run(self):  # <--\n        poller = zmq.Poller()\n"
        "        while True:\n"
        "            ready = dict(poller.poll(500))\n            if self.main in ready:\n"
        "                self.main.send_json(self.handle(self.main.recv_json()))\n"
        "            if self.second in ready:\n                _ = self.second.recv()\n"
        "                self.second.send_json(self._get_health_status())\n"
    ),
    RuleCase(
        "import time, zmq\n\nclass A:\n    def __init__(self, c):\n        self.p = c.socket(zmq.PUB)\n\n"
        "    def begin(self):\n        def tell():  # <--\n            while True:\n"
        "                state = {'status': 'ok' if self.good() else 'degraded', 'stats': self.stats()}\n"
        "                self.p.send_json(state)\n                time.sleep(5)\n"
    ),
)
MUST_NOT = (
    RuleCase(_HEAD + "    def f(self):\n" + _LOOP.format(payload="self.work()")),
    RuleCase(_HEAD + "    def f(self):\n" + _LOOP.format(payload="{'status': 'received'}")),
    RuleCase(
        "class A:\n    def run(self):\n        while True:\n            job = self.s.recv_json()\n"
        "            self.store(job)\n            self.s.send_json({'status': 'ok', 'timestamp': 1})\n"
    ),
    RuleCase(
        "class A:\n    def run(self):\n        while True:\n            got = self.s.recv_json()\n"
        "            if got['action'] == 'health':\n                out = {'status': 'ok', 'uptime': 1}\n"
        "            else:\n                out = self.handle(got)\n            self.s.send_json(out)\n"
    ),
    RuleCase(
        "def watch(self, s):\n    while True:\n        s.send_json({'status': 'ok', 'agent': 'a'})\n"
        "        print(s.recv_json())\n"
    ),
    RuleCase("def once(s):\n    s.recv()\n    s.send_json({'status': 'ok', 'uptime': 1})\n"),
    RuleCase(
        "import zmq\n\ndef f(c):\n    p = c.socket(zmq.PUB)\n    while True:\n"
        "        p.send_json({'event': 'frame', 'data': 1})\n"
    ),
)
