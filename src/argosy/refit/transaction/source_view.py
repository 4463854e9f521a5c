"""A parsed file for rewrites: its tree, its names, and the parents of each node."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from argosy.refit.core.source_file import PythonFile
from argosy.source.name_scopes import NameScope, find_import_origin
from argosy.source.python_parser import Parsed

ImportNode = ast.Import | ast.ImportFrom
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
Node = TypeVar("Node", bound=ast.AST)


class RewriteSite(msgspec.Struct, frozen=True, order=True):
    """One place that a rule reports, with the code of its finding; lines and columns from 1."""

    path: str
    line: int
    column: int
    code: str


class RefusedSite(msgspec.Struct, frozen=True, order=True):
    """A site that is not changed, and why."""

    path: str
    line: int
    code: str
    reason: str


class SourceView:
    """A parsed file; indexes are built on first use.

    path: as in reports, relative to the tree.
    """

    def __init__(self, path: str, parsed: Parsed) -> None:
        self.path = path
        self.parsed = parsed
        self.tree = parsed.tree

    @property
    def data(self) -> bytes:
        """The bytes of the file."""
        return self.parsed.source.data

    @functools.cached_property
    def python_file(self) -> PythonFile:
        """The file as rules of the audit read it."""
        return PythonFile(self.path, self.parsed)

    @property
    def module_scope(self) -> NameScope:
        """The module's scope."""
        return self.python_file.scope

    @functools.cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of the file."""
        return [self.tree, *self.parents]

    @property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """The parent of each node, in the order of `ast.walk`; contexts and operators have none."""
        return self.python_file.parents

    @functools.cached_property
    def _reads_by_name(self) -> dict[tuple[str, NameScope], list[ast.Name]]:
        found: dict[tuple[str, NameScope], list[ast.Name]] = {}
        for scope in self.module_scope.walk():
            for use in scope.uses:
                if isinstance(use.node.ctx, ast.Load) and (owner := scope.owner_of(use.node.id)):
                    found.setdefault((use.node.id, owner), []).append(use.node)
        return found

    def reads_of(self, name: str, scope: NameScope) -> list[ast.Name]:
        """Return the nodes that read a name that is bound in `scope`."""
        return self._reads_by_name.get((name, scope), [])

    @functools.cached_property
    def attribute_reads(self) -> dict[str, list[ast.Attribute]]:
        """The nodes that read an attribute, by its name, in the order of `nodes`."""
        found: dict[str, list[ast.Attribute]] = {}
        for node in self.nodes:
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                found.setdefault(node.attr, []).append(node)
        return found

    @functools.cached_property
    def scopes_by_node(self) -> dict[ast.AST, list[NameScope]]:
        """The scopes of each node that has one; a generic function of Python 3.12 has two."""
        found: dict[ast.AST, list[NameScope]] = {}
        for scope in self.module_scope.walk():
            found.setdefault(scope.node, []).append(scope)
        return found

    @functools.cached_property
    def _scope_by_name(self) -> dict[ast.Name, NameScope]:
        return {use.node: scope for scope in self.module_scope.walk() for use in scope.uses}

    @functools.cached_property
    def imports_by_name(self) -> dict[tuple[str, int], list[tuple[ImportNode, str]]]:
        """The import statements by bound name and line, each with the imported dotted name."""
        found: dict[tuple[str, int], list[tuple[ImportNode, str]]] = {}
        statements: list[ImportNode] = [*self.nodes_of(ast.Import), *self.nodes_of(ast.ImportFrom)]
        for node in statements:
            for name, target in _bound_names(node):
                found.setdefault((name, node.lineno), []).append((node, target))
        return found

    def nodes_of(self, kind: type[Node]) -> list[Node]:
        """Return the nodes of a kind that `PythonFile.nodes` indexes, in the order of the source."""
        return [node for node, _ in self.python_file.nodes(kind)]

    def site_at(self, node: ast.expr | ast.stmt, code: str) -> RewriteSite:
        """Return `node` as a site."""
        return RewriteSite(self.path, node.lineno, self.parsed.column(node), code)

    def refused_at(self, node: ast.expr | ast.stmt, code: str, reason: str) -> RefusedSite:
        """Return `node` as a refused site."""
        return RefusedSite(self.path, node.lineno, code, reason)

    def scope_of(self, name: ast.Name) -> NameScope | None:
        """Return the scope that reads `name`; None for a name that is not a use."""
        return self._scope_by_name.get(name)

    def imports_binding(self, name: ast.Name) -> list[tuple[ImportNode, str]]:
        """Return the import statements that `name` may come from; empty if anything else binds it too."""
        scope = self.scope_of(name)
        owner = scope.owner_of(name.id) if scope else None
        found: list[tuple[ImportNode, str]] = []
        for binding in owner.bindings[name.id] if owner else ():
            statements = self.imports_by_name.get((name.id, binding.line), ())
            if binding.kind != "import" or len(statements) != 1:
                return []
            found += statements
        return found

    def resolve_imported_name(self, node: ast.expr) -> str:
        """Return the imported dotted name of `node`, such as `zmq.Context`; empty when it is not imported."""
        root = node
        while isinstance(root, ast.Attribute):
            root = root.value
        scope = self.scope_of(root) if isinstance(root, ast.Name) else None
        origin = find_import_origin(node, scope) if scope else None
        return origin.name if origin and origin.is_only_binding else ""

    def ancestors_of(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield the ancestors of `node`, the innermost first."""
        found = self.parents.get(node)
        while found is not None:
            yield found
            found = self.parents.get(found)

    def enclosing_statement(self, node: ast.AST) -> ast.stmt:
        """Return the statement that contains `node`."""
        found: ast.AST = node
        while not isinstance(found, ast.stmt):
            found = self.parents[found]
        return found

    def enclosing_function(self, node: ast.AST) -> FunctionNode | ast.Lambda | None:
        """Return the innermost function around `node`."""
        for ancestor in self.ancestors_of(node):
            if isinstance(ancestor, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                return ancestor
        return None

    def enclosing_class(self, node: ast.AST) -> ast.ClassDef | None:
        """Return the innermost class around `node`."""
        return next((each for each in self.ancestors_of(node) if isinstance(each, ast.ClassDef)), None)

    def containing_block(self, statement: ast.stmt) -> list[ast.stmt]:
        """Return the list of statements that contains `statement`."""
        parent = self.parents[statement]
        for field in ("body", "orelse", "finalbody"):
            block = getattr(parent, field, None)
            if isinstance(block, list) and statement in block:
                return block
        return []


def _bound_names(node: ImportNode) -> Iterator[tuple[str, str]]:
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            if alias.name != "*":
                yield alias.asname or alias.name, f"{'.' * node.level}{node.module or ''}.{alias.name}"
        elif alias.asname:
            yield alias.asname, alias.name
        else:
            root = alias.name.partition(".")[0]
            yield root, root
