"""Every rule by its own cases, and what all rules have in common."""

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


@pytest.mark.parametrize(("ruled", "case"), MUST, ids=_name)
def test_finds_what_it_must(ruled: RuleReference, case: RuleCase, tmp_path: Path) -> None:
    assert case.expected_places(), "a case of MUST marks no line"
    if reason := ruled.rule.unavailable_reason(has_fleet=True):
        pytest.skip(reason)
    assert found_in(case, ruled.rule.code, tmp_path) == case.expected_places()


@pytest.mark.parametrize(("ruled", "case"), MUST_NOT, ids=_name)
def test_finds_nothing_it_must_not(ruled: RuleReference, case: RuleCase, tmp_path: Path) -> None:
    assert found_in(case, ruled.rule.code, tmp_path) == set()


@pytest.mark.parametrize("ruled", REFERENCES, ids=_name)
def test_is_whole(ruled: RuleReference) -> None:
    rule = ruled.rule
    assert re.fullmatch(r"[A-Z]\d{3}", rule.code)
    assert ruled.must_find
    assert ruled.must_not_find
    assert rule.action in ("auto", "review", "report")
    title, blank, *rest = ruled.docstring.splitlines()
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


def test_codes_are_unique() -> None:
    codes = [item.rule.code for item in REFERENCES]
    assert len(codes) == len(set(codes))
