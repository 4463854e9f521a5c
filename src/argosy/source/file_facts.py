"""Extracts the facts about one file in a single read: small frozen data without the syntax tree."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from argosy.source.binder import NodeIndex, find_scopes
from argosy.source.import_statements import Import, find_imports
from argosy.source.literal_ports import LiteralPorts, find_literal_ports
from argosy.source.name_scopes import BindingKind, NameScope
from argosy.source.python_parser import Parsed, parse, pause_gc
from argosy.source.python_source import SourceText, Unparsed, read_source
from argosy.source.sys_path import PathAdditions, find_path_additions
from argosy.source.undefined_names import UndefinedName, find_undefined
from argosy.source.use_before_def import UseBeforeDefinition, find_uses_before_definition

_MODULE_ATTRIBUTES = frozenset(
    {"__doc__", "__file__", "__loader__", "__name__", "__package__", "__path__", "__spec__"}
)


class FileFacts(msgspec.Struct, frozen=True):
    """The facts about a file that compiles.

    names: the names that the module binds, each with the kind of its first binding. has_dynamic_names: more
    names may be bound at run time (a star import, exec, a module's `__getattr__`).
    uses_before_definition, uses_before_definition_as_main: names read too early when the file is imported,
    and when it is run as a script.
    """

    path: str
    imports: tuple[Import, ...]
    names: dict[str, BindingKind]
    has_dynamic_names: bool
    undefined: tuple[UndefinedName, ...]
    uses_before_definition: tuple[UseBeforeDefinition, ...]
    uses_before_definition_as_main: tuple[UseBeforeDefinition, ...]
    path_additions: PathAdditions
    ports: LiteralPorts

    def can_provide(self, name: str) -> bool:
        """Return whether `from this import name` may succeed; true if only a run can tell."""
        return self.has_dynamic_names or name in self.names or name in _MODULE_ATTRIBUTES


class FileFactsCache:
    """A cache of file facts by path; each file is read once. Not thread-safe.

    read: the function that reads a file: `read_facts` (the default) or `read_imports_only`.
    """

    def __init__(self, read: Callable[[str], FileFacts | Unparsed] | None = None) -> None:
        self._read = read or read_facts
        self._facts: dict[str, FileFacts | Unparsed] = {}

    def facts(self, path: str) -> FileFacts | Unparsed:
        """Return the facts of the file at `path`, or why it does not parse; never raises."""
        known = self._facts.get(path)
        if known is None:
            known = self._facts[path] = self._read(path)
        return known


def read_facts(path: str) -> FileFacts | Unparsed:
    """Read one file and return its facts; never raises."""
    source = read_source(path)
    if not isinstance(source, SourceText):
        return source
    with pause_gc():
        parsed = parse(source)
        return extract_facts(parsed) if isinstance(parsed, Parsed) else parsed


def read_imports_only(path: str) -> FileFacts | Unparsed:
    """Read only the imports of one file, in a fifth of the time; any name may be bound in it."""
    source = read_source(path)
    if not isinstance(source, SourceText):
        return source
    with pause_gc():
        parsed = parse(source)
        if not isinstance(parsed, Parsed):
            return parsed
        return FileFacts(
            path=path,
            imports=find_imports(parsed),
            names={},
            has_dynamic_names=True,
            undefined=(),
            uses_before_definition=(),
            uses_before_definition_as_main=(),
            path_additions=find_path_additions(parsed),
            ports=LiteralPorts((), frozenset(), True),
        )


def extract_facts(parsed: Parsed) -> FileFacts:
    """Return the facts of a parsed file."""
    index = NodeIndex()
    return assemble_facts(parsed, find_scopes(parsed, index), index)


def assemble_facts(parsed: Parsed, scope: NameScope, index: NodeIndex) -> FileFacts:
    """Return the facts of a parsed file whose scopes are already known."""
    return FileFacts(
        path=parsed.path,
        imports=find_imports(parsed, index),
        names=first_bindings(scope),
        has_dynamic_names=has_dynamic_names(scope),
        undefined=find_undefined(parsed, scope),
        uses_before_definition=find_uses_before_definition(parsed, scope, is_main=False),
        uses_before_definition_as_main=find_uses_before_definition(parsed, scope, is_main=True),
        path_additions=find_path_additions(parsed),
        ports=find_literal_ports(parsed, index),
    )


def first_bindings(module: NameScope) -> dict[str, BindingKind]:
    """Return the names that a module binds, each with the kind of its first binding."""
    found: dict[str, BindingKind] = {}
    for name, bindings in module.bindings.items():
        kind = next((binding.kind for binding in bindings if binding.kind != "delete"), None)
        if kind is not None:
            found[name] = kind
    return found


def has_dynamic_names(module: NameScope) -> bool:
    """Return whether a module may bind more names at run time: a star import, exec, `__getattr__`."""
    return module.has_star or module.is_dynamic or "__getattr__" in module.bindings
