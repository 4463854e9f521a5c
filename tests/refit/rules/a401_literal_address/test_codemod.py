"""A401, A402: which literal addresses are read from the fleet file, and which are refused and why."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.fleet import Fleet, load_fleet
from argosy.refit.codemods.file_pipeline import FileOutcome, rewrite_file, select_codemods
from argosy.refit.rewrite.tree_index import TreeIndex
from argosy.refit.rules.a401_literal_address.expression_evaluator import AddressProfile, evaluation_difference
from argosy.source.name_scopes import NameScope

FLEET = """\
fleet: harbour
machines: {main: {}, pc2: {}}
environments:
  development: {main: 10.0.0.1, pc2: 10.0.0.2, redis: 10.0.0.1, nats: "10.0.0.9:4222", lab: localhost}
  production: {main: $MAIN_IP, pc2: $PC2_IP, redis: $REDIS_HOST, nats: $NATS, lab: $LAB_HOST}
agents:
  Bus: {run: bus.py, machine: pc2, port: 7150}
  One: {run: one.py, machine: main, port: 5000}
"""


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return load_fleet("fleet.yaml", FLEET)


def refit(source: str, fleet: Fleet | None) -> FileOutcome:
    data = source.encode()
    outcome = rewrite_file("it.py", data, TreeIndex({"it.py": data}, fleet), select_codemods(["A"]))
    assert [reason for reason in outcome.checks.values() if reason] == []
    return outcome


HOST = "argosy.api.host"
MIGRATED = {
    'h = os.environ.get("PC2_IP", "10.0.0.2")': "h = os.environ.get(\"PC2_IP\", @('pc2', 'PC2_IP'))",
    'h = os.getenv("OTHER", default="10.0.0.2")': "h = os.getenv(\"OTHER\", default=@('pc2', 'OTHER'))",
    'h = os.environ.get("REDIS_HOST", "10.0.0.1")': (
        "h = os.environ.get(\"REDIS_HOST\", @('redis', 'REDIS_HOST'))"
    ),
    'h = os.environ.get("MAIN_IP") or "10.0.0.1"': "h = os.environ.get(\"MAIN_IP\") or @('main')",
    'h = os.environ["MAIN_IP"] if "MAIN_IP" in os.environ else "10.0.0.1"': (
        'h = os.environ["MAIN_IP"] if "MAIN_IP" in os.environ else @(\'main\')'
    ),
    'h = os.getenv("LAB_HOST", "localhost")': "h = os.getenv(\"LAB_HOST\", @('lab', 'LAB_HOST'))",
    "s.connect(f\"tcp://{os.getenv('PC2_IP', '10.0.0.2')}:{port}\")": (
        "s.connect(f\"tcp://{os.getenv('PC2_IP', @('pc2', 'PC2_IP'))}:{port}\")"
    ),
    's.connect("tcp://10.0.0.2:7150")': "s.connect(argosy.api.endpoint('Bus'))",
    's.connect(f"tcp://10.0.0.2:{port}")': "s.connect(f\"tcp://{@('pc2')}:{port}\")",
    's.connect(("10.0.0.2", 7150))': "s.connect((@('Bus'), 7150))",
}


@pytest.mark.parametrize("source", MIGRATED)
def test_a401_replaces_literal_address_by_fleet_address(source: str, fleet: Fleet) -> None:
    outcome = refit(f"import os\ns = port = None\n{source}\n", fleet)
    assert outcome.refused == ()
    assert outcome.after is not None
    migrated = MIGRATED[source].replace("@", HOST)
    head = "import os\nimport argosy.api\ns = port = None\n"
    assert outcome.after.decode() == f"{head}{migrated}\n"


REFUSED = {
    'h = os.environ.get("PC2_IP", "10.0.0.7")': "add `pc2: 10.0.0.7` to one",
    'h = os.environ.get("SOME", "10.0.0.7")': "no environment of the fleet file has `10.0.0.7`",
    'h = os.environ.get("SOME_HOST", "localhost")': "whether that is intended",
    'h = os.environ.get("PC2_IP", "tcp://10.0.0.2:7150")': "more than a host",
    'h = os.environ.get("NATS", "nats://10.0.0.9:4222")': "more than a host",
    'PC2 = "10.0.0.2"': "neither passed to a connect",
    's.connect("tcp://10.0.0.2:1")': "nothing in the fleet file is at `10.0.0.2:1`",
    's.connect("tcp://localhost:7150")': "whether that is intended",
    's.bind("tcp://10.0.0.2:7150")': "a decision by a person",
    'h = os.environ.get("HOST_NAME", "10.0.0.1" if s else "10.0.0.2")': "",
}


TOGETHER = {
    's.connect("tcp://10.0.0.2:7150")\ns.disconnect("tcp://10.0.0.2:7150")\n': (
        "s.connect(@('Bus'))\ns.disconnect(@('Bus'))\n"
    ),
    's.connect("tcp://10.0.0.2:7150")\ns.disconnect("tcp://10.0.0.2:1")\n': (
        "s.connect(@('Bus'))\ns.disconnect(\"tcp://10.0.0.2:1\")\n"
    ),
    's.connect("tcp://10.0.0.2:7150")\ns.bind("tcp://10.0.0.2:7151")\n': (
        "s.connect(@('Bus'))\ns.bind(\"tcp://10.0.0.2:7151\")\n"
    ),
    's.connect("tcp://10.0.0.2:7150")\ns.disconnect(s.last_endpoint)\n': (
        "s.connect(@('Bus'))\ns.disconnect(s.last_endpoint)\n"
    ),
}


@pytest.mark.parametrize("source", TOGETHER)
def test_a401_replaces_disconnect_with_its_connect(source: str, fleet: Fleet) -> None:
    outcome = refit(source, fleet)
    assert outcome.after is not None
    expected = TOGETHER[source].replace("@", "argosy.api.endpoint")
    assert outcome.after.decode() == f"import argosy.api\n{expected}"


APART = {
    's.connect("tcp://10.0.0.2:7150")\ns.disconnect(f"tcp://10.0.0.2:{p}")\n': "differently",
    's.connect("tcp://10.0.0.2:7150")\ns.unbind("tcp://10.0.0.2:7150")\n': "line 2 names the same endpoint",
    's.connect("tcp://10.0.0.2:7150")\ns.bind("tcp://10.0.0.2:7150")\n': "line 2 names the same endpoint",
    's.connect("tcp://10.0.0.2:7150")\ns.disconnect(PEER)\nPEER = "tcp://10.0.0.2:7150"\n': "line 3 names",
    'PEER = "tcp://10.0.0.2:7150"\ns.connect(PEER)\ns.disconnect("tcp://10.0.0.2:7150")\n': "line 1 names",
    's.connect(peer)\ns.disconnect("tcp://10.0.0.2:7150")\n': "nothing in this file connects",
    'import os\nh = os.getenv("PC2_IP", "10.0.0.2")\ns.disconnect("tcp://10.0.0.2:1")\n': "line 3 names",
}


@pytest.mark.parametrize("source", APART)
def test_a401_refuses_endpoint_with_unmigratable_use(source: str, fleet: Fleet) -> None:
    outcome = refit(source, fleet)
    assert (outcome.after, outcome.migrated) == (None, ())
    assert any(APART[source] in item.reason for item in outcome.refused)


@pytest.mark.parametrize("source", REFUSED)
def test_a401_refuses_address_with_reason(source: str, fleet: Fleet) -> None:
    outcome = refit(f"import os\ns = None\n{source}\n", fleet)
    if REFUSED[source]:
        assert outcome.after is None
        assert [REFUSED[source] in item.reason for item in outcome.refused] == [True]
    assert len(outcome.refused) + len(outcome.migrated) >= 1


def test_a401_refuses_every_site_without_fleet_file(fleet: Fleet) -> None:
    outcome = refit('import os\nh = os.getenv("PC2_IP", "10.0.0.2")\n', None)
    assert [(item.code, item.reason) for item in outcome.refused] == [("A402", "no fleet file")]


def test_a401_inserts_import_before_other_statements(fleet: Fleet) -> None:
    head = '"""Doc."""\nfrom __future__ import annotations\n'
    outcome = refit(head + 'x = 1\nimport os\nh = os.getenv("PC2_IP", "10.0.0.2")\n', fleet)
    assert outcome.after is not None
    assert outcome.after.decode().startswith(head + "import argosy.api\nx = 1\n")


def test_a401_rewritten_program_reads_same_addresses(fleet: Fleet, tmp_path: Path) -> None:
    """The rewritten file, run under the environment that has the old values, for each variable."""
    (tmp_path / "fleet.yaml").write_text(FLEET)
    reads = [line for line in MIGRATED if line.startswith("h = ")]
    source = "import os\n" + "".join(f"{line}\nprint(repr(h))\n" for line in reads)
    outcome = refit(source, fleet)
    assert outcome.after is not None
    (tmp_path / "old.py").write_text(source)
    (tmp_path / "new.py").write_bytes(outcome.after)
    names = ["PC2_IP", "OTHER", "REDIS_HOST", "MAIN_IP", "LAB_HOST"]
    for value in (None, "", "there"):
        given = {} if value is None else dict.fromkeys(names, value)
        old, new = (
            subprocess.run(
                [sys.executable, str(tmp_path / name)],
                env={"PATH": os.environ["PATH"], **given},
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            ).stdout
            for name in ("old.py", "new.py")
        )
        assert old == new


NAMES = st.sampled_from(["A_HOST", "B_HOST"])
PROFILE = AddressProfile({"pc2": "10.0.0.2", "main": "10.0.0.1"}, {})
CALLS = {"10.0.0.2": "pc2", "10.0.0.1": "main"}


@st.composite
def reads(draw: st.DrawFn, depth: int = 2) -> str:
    """Return an expression over variables and literals."""
    literal = repr(draw(st.sampled_from(sorted(CALLS))))
    name = repr(draw(NAMES))
    inner = draw(reads(depth - 1)) if depth else literal
    return draw(
        st.sampled_from(
            [
                literal,
                f"os.environ.get({name}, {inner})",
                f"(os.getenv({name}) or {inner})",
                f"({inner} if {name} in os.environ else {literal})",
                f"(os.environ[{name}] if {name} in os.environ else {inner})",
                f"f'tcp://{{os.getenv({name[1:-1]!r}, {inner})}}:1'".replace("f'", 'f"', 1).replace(
                    ":1'", ':1"'
                ),
            ]
        )
    )


def scope() -> NameScope:
    return NameScope("module", "", ast.parse(""), None)


@given(reads(), st.sampled_from(sorted(CALLS)))
def test_expression_evaluator_agrees_with_python(text: str, literal: str) -> None:
    """It calls two expressions the same exactly when Python does, for every state of the variables."""
    call = f"{HOST}({CALLS[literal]!r})"
    old, new = text, text.replace(repr(literal), call, 1)
    other = text.replace(repr(literal), f"{HOST}('{'main' if CALLS[literal] == 'pc2' else 'pc2'}')", 1)
    for changed in (old, new, other):
        try:
            tree = ast.parse(changed, mode="eval").body
        except SyntaxError:
            return  # the same quotes within an f-string
        difference = evaluation_difference(ast.parse(old, mode="eval").body, tree, scope(), PROFILE)
        assert (difference is None) == _agree(old, changed), difference


def _agree(old: str, new: str) -> bool:
    class Api:
        host = staticmethod(lambda name, *variables: PROFILE.host_by_name[name])

    class Package:
        api = Api

    for first in (None, "", "there.example"):
        for second in (None, "", "there.example"):
            given = {k: v for k, v in (("A_HOST", first), ("B_HOST", second)) if v is not None}

            class Os:
                environ = given
                getenv = staticmethod(given.get)

            names = {"os": Os, "argosy": Package}
            if eval(old, names) != eval(new, names):
                return False
    return True


@pytest.mark.parametrize("module", ["argosy.api", "argosy.fleet.resolver", "argosy.fleet.whereabouts"])
def test_expression_evaluator_knows_former_resolver_modules(module: str) -> None:
    old, new = (ast.parse(text, mode="eval").body for text in ('"10.0.0.2"', f'{module}.host("pc2")'))
    assert evaluation_difference(old, new, scope(), PROFILE) is None


def test_a402_and_z301_migrate_same_file(fleet: Fleet) -> None:
    source = (
        'import os\nimport zmq\n\nPC2 = os.environ.get("PC2_IP", "10.0.0.2")\n\n\ndef ask():\n'
        '    context = zmq.Context()\n    s = context.socket(zmq.REQ)\n    s.connect(f"tcp://{PC2}:1")\n'
    )
    data = source.encode()
    outcome = rewrite_file("it.py", data, TreeIndex({"it.py": data}, fleet), select_codemods(["A", "Z301"]))
    assert [reason for reason in outcome.checks.values() if reason] == []
    assert outcome.refused == ()
    assert {site.code for site in outcome.migrated} == {"A402", "Z301"}
    again = rewrite_file(
        "it.py", outcome.after or b"", TreeIndex({"it.py": outcome.after or b""}, fleet), select_codemods([])
    )
    assert again.after is None
