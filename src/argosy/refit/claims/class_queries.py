"""Queries about classes: subclasses of a base, and overrides of its methods."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase

from argosy.refit.claims.python_queries import resolve_name
from argosy.refit.claims.query_kind import (
    FileMatcher,
    MatchesByPath,
    QueryContext,
    QueryKind,
    QueryMatch,
    last_name,
    location_of,
    name_error,
)
from argosy.refit.claims.query_result import CodeLocation, QueryResult
from argosy.refit.claims.token_outline import TokenOutline
from argosy.refit.core.source_file import PythonFile, module_name

# The details of a method; the details of a class are its bases.
_METHOD = "def"


def _classes(file: PythonFile, argument: str) -> list[QueryMatch]:
    found: list[QueryMatch] = []
    for node, scope in file.nodes(ast.ClassDef):
        name = ".".join(filter(None, [scope.qualified_name(), node.name]))
        base_nodes = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
        bases = tuple(filter(None, (resolve_name(file, base, scope) for base in base_nodes)))
        found.append(QueryMatch(node.lineno, file.parsed.column(node), name, bases))
        for method in node.body:
            if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                column = file.parsed.column(method)
                found.append(QueryMatch(method.lineno, column, f"{name}.{method.name}", (_METHOD,)))
    return found


def _classes_from_tokens(outline: TokenOutline, argument: str) -> list[QueryMatch]:
    return [
        QueryMatch(item.line, item.column, item.name, item.bases if item.kind == "class" else (_METHOD,))
        for item in sorted(outline.definitions, key=lambda item: item.kind != "class")
    ]


class _Subclasses:
    """Finds the classes that derive from a base, directly or indirectly."""

    def __init__(self, items: MatchesByPath, base: str) -> None:
        self.base = base
        self.classes: dict[tuple[str, str], QueryMatch] = {}
        self.locations_by_name: dict[str, list[tuple[str, str]]] = {}
        for path, matches in items.items():
            for item in matches:
                if item.details != (_METHOD,):
                    self.classes.setdefault((path, item.name), item)
                    self.locations_by_name.setdefault(last_name(item.name), []).append((path, item.name))
        self.is_derived: dict[tuple[str, str], bool | None] = {}

    def derives_from_base(self, key: tuple[str, str]) -> bool | None:
        """Return whether a class derives from the base; None when the name of a base is ambiguous."""
        if key not in self.is_derived:
            self.is_derived[key] = False  # ends the recursion in a cycle of bases
            found = [self._base_derives(key, base) for base in self.classes[key].details]
            self.is_derived[key] = True if True in found else None if None in found else False
        return self.is_derived[key]

    def _base_derives(self, key: tuple[str, str], base: str) -> bool | None:
        if fnmatchcase(base, self.base) or fnmatchcase(base, f"*.{self.base}"):
            return True
        candidates = self._possible_locations(key, base)
        found = {self.derives_from_base(candidate) for candidate in candidates if candidate != key}
        return found.pop() if len(found) == 1 else None if found else False

    def _possible_locations(self, key: tuple[str, str], base: str) -> list[tuple[str, str]]:
        """Return the classes that a base may be: of the same file, of its module, else all of its name."""
        same_name = self.locations_by_name.get(last_name(base), [])
        if "." not in base:
            return [other for other in same_name if other[0] == key[0]]
        module = base.rpartition(".")[0]
        exact = [other for other in same_name if _ends_with_name(module_name(other[0]), module)]
        return exact or same_name


def _ends_with_name(name: str, end: str) -> bool:
    return name == end or name.endswith(f".{end}")


def _find_derived(context: QueryContext) -> QueryResult:
    subclasses = _Subclasses(context.matches, context.argument)
    locations, possible = [], dict.fromkeys(context.unread)
    for path, item in _matches_in_scope(context):
        if item.details == (_METHOD,):
            continue
        is_derived = subclasses.derives_from_base((path, item.name))
        if is_derived:
            locations.append(location_of(path, item))
        elif is_derived is None:
            _count_possible(possible, path)
    return QueryResult(tuple(locations), possible)


def _find_overrides(context: QueryContext) -> QueryResult:
    base, _, method = context.argument.rpartition(".")
    subclasses = _Subclasses(context.matches, base)
    files_with_subclasses = {
        path for path, name in subclasses.classes if subclasses.derives_from_base((path, name)) is not False
    }
    locations: list[CodeLocation] = []
    possible = dict.fromkeys(context.unread)
    for path, item in _matches_in_scope(context):
        cls, _, name = item.name.rpartition(".")
        if item.details != (_METHOD,) or not fnmatchcase(name, method):
            continue
        # With wrong indentation a function may still be a method.
        is_class_unknown = (path, cls) not in subclasses.classes
        is_derived = (
            (None if path in files_with_subclasses else False)
            if is_class_unknown
            else subclasses.derives_from_base((path, cls))
        )
        if is_derived:
            locations.append(location_of(path, item))
        elif is_derived is None:
            _count_possible(possible, path)
    return QueryResult(tuple(locations), possible)


def _matches_in_scope(context: QueryContext) -> Iterator[tuple[str, QueryMatch]]:
    for path in context.paths:
        for item in context.matches.get(path, ()):
            yield path, item


def _count_possible(possible: dict[str, int | None], path: str) -> None:
    count = possible.get(path, 0)
    if count is not None:
        possible[path] = count + 1


def _override_error(argument: str) -> str:
    base, _, method = argument.rpartition(".")
    if base and method and not name_error(argument):
        return ""
    return f"`{argument}` is not a method of a class, expected one such as `BaseAgent.start`"


_MATCHER = FileMatcher(_classes, _classes_from_tokens, lambda argument: "class", needs_whole_tree=True)

KINDS = (
    QueryKind(
        name="python.classes",
        argument="BASE",
        description="classes that derive from a base, directly or indirectly",
        argument_error=name_error,
        matcher=_MATCHER,
        answer=_find_derived,
    ),
    QueryKind(
        name="python.overrides",
        argument="BASE.METHOD",
        description="methods with a name in classes that derive from a base",
        argument_error=_override_error,
        matcher=_MATCHER,
        answer=_find_overrides,
    ),
)
