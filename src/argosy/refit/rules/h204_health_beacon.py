"""A health beacon of one's own

A loop sends its agent's health on a PUB or PUSH socket every few seconds, whether anybody listens or not.
That is one more thread, port and format, and silence means nothing, since a lost message is not sent again.

The socket is reported if a loop of the file sends health payloads on it; the loop itself is H201.

Instead: the standard, whose beacon the fleet's hub receives; `self.report(...)` reports a change at once.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.analysis.health.health_endpoints import find_beacon_sockets
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile


def check(file: PythonFile) -> Iterator[Finding]:
    """Report each call that creates such a socket."""
    for place, creation in find_beacon_sockets(file):
        message = f"`{place.name}` is a {creation.socket_type} socket on which a loop sends out health"
        yield file.make_finding(creation.call, message, creation.scope, symbol=place.name)


RULE = Rule(
    code="H204", title="health beacon", action="review", required_words=(b"PUB", b"PUSH"), check_file=check
)

_MADE = (
    "import time, zmq\n\nclass A:\n    def __init__(self, c):\n"
    "        self.p = c.socket(zmq.{type}){mark}\n\n"
)
_LOOP = (
    "    def tell(self):\n        while True:\n            self.p.send_json({payload})\n"
    "            time.sleep(5)\n"
)
MUST = (
    RuleCase(
        _MADE.format(type="PUB", mark="  # <--")
        + _LOOP.format(payload="{'component': 'a', 'status': 'running', 'metrics': {}}")
    ),
    RuleCase(_MADE.format(type="PUSH", mark="  # <--") + _LOOP.format(payload="self._get_health_status()")),
)
MUST_NOT = (
    RuleCase(_MADE.format(type="PUB", mark="") + _LOOP.format(payload="{'frame': 1, 'status': 'done'}")),
    RuleCase(
        _MADE.format(type="PUB", mark="") + "    def once(self):\n"
        "        self.p.send_json({'component': 'a', 'status': 'running'})\n"
    ),
    RuleCase(_MADE.format(type="REP", mark="") + _LOOP.format(payload="self._get_health_status()")),
)
