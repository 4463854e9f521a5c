"""Syntax repair rules: each rule turns `before.py` of its cases into `after.py`, or leaves it broken."""

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
    return next((solution for solution in find_solutions(text) if not solution.remaining_tokens), None)


@pytest.mark.parametrize("folder", _FOLDERS, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_syntax_rule_repairs_case(folder: Path, newline: str) -> None:
    before = (folder / "before.py").read_text().replace("\n", newline)
    solution = _first(before)
    expected = folder / "after.py"
    if not expected.exists():
        assert solution is None, solution.text
        return
    assert solution is not None
    assert solution.text == expected.read_text().replace("\n", newline)
    ast.parse(solution.text)
    if not folder.name.startswith("not-"):
        assert folder.parent.name in {step.rule for step in solution.steps}


@pytest.mark.parametrize("folder", _FOLDERS, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_syntax_rule_step_changes_only_its_tokens(folder: Path) -> None:
    text = (folder / "before.py").read_text()
    solution = _first(text)
    for step in solution.steps if solution is not None else ():
        after = edit_text(text, step.edits)
        assert check_untouched(text, after, step.edits).is_unchanged
        text = after


def test_every_syntax_rule_has_repaired_case() -> None:
    mended = {folder.parent.name for folder in _FOLDERS if (folder / "after.py").exists()}
    assert set(SYNTAX_RULES) <= mended


def test_syntax_rules_leave_parsing_code_alone() -> None:
    for folder in _FOLDERS:
        if (folder / "after.py").exists():
            assert list(find_solutions((folder / "after.py").read_text())) == []
