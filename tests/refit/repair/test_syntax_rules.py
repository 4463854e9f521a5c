"""Each rule on its cases: `before.py` becomes `after.py`, or, without one, stays broken."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from argosy.refit.repair.registry import SYNTAX_RULES
from argosy.refit.repair.repair_search import Solution, find_solutions
from argosy.refit.transaction.text_edit import edit_text
from argosy.refit.transaction.token_diff import check_untouched

CASES = Path(__file__).parents[1] / "cases" / "repair"
_FOLDERS = sorted(path.parent for path in CASES.glob("*/*/before.py"))


def _first(text: str) -> Solution | None:
    return next((way for way in find_solutions(text) if not way.remaining_tokens), None)


@pytest.mark.parametrize("folder", _FOLDERS, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_case(folder: Path, newline: str) -> None:
    before = (folder / "before.py").read_text().replace("\n", newline)
    way = _first(before)
    expected = folder / "after.py"
    if not expected.exists():
        assert way is None, way.text
        return
    assert way is not None
    assert way.text == expected.read_text().replace("\n", newline)
    ast.parse(way.text)
    if not folder.name.startswith("not-"):
        assert folder.parent.name in {step.rule for step in way.steps}


@pytest.mark.parametrize("folder", _FOLDERS, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_the_proof_holds_for_each_step(folder: Path) -> None:
    text = (folder / "before.py").read_text()
    way = _first(text)
    for step in way.steps if way is not None else ():
        after = edit_text(text, step.edits)
        assert check_untouched(text, after, step.edits).is_unchanged
        text = after


def test_every_rule_has_a_case_that_it_mends() -> None:
    mended = {folder.parent.name for folder in _FOLDERS if (folder / "after.py").exists()}
    assert set(SYNTAX_RULES) <= mended


def test_what_parses_is_left_alone() -> None:
    for folder in _FOLDERS:
        if (folder / "after.py").exists():
            assert list(find_solutions((folder / "after.py").read_text())) == []
