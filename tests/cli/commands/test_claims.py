"""`argosy claims`: verdicts, commands that count again, exit codes, and the list of queries."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from argosy.cli import main

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "claims" / "reference-fleet.yaml"
CLAIMS = """\
claims:
  own: {text: two own contexts, source: a review, count: python.calls zmq.Context, is: 2}
  files: {text: in three files, source: a review, count: python.calls zmq.Context, unit: file, in: src, is: 3}
  memory: {text: 365 MB, source: the tracker, measure: memory of a context}
scopes: {src: [src/**, "!**/old.py"]}
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "a tree"
    (root / "src").mkdir(parents=True)
    (root / "src" / "one.py").write_text("import zmq\ncontext = zmq.Context()\n")
    (root / "src" / "two.py").write_text("from zmq import *\nimport zmq\nzmq.Context(\n")
    (root / "src" / "old.py").write_text("pass\n")
    (tmp_path / "claims.yaml").write_text(CLAIMS)
    return root


def claims_json(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code = main(["claims", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_claims_check_reports_verdict_and_rerun_command(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = claims_json(capsys, "check", str(tree.parent / "claims.yaml"), str(tree))
    assert (code, next(iter(found)), found["argosy"]) == (1, "argosy", "claims/1")
    assert found["counts"] == {"confirmed": 1, "refuted": 1, "uncheckable": 1}
    own, files, memory = found["claims"]
    assert (own["id"], own["verdict"], own["measured"], own["at_most"]) == ("own", "confirmed", 2, 2)
    assert own["by_tokens"] == 1
    assert own["places"][0] == {"path": "src/one.py", "line": 2, "column": 11, "symbol": ""}
    assert (files["verdict"], files["measured"]) == ("refuted", 2)
    assert (memory["verdict"], memory["measured"], memory["rerun"]) == ("uncheckable", None, None)
    assert memory["reason"] == "needs a measurement: memory of a context"
    for claim in (own, files):
        name, *words = shlex.split(claim["rerun"])
        assert name == "argosy"
        assert main([*words, "--json"]) == 0
        again = json.loads(capsys.readouterr().out)
        assert (again["argosy"], again["measured"]) == ("claims-count/1", claim["measured"])
        assert again["places"] == claim["places"]


def test_claims_check_prints_verdicts_as_text(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree)
    assert main(["claims", "check", "../claims.yaml"]) == 1
    out = capsys.readouterr().out
    assert "refuted  files: in three files\n  by a review\n  claimed 3, counted 2\n" in out
    assert "run again: argosy claims count 'python.calls zmq.Context'\n" in out
    assert "--in 'src/**' --in '!**/old.py' --unit file\n" in out
    assert out.endswith("3 claims: 1 confirmed, 1 refuted, 1 uncheckable\n")


def test_claims_check_exits_0_if_all_confirmed(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("check", str(tree.parent / "claims.yaml"), "--tree", str(tree), "--only", "own")
    code, found = claims_json(capsys, *words)
    assert (code, [claim["id"] for claim in found["claims"]]) == (0, ["own"])


@pytest.mark.parametrize(
    ("words", "where", "said"),
    [
        (["check"], "", "`check` takes FILE"),
        (["count"], "", "`count` takes QUERY"),
        (["count", "python.calls"], "QUERY", "needs the argument NAME"),
        (["count", "pyton.calls x"], "QUERY", "there is no query"),
        (["count", "fleet.agents"], "QUERY", "no fleet is given"),
        (["count", "python.files", "--in", "fleet"], "--in", "this scope needs a fleet"),
        (["count", "python.files", "--in", "flet"], "--in", "there is no scope `flet`"),
        (["count", "python.same f", "--unit", "file"], "QUERY", "has no meaning"),
        (["count", "python.files", "/nowhere"], "/nowhere", "there is no folder"),
        (["count", "python.files", ".", "--tree", "."], "--tree", "given twice"),
        (["check", "claims.yaml", "--only", "won"], "--only", "there is no claim `won`"),
        (["check", "gone.yaml"], "gone.yaml:1:1", "cannot be read"),
        (["count", "fleet.agents", "--fleet", "gone.yaml"], "", "does not exist"),
    ],
)
def test_claims_exits_2_for_invalid_input(
    tree: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    where: str,
    said: str,
) -> None:
    monkeypatch.chdir(tree.parent)
    code, found = claims_json(capsys, *words)
    assert (code, found["argosy"]) == (2, "error/1")
    assert said in found["errors"][0]["message"]
    assert found["errors"][0]["where"].endswith(where)


def test_claims_lists_queries(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = claims_json(capsys, "queries")
    names = [query["name"] for query in found["queries"]]
    assert (code, found["argosy"]) == (0, "claims-queries/1")
    assert {"python.calls", "fleet.cycles", "audit.Z301", "audit.Z", "packages.listed", "text.match"} <= {
        *names
    }
    assert main(["claims", "queries"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(names)


def test_schema_prints_schema_of_claims(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "claims"]) == 0
    assert "ClaimKeys" in json.loads(capsys.readouterr().out)["$defs"]


@pytest.mark.corpus
def test_claims_about_reference_fleet_get_expected_verdicts(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = claims_json(capsys, "check", str(EXAMPLE), str(corpus))
    verdicts = {claim["id"]: (claim["verdict"], claim["measured"]) for claim in found["claims"]}
    assert code == 1
    assert verdicts["agents"] == ("confirmed", 84)
    assert verdicts["base-class"] == ("refuted", 84)
    assert verdicts["identical-loops"][0] == "refuted"
    assert verdicts["cycles"] == ("refuted", 1)
    assert verdicts["twin-blocks-80"] == ("refuted", 56)
    assert verdicts["zmq-users"] == ("confirmed", 81)
    assert verdicts["broken-agents"] == ("refuted", 23)
    assert verdicts["saved-memory"] == ("uncheckable", None)
    # The agents that do not parse may all have such a loop, or none.
    unsure = [claim for claim in found["claims"] if claim["verdict"] == "uncheckable" and not claim["needs"]]
    assert [claim["id"] for claim in unsure] == ["loops-by-what-they-do"]
