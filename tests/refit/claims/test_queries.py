"""Claim queries: what each query counts in a small tree with one file that does not parse."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.fault import InputError
from argosy.refit.claims.query_registry import QueryError, parse_query, query_kinds
from argosy.refit.claims.query_result import count_bounds
from refit.claims.sample_codebase import FILES, answered, ask, plant


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("tree"))


@pytest.mark.parametrize(
    ("query", "count", "places"),
    [
        ("python.calls zmq.Context", "4", ["agents/broken.py:9", "agents/one.py:7 One.__init__"]),
        ("python.calls z.Context", "0", []),
        ("python.calls *.poll", "3", ["agents/one.py:10 One._health_loop"]),
        ("python.calls print", "1", ["tools/fetch.py:4"]),
        ("python.imports zmq", "3", ["agents/broken.py:1 zmq.Context", "agents/two.py:1 zmq"]),
        ("python.imports redis", "1", ["tools/fetch.py:2 redis.client.Redis"]),
        ("python.imports agents.one", "1", ["agents/three.py:2 agents.one.One"]),
        ("python.imports common.base.BaseAgent", "2", []),
        ("python.strings 10\\.0\\.0\\.9", "3", ["agents/three.py:4", "agents/three.py:16 unlike"]),
        ("python.functions _health_loop", "3", ["agents/broken.py:7 Broken._health_loop"]),
        ("python.functions Two.start", "1", ["agents/two.py:9 Two.start"]),
        ("python.functions *_loop", "3", []),
        ("python.same _health_loop", "2 to 3", ["agents/one.py:8 One._health_loop"]),
        ("python.variants _health_loop", "1 to 2", []),
        ("python.variants start", "2 to 3", []),
        ("python.lines _health_loop", "13", []),
        (
            "python.like agents/one.py:One._health_loop",
            "3 to 5",
            ["agents/three.py:8 Three.answer", "agents/two.py:10 Two._health_loop"],
        ),
        ("python.classes BaseAgent", "5", ["agents/broken.py:6 Broken", "agents/three.py:7 Three"]),
        ("python.classes common.base.BaseAgent", "5", []),
        ("python.classes Middle", "1", ["agents/two.py:8 Two"]),
        ("python.classes object", "1", ["agents/broken.py:6 Broken"]),
        (
            "python.overrides BaseAgent.start",
            "3",
            ["agents/broken.py:11 Broken.start", "agents/one.py:13 One.start", "agents/two.py:9 Two.start"],
        ),
        ("python.files", "7", []),
        ("python.broken", "1", ["agents/broken.py"]),
        ("audit.S101", "1", ["agents/broken.py:3 extra-bracket"]),
        ("audit.Z301", "at least 3", []),
        ("packages.listed", "6", ["requirements.txt:3 numpy>=1.20"]),
        (
            "packages.listed PyZMQ",
            "2",
            ["requirements.txt:2 pyzmq==27.0.0", "requirements/dev.txt:1 pyzmq==25.1.2"],
        ),
        ("packages.distinct", "4", []),
        ("packages.unpinned", "4", ["requirements.txt:4 pyyaml"]),
        ("packages.different", "1", ["requirements/dev.txt:1 pyzmq==25.1.2"]),
        ("fleet.agents", "5", ["config/startup_config.yaml:3 One"]),
        ("fleet.rows", "5", []),
        ("fleet.optional", "1", ["config/startup_config.yaml:8 Lost"]),
        ("fleet.edges", "7", ["config/startup_config.yaml:6 Three -> Gone"]),
        ("fleet.dangling", "1", ["config/startup_config.yaml:6 Three -> Gone"]),
        ("fleet.redundant", "2", []),
        ("fleet.cycles", "1", ["config/startup_config.yaml:4 Two -> Three -> Two"]),
        ("fleet.levels", "3", []),
        ("fleet.needed-by One", "3", []),
        ("fleet.affected-by Three", "2", ["config/startup_config.yaml:4 Two"]),
        ("fleet.ports-twice", "1", ["config/startup_config.yaml:3 One.port 5001"]),
        ("fleet.missing", "1", ["config/startup_config.yaml:8 Lost"]),
    ],
)
def test_query_counts_expected_places(tree: Path, query: str, count: str, places: list[str]) -> None:
    found, spots = ask(tree, query)
    assert (found, [place for place in places if place not in spots]) == (count, []), spots


def test_query_counts_depend_on_scope_and_unit(tree: Path) -> None:
    address = "text.match 10\\.0\\.0\\.9"
    assert ask(tree, address, "yaml") == ("2", ["config/broker.yaml:1", "config/broker.yaml:1"])
    assert ask(tree, address, "python", unit="file")[0] == "2"
    assert ask(tree, address, "python", "!agents/**", unit="file") == ("1", ["tools/fetch.py:4"])
    assert ask(tree, "python.imports zmq", "fleet", unit="file")[0] == "3"
    assert ask(tree, "python.imports zmq", "fleet", unit="file-without") == ("1", ["agents/three.py"])
    assert ask(tree, "python.classes BaseAgent", "agents/t*.py", unit="file")[0] == "2"
    assert ask(tree, "text.files", "docker") == ("1", ["Dockerfile"])
    assert ask(tree, "text.files", "requirements")[0] == "2"


def test_unreadable_file_makes_count_a_range(tmp_path: Path) -> None:
    plant(tmp_path, {"config/startup_config.yaml": "agent_groups: {a: {A: {script_path: a.py}}}\n"})
    (tmp_path / "a.py").write_bytes(b"# -*- coding: nonsense -*-\nimport zmq\n")
    (tmp_path / "b.py").write_bytes(b"import zmq\n")
    assert ask(tmp_path, "python.imports zmq")[0] == "at least 1"
    assert ask(tmp_path, "python.imports zmq", unit="file")[0] == "1 to 2"
    assert ask(tmp_path, "python.imports zmq", unit="file-without")[0] == "0 to 1"
    assert ask(tmp_path, "python.broken")[1] == ["a.py"]
    assert ask(tmp_path, "python.same zmq")[0] == "at least 0"


def test_ambiguous_base_class_makes_count_a_range(tmp_path: Path) -> None:
    files = {
        "a/base.py": "class Base(BaseAgent): ...\n",
        "b/base.py": "class Base: ...\n",
        "c.py": "from base import Base\nclass C(Base):\n    def run(self): ...\n",
        "d.py": "from a.base import Base\nclass D(Base):\n    def run(self): ...\n",
        "e.py": "class Loop(Loop): ...\nclass X(Y): ...\nclass Y(X): ...\n",
    }
    plant(tmp_path, {**files, "config/startup_config.yaml": "agent_groups: {a: {A: {script_path: d.py}}}\n"})
    count, places = ask(tmp_path, "python.classes BaseAgent")
    assert (count, places) == ("2 to 3", ["a/base.py:1 Base", "d.py:2 D"])
    assert ask(tmp_path, "python.overrides BaseAgent.run") == ("1 to 2", ["d.py:3 D.run"])


def test_method_in_broken_class_makes_count_a_range(tmp_path: Path) -> None:
    text = "class A(BaseAgent):\n    x = 1\nimport os\n    def run(self):\n        return os\n"
    plant(
        tmp_path,
        {"a.py": text, "config/startup_config.yaml": "agent_groups: {a: {A: {script_path: a.py}}}\n"},
    )
    assert ask(tmp_path, "python.overrides BaseAgent.run")[0] == "0 to 1"


def test_query_counts_many_files_in_parallel(tmp_path: Path) -> None:
    files = {
        f"m{at}.py": f"import zmq\nc = zmq.Context()\nd = [{at}]{')' * (at % 5 == 0)}\n" for at in range(40)
    }
    plant(tmp_path, {**files, "config/startup_config.yaml": "agent_groups: {a: {A: {script_path: m1.py}}}\n"})
    count, places = ask(tmp_path, "python.calls zmq.Context")
    assert count == "40"
    assert len(places) == len(set(places)) == 40
    assert ask(tmp_path, "python.broken")[0] == "8"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("python.call zmq.Context", "there is no query `python.call`"),
        ("", "there is no query ``"),
        ("python.calls", "`python.calls` needs the argument NAME"),
        ("python.calls a b", "`a b` is not a name"),
        ("python.files x", "`python.files` takes no argument, found `x`"),
        ("text.match (", "is not a regular expression"),
        ("python.like a.py", "is not a function"),
        ("python.overrides start", "is not a method of a class"),
        ("packages.listed -x", "is not the name of a package"),
    ],
)
def test_invalid_query_raises_error_with_reason(query: str, message: str) -> None:
    with pytest.raises(QueryError) as error:
        parse_query(query)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("query", "scope", "message"),
    [
        ("fleet.needed-by Onne", (), "there is no agent `Onne`: did you mean `One`?"),
        ("fleet.agents moon", (), "there is no machine `moon`"),
        ("python.files", ("nowhere/*.py",), "no file of the tree matches `nowhere/*.py`"),
        ("python.like agents/one.py:gone", (), "the function `gone` in `agents/one.py` does not exist"),
        ("python.like agents/broken.py:Broken.start", (), "does not parse"),
        ("audit.D501", (), "D501 was skipped: no fleet file"),
    ],
)
def test_unanswerable_query_returns_error(
    tree: Path, query: str, scope: tuple[str, ...], message: str
) -> None:
    answer, _ = answered(tree, query, *scope)
    assert message in answer.error


def test_every_query_kind_has_description_and_scope() -> None:
    for name, kind in query_kinds().items():
        assert kind.name == name
        assert kind.description
        assert bool(kind.scope) != name.startswith("fleet.")
        assert kind.answer is not None


def test_docs_list_every_query() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs/reference/claim-queries.md").read_text()
    for name, kind in query_kinds().items():
        if not name.startswith("audit."):
            assert f"| `{f'{name} {kind.argument}'.strip()}` | {kind.description} |" in text


FLEET_FILE = """\
fleet: small
machines: {left: {}, right: {}}
environments: {development: {left: 127.0.0.1, right: 127.0.0.1}}
agents:
  One: {run: "agents.one:One", machine: left, port: 5001}
  Two: {run: agents/two.py, machine: left, port: 5002, needs: [One, {agent: Three, on_death: restart}]}
  Three: {run: agents/three.py, machine: right, port: 5001, needs: [Two], required: false}
  Lost: {run: [python3, -u, agents/lost.py], machine: right, port: 5001}
"""


@pytest.mark.parametrize(
    ("query", "count", "places"),
    [
        ("fleet.agents", "4", ["fleet.yaml:5 One", "fleet.yaml:8 Lost"]),
        ("fleet.agents left", "2", ["fleet.yaml:5 One", "fleet.yaml:6 Two"]),
        ("fleet.edges", "3", ["fleet.yaml:6 Two -> Three"]),
        ("fleet.cycles", "1", ["fleet.yaml:6 Two -> Three -> Two"]),
        ("fleet.optional", "1", ["fleet.yaml:7 Three"]),
        ("fleet.ports-twice", "1", ["fleet.yaml:7 Three.port 5001", "fleet.yaml:8 Lost.port 5001"]),
        ("fleet.missing", "1", ["fleet.yaml:8 Lost"]),
        ("audit.D501", "1", ["fleet.yaml:6 Two"]),
    ],
)
def test_fleet_queries_read_fleet_file(tmp_path: Path, query: str, count: str, places: list[str]) -> None:
    plant(tmp_path, {**FILES, "fleet.yaml": FLEET_FILE})
    answer, paths = answered(tmp_path, query, fleet=("fleet.yaml",))
    assert not answer.error
    spots = [spot.describe() for spot in answer.locations]
    assert (
        count_bounds(answer, "place", paths).describe(),
        [place for place in places if place not in spots],
    ) == (
        count,
        [],
    ), spots


def test_fleet_scope_selects_scripts_of_fleet_file(tmp_path: Path) -> None:
    plant(tmp_path, {**FILES, "fleet.yaml": FLEET_FILE})
    _, paths = answered(tmp_path, "python.files", "fleet", fleet=("fleet.yaml",))
    assert paths == ["agents/one.py", "agents/three.py", "agents/two.py"]


def test_invalid_fleet_file_raises_input_error(tmp_path: Path) -> None:
    plant(tmp_path, {**FILES, "fleet.yaml": "fleet: small\nagents: {A: {rum: x.py}}\n"})
    with pytest.raises(InputError, match="unknown key `rum`"):
        answered(tmp_path, "fleet.agents", fleet=("fleet.yaml",))
