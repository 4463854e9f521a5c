"""Queries about Python code: calls, imports, strings, and the files themselves."""

from __future__ import annotations

import ast
import re
from fnmatch import fnmatchcase

from argosy.refit.claims.query_kind import (
    FileMatcher,
    QueryContext,
    QueryKind,
    QueryMatch,
    list_files,
    list_matches,
    longest_literal,
    name_error,
    regex_error,
)
from argosy.refit.claims.query_result import CodeLocation, QueryResult
from argosy.refit.claims.token_outline import TokenOutline, absolute_module
from argosy.refit.core.source_file import LocatedNode, PythonFile
from argosy.source import control_flow
from argosy.source.name_scopes import NameScope


def _match_at(file: PythonFile, node: LocatedNode, name: str, details: tuple[str, ...] = ()) -> QueryMatch:
    return QueryMatch(node.lineno, file.parsed.column(node), name, details)


def resolve_name(file: PythonFile, node: ast.expr, scope: NameScope) -> str:
    """Return a dotted name resolved through imports, else as written; empty for other expressions."""
    origin = file.origin(node, scope)
    if origin is None:
        return control_flow.dotted_name(node)
    dots = len(origin.name) - len(origin.name.lstrip("."))
    if not dots:
        return origin.name
    return ".".join(
        filter(None, [absolute_module(file.path, ast.ImportFrom(None, [], dots)), origin.name[dots:]])
    )


# ---- calls


def _match_calls(file: PythonFile, argument: str) -> list[QueryMatch]:
    found = []
    for call, scope in file.nodes(ast.Call):
        name = resolve_name(file, call.func, scope)
        if name and fnmatchcase(name, argument):
            found.append(_match_at(file, call, scope.qualified_name()))
    return found


def _calls_from_tokens(outline: TokenOutline, argument: str) -> list[QueryMatch]:
    return [
        QueryMatch(token.line, token.column + 1, "")
        for name, token in outline.find_calls()
        if fnmatchcase(name, argument)
    ]


# ---- imports


def _match_imports(file: PythonFile, argument: str) -> list[QueryMatch]:
    nodes: list[ast.Import | ast.ImportFrom] = [node for node, _ in file.nodes(ast.Import)]
    nodes += [node for node, _ in file.nodes(ast.ImportFrom)]
    return [
        _match_at(file, node, name)
        for node in nodes
        if (name := _imported_name(node, file.path, argument)) is not None
    ]


def _imports_from_tokens(outline: TokenOutline, argument: str) -> list[QueryMatch]:
    found = []
    for statement, node in outline.imports:
        name = _imported_name(node, outline.path, argument)
        if name is not None:
            found.append(QueryMatch(statement.line, statement.first_token.column + 1, name))
    return found


def _imported_name(node: ast.Import | ast.ImportFrom, path: str, argument: str) -> str | None:
    """Return the imported module or name that matches `argument` or is below a match, None for no match."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        module = absolute_module(path, node)
        names = [".".join(filter(None, [module, alias.name])) for alias in node.names]
    for name in names:
        parts = name.split(".")
        if any(fnmatchcase(".".join(parts[:count]), argument) for count in range(1, len(parts) + 1)):
            return name
    return None


# ---- strings


def _match_strings(file: PythonFile, argument: str) -> list[QueryMatch]:
    pattern = re.compile(argument)
    statement_strings = {id(node.value) for node in ast.walk(file.tree) if isinstance(node, ast.Expr)}
    return [
        _match_at(file, node, scope.qualified_name())
        for node, scope in file.nodes(ast.Constant)
        if isinstance(node.value, str) and id(node) not in statement_strings and pattern.search(node.value)
    ]


def _strings_from_tokens(outline: TokenOutline, argument: str) -> list[QueryMatch]:
    pattern = re.compile(argument)
    return [
        QueryMatch(token.line, token.column + 1, "")
        for value, token in outline.find_strings()
        if pattern.search(value)
    ]


def _match_broken(outline: TokenOutline, argument: str) -> list[QueryMatch]:
    return [QueryMatch(0, 0, "")]


def _list_broken_files(context: QueryContext) -> QueryResult:
    paths = [path for path in context.paths if path in context.matches or path in context.unread]
    return QueryResult(tuple(CodeLocation(path) for path in paths))


KINDS = (
    QueryKind(
        name="python.calls",
        argument="NAME",
        description="calls of a name, resolved through imports (`zmq.Context`, `*.socket`)",
        argument_error=name_error,
        matcher=FileMatcher(_match_calls, _calls_from_tokens, longest_literal),
        answer=list_matches,
    ),
    QueryKind(
        name="python.imports",
        argument="MODULE",
        description="import statements of a module, its submodules or its names",
        argument_error=name_error,
        matcher=FileMatcher(_match_imports, _imports_from_tokens, longest_literal),
        answer=list_matches,
    ),
    QueryKind(
        name="python.strings",
        argument="REGEX",
        description="strings in code that match a regular expression; not docstrings, not comments",
        argument_error=regex_error,
        matcher=FileMatcher(_match_strings, _strings_from_tokens),
        answer=list_matches,
    ),
    QueryKind(name="python.files", description="Python files", answer=list_files),
    QueryKind(
        name="python.broken",
        description="Python files that do not parse",
        matcher=FileMatcher(lambda file, argument: [], _match_broken),
        answer=_list_broken_files,
    ),
)
