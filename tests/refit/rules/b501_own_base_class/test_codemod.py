"""B501 and B502: which definitions of a tree are replaced by argosy's, and which are refused and why."""

from __future__ import annotations

import textwrap

import pytest

from argosy.refit.codemods.file_pipeline import FileOutcome, rewrite_file, select_codemods
from argosy.refit.rewrite.tree_index import TreeIndex

AGENTS = {
    f"agents/a{number}.py": f"from core.thing import Thing\nclass A{number}(Thing):\n    pass\n"
    for number in range(3)
}

BASE = '''
"""The base of everything."""
import threading
import zmq

LIMIT = 3


class Thing:
    """Owns what an agent has."""

    def __init__(self, *args, **kwargs):
        self.port = kwargs.get("port")
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.REP)
        self.socket.bind(f"tcp://*:{self.port}")
        threading.Thread(target=self._health_check_loop).start()

    def _health_check_loop(self):
        pass  # answers

    def _get_health_status(self):
        return {"status": "ok"}

    def run(self):
        while self.running:
            self.socket.recv()


def limit():
    return LIMIT
'''

DISCOVERY = """
import zmq


def register_service(name, port=None):
    return _ask({"command": "REGISTER", "payload": {"name": name, "port": port}})


def discover_service(service_name, machine=None):
    answer = _ask({"command": "DISCOVER", "payload": {"name": service_name}})
    return answer.get("status") == "SUCCESS", answer


def get_service_address(service_name, machine=None):
    found, answer = discover_service(service_name, machine)
    return f"tcp://{answer['payload']['ip']}:{answer['payload']['port']}" if found else None


def _ask(request):
    socket = zmq.Context().socket(zmq.REQ)
    socket.connect("tcp://registry:7120")
    socket.send_json(request)
    return socket.recv_json()


def look_twice(name):
    return get_service_address(name) or get_service_address(name)
"""


def refit(source: str, others: dict[str, str], path: str = "core/thing.py") -> FileOutcome:
    """Return what becomes of a file in a tree of others."""
    files = {name: textwrap.dedent(text).encode() for name, text in {path: source, **others}.items()}
    outcome = rewrite_file(path, files[path], TreeIndex(files), select_codemods(["B"]))
    assert [reason for reason in outcome.checks.values() if reason] == []
    return outcome


def after(outcome: FileOutcome) -> str:
    assert outcome.after is not None, outcome.refused
    return outcome.after.decode()


def test_b501_replaces_base_class_and_keeps_its_name() -> None:
    outcome = refit(BASE, AGENTS)
    made = after(outcome)
    assert '"""\nfrom argosy.agent.compat import BaseAgent as Thing\n' in made  # nothing else used `zmq`
    assert "class Thing" not in made
    assert "def limit():" in made
    assert [site.code for site in outcome.migrated] == ["B501"]


def test_b502_replaces_lookups_together_and_keeps_their_users() -> None:
    made = after(refit(DISCOVERY, {}))
    imported = "discover_service, get_service_address, register_service"
    assert f"import zmq\nfrom argosy.agent.compat.discovery import {imported}\n" in made
    assert "def discover_service" not in made
    assert "def look_twice" in made
    assert "def _ask" in made


NOT_A_BASE = {
    "too few derive from it": (BASE, {}),
    "it makes no context": (BASE.replace("zmq.Context()", "self._given()"), AGENTS),
    "it answers nothing": (BASE.replace("zmq.REP", "zmq.SUB"), AGENTS),
    "it has no work loop": (BASE.replace("def run", "def go"), AGENTS),
    "it has no health": (BASE.replace("_get_health_status", "describe"), AGENTS),
    "it derives from another": (BASE.replace("class Thing:", "class Thing(Deeper):"), AGENTS),
    "a registry of other words": (DISCOVERY.replace("SUCCESS", "found"), {}),
    "a lookup without ZeroMQ": (DISCOVERY.replace("zmq.REQ", "3"), {}),
}


@pytest.mark.parametrize("case", NOT_A_BASE)
def test_b501_and_b502_find_no_site_in_other_code(case: str) -> None:
    source, others = NOT_A_BASE[case]
    outcome = refit(source, others)
    assert outcome.after is None
    assert not outcome.refused


REFUSED = {
    "a member that an agent uses": (
        BASE.replace("self.port =", "self.tariff = 4\n        self.port ="),
        {"agents/b.py": "from core.thing import Thing\nclass B(Thing):\n    f = lambda self: self.tariff\n"},
        "`agents/b.py` uses `tariff` of `Thing`",
    ),
    "a metaclass": (BASE.replace("class Thing:", "class Thing(metaclass=M):"), {}, "metaclass"),
    "decorators": (BASE.replace("class Thing:", "@traced\nclass Thing:"), {}, "decorators"),
    "bound twice": (BASE + "\nThing = traced(Thing)\n", {}, "bound 2 times"),
    "set from outside": (BASE + "\nThing.limit = 4\n", {}, "sets attributes"),
    "patched by a test": (BASE, {"tests/t.py": "patch('core.thing.Thing')\n"}, "`tests/t.py` replaces"),
    "a parameter of its own": (
        DISCOVERY.replace("service_name, machine=None", "service_name, zone=None"),
        {},
        "has a parameter `zone`",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_b501_and_b502_refuse_definition_with_reason(case: str) -> None:
    source, others, reason = REFUSED[case]
    outcome = refit(source, {**AGENTS, **others})
    assert outcome.after is None
    assert [reason in item.reason for item in outcome.refused] == [True], outcome.refused


def test_b501_accepts_member_set_by_agent_itself() -> None:
    own = """
        from core.thing import Thing
        class B(Thing):
            def f(self):
                self.tariff = 1
                return self.tariff
    """
    source = BASE.replace("self.port =", "self.tariff = 4\n        self.port =")
    assert "as Thing" in after(refit(source, {**AGENTS, "agents/b.py": own}))
