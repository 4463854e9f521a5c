"""Startup repair rules: each rule on its own cases, in small trees."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.refit.repair.module_view import compile_view
from argosy.refit.repair.project_context import ProjectContext
from argosy.refit.repair.registry import STARTUP_RULES
from argosy.refit.repair.repair_rule import StartupCase
from argosy.refit.repair.startup.missing_package import is_guarded_by_device_check
from argosy.refit.repair.view_repair import fix_startup
from argosy.refit.transaction.text_edit import edit_text
from argosy.refit.transaction.token_diff import check_untouched
from argosy.source.python_source import SourceText, read_source

RULES = {rule.name: rule for rule in STARTUP_RULES}
_MUST = [(name, case) for name, rule in RULES.items() for case in rule.must_change]
_MUST_NOT = [(name, case) for name, rule in RULES.items() for case in rule.must_not_change]


def _write_case(root: Path, case: StartupCase, newline: str = "\n") -> tuple[SourceText, ProjectContext]:
    for path, text in {**case.files, case.path: case.before}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(text.replace("\n", newline).encode())
    source = read_source(str(root / case.path))
    assert isinstance(source, SourceText)
    own = msgspec.structs.replace(source, path=case.path)
    return own, ProjectContext(
        str(root), sorted({*case.files, case.path}), missing_packages=case.missing_packages
    )


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(("name", "case"), _MUST)
def test_startup_rule_changes_its_cases(tmp_path: Path, name: str, case: StartupCase, newline: str) -> None:
    source, around = _write_case(tmp_path, case, newline)
    view = compile_view(source)
    assert view is not None
    assert RULES[name].may_apply(view)
    after, steps = fix_startup(view, around)
    assert case.after is not None
    assert after.text == case.after.replace("\n", newline)
    assert {candidate.rule for candidate, _ in steps} == {name}
    for candidate, earlier in steps:
        assert check_untouched(earlier, edit_text(earlier, candidate.edits), candidate.edits).is_unchanged
    assert fix_startup(after, around)[1] == ()


@pytest.mark.parametrize(("name", "case"), _MUST_NOT)
def test_startup_rule_leaves_other_cases_alone(tmp_path: Path, name: str, case: StartupCase) -> None:
    source, around = _write_case(tmp_path, case)
    view = compile_view(source)
    assert view is not None
    _, steps = fix_startup(view, around)
    assert [candidate.rule for candidate, _ in steps if candidate.rule == name] == []


@pytest.mark.parametrize("name", RULES)
def test_every_startup_rule_has_cases(name: str) -> None:
    assert RULES[name].must_change
    assert len(RULES[name].must_not_change) >= 3


_LINES = st.lists(
    st.text(st.characters(blacklist_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=30), max_size=4
)


@given(which=st.sampled_from(_MUST), above=_LINES, newline=st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=60, deadline=None)
def test_startup_rule_keeps_comments_above_edit(
    which: tuple[str, StartupCase], above: list[str], newline: str
) -> None:
    """A rule counts in characters, Python's parser in bytes: comments of any script move nothing."""
    _, case = which
    head = "".join(f"# said: {line}\n" for line in above)
    moved = msgspec.structs.replace(case, before=head + case.before)
    with tempfile.TemporaryDirectory() as folder:
        source, around = _write_case(Path(folder), moved, newline)
        view = compile_view(source)
        assert view is not None
        after, _ = fix_startup(view, around)
    assert after.text == (head + str(case.after)).replace("\n", newline)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return torch.cuda.is_available()", True),
        ("return torch.cuda.device_count()", True),
        ("if torch.cuda.is_available() and x:\n        torch.cuda.empty_cache()", True),
        ("return x and torch.cuda.is_available() and torch.cuda.memory_allocated()", True),
        ("return torch.cuda.memory_allocated() if torch.cuda.is_available() else 0", True),
        ("if torch.cuda.is_available():\n        return lambda: torch.zeros(1)", True),
        ("return torch.cuda.is_available", False),
        ("return torch.cuda.is_available(0)", False),
        ("return torch.cuda.memory_allocated() and torch.cuda.is_available()", False),
        ("if not torch.cuda.is_available():\n        return torch.zeros(1)", False),
        ("if torch.cuda.is_available() or x:\n        torch.cuda.empty_cache()", False),
        ("if torch.cuda.is_available():\n        pass\n    else:\n        torch.zeros(1)", False),
        ("if x:\n        import torch\n    return torch.cuda.is_available()", False),
        ("return other.cuda.is_available() and torch.zeros(1)", False),
    ],
)
def test_device_check_guards_package_use(body: str, expected: bool) -> None:
    text = f"import torch\n\n\ndef f(x, other):\n    {body}\n"
    view = compile_view(SourceText("a.py", text.encode(), "utf-8", False, "\n"))
    assert view is not None
    assert is_guarded_by_device_check(view, "torch", "torch") is expected
