"""Source edges: the audit and `graph --code` find the same edges."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from argosy.cli import main

FLEET = """\
fleet: f
agents:
  Twin: {run: agents/twin.py, port: 5501, needs: [Store], wants: [Idle]}
  Store: {run: agents.store:Store, port: 5502}
  Idle: {run: agents/idle.py, port: 5503}
"""
FILES = {
    "agents/__init__.py": "",
    "agents/twin.py": "import shared\nask('Store')\n",
    "agents/store.py": "class Store:\n    def f(self, s):\n        s.connect(f'tcp://{self.h}:5503')\n",
    "agents/idle.py": "import missing_thing\npeer('Twin')\n",
    "shared.py": "print('nothing')\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in {**FILES, "fleet.yaml": FLEET}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_audit_and_graph_report_same_edges(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree)

    def ask(*words: str) -> dict[str, list[dict[str, str]]]:
        main([*words, "--json"])
        found = json.loads(capsys.readouterr().out)
        assert isinstance(found, dict)
        return found

    told = ask("audit", "--select", "D503,D504", "--no-cache")["findings"]
    differences = ask("graph", "--code")["differences"]
    found = {(item["code"], item["symbol"]) for item in told}
    assert found == {(item["code"], f"{item['from']}-{item['to']}") for item in differences}
    assert found == {("D503", "Store-Idle"), ("D503", "Idle-Twin"), ("D504", "Twin-Idle")}
