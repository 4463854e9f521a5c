"""Source files as rules see them: text, syntax tree and names, each computed once for all rules."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from types import CodeType
from typing import Any, TypeVar

from argosy.refit.core.finding import Finding, FindingAction
from argosy.source.ast_children import children
from argosy.source.binder import NodeIndex, find_scopes
from argosy.source.name_scopes import ImportOrigin, NameScope, find_import_origin
from argosy.source.python_parser import Parsed
from argosy.source.python_source import SourceText, Unparsed, split_lines
from argosy.source.use_before_def import UseBeforeDefinition, find_uses_before_definition

NodeT = TypeVar("NodeT", bound=ast.AST)
DerivedT = TypeVar("DerivedT")
LocatedNode = ast.expr | ast.stmt | ast.alias | ast.excepthandler


class PythonFile:
    """A Python file that parses.

    path: relative to the root, with `/`. module: its dotted name from the root. scope: the module's scope,
    with all nested ones. code: the compiled code, never run; None if it does not compile. A rule must keep no
    reference to it after returning.
    """

    def __init__(self, path: str, parsed: Parsed, code: CodeType | None = None) -> None:
        self.path = path
        self.module = module_name(path)
        self.parsed = parsed
        self.code = code
        self.index = NodeIndex()
        self.scope = find_scopes(parsed, self.index)
        self._derived: dict[Callable[[PythonFile], Any], Any] = {}

    @property
    def source(self) -> SourceText:
        return self.parsed.source

    @property
    def tree(self) -> ast.Module:
        return self.parsed.tree

    @cached_property
    def text(self) -> str:
        """The decoded text, as Python reads it."""
        return self.source.text()

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the text, without line ends."""
        return split_lines(self.text)

    @cached_property
    def uses_before_definition(self) -> tuple[UseBeforeDefinition, ...]:
        """The names that are used too early, or never bound, when the file runs as a script."""
        return find_uses_before_definition(self.parsed, self.scope, is_main=True)

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """The parent of each node, in breadth-first order; contexts and operators are left out."""
        found: dict[ast.AST, ast.AST] = {}
        pending: list[ast.AST] = [self.tree]
        for node in pending:
            inner = children(node)
            for child in inner:
                found[child] = node
            pending += inner
        return found

    def nodes(self, node_type: type[NodeT]) -> list[tuple[NodeT, NameScope]]:
        """Return the nodes of one type with the scope in which each is evaluated, in source order.

        node_type: one of `source.binder.INDEXED_TYPES`; for others walk the tree.
        """
        return self.index.of_type(node_type)

    def origin(self, node: ast.expr, scope: NameScope) -> ImportOrigin | None:
        """Return what a dotted name imports (`zmq.Context`, whatever its name is here), or None."""
        root = node
        while type(root) is ast.Attribute:
            root = root.value
        # Most names are not imported, and this method is called for every call in a tree.
        if type(root) is not ast.Name or root.id not in self.imported_names:
            return None
        return find_import_origin(node, scope)

    @cached_property
    def imported_names(self) -> frozenset[str]:
        """The names that an import binds anywhere in the file."""
        return frozenset(
            name
            for scope in self.scope.walk()
            for name, bindings in scope.bindings.items()
            if any(binding.origin for binding in bindings)
        )

    def compute_once(self, compute: Callable[[PythonFile], DerivedT]) -> DerivedT:
        """Return what `compute` returns for this file; it is called once for all rules."""
        if compute not in self._derived:
            self._derived[compute] = compute(self)
        return self._derived[compute]  # type: ignore[no-any-return]

    def clear_derived(self) -> None:
        """Drop derived data: it refers to this file, and would keep the tree alive."""
        self._derived.clear()

    def parent(self, node: ast.AST) -> ast.AST | None:
        """Return the parent of `node`; the first call in a file walks its tree."""
        return self.parents.get(node)

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield the ancestors of `node`, innermost first."""
        while (above := self.parents.get(node)) is not None:
            yield above
            node = above

    def segment(self, node: LocatedNode) -> str:
        """Return the source of a node."""
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        if self.parsed.lines is not None or last >= len(self.lines) or node.end_col_offset is None:
            return ast.get_source_segment(self.text, node) or ""
        if first == last:
            return self.lines[first][node.col_offset : node.end_col_offset]
        return ast.get_source_segment(self.text, node) or ""

    def make_finding(
        self,
        node: LocatedNode,
        message: str,
        scope: NameScope | None = None,
        *,
        symbol: str = "",
        hint: str = "",
        action: FindingAction = "",
    ) -> Finding:
        """Return a finding at a node. symbol: what it is about; default is the name of the scope."""
        symbol = symbol or (scope.qualified_name() if scope is not None else "")
        return Finding(
            self.path, node.lineno, self.parsed.column(node), "", message, action, symbol=symbol, hint=hint
        )


class BrokenFile:
    """A Python file that Python cannot run.

    path: relative to the root, with `/`. source: None if the file is unreadable or cannot be decoded.
    unparsed: where the compiler stopped and its message; a file whose `stage` is `compile` has a syntax tree.
    """

    def __init__(self, path: str, source: SourceText | None, unparsed: Unparsed) -> None:
        self.path = path
        self.source = source
        self.unparsed = unparsed

    def make_finding(
        self, line: int, column: int, message: str, *, symbol: str = "", hint: str = ""
    ) -> Finding:
        """Return a finding at a position, counted from 1."""
        return Finding(self.path, line, column, "", message, symbol=symbol, hint=hint)


class TextFile:
    """A file that is not Python: a Compose file, a Dockerfile, a shell script.

    root: of the tree. path: relative to it, with `/`. data: its bytes. text: decoded as UTF-8, with U+FFFD
    for invalid bytes.
    """

    def __init__(self, root: str, path: str, data: bytes) -> None:
        self.root = root
        self.path = path
        self.data = data

    @cached_property
    def text(self) -> str:
        return self.data.decode("utf-8-sig", "replace")

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def make_finding(
        self, line: int, column: int, message: str, *, symbol: str = "", hint: str = ""
    ) -> Finding:
        """Return a finding at a position, counted from 1."""
        return Finding(self.path, line, column, "", message, symbol=symbol, hint=hint)


def module_name(path: str) -> str:
    """Return the dotted name of the module at a relative path, from the root."""
    parts = path.removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def has_any(data: bytes, needles: Iterable[bytes]) -> bool:
    """Return whether a source contains one of `needles`."""
    return any(word in data for word in needles)
