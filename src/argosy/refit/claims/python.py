"""Queries about Python code: calls, imports, texts, and the files themselves."""

from __future__ import annotations

import ast
import re
from fnmatch import fnmatchcase

from argosy.refit.claims.answer import Answer, Spot
from argosy.refit.claims.kind import Ask, Item, Kind, Reading, name_trouble, plain, regex_trouble, word_of
from argosy.refit.claims.lexical import Outline, absolute
from argosy.refit.file import Placed, PythonFile
from argosy.source import flow
from argosy.source.scopes import Scope


def _item(file: PythonFile, node: Placed, name: str, more: tuple[str, ...] = ()) -> Item:
    return Item(node.lineno, file.parsed.column(node), name, more)


def resolved(file: PythonFile, node: ast.expr, scope: Scope) -> str:
    """Return a dotted name as imports lead it, else as it is written; empty for what is no name."""
    origin = file.origin(node, scope)
    if origin is None:
        return flow.dotted(node)
    dots = len(origin.name) - len(origin.name.lstrip("."))
    if not dots:
        return origin.name
    return ".".join(filter(None, [absolute(file.path, ast.ImportFrom(None, [], dots)), origin.name[dots:]]))


# ---- calls


def _calls(file: PythonFile, argument: str) -> list[Item]:
    found = []
    for call, scope in file.nodes(ast.Call):
        name = resolved(file, call.func, scope)
        if name and fnmatchcase(name, argument):
            found.append(_item(file, call, scope.qualified_name()))
    return found


def _calls_in_words(outline: Outline, argument: str) -> list[Item]:
    return [
        Item(token.line, token.column + 1, "")
        for name, token in outline.calls()
        if fnmatchcase(name, argument)
    ]


# ---- imports


def _imports(file: PythonFile, argument: str) -> list[Item]:
    nodes: list[ast.Import | ast.ImportFrom] = [node for node, _ in file.nodes(ast.Import)]
    nodes += [node for node, _ in file.nodes(ast.ImportFrom)]
    return [
        _item(file, node, name)
        for node in nodes
        if (name := _imported(node, file.path, argument)) is not None
    ]


def _imports_in_words(outline: Outline, argument: str) -> list[Item]:
    found = []
    for statement, node in outline.imports:
        name = _imported(node, outline.path, argument)
        if name is not None:
            found.append(Item(statement.line, statement.first.column + 1, name))
    return found


def _imported(node: ast.Import | ast.ImportFrom, path: str, argument: str) -> str | None:
    """Return the module or name of `argument`, or below it, that a statement imports."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        module = absolute(path, node)
        names = [".".join(filter(None, [module, alias.name])) for alias in node.names]
    for name in names:
        parts = name.split(".")
        if any(fnmatchcase(".".join(parts[:count]), argument) for count in range(1, len(parts) + 1)):
            return name
    return None


# ---- texts


def _strings(file: PythonFile, argument: str) -> list[Item]:
    pattern = re.compile(argument)
    lone = {id(node.value) for node in ast.walk(file.tree) if isinstance(node, ast.Expr)}
    return [
        _item(file, node, scope.qualified_name())
        for node, scope in file.nodes(ast.Constant)
        if isinstance(node.value, str) and id(node) not in lone and pattern.search(node.value)
    ]


def _strings_in_words(outline: Outline, argument: str) -> list[Item]:
    pattern = re.compile(argument)
    return [
        Item(token.line, token.column + 1, "") for value, token in outline.strings() if pattern.search(value)
    ]


def _files(ask: Ask) -> Answer:
    return Answer(tuple(Spot(path) for path in ask.paths))


def _broken(outline: Outline, argument: str) -> list[Item]:
    return [Item(0, 0, "")]


def _broken_files(ask: Ask) -> Answer:
    paths = [path for path in ask.paths if path in ask.items or path in ask.unread]
    return Answer(tuple(Spot(path) for path in paths))


KINDS = (
    Kind(
        name="python.calls",
        argument="NAME",
        counts="calls of a name, as imports lead it (`zmq.Context`, `*.socket`)",
        check=name_trouble,
        reading=Reading(_calls, _calls_in_words, word_of),
        answer=plain,
    ),
    Kind(
        name="python.imports",
        argument="MODULE",
        counts="import statements that take a module, what is below it, or a name of it",
        check=name_trouble,
        reading=Reading(_imports, _imports_in_words, word_of),
        answer=plain,
    ),
    Kind(
        name="python.strings",
        argument="REGEX",
        counts="texts in code that a regular expression finds something in; not docstrings, not comments",
        check=regex_trouble,
        reading=Reading(_strings, _strings_in_words),
        answer=plain,
    ),
    Kind(name="python.files", counts="Python files", answer=_files),
    Kind(
        name="python.broken",
        counts="Python files that do not parse",
        reading=Reading(lambda file, argument: [], _broken),
        answer=_broken_files,
    ),
)
