"""Audit rules: each rule on its own cases, and what all rules have in common."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from argosy.refit.audit.tree_audit import audit
from argosy.refit.core.rule import RuleCase
from argosy.refit.rules.registry import RuleReference, load_references

REFERENCES = load_references()
MUST = [(item, case) for item in REFERENCES for case in item.must_find]
MUST_NOT = [(item, case) for item in REFERENCES for case in item.must_not_find]


def _name(value: object) -> str:
    return value.rule.code if isinstance(value, RuleReference) else ""


def found_in(case: RuleCase, code: str, folder: Path) -> set[tuple[str, int]]:
    for path, data in case.files_by_path().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    fleet = None
    if case.fleet is not None:
        (folder / "fleet.yaml").write_text(case.fleet)
        fleet = folder / "fleet.yaml"
    report = audit(folder, fleet=fleet, processes=1)
    assert not report.result.failures
    return {(item.path, item.line) for item in report.findings if item.code == code}


@pytest.mark.parametrize(("reference", "case"), MUST, ids=_name)
def test_rule_finds_its_cases(reference: RuleReference, case: RuleCase, tmp_path: Path) -> None:
    assert case.expected_places(), "a case of MUST marks no line"
    if reason := reference.rule.unavailable_reason(has_fleet=True):
        pytest.skip(reason)
    assert found_in(case, reference.rule.code, tmp_path) == case.expected_places()


@pytest.mark.parametrize(("reference", "case"), MUST_NOT, ids=_name)
def test_rule_finds_nothing_in_other_cases(reference: RuleReference, case: RuleCase, tmp_path: Path) -> None:
    assert found_in(case, reference.rule.code, tmp_path) == set()


@pytest.mark.parametrize("reference", REFERENCES, ids=_name)
def test_rule_has_code_docstring_cases_and_check(reference: RuleReference) -> None:
    rule = reference.rule
    assert re.fullmatch(r"[A-Z]\d{3}", rule.code)
    assert reference.must_find
    assert reference.must_not_find
    assert rule.action in ("auto", "review", "report")
    title, blank, *rest = reference.docstring.splitlines()
    assert title
    assert not title.endswith(".")
    assert blank == ""
    assert any(line.startswith("Instead: ") for line in rest), "the docstring says what to do instead"
    assert any(
        (
            rule.check_file,
            rule.check_broken,
            rule.check_text,
            rule.check_texts,
            rule.check_links,
            rule.check_tree,
        )
    )


def test_rule_codes_are_unique() -> None:
    codes = [item.rule.code for item in REFERENCES]
    assert len(codes) == len(set(codes))
