"""Queries about findings of the audit: of a rule (`audit.Z301`) or of a family (`audit.Z`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from argosy.refit.claims.query_kind import QueryContext, QueryKind
from argosy.refit.claims.query_result import CodeLocation, QueryResult
from argosy.refit.core.rule import Rule
from argosy.refit.rules.registry import load_rules


def make_query_kinds() -> tuple[QueryKind, ...]:
    """Return one kind for each rule of the audit, then one for each family."""
    rules = load_rules()
    families = sorted({rule.code[0] for rule in rules})
    found = [
        QueryKind(
            name=f"audit.{rule.code}",
            description=f"findings of {rule.code}: {rule.title}",
            scope=("all",),
            answer=_make_answer((rule,)),
        )
        for rule in rules
    ]
    found += [
        QueryKind(
            name=f"audit.{family}",
            description=f"findings of all rules {family}…",
            scope=("all",),
            answer=_make_answer([rule for rule in rules if rule.code.startswith(family)]),
        )
        for family in families
    ]
    return tuple(found)


def _make_answer(rules: Sequence[Rule]) -> Callable[[QueryContext], QueryResult]:
    codes = {rule.code for rule in rules}
    # Rules that need a syntax tree report nothing for a file that does not parse.
    needs_trees = any(
        rule.check_file or rule.check_links or rule.fact_kinds for rule in rules if rule.check_broken is None
    )

    def answer(context: QueryContext) -> QueryResult:
        report = context.codebase.audit_report
        for code in sorted(codes & set(report.skipped_rules)):
            return QueryResult(error=f"{code} was skipped: {report.skipped_rules[code]}")
        paths = set(context.paths)
        locations = tuple(
            CodeLocation(item.path, item.line, item.column, item.symbol)
            for item in report.findings
            if item.code in codes and item.path in paths
        )
        broken = [path for path, fault in report.result.unparsed.items() if fault.stage != "compile"]
        failed = [item.path for item in report.result.failures if item.code in codes]
        unread = {*(broken if needs_trees else ()), *failed} & paths
        return QueryResult(locations, dict.fromkeys(sorted(unread)))

    return answer
