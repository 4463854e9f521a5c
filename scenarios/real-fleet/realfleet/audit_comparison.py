"""Compares two results of `argosy audit` by file: own health code and literal addresses.

A file that does not parse hides findings, so repairing it raises the counts. Counting by file allows a
comparison of only the files that parse on both sides.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

HEALTH: Final = "H201"
ADDRESSES: Final = ("A401", "A402")
_COPY: Final = "C701"
_LINES: Final = re.compile(r"\((\d+) lines\)")

Finding = Mapping[str, Any]


def audit_counts(audit: Mapping[str, Any]) -> dict[str, Any]:
    """Return an audit's counts by code, and the compared counts by file.

    In the result, `implementations` has an id for each health loop that ignores names and constants, so that
    copies share one id.
    """
    findings: Sequence[Finding] = audit["findings"]
    return {
        "counts": audit["counts"],
        "unparseable": audit["unparseable"],
        "health": _by_file(each for each in findings if each["code"] == HEALTH),
        "addresses": _by_file(each for each in findings if each["code"] in ADDRESSES),
        "implementations": _implementations(findings),
    }


def compare_audits(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, dict[str, dict[str, int]]]:
    """Return the counts of two audits: `all` files, and the files that parse on `both` sides."""
    unread = {*before["unparseable"], *after["unparseable"]}
    sides = {"before": before, "after": after}
    return {
        "all": {name: _sum_by_file(each, ()) for name, each in sides.items()},
        "both": {name: _sum_by_file(each, unread) for name, each in sides.items()},
    }


def _sum_by_file(told: Mapping[str, Any], without: Collection[str]) -> dict[str, int]:
    kept = set(told["health"]) - set(without)
    return {
        "unparseable": len(told["unparseable"]),
        "health": sum(told["health"][path] for path in kept),
        "implementations": len({name for path in kept for name in told["implementations"][path]}),
        "addresses": sum(count for path, count in told["addresses"].items() if path not in without),
    }


def _by_file(findings: Iterable[Finding]) -> dict[str, int]:
    return dict(Counter(each["path"] for each in findings))


def _implementations(findings: Sequence[Finding]) -> dict[str, list[str]]:
    copies: dict[str, list[tuple[range, str]]] = {}
    for each in findings:
        if each["code"] == _COPY and (found := _LINES.search(each["message"])):
            lines = range(each["line"], each["line"] + int(found[1]))
            copies.setdefault(each["path"], []).append((lines, each["group"]))
    names: dict[str, list[str]] = {}
    for each in findings:
        if each["code"] == HEALTH:
            around = [group for lines, group in copies.get(each["path"], ()) if each["line"] in lines]
            method = each["symbol"].rpartition(".")[2]
            own = f"{around[0]} {method}" if around else f"{each['path']} {each['symbol']}"
            names.setdefault(each["path"], []).append(own)
    return names
