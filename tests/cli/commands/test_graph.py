"""`argosy graph`: every output format, and the exit codes for cycles and for faults."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from argosy.cli import main

FLEET = """\
fleet: harbour
machines: {mainpc: , pc2: }
agents:
  Registry: {run: r.py, machine: mainpc, port: 7200}
  Twin: {run: t.py, machine: mainpc, needs: [Registry]}
  Memory: {run: m.py, machine: pc2, needs: [Registry, Twin], wants: [Registry2]}
  Registry2: {run: r.py, machine: pc2}
"""
CYCLE = FLEET.replace("machine: mainpc, port", "needs: [Memory], machine: mainpc, port")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fleet.yaml").write_text(FLEET)
    (tmp_path / "cycle.yaml").write_text(CYCLE)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_graph_prints_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph"]) == 0
    assert capsys.readouterr().out == (
        "harbour: 4 agents, 3 needs, 1 want, 3 levels\n"
        "\n"
        "level 0     2  Registry, Registry2\n"
        "level 1     1  Twin\n"
        "level 2     1  Memory\n"
        "\n"
        "machines\n"
        "  mainpc  2 agents\n"
        "  pc2     2 agents\n"
        "  2 needs from one machine to another\n"
        "\n"
        "cycles: none\n"
        "\n"
        "redundant needs: 1 of 3 follow from the others\n"
        "  Memory needs Registry  fleet.yaml:6:45\n"
        "\n"
        "longest chain, 3 agents: Registry -> Twin -> Memory\n"
    )


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("words", [["--json"], ["--format", "json"]])
def test_graph_prints_json(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", *words]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert next(iter(answer)) == "argosy"
    assert answer["argosy"] == "graph/1"
    assert list(answer["agents"]) == ["Registry", "Twin", "Memory", "Registry2"]
    assert answer["edges"][0] == {
        "from": "Twin",
        "to": "Registry",
        "kind": "needs",
        "where": "fleet.yaml:5:46",
    }
    assert [edge["kind"] for edge in answer["edges"]] == ["needs", "needs", "needs", "wants"]
    assert answer["levels"] == [["Registry", "Registry2"], ["Twin"], ["Memory"]]
    assert [(edge["from"], edge["to"]) for edge in answer["redundant"]] == [("Memory", "Registry")]
    assert [step["agent"] for step in answer["critical_path"]] == ["Registry", "Twin", "Memory"]
    assert answer["cycles"] == answer["differences"] == []


@pytest.mark.usefixtures("folder")
def test_graph_with_cycle_is_printed_and_exits_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "cycle.yaml"]) == 1
    out, err = capsys.readouterr()
    assert "cycles\n  Registry -> Memory -> Registry\n  Registry -> Memory -> Twin -> Registry\n" in out
    assert err.startswith("error: cycle.yaml:4:33: `Registry` waits for itself through a cycle of 2 agents\n")
    assert main(["graph", "cycle.yaml", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["cycles"] == [["Registry", "Memory"], ["Registry", "Memory", "Twin"]]
    assert err == ""


def test_graph_with_other_fault_exits_2_without_output(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.yaml").write_text(CYCLE.replace("[Registry]", "[Regisry]"))
    assert main(["graph", "bad.yaml"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "did you mean `Registry`?" in err
    assert main(["graph", "bad.yaml", "--json"]) == 2
    errors = json.loads(capsys.readouterr().out)["errors"]
    assert [error["code"] for error in errors] == ["cycle", "unknown-agent"]


@pytest.mark.usefixtures("folder")
def test_graph_prints_mermaid(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "--format", "mermaid"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "flowchart LR"
    assert '  subgraph m_mainpc["mainpc"]' in lines
    assert lines[-5:] == [
        "  a1 --> a0",
        "  a2 --> a0",
        "  a2 --> a1",
        "  a2 -.-> a3",
        "  linkStyle 1 stroke:#bbb",
    ]


@pytest.mark.usefixtures("folder")
def test_graph_prints_dot(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "--format", "dot"]) == 0
    out = capsys.readouterr().out
    assert out.startswith('digraph "harbour" {')
    assert out.count("->") == 4
    assert '  "Memory" -> "Registry" [color="#bbbbbb"];' in out
    assert out.count("{") == out.count("}")


class Page(HTMLParser):
    """Collects the tags of a page, and whether they close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.usefixtures("folder")
def test_graph_html_is_self_contained_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "cycle.yaml", "--format", "html"]) == 1
    text = capsys.readouterr().out
    page = Page()
    page.feed(text)
    assert page.open == []
    assert not re.search(r"https?://|src=|href=", text)
    nodes = [attrs["data-name"] for tag, attrs in page.tags if tag == "g"]
    assert sorted(name or "" for name in nodes) == ["Memory", "Registry", "Registry2", "Twin"]
    edges = {
        (attrs["data-from"], attrs["data-to"]): attrs["class"]
        for _, attrs in page.tags
        if "data-from" in attrs
    }
    assert edges == {
        ("Registry", "Memory"): "edge cycle",
        ("Twin", "Registry"): "edge cycle",
        ("Memory", "Registry"): "edge cycle",
        ("Memory", "Twin"): "edge cycle",
        ("Memory", "Registry2"): "edge want",
    }


@pytest.mark.usefixtures("folder")
def test_graph_html_boxes_do_not_overlap(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "--format", "html"]) == 0
    page = Page()
    page.feed(capsys.readouterr().out)
    boxes = [
        tuple(float(attrs[key] or "") for key in ("x", "y", "width", "height"))
        for tag, attrs in page.tags
        if tag == "rect"
    ]
    assert len(boxes) == 4
    for index, (x, y, width, height) in enumerate(boxes):
        for x2, y2, width2, height2 in boxes[index + 1 :]:
            assert x + width < x2 or x2 + width2 < x or y + height < y2 or y2 + height2 < y


SPEAKING = """\
fleet: harbour
agents:
  Registry: {run: registry.py, port: 7200}
  Twin: {run: twin.py, needs: [Registry]}
  Memory: {run: memory.py, needs: [Registry], wants: [Twin]}
  Idle: {run: idle.py, needs: [Registry]}
  Told: {run: idle.py, args: [--ask, Registry], needs: [Registry]}
  Broken: {run: broken.py, needs: [Registry]}
  Typed: {run: "typed:Typed", needs: [Registry]}
"""


@pytest.fixture
def speaking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fleet.yaml").write_text(SPEAKING)
    (tmp_path / "registry.py").write_text("s.bind('tcp://*:7200')\n")
    (tmp_path / "twin.py").write_text("import shared\ns.connect(f'tcp://{host}:7200')\nask('Memory')\n")
    (tmp_path / "memory.py").write_text("peer('Registry')\npeer('Twin')\n")
    (tmp_path / "shared.py").write_text("peer('Idle')\n")
    (tmp_path / "idle.py").write_text("print(1)\n")
    (tmp_path / "broken.py").write_text("def\n")
    (tmp_path / "typed.py").write_text(
        "class Base:\n    def a(self): self.peer('Idle')\n"
        "class Typed(Base):\n    def b(self): self.peer('Registry'), self.peer('Memory')\n"
        "class Another(Base):\n    def c(self): self.peer('Twin')\n"
    )
    return tmp_path


@pytest.mark.usefixtures("speaking")
def test_graph_code_reports_undeclared_and_unused_edges(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "--code", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    found = {(each["from"], each["to"]): each for each in answer["differences"]}
    assert {edge: each["code"] for edge, each in found.items()} == {
        ("Twin", "Memory"): "D503",
        ("Typed", "Memory"): "D503",
        ("Idle", "Registry"): "D504",
    }
    assert found["Twin", "Memory"]["written"] == ["twin.py:3:5"]
    assert found["Twin", "Memory"]["proposal"] == "wants: [Memory]"
    assert found["Idle", "Registry"]["where"] == "fleet.yaml:6:32"
    assert answer["unread"] == ["Broken"]
    assert {"from": "Twin", "to": "Registry", "evidence": ["twin.py:2:11"]} in answer["written"]
    assert "real" not in answer


@pytest.mark.usefixtures("speaking")
def test_graph_code_prints_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "--code"]) == 0
    out = capsys.readouterr().out
    assert "differences: 3\n" in out
    assert "`Twin` talks to `Memory` (twin.py:3:5) and declares neither" in out
    assert "`Idle` needs `Registry`, and no file that it loads names it or its port" in out
    assert "1 agents could not be read completely: Broken" in out


@pytest.mark.usefixtures("speaking")
def test_graph_code_rejects_formats_other_than_text_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "--code", "--format", "dot"]) == 2
    assert "found dot" in capsys.readouterr().err
