"""A source that parses, with the names in it that would raise a NameError."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cached_property

import msgspec

from argosy.refit.transaction.text_edit import TextEdit
from argosy.refit.transaction.text_positions import TextLines
from argosy.source.binder import NodeIndex, find_scopes
from argosy.source.name_scopes import NameScope, NameUse
from argosy.source.python_parser import Parsed, parse
from argosy.source.python_source import SourceText
from argosy.source.undefined_names import find_undefined
from argosy.source.use_before_def import find_uses_before_definition


class UnresolvedName(msgspec.Struct, frozen=True, order=True):
    """A name that is read where nothing has bound it.

    line: of its first use. binding_line: where the module binds it later, 0 for nowhere. is_import: whether
    that is an import.
    """

    name: str
    line: int
    binding_line: int
    is_import: bool


class ModuleView:
    """A source and its names. Everything is computed on demand."""

    def __init__(self, source: SourceText, parsed: Parsed) -> None:
        self.source = source
        self.parsed = parsed
        self.text = source.text()

    @property
    def path(self) -> str:
        return self.source.path

    @property
    def body(self) -> list[ast.stmt]:
        return self.parsed.tree.body

    @cached_property
    def _scope_and_index(self) -> tuple[NameScope, NodeIndex]:
        index = NodeIndex()
        return find_scopes(self.parsed, index), index

    @property
    def scope(self) -> NameScope:
        return self._scope_and_index[0]

    @property
    def index(self) -> NodeIndex:
        """The nodes of the file by type, as in `argosy.source.binder`."""
        return self._scope_and_index[1]

    @cached_property
    def unresolved(self) -> tuple[UnresolvedName, ...]:
        """The names that are read and not bound, each once, by line."""
        found: dict[str, UnresolvedName] = {}
        for early in find_uses_before_definition(self.parsed, self.scope, is_main=True):
            if early.bound_by is None or early.is_certain:
                is_import = early.bound_by == "import"
                found[early.name] = UnresolvedName(early.name, early.line, early.bound_line, is_import)
        for name in find_undefined(self.parsed, self.scope):
            found.setdefault(name.name, UnresolvedName(name.name, name.line, 0, False))
        return tuple(sorted(found.values(), key=lambda item: item.line))

    @cached_property
    def _lines(self) -> TextLines:
        return TextLines(self.text)

    def offset(self, line: int, column: int) -> int:
        """Return the character offset of an `ast` position, whose columns are in UTF-8 bytes.

        Python 3.11 has no exact positions inside f-strings: a column after the end of the line is its end.
        """
        start, stop = self._lines.line_start(line), self._lines.line_stop(line)
        before = self.text[start:stop].encode("utf-8", "replace")[:column]
        return start + len(before.decode("utf-8", "replace"))

    def span(self, node: ast.expr) -> tuple[int, int]:
        """Return the start and end of an expression, in characters."""
        stop = self.offset(node.end_lineno or node.lineno, node.end_col_offset or 0)
        return self.offset(node.lineno, node.col_offset), stop

    def source_segment(self, node: ast.expr) -> str:
        """Return the source text of an expression."""
        start, stop = self.span(node)
        return self.text[start:stop]

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """Each node's parent."""
        return {child: node for node in ast.walk(self.parsed.tree) for child in ast.iter_child_nodes(node)}

    @cached_property
    def uses_by_name(self) -> dict[str, list[ast.Name]]:
        """The places where each name is read, in any scope."""
        found: dict[str, list[ast.Name]] = {}
        for scope in self.scope.walk():
            for use in scope.uses:
                found.setdefault(use.name, []).append(use.node)
        return found

    def is_module(self, name: str) -> bool:
        """Return whether `name` is that module wherever the file binds it."""
        bound = [binding for scope in self.scope.walk() for binding in scope.bindings.get(name, ())]
        return bool(bound) and all(item.kind == "import" and item.origin == name for item in bound)

    def find_import_offset(self, line: int) -> int:
        """Return the offset for a new import: after the last one above `line`, else above the first use."""
        target = min(self.statement_index(line), len(self.body) - 1)
        last = -1
        for index, node in enumerate(self.body[:target]):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and last >= 0:
                break
            if isinstance(node, ast.Import | ast.ImportFrom) and self.has_own_lines(index):
                last = index
        if last >= 0:
            return self.line_offset((self.body[last].end_lineno or 0) + 1)
        return self.line_offset(self.statement_first_line(self._index_after_docstring(target)))

    def _index_after_docstring(self, target: int) -> int:
        """Return the index after a docstring and `from __future__` imports, at most `target`."""
        index = 0
        while index < target:
            node = self.body[index]
            is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if not is_text and not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
                break
            index += 1
        return index

    def line_offset(self, line: int) -> int:
        """Return where a line begins; the end of the text for the line after the last one."""
        return self._lines.line_start(line)

    def lines_span(self, node: ast.stmt) -> tuple[int, int]:
        """Return the span of the whole lines of a statement, without its decorators."""
        return self.line_offset(node.lineno), self.line_offset((node.end_lineno or node.lineno) + 1)

    def module_uses(self, name: str) -> Iterator[tuple[NameUse, NameScope]]:
        """Yield the uses of `name` that no function or class binds."""
        for scope in self.scope.walk():
            for use in scope.uses:
                if use.name == name and scope.owner_of(name) in (None, self.scope):
                    yield use, scope

    def rename_edits(self, name: str, new: str) -> tuple[TextEdit, ...] | None:
        """Return the edits that replace each unbound use of `name` by `new`; None if one cannot be located.

        Python 3.11 has no exact positions inside f-strings.
        """
        edits: set[TextEdit] = set()
        for use, _ in self.module_uses(name):
            start = self.offset(use.node.lineno, use.node.col_offset)
            if self.text[start : start + len(name)] != name:
                return None
            edits.add(TextEdit(start, start + len(name), new))
        return tuple(sorted(edits)) or None

    def statement_index(self, line: int) -> int:
        """Return the index, in the module's body, of the statement that contains `line` or follows it."""
        for index, node in enumerate(self.body):
            if line <= (node.end_lineno or node.lineno):
                return index
        return len(self.body)

    def statement_first_line(self, index: int) -> int:
        """Return the line where a statement of the module begins, decorators included."""
        node = self.body[index]
        decorators: list[ast.expr] = getattr(node, "decorator_list", [])
        return min([node.lineno, *(item.lineno for item in decorators)])

    def has_own_lines(self, index: int) -> bool:
        """Return whether a statement of the module shares no line with another."""
        node = self.body[index]
        before = self.body[index - 1].end_lineno if index else 0
        after = self.body[index + 1].lineno if index + 1 < len(self.body) else 0
        return node.col_offset == 0 and before != node.lineno and after != node.end_lineno


def compile_view(source: SourceText) -> ModuleView | None:
    """Return the view of a source; None if it does not compile."""
    parsed = parse(source)
    return ModuleView(source, parsed) if isinstance(parsed, Parsed) else None
