"""A name is used at module level before its import or definition

The file parses, and ends in a NameError as soon as it is loaded: typical of a line inserted above the import
that it needs.

Instead: move the import or the definition above its first use.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile
from argosy.source.startup_check import diagnose_use_before_definition


def check(file: PythonFile) -> Iterator[Finding]:
    """Report names that are bound further down; S104 reports those that are never bound."""
    for item in file.uses_before_definition:
        if item.bound_by is not None:
            startup_finding = diagnose_use_before_definition(item, lambda _: "")
            yield Finding(
                file.path,
                item.line,
                item.column,
                "",
                startup_finding.message,
                symbol=item.name,
                hint=startup_finding.hint,
            )


RULE = Rule(code="S102", title="name used before its import", action="review", check_file=check)

MUST = (
    RuleCase("ROOT = join_path('a', 'b')  # <--\nfrom paths import join_path\n"),
    RuleCase("class A(Base):  # <--\n    pass\n\nclass Base:\n    pass\n"),
    RuleCase("if __name__ == '__main__':\n    run()  # <--\n\ndef run():\n    pass\n"),
)
MUST_NOT = (
    RuleCase("from paths import join_path\nROOT = join_path('a', 'b')\n"),
    RuleCase("def f():\n    return late()\n\ndef late():\n    pass\n"),
    RuleCase("try:\n    text = unicode\nexcept NameError:\n    unicode = str\n"),
    RuleCase("from somewhere import *\nROOT = join_path('a')\njoin_path = 1\n"),
    RuleCase("global_names = globals()\nglobals()['a'] = 1\nprint(a)\na = 2\n"),
)
