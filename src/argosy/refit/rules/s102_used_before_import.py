"""A name is used at module level before its import or definition

The file parses, and ends in a NameError as soon as it is loaded: typical for a line that was inserted above
the import that it needs.

Instead: move the import or the definition above its first use.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.file import PythonFile
from argosy.refit.finding import Finding
from argosy.refit.rule import Case, Rule
from argosy.source.startup import tell_early


def check(file: PythonFile) -> Iterator[Finding]:
    """Tell what is bound further down; what nothing binds is another rule's."""
    for item in file.early:
        if item.bound_by is not None:
            told = tell_early(item, lambda _: "")
            yield Finding(
                file.path, item.line, item.column, "", told.message, symbol=item.name, hint=told.hint
            )


RULE = Rule(code="S102", title="name used before its import", action="review", file=check)

MUST = (
    Case("ROOT = join_path('a', 'b')  # <--\nfrom paths import join_path\n"),
    Case("class A(Base):  # <--\n    pass\n\nclass Base:\n    pass\n"),
    Case("if __name__ == '__main__':\n    run()  # <--\n\ndef run():\n    pass\n"),
)
MUST_NOT = (
    Case("from paths import join_path\nROOT = join_path('a', 'b')\n"),
    Case("def f():\n    return late()\n\ndef late():\n    pass\n"),
    Case("try:\n    text = unicode\nexcept NameError:\n    unicode = str\n"),
    Case("from somewhere import *\nROOT = join_path('a')\njoin_path = 1\n"),
    Case("global_names = globals()\nglobals()['a'] = 1\nprint(a)\na = 2\n"),
)
