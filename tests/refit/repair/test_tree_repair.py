"""Tree repair: bytes that are kept, files that are refused, and damaged programs that are restored."""

from __future__ import annotations

import ast
import json
import random
import shutil
import sysconfig
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from argosy.refit.analysis.lenient_statements import SourceStatement, read_statements
from argosy.refit.repair.proposal import RepairProposal
from argosy.refit.repair.repair_search import find_solutions
from argosy.refit.repair.tree_repair import RepairReport, repair_tree


def _one(root: Path, data: bytes) -> RepairProposal:
    (root / "a.py").write_bytes(data)
    (item,) = repair_tree(str(root)).proposals
    return item


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"\xef\xbb\xbfx = int(1))\r\ny = '\xc3\xa9'\r\n", b"\xef\xbb\xbfx = int(1)\r\ny = '\xc3\xa9'\r\n"),
        (b"# coding: latin-1\nx = int(1))\ny = '\xe9'\n", b"# coding: latin-1\nx = int(1)\ny = '\xe9'\n"),
        (b"\x0cx = int(1))\n\x0c\ny = 2", b"\x0cx = int(1)\n\x0c\ny = 2"),
        (b"if 1:\n\tx = int(1))\r\n\ty = 2\n", b"if 1:\n\tx = int(1)\r\n\ty = 2\n"),
        ("x = int(1))\ny = 'a\u2028b'\n".encode(), "x = int(1)\ny = 'a\u2028b'\n".encode()),
    ],
)
def test_repair_keeps_bytes_outside_damage(tmp_path: Path, before: bytes, after: bytes) -> None:
    item = _one(tmp_path, before)
    assert item.is_applicable
    assert item.after == after
    assert (tmp_path / "a.py").read_bytes() == before


def test_repair_refuses_undecodable_file(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"x = int(1))\ny = '\xff'\n")
    report = repair_tree(str(tmp_path))
    assert [item.path for item in report.unreadable] == ["a.py"] or not report.proposals[0].is_applicable


@pytest.mark.parametrize("data", [b"", b"x = 1\n", b"x = '\0'\n", b"(" * 5000, b"\xff\xfe", b"if 1:\n" * 100])
def test_repair_never_fails_on_odd_files(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.py").write_bytes(data)
    report = repair_tree(str(tmp_path))
    assert report.files == 1
    assert not any(item.is_applicable for item in report.proposals)


def test_repair_of_one_file_uses_names_of_its_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lib.py").write_text("def join(): pass\n")
    (tmp_path / "one.py").write_text("from lib import join\n")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "a.py").write_text("x = join(1))\n")
    monkeypatch.chdir(tmp_path)
    (item,) = repair_tree("app/a.py").proposals
    assert item.path == "app/a.py"
    assert item.after == b"from lib import join\nx = join(1)\n"


def test_repair_step_names_known_damage_family(tmp_path: Path) -> None:
    text = (
        b"class A:\n    def __init__(self, x):\n        super().__init__(*args, **kwargs)        self.x = x\n"
    )
    item = _one(tmp_path, text)
    assert [step.family for step in item.steps] == ["constructor call in front of a line"]


def test_second_repair_proposes_nothing(tmp_path: Path) -> None:
    item = _one(tmp_path, b"x = int(1))\n")
    (tmp_path / "a.py").write_bytes(item.after)
    assert repair_tree(str(tmp_path)).proposals == ()


@pytest.mark.parametrize("package", ["email", "http", "json", "logging", "multiprocessing", "xml"])
def test_repair_proposes_nothing_for_sound_code(tmp_path: Path, package: str) -> None:
    shutil.copytree(Path(sysconfig.get_path("stdlib")) / package, tmp_path / package)
    assert repair_tree(str(tmp_path), missing_packages={"torch", "numpy"}).proposals == ()


Damaging = Callable[[str, Sequence[SourceStatement], random.Random], str]


def _add_bracket(text: str, statements: Sequence[SourceStatement], pick: random.Random) -> str:
    end = pick.choice([item for item in statements if item.last_token.text == ")"]).last_token.end
    return text[:end] + ")" + text[end:]


def _join_statements(text: str, statements: Sequence[SourceStatement], pick: random.Random) -> str:
    pairs = [
        (one, two)
        for one, two in pairwise(statements)
        if one.last_token.text in ")]" and two.line == one.end_line + 1 and two.indent == one.indent
        if two.first_token.kind == "name"
    ]
    one, two = pick.choice(pairs)
    return text[: one.last_token.end] + text[two.start :]


def _move_import_left(text: str, statements: Sequence[SourceStatement], pick: random.Random) -> str:
    inner = [item for item in statements if item.keyword in ("import", "from") and item.indent >= 8]
    item = pick.choice([item for item in inner if item.line == item.end_line])
    return text[: item.start] + text[item.first_token.start :]


def _move_header_left(text: str, statements: Sequence[SourceStatement], pick: random.Random) -> str:
    item = pick.choice([item for item in statements if item.first_token.text == "def" and item.indent == 4])
    return text[: item.start] + text[item.first_token.start :]


def _insert_handler(text: str, statements: Sequence[SourceStatement], pick: random.Random) -> str:
    places = [
        at
        for at in range(1, len(statements) - 1)
        if statements[at - 1].keyword == "try"
        and statements[at].indent >= 8
        and not statements[at].is_block_header
        if statements[at + 1].indent == statements[at].indent
    ]
    at = pick.choice(places)
    margin = " " * (statements[at - 1].indent - 4)
    guard = f'{margin}except ImportError as e:\n{margin}    print(f"Import error: {{e}}")\n'
    return text[: statements[at + 1].start] + guard + text[statements[at + 1].start :]


def _dedent_try_body(text: str, statements: Sequence[SourceStatement], pick: random.Random) -> str:
    places = [
        at
        for at in range(len(statements) - 2)
        if statements[at].keyword == "try"
        and statements[at].is_block_header
        and statements[at + 2].keyword == "except"
        if not statements[at + 1].is_block_header
    ]
    at = pick.choice(places)
    item = statements[at + 1]
    return text[: item.start] + statements[at].leading_space + text[item.first_token.start :]


@pytest.mark.parametrize(
    "damage",
    [_add_bracket, _join_statements, _move_import_left, _move_header_left, _insert_handler, _dedent_try_body],
    ids=lambda damage: damage.__name__,
)
def test_repair_restores_deliberately_damaged_programs(damage: Damaging) -> None:
    """Code that no rule was made for: what is proposed is the program as it was, nearly always."""
    pick = random.Random(1)
    folder = Path(sysconfig.get_path("stdlib"))
    files = [path for path in sorted(folder.glob("*.py")) if 3000 < path.stat().st_size < 40_000]
    tried = same = 0
    for path in pick.sample(files, 40):
        text = path.read_text(encoding="utf-8", errors="replace")
        try:
            damaged = damage(text, read_statements(text), pick)
            ast.parse(damaged)
        except IndexError:
            continue  # nothing in this file to damage so
        except SyntaxError:
            tried += 1
            solution = next(
                (solution for solution in find_solutions(damaged) if not solution.remaining_tokens), None
            )
            same += solution is not None and ast.dump(ast.parse(solution.text)) == ast.dump(ast.parse(text))
    assert tried >= 3
    assert same >= tried * 0.85, f"{same} of {tried}"


@pytest.fixture(scope="module")
def repaired(corpus: Path) -> RepairReport:
    return repair_tree(str(corpus))


@pytest.mark.corpus
def test_repair_makes_most_files_of_real_tree_parse(repaired: RepairReport) -> None:
    broken = [item for item in repaired.proposals if item.damage is not None]
    assert len(broken) == 194
    assert sum(1 for item in broken if item.is_applicable) >= 170
    mended = [item for item in repaired.proposals if item.is_applicable]
    assert len(mended) >= 330
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for item in mended:
            compile(item.after, item.path, "exec")
    assert not any(name.is_unbound_by_repair for item in mended for name in item.undefined)


@pytest.mark.corpus
def test_repair_makes_all_scripts_of_real_fleet_parse(repaired: RepairReport) -> None:
    scripts = _fleet_scripts()
    proposed = [item for item in repaired.proposals if item.path in scripts]
    assert sum(1 for item in proposed if item.undefined) <= 8
    broken = [item for item in proposed if item.damage is not None]
    assert len(broken) == 23
    assert all(item.is_applicable for item in broken)
    assert sum(1 for item in broken if not item.undefined) >= 20


def _fleet_scripts() -> set[str]:
    data = Path(__file__).resolve().parents[4] / "shared" / "data" / "fleet84.json"
    if not data.is_file():
        pytest.skip(f"the real fleet is not beside this checkout ({data})")
    return {agent["script"] for agent in json.loads(data.read_text())}
