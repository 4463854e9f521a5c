"""A literal address in code

A literal address in the source is right on one network only. Found in `connect` and `bind` calls, in URLs, in
the values of names, keys and keywords for a host, and in defaults of parameters and options. Not reported in
comparisons, allow lists, subnets, messages, docstrings, the address ranges reserved for documentation, or
test files.

`localhost` and a `bind` to loopback need a human decision (`report`): the source does not tell whether the
peer is on the same machine on purpose.

Instead: `argosy.api.endpoint("Translator")`, or `host("pc2")` there.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from argosy.refit.analysis.addresses.address_sites import AddressRole, find_literal_addresses
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile

_MESSAGES = {
    AddressRole.CONNECT: "`{}` is the address passed to `{}`",
    AddressRole.BIND: "`{}` is the address that `{}` listens on",
    AddressRole.SETTING: "`{}` is the value of `{}`",
    AddressRole.PARAMETER: "`{}` is the default of `{}`",
    AddressRole.VALUE: "`{}` is used by `{}`",
}


def check(file: PythonFile) -> Iterator[Finding]:
    """Report each literal address except fallbacks of environment variables (A402)."""
    for site in find_literal_addresses(file):
        shown = site.address.host if site.port is None else f"{site.address.host}:{site.port}"
        message = _MESSAGES[site.role].format(shown, site.name) if site.name else f"`{shown}` is in the code"
        finding = file.make_finding(site.node, message, site.scope)
        yield finding if site.address.kind == "machine" else replace(finding, action="report")


RULE = Rule(code="A401", title="literal address in code", action="review", check_file=check)

MUST = (
    RuleCase('def f(socket):\n    socket.connect("tcp://192.168.100.16:7220")  # <--\n'),
    RuleCase('def f(socket, port):\n    socket.connect(f"tcp://localhost:{port}")  # <--\n'),
    RuleCase('def f(socket, port):\n    socket.connect("tcp://localhost:" + str(port))  # <--\n'),
    RuleCase('def f(socket, port):\n    socket.connect("tcp://10.1.2.3:%d" % port)  # <--\n'),
    RuleCase('def f(sock):\n    sock.connect_ex(("127.0.0.1", 5555))  # <--\n'),
    RuleCase('def f(socket):\n    socket.bind("tcp://192.168.100.16:7220")  # <--\n'),
    RuleCase('def f(socket):\n    socket.bind("tcp://127.0.0.1:7220")  # <--\n'),
    RuleCase('PC2_IP = "192.168.100.17"  # <--\n'),
    RuleCase('CONFIG = {\n    "redis": {"host": "localhost", "port": 6379},  # <--\n}\n'),
    RuleCase('class A:\n    def __init__(self, host="localhost"):  # <--\n        self.host = host\n'),
    RuleCase('def f(config):\n    return config.get("pc2_host", "192.168.1.2")  # <--\n'),
    RuleCase('def f(parser):\n    parser.add_argument("--pc2-host", default="192.168.1.2")  # <--\n'),
    RuleCase('def f(requests):\n    return requests.get("http://localhost:8000/health")  # <--\n'),
    RuleCase('def f():\n    return "192.168.100.17"  # <--\n'),
    RuleCase('from redis import Redis\ndb = Redis(host="localhost", port=6379)  # <--\n'),
    RuleCase(
        'def f(is_near):\n    return connect("10.0.0.3" if is_near else "10.0.0.4")  # <--\n',
        expected_lines=(2,),
    ),
    RuleCase('import os\nos.environ["PC2_IP"] = "192.168.100.17"  # <--\n'),
    RuleCase('SERVERS = ["10.0.0.3:9092", "10.0.0.4:9092"]  # <--\n'),
)
MUST_NOT = (
    RuleCase('def f(host):\n    return host == "127.0.0.1" or host in ("localhost", "192.168.1.2")\n'),
    RuleCase('ALLOWED_HOSTS = ["localhost", "192.168.1.2"]\nTRUSTED = {"ips": 1}\n'),
    RuleCase('SUBNET = "192.168.1.0/24"\nNETWORK = "192.168.1.0"\nMASK = "255.255.255.0"\n'),
    RuleCase('__version__ = "1.2.3.4"\nversion = "10.0.0.1"\n'),
    RuleCase('"""Connect to 192.168.1.2."""\ndef f():\n    """tcp://192.168.1.2:5555"""\n'),
    RuleCase('import logging\nlogging.info("tcp://192.168.1.2:5555")\nprint("192.168.1.2")\n'),
    RuleCase('def f(socket):\n    socket.bind("tcp://*:5555")\n    socket.bind("tcp://0.0.0.0:5556")\n'),
    RuleCase('import os\nHOST = os.environ.get("REDIS_HOST", "192.168.1.2")\n'),
    RuleCase(
        "import socket\n"
        "def own_address():\n"
        "    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        '    s.connect(("8.8.8.8", 80))\n'
        "    return s.getsockname()[0]\n"
    ),
    RuleCase(
        files={"tests/test_peer.py": 'def test_peer(socket):\n    socket.connect("tcp://127.0.0.1:1")\n'}
    ),
    RuleCase('HOST = "192.0.2.7"\nPEER = {"host": "203.0.113.9"}\n'),
    RuleCase('def f(text):\n    return text.replace("192.168.1.2", "pc2").startswith("10.0.0.1")\n'),
    RuleCase('uvicorn.run(app, host="0.0.0.0", port=8000)\n'),
    RuleCase('raise ValueError("localhost")\n'),
    RuleCase('HOST = "redis"\nURL = "http://example.com/10.0.0.1/x"\n'),
    RuleCase('def f(host: str = "pc2") -> None:\n    help = "such as localhost"\n'),
)
