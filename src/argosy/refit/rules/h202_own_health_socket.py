"""A health socket or server of one's own

A socket bound only for health, or an HTTP server with a path for it, is a port that is declared nowhere, next
to the one on which the agent's base already answers; where the two are the same, the agent cannot start.

Reported are REP and ROUTER sockets on which a health loop answers, bound sockets with `health` in their name,
request handlers of `http.server` that answer for health, and routes of web applications with one of the usual
paths (`/health`, `/healthz`, `/api/v1/health` ...).

Instead: the health port of the standard; the fleet's hub and probes serve it over HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.analysis.health.health_endpoints import find_health_routes, find_health_sockets
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile


def check(file: PythonFile) -> Iterator[Finding]:
    """Report each call that creates such a socket, each handler and each route."""
    for place, creation in find_health_sockets(file):
        message = f"`{place.name}` is a {creation.socket_type} socket only for health"
        yield file.make_finding(creation.call, message, creation.scope, symbol=place.name)
    for node, scope, path in find_health_routes(file):
        shown = "with its health" if path == "*" else f"on `{path}`"
        message = f"an HTTP server of its own answers {shown}"
        yield file.make_finding(node, message, scope, symbol=path)


RULE = Rule(
    code="H202",
    title="own health socket or server",
    action="review",
    required_words=(b"REP", b"ROUTER", b"health", b"livez", b"readyz", b"do_GET", b"XREP"),
    check_file=check,
)

MUST = (
    RuleCase(
        "import zmq\n\nclass A:\n    def __init__(self, c):\n        self.s = c.socket(zmq.REP)  # <--\n\n"
        "    def loop(self):\n        while True:\n            self.s.recv()\n"
        "            self.s.send_json({'status': 'ok', 'uptime': 1})\n"
    ),
    RuleCase(
        "import zmq\n\nclass A:\n    def __init__(self, c):\n"
        "        self.health_socket = c.socket(zmq.REP)  # <--\n"
        "        self.health_socket.bind('tcp://*:1')\n"
    ),
    RuleCase(
        "import zmq\n\nclass A:\n    def __init__(self, c):\n"
        "        self.health = c.socket(zmq.REP)  # <--\n        self.bind_with_retry(self.health, 1)\n"
    ),
    RuleCase("@app.get('/health')  # <--\nasync def health():\n    return {}\n"),
    RuleCase("@app.route('/api/v1/healthz', methods=['GET'])  # <--\ndef anything():\n    return ''\n"),
    RuleCase("def f(app):\n    app.router.add_get('/health', f)  # <--\n"),
    RuleCase(
        "import http.server\n\nclass H(http.server.BaseHTTPRequestHandler):\n    def do_GET(self):  # <--\n"
        "        if self.path == '/health':\n            self.send_response(200)\n"
    ),
    RuleCase(
        "import json\nfrom http.server import BaseHTTPRequestHandler\n\nclass H(BaseHTTPRequestHandler):\n"
        "    def do_GET(self):  # <--\n"
        "        self.wfile.write(json.dumps({'status': 'ok', 'uptime': 1}).encode())\n"
    ),
)
MUST_NOT = (
    RuleCase(
        "import zmq\n\nclass A:\n    def __init__(self, c):\n        self.s = c.socket(zmq.REP)\n"
        "        self.s.bind('tcp://*:1')\n"
    ),
    RuleCase(
        "import zmq\n\ndef ask(c):\n    health = c.socket(zmq.REQ)\n    health.connect('tcp://h:1')\n"
        "    health.send_json({'action': 'health'})\n    return health.recv_json()\n"
    ),
    RuleCase("def test_it(client):\n    assert client.get('/health').status_code == 200\n"),
    RuleCase("@app.get('/models')\ndef models():\n    return {}\n"),
    RuleCase("@mock.patch('/health')\ndef f():\n    pass\n"),
    RuleCase(
        "from http.server import BaseHTTPRequestHandler\n\nclass H(BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n        self.wfile.write(b'hello')\n"
    ),
)
