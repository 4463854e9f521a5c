"""What is known about one file after reading it once: small frozen data, the tree already let go."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from argosy.source.binder import find_scopes
from argosy.source.collector import collector_paused
from argosy.source.imports import Import, find_imports
from argosy.source.index import Index
from argosy.source.order import Early, find_early
from argosy.source.parse import Parsed, parse
from argosy.source.ports import Ports, find_ports
from argosy.source.scopes import How, Scope
from argosy.source.syspath import Additions, find_additions
from argosy.source.text import Source, Unparsed, read_source
from argosy.source.undefined import Undefined, find_undefined

_EVERY_MODULE = frozenset(
    {"__doc__", "__file__", "__loader__", "__name__", "__package__", "__path__", "__spec__"}
)


class Facts(msgspec.Struct, frozen=True):
    """A file that would compile.

    names: what the module binds, and how it does first. is_open: more names may come at run time (a
    star import, exec, a module's `__getattr__`). early, early_as_main: names that are read too early
    when the file is imported, and when it is run.
    """

    path: str
    imports: tuple[Import, ...]
    names: dict[str, How]
    is_open: bool
    undefined: tuple[Undefined, ...]
    early: tuple[Early, ...]
    early_as_main: tuple[Early, ...]
    additions: Additions
    ports: Ports

    def may_hold(self, name: str) -> bool:
        """Return whether `from this import name` may succeed; true where only a run can tell."""
        return self.is_open or name in self.names or name in _EVERY_MODULE


class Library:
    """The facts of the files read so far, by path; each file is read once. Not for several threads.

    read: how a file is read, `read_facts` or `read_outline`; None for the former.
    """

    def __init__(self, read: Callable[[str], Facts | Unparsed] | None = None) -> None:
        self._read = read or read_facts
        self._facts: dict[str, Facts | Unparsed] = {}

    def facts(self, path: str) -> Facts | Unparsed:
        """Return what is known about the file at `path`, or why it could not run; never raises."""
        known = self._facts.get(path)
        if known is None:
            known = self._facts[path] = self._read(path)
        return known


def read_facts(path: str) -> Facts | Unparsed:
    """Read one file and return its facts; never raises."""
    source = read_source(path)
    if not isinstance(source, Source):
        return source
    with collector_paused():
        parsed = parse(source)
        return find_facts(parsed) if isinstance(parsed, Parsed) else parsed


def read_outline(path: str) -> Facts | Unparsed:
    """Read one file for its imports alone, in a fifth of the time; any name may be bound in it."""
    source = read_source(path)
    if not isinstance(source, Source):
        return source
    with collector_paused():
        parsed = parse(source)
        if not isinstance(parsed, Parsed):
            return parsed
        return Facts(
            path=path,
            imports=find_imports(parsed),
            names={},
            is_open=True,
            undefined=(),
            early=(),
            early_as_main=(),
            additions=find_additions(parsed),
            ports=Ports((), frozenset(), True),
        )


def find_facts(parsed: Parsed) -> Facts:
    """Return the facts of a parsed file."""
    index = Index()
    return facts_of(parsed, find_scopes(parsed, index), index)


def facts_of(parsed: Parsed, scope: Scope, index: Index) -> Facts:
    """Return the facts of a parsed file whose scopes have been found already."""
    return Facts(
        path=parsed.path,
        imports=find_imports(parsed, index),
        names=first_bindings(scope),
        is_open=may_bind_more(scope),
        undefined=find_undefined(parsed, scope),
        early=find_early(parsed, scope, is_main=False),
        early_as_main=find_early(parsed, scope, is_main=True),
        additions=find_additions(parsed),
        ports=find_ports(parsed, index),
    )


def first_bindings(module: Scope) -> dict[str, How]:
    """Return the names that a module binds, and how it does first."""
    found: dict[str, How] = {}
    for name, bindings in module.bindings.items():
        made = next((binding.how for binding in bindings if binding.how != "delete"), None)
        if made is not None:
            found[name] = made
    return found


def may_bind_more(module: Scope) -> bool:
    """Return whether more names may come at run time: a star import, exec, a module's `__getattr__`."""
    return module.has_star or module.is_dynamic or "__getattr__" in module.bindings
