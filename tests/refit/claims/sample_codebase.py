"""A small tree of agents for the tests of claims, and helpers that query it."""

from __future__ import annotations

from pathlib import Path

from argosy.refit.claims.claim_check import check_claims, run_all_queries
from argosy.refit.claims.claim_spec import CountUnit
from argosy.refit.claims.claim_verdict import ClaimVerdict
from argosy.refit.claims.claims_file import load_claims
from argosy.refit.claims.codebase import Codebase
from argosy.refit.claims.file_scopes import make_scope
from argosy.refit.claims.query_registry import parse_query, query_kinds
from argosy.refit.claims.query_result import QueryResult, count_bounds, locations_by_unit

LOOP = """\
    def {name}(self):
        while self.{flag}:
            if self.{socket}.poll(1000):
                self.{socket}.recv()
                self.{socket}.send_json({{"status": "{word}"}})
"""

FILES = {
    "common/base.py": "import threading\n\n\nclass BaseAgent:\n    def start(self): ...\n",
    "agents/__init__.py": "",
    "agents/one.py": (
        "import zmq\nfrom common.base import BaseAgent\n\n\nclass One(BaseAgent):\n"
        "    def __init__(self):\n        self.context = zmq.Context()\n"
        + LOOP.format(name="_health_loop", flag="running", socket="health", word="ok")
        + "    def start(self): ...\n"
    ),
    "agents/two.py": (
        "import zmq as z\nfrom common import base\n\n\nclass Middle(base.BaseAgent): ...\n\n\n"
        "class Two(Middle):\n    async def start(self): ...\n"
        + LOOP.format(name="_health_loop", flag="alive", socket="sock", word="HEALTHY")
        + "\n\nmade = [z.Context(), z.Context(1)]\n"
    ),
    "agents/three.py": (
        '"""Talks to 10.0.0.9."""\nfrom .one import One\n\nHOST = "10.0.0.9"\n\n\nclass Three(One):\n'
        + LOOP.format(name="answer", flag="up", socket="s", word="fine")
        + '\n\ndef unlike():\n    return f"tcp://10.0.0.9:{HOST}"\n'
    ),
    # A bracket too many: read by its words.
    "agents/broken.py": (
        "from zmq import Context as Make\nfrom common.base import BaseAgent\nPATH = str('x'))\n\n\n"
        "class Broken(BaseAgent)(object):\n    def _health_loop(self):\n        while True:\n"
        "            self.context = Make()\n\n    def start(self):\n        pass\n"
    ),
    "tools/fetch.py": "import requests\nfrom redis.client import Redis\n\nprint(requests.get('http://10.0.0.9'))\n",
    "requirements.txt": "# pins\npyzmq==27.0.0\nnumpy >= 1.20 ; python_version > '3'\nPyYAML\n-r more.txt\n",
    "requirements/dev.txt": "pyzmq==25.1.2\nnumpy>=1.20\npytest\n",
    "config/broker.yaml": "host: 10.0.0.9 # and 10.0.0.9\n",
    "Dockerfile": "FROM python:3.11\n",
    "config/startup_config.yaml": """\
agent_groups:
  core:
    One: {script_path: agents/one.py, port: 5001, health_check_port: 6001}
    Two: {script_path: agents/two.py, port: 5002, health_check_port: 6002, dependencies: [One, Three]}
  more:
    Three: {script_path: agents/three.py, port: 5001, health_check_port: 6003, dependencies: [One, Two, Gone]}
    Broken: {script_path: agents/broken.py, port: 5004, health_check_port: 6004, dependencies: [Two, One]}
    Lost: {script_path: agents/lost.py, port: 5005, health_check_port: 6005, required: false}
""",
}
FLEET = ("config/startup_config.yaml",)


def plant(root: Path, files: dict[str, str] = FILES) -> Path:
    """Write files below a folder, which is returned."""
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return root


def ask(root: Path, query: str, *scope: str, unit: CountUnit = "place") -> tuple[str, list[str]]:
    """Return how many a query counts, as it is shown, and where."""
    answer, paths = answered(root, query, *scope)
    assert not answer.error, answer.error
    spots = locations_by_unit(answer, unit, paths)
    return count_bounds(answer, unit, paths).describe(), [spot.describe() for spot in spots]


def answered(
    root: Path, query: str, *scope: str, fleet: tuple[str, ...] = FLEET
) -> tuple[QueryResult, list[str]]:
    parsed = parse_query(query)
    where = make_scope(scope or query_kinds()[parsed.name].scope, {})
    answer, paths = run_all_queries([(parsed, where)], Codebase(root, fleet, None))[parsed, where]
    return answer, list(paths)


def judged(root: Path, claim: str, top: str = "fleet: config/startup_config.yaml\n") -> ClaimVerdict:
    """Return the verdict on one claim: `{count: …, is: …}` in YAML, without what is the same in all."""
    text = f"{top}claims:\n  it: {{text: a claim, source: a test, {claim.strip().removeprefix('{')}\n"
    loaded = load_claims(root / "claims.yaml", text)
    return check_claims(loaded.claims, Codebase(root, loaded.fleet, None))[0]
