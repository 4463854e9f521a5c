"""A name is read and nothing binds it

It raises a NameError: at module level at the first start, in a function at the first call. Not reported in
files with a star import or `exec`, where a name may come from anywhere, and under `except NameError`.

Instead: import or define it. If exactly one module of the tree defines a function or class of that name, the
hint is its import.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.analysis.facts.module_names import MODULE_EXPORTS, UNBOUND_NAMES
from argosy.refit.analysis.facts.tree_modules import definition_paths
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import module_name
from argosy.refit.core.source_tree import SourceTree
from argosy.source.startup_check import diagnose_undefined, diagnose_use_before_definition, suggest_import


def check(tree: SourceTree, path: str) -> Iterator[Finding]:
    """Report each name once for a file, at its first use."""
    unbound = tree.fact(UNBOUND_NAMES, path)
    if unbound is None:
        return
    exports = tree.facts(MODULE_EXPORTS).get(path)
    known = list(exports.names) if exports is not None else []
    paths_by_name = tree.compute_once(definition_paths)

    def suggest(name: str) -> str:
        modules = [module_name(home) for home in paths_by_name.get(name, ()) if home != path]
        return suggest_import(name, modules, known)

    reported = {item.name for item in unbound.uses_before_definition}
    startup_findings = [
        (item.line, item.column, diagnose_use_before_definition(item, suggest))
        for item in unbound.uses_before_definition
        if item.bound_by is None
    ]
    startup_findings += [
        (item.line, item.column, diagnose_undefined(item, suggest))
        for item in unbound.undefined
        if item.name not in reported
    ]
    for line, column, startup_finding in startup_findings:
        yield Finding(
            path,
            line,
            column,
            "",
            startup_finding.message,
            symbol=startup_finding.subject,
            hint=startup_finding.hint,
        )


RULE = Rule(
    code="S104",
    title="undefined name",
    action="review",
    fact_kinds=(UNBOUND_NAMES,),
    shared_fact_kinds=(MODULE_EXPORTS,),
    check_links=check,
)

MUST = (
    RuleCase("def f():\n    return missing  # <--\n"),
    RuleCase("print(missing)  # <--\n"),
    RuleCase("def f():\n    print(twice)  # <--\n    print(twice)\n"),
    RuleCase("class A:\n    x = 1\n    def f(self):\n        return x  # <--\n"),
    RuleCase("def f():\n    logger.info('x')  # <--\n\nclass A:\n    logger = None\n"),
)
MUST_NOT = (
    RuleCase("def f():\n    return late\n\nlate = 1\n"),
    RuleCase("def f():\n    global made\n    made = 1\n\ndef g():\n    return made\n"),
    RuleCase("from somewhere import *\n\ndef f():\n    return missing\n"),
    RuleCase("def f():\n    try:\n        return unicode\n    except NameError:\n        return str\n"),
    RuleCase("def f(a: 'Missing') -> None:\n    return [b for b in a if b]\n"),
    RuleCase("class A:\n    def f(self):\n        return __class__\n"),
)
