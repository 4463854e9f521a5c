"""Comparison of two audits: copies count as one implementation, and unparseable files are excluded."""

from __future__ import annotations

from typing import Any

from realfleet.audit_comparison import audit_counts, compare_audits


def finding(code: str, path: str, line: int, **more: str) -> dict[str, Any]:
    return {"code": code, "path": path, "line": line, "symbol": "", "message": "", "group": "", **more}


def loop(path: str, line: int, symbol: str = "A._health_loop") -> dict[str, Any]:
    return finding("H201", path, line, symbol=symbol)


def copy(path: str, line: int, lines: int, group: str) -> dict[str, Any]:
    return finding("C701", path, line, message=f"`A` ({lines} lines) is one of 2 copies", group=group)


def audit(*findings: dict[str, Any], unparseable: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"counts": {"H201": 3}, "unparseable": list(unparseable), "findings": list(findings)}


def test_copied_loops_count_as_one_implementation() -> None:
    told = audit_counts(
        audit(
            *(loop("a.py", 12), loop("b.py", 112), loop("c.py", 12), loop("a.py", 60, "B._health_loop")),
            *(copy("a.py", 10, 20, "g"), copy("b.py", 110, 20, "g"), copy("c.py", 13, 20, "g")),
        )
    )
    assert told["health"] == {"a.py": 2, "b.py": 1, "c.py": 1}
    assert compare_audits(told, told)["all"]["after"]["implementations"] == 3


def test_comparison_excludes_files_parsed_on_one_side_only() -> None:
    address = finding("A401", "a.py", 1)
    before = audit_counts(audit(loop("a.py", 1), address, unparseable=("b.py", "c.py")))
    late = (finding("A402", "b.py", 4), loop("b.py", 9))
    told = compare_audits(before, audit_counts(audit(address, *late, unparseable=("c.py",))))
    nothing = {"health": 0, "implementations": 0}
    assert told["all"]["before"] == {"unparseable": 2, "health": 1, "implementations": 1, "addresses": 1}
    assert told["all"]["after"] == {"unparseable": 1, "health": 1, "implementations": 1, "addresses": 2}
    assert told["both"]["before"] == told["all"]["before"]
    assert told["both"]["after"] == {"unparseable": 1, **nothing, "addresses": 1}
