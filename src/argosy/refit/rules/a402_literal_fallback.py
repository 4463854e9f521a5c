"""An environment variable falls back to a literal address

`os.environ.get("REDIS_HOST", "192.168.1.2")` works where it was written. Elsewhere a variable that is unset
or misspelt silently selects that machine. Found in `os.environ.get`, `os.getenv` and helpers with such names,
in `or` and `if` expressions around them, in command-line options, and in fields of pydantic settings. A
fallback that listens on every interface is not reported: it is not the address of a machine.

Instead: `argosy.api.host("redis", "REDIS_HOST")`: the variable first, then the fleet file.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from argosy.refit.analysis.addresses.address_sites import find_literal_fallbacks
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile


def check(file: PythonFile) -> Iterator[Finding]:
    """Report each literal address that is the fallback of an environment variable."""
    for site in find_literal_fallbacks(file):
        message = f"`{site.address.host}` is used where `{site.name}` is not set"
        finding = file.make_finding(site.node, message, site.scope, symbol=site.name)
        yield finding if site.address.kind == "machine" else replace(finding, action="review")


RULE = Rule(code="A402", title="literal fallback of an environment variable", action="auto", check_file=check)

MUST = (
    RuleCase('import os\nHOST = os.environ.get("REDIS_HOST", "192.168.1.2")  # <--\n'),
    RuleCase('from os import getenv as g\nHOST = g("REDIS_HOST", default="localhost")  # <--\n'),
    RuleCase('import os\nHOST = os.environ.get("REDIS_HOST") or "192.168.1.2"  # <--\n'),
    RuleCase(
        'import os\nHOST = os.environ["REDIS_HOST"] if "REDIS_HOST" in os.environ else "10.0.0.7"  # <--\n'
    ),
    RuleCase(
        "import os\n"
        "def add(parser):\n"
        '    parser.add_argument("--host", default=os.getenv("PC2_IP", "192.168.100.17"))  # <--\n'
    ),
    RuleCase(
        "from settings import get_env\n"
        "def connect(socket):\n"
        "    socket.connect(f\"tcp://{get_env('PC2_IP', '192.168.100.17')}:7150\")  # <--\n"
    ),
    RuleCase('import os\nBUS = os.getenv("NATS_SERVERS", "nats://localhost:4222").split(",")  # <--\n'),
    RuleCase(
        "from pydantic_settings import BaseSettings\n"
        "from pydantic import Field\n"
        "class Settings(BaseSettings):\n"
        '    redis_host: str = "192.168.1.2"  # <--\n'
        '    broker: str = Field("localhost:9092", env="BROKER")  # <--\n'
    ),
)
MUST_NOT = (
    RuleCase('class os:\n    environ = {}\n\n\nHOST = os.environ.get("PC2_IP", "192.168.1.2")\n'),
    RuleCase('import os\nHOST = os.environ.get("REDIS_HOST", "redis")\nNAME = os.getenv("NAME", "1.2")\n'),
    RuleCase(
        'import os\nBIND = os.environ.get("BIND_ADDRESS", "0.0.0.0")\nHERE = os.getenv("BIND", "127.0.0.1")\n'
    ),
    RuleCase('import os\nif os.environ.get("HOST") == "127.0.0.1":\n    pass\n'),
    RuleCase('config = {}\nHOST = config.get("HOST", "192.168.1.2")\n'),
    RuleCase('import os\nSUBNET = os.environ.get("SUBNET", "192.168.0.0/16")\n'),
    RuleCase('import os\nVERSION = os.environ.get("VERSION", "v1.2.3.4")\n'),
    RuleCase('def f():\n    """`os.environ.get("REDIS_HOST", "192.168.1.2")` was here."""\n'),
)
