"""A name is read and nothing binds it

A NameError that waits: at module level for the first start, in a function for the first call. Silent in
files with a star import or `exec`, where a name may come from anywhere, and under `except NameError`.

Instead: import or define it. When one module of the tree alone defines a function or class of that name, the
hint is its import.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.facts.modules import homes
from argosy.refit.facts.surface import SURFACE
from argosy.refit.facts.unbound import UNBOUND
from argosy.refit.file import module_name
from argosy.refit.finding import Finding
from argosy.refit.rule import Case, Rule
from argosy.refit.tree import Tree
from argosy.source.startup import offer_home, tell_early, tell_undefined


def check(tree: Tree, path: str) -> Iterator[Finding]:
    """Tell each name once for a file, at its first use."""
    unbound = tree.fact(UNBOUND, path)
    if unbound is None:
        return
    surface = tree.facts(SURFACE).get(path)
    known = list(surface.names) if surface is not None else []
    defined = tree.derived(homes)

    def offer(name: str) -> str:
        modules = [module_name(home) for home in defined.get(name, ()) if home != path]
        return offer_home(name, modules, known)

    told = {item.name for item in unbound.early}
    says = [
        (item.line, item.column, tell_early(item, offer)) for item in unbound.early if item.bound_by is None
    ]
    says += [
        (item.line, item.column, tell_undefined(item, offer))
        for item in unbound.undefined
        if item.name not in told
    ]
    for line, column, say in says:
        yield Finding(path, line, column, "", say.message, symbol=say.subject, hint=say.hint)


RULE = Rule(
    code="S104", title="undefined name", action="review", needs=(UNBOUND,), sees=(SURFACE,), link=check
)

MUST = (
    Case("def f():\n    return missing  # <--\n"),
    Case("print(missing)  # <--\n"),
    Case("def f():\n    print(twice)  # <--\n    print(twice)\n"),
    Case("class A:\n    x = 1\n    def f(self):\n        return x  # <--\n"),
    Case("def f():\n    logger.info('x')  # <--\n\nclass A:\n    logger = None\n"),
)
MUST_NOT = (
    Case("def f():\n    return late\n\nlate = 1\n"),
    Case("def f():\n    global made\n    made = 1\n\ndef g():\n    return made\n"),
    Case("from somewhere import *\n\ndef f():\n    return missing\n"),
    Case("def f():\n    try:\n        return unicode\n    except NameError:\n        return str\n"),
    Case("def f(a: 'Missing') -> None:\n    return [b for b in a if b]\n"),
    Case("class A:\n    def f(self):\n        return __class__\n"),
)
