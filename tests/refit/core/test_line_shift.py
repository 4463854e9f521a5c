"""Line shifts: cached findings of cross-file rules follow moved lines, without running the rules again."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.refit.audit.tree_audit import AuditReport, audit
from argosy.refit.core.finding import Finding
from argosy.refit.core.line_shift import ShiftedFacts, find_line_shift, shift_findings
from argosy.refit.core.rule import RuleCase
from argosy.refit.core.rule_manifest import RuleManifest
from argosy.refit.rules.registry import RuleReference, load_references

JOINT = [
    (item, case)
    for item in load_references()
    for case in item.must_find
    if item.rule.check_links or item.rule.check_tree
]


class Place(msgspec.Struct, frozen=True):
    name: str
    line: int
    last_line: int


def places(numbers: list[int]) -> dict[str, tuple[Place, ...]]:
    return {"all": tuple(Place("p", number, number + 1) for number in numbers)}


@given(st.lists(st.integers(1, 30), min_size=1), st.integers(1, 30), st.integers(1, 5))
def test_line_shift_maps_lines_below_insertion(numbers: list[int], at: int, count: int) -> None:
    after = {
        line: line + count if line >= at else line for number in numbers for line in (number, number + 1)
    }
    new = {"all": tuple(Place("p", after[n], after[n + 1]) for n in numbers)}
    assert find_line_shift(places(numbers), new) == after


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((Place("a", 1, 2),), (Place("b", 1, 2),)),
        ((Place("a", 1, 2),), (Place("a", 1, 2), Place("a", 3, 4))),
        ((Place("a", 1, 2), Place("b", 3, 4)), (Place("a", 3, 4), Place("b", 1, 2))),
        ((Place("a", 1, 2), Place("b", 1, 2)), (Place("a", 1, 2), Place("b", 3, 4))),
        ((Place("a", 1, 2), Place("b", 3, 4)), (Place("a", 1, 2), Place("b", 2, 3))),
        ({"a": Place("a", 1, 2)}, {"b": Place("a", 1, 2)}),
        ((1,), (True,)),
    ],
    ids=["word", "more", "exchanged", "torn-apart", "put-together", "key", "type"],
)
def test_line_shift_is_none_for_other_changes(old: object, new: object) -> None:
    assert find_line_shift(old, new) is None


def test_shift_findings_moves_lines_and_places_in_messages() -> None:
    moves = ShiftedFacts()
    moves.add("a.py", "units", {3: 5, 9: 11})
    moves.add("a.py", "imports", {1: 1})
    own = Finding("a.py", 3, 1, "C701", "is a copy of b.py:3")
    other = Finding("b.py", 3, 1, "C701", "copies: a.py:9, data.py:9, x/a.py:9, a.py:3 and 2 more")
    lines = moves.merged_lines(["units", "imports"])
    assert lines is not None
    assert shift_findings([own, other], lines) == [
        msgspec.structs.replace(own, line=5),
        msgspec.structs.replace(other, message="copies: a.py:11, data.py:9, x/a.py:9, a.py:5 and 2 more"),
    ]
    assert shift_findings([msgspec.structs.replace(own, line=4)], lines) is None, (
        "no fact has told this place"
    )
    moves.add("a.py", "imports", {3: 6})
    assert moves.merged_lines(["units", "imports"]) is None, "one line went two ways"


def write(case: RuleCase, folder: Path) -> Path | None:
    """Lay out a case's tree, and return its fleet file."""
    for path, data in case.files_by_path().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
        set_back_mtime(folder / path)
    if case.fleet is None:
        return None
    (folder / "fleet.yaml").write_text(case.fleet)
    return folder / "fleet.yaml"


def set_back_mtime(path: Path) -> None:
    """Set the times of a file back, so that the clock's tick does not leave it unsettled."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - 10**9))


def _code(value: object) -> str:
    return value.rule.code if isinstance(value, RuleReference) else ""


@pytest.mark.parametrize(("ruled", "case"), JOINT, ids=_code)
def test_cached_rule_result_equals_uncached_after_line_shift(
    ruled: RuleReference, case: RuleCase, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    fleet = write(case, tree)

    def told(cache: Path | None) -> AuditReport:
        return audit(tree, fleet=fleet, cache_dir=cache, processes=1)

    before = told(tmp_path / "cache")
    for path in case.files_by_path():
        if path.endswith((".py", ".txt")):
            whole = (tree / path).read_bytes()
            (tree / path).write_bytes(b"# moved\n\n" + whole)
            set_back_mtime(tree / path)
            assert told(tmp_path / "cache").result == told(None).result
            (tree / path).write_bytes(whole)
            set_back_mtime(tree / path)
    assert told(tmp_path / "cache").result == before.result


def test_line_shift_runs_no_cross_file_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree, cache = tmp_path / "tree", tmp_path / "cache"
    body = "import lost, near\n\nclass A(Base):\n    def __init__(self):\n        self.run(gone)\n"
    write(RuleCase(files={"a.py": body, "b.py": f"import os\n{body}", "near.py": "def f(:\n"}), tree)
    (tree / "requirements.txt").write_text("flask\n")
    audit(tree, cache_dir=cache, processes=1)
    loaded: list[str] = []
    load = RuleManifest.load
    monkeypatch.setattr(RuleManifest, "load", lambda sketch: loaded.append(sketch.code) or load(sketch))
    for path in ("a.py", "near.py"):
        (tree / path).write_text("\n\n" + (tree / path).read_text())
    report = audit(tree, cache_dir=cache, processes=1)
    assert not {"C701", "I601", "I602", "S103", "S104", "S105", "S106"} & set(loaded)
    assert {"I601", "I602", "S103", "S104"} <= {item.code for item in report.findings}
    assert report.result == audit(tree, processes=1).result


def test_importers_report_current_place_of_syntax_error(tmp_path: Path) -> None:
    tree, cache = tmp_path / "tree", tmp_path / "cache"
    write(RuleCase(files={"a.py": "import near\n", "near.py": "x = 1\ndef f(:\n"}), tree)
    audit(tree, cache_dir=cache, processes=1)
    (tree / "near.py").write_text("x = 1\ny = 2\ndef f(x y):\n")
    assert audit(tree, cache_dir=cache, processes=1).result == audit(tree, processes=1).result
