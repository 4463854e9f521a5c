"""Queries for what the audit finds: `audit.Z301`, or a family as `audit.Z`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from argosy.refit.claims.answer import Answer, Spot
from argosy.refit.claims.kind import Ask, Kind
from argosy.refit.rule import Rule, load_rules


def make_kinds() -> tuple[Kind, ...]:
    """Return one kind for each rule of the audit, and one for each family."""
    rules = load_rules()
    families = sorted({rule.code[0] for rule in rules})
    found = [
        Kind(
            name=f"audit.{rule.code}",
            counts=f"findings of {rule.code}: {rule.title}",
            scope=("all",),
            answer=_answer((rule,)),
        )
        for rule in rules
    ]
    found += [
        Kind(
            name=f"audit.{family}",
            counts=f"findings of the rules {family}…",
            scope=("all",),
            answer=_answer([rule for rule in rules if rule.code.startswith(family)]),
        )
        for family in families
    ]
    return tuple(found)


def _answer(rules: Sequence[Rule]) -> Callable[[Ask], Answer]:
    codes = {rule.code for rule in rules}
    # What reads trees sees nothing in a file that has none.
    needs_trees = any(rule.file or rule.link or rule.needs for rule in rules if rule.broken is None)

    def answer(ask: Ask) -> Answer:
        report = ask.ground.report
        for code in sorted(codes & set(report.refused)):
            return Answer(trouble=f"{code} is not asked: {report.refused[code]}")
        paths = set(ask.paths)
        spots = tuple(
            Spot(item.path, item.line, item.column, item.symbol)
            for item in report.findings
            if item.code in codes and item.path in paths
        )
        broken = [path for path, fault in report.verdict.unparsed.items() if fault.stage != "compile"]
        failed = [item.path for item in report.verdict.failures if item.code in codes]
        unread = {*(broken if needs_trees else ()), *failed} & paths
        return Answer(spots, dict.fromkeys(sorted(unread)))

    return answer
