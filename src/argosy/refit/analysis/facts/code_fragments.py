"""Functions and classes of a module as digests of what they do, regardless of their names and constants.

The digest is computed from the bytecode, with each name replaced by the position of its first use: two
fragments have the same digest if renaming and other constants turn one into the other. Nested code (methods,
lambdas) is included; comments, formatting and a function's docstring are not. No further walk of the tree is
needed, since the file has been compiled already to check it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import accumulate
from operator import itemgetter
from types import CodeType
from typing import Literal

import msgspec

from argosy.refit.core.fact import FactKind
from argosy.refit.core.source_file import PythonFile
from argosy.source.ast_children import children
from argosy.source.bytecode_normal_form import normalize_bytecode
from argosy.source.digest import blake2b

FragmentKind = Literal["file", "class", "function"]
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

_LINE_NUMBER = itemgetter(2)
# Smaller fragments are common phrases, not copies.
MIN_NODES, MIN_LINES = 24, 5
MAX_NODES = 100  # no rule needs more, and counting takes time


class CodeFragment(msgspec.Struct, frozen=True, array_like=True):
    """A function, a class or a whole file.

    shape_digest: the digest without names and constants. exact_digest: the digest with them. name: such as
    `Translator.start`, empty for the file. line, column: of its `def`. line_count: without blank lines.
    node_count: statements and expressions, at most MAX_NODES. enclosing_index: the index of the enclosing
    fragment among those of the file, -1 for none.
    """

    shape_digest: bytes
    exact_digest: bytes
    kind: FragmentKind
    name: str
    line: int
    column: int
    line_count: int
    node_count: int
    enclosing_index: int


CodeFragments = tuple[CodeFragment, ...]


class _CodeDigest(msgspec.Struct):
    """A code object with its nested code. end_line: its last line. has_effects: it calls or branches."""

    code: CodeType
    shape_digest: bytes
    end_line: int
    has_effects: bool
    nested: list[_CodeDigest]


def collect(file: PythonFile) -> CodeFragments | None:
    """Return the fragments of a file that are large enough to be copies, outer ones first."""
    if file.code is None:
        return None
    module_digest = _digest_nested(file.code)
    found: list[CodeFragment] = []
    definitions = _definitions_by_line(file)
    nonblank_counts = [0, *accumulate(bool(line.strip()) for line in file.lines)]
    pending: list[tuple[_CodeDigest, int]] = [(module_digest, -1)]
    while pending:
        code_digest, enclosing_index = pending.pop()
        fragment = _build_fragment(file, code_digest, definitions, nonblank_counts, enclosing_index)
        if fragment is not None:
            found.append(fragment)
            enclosing_index = len(found) - 1
        pending += [(inner, enclosing_index) for inner in reversed(code_digest.nested)]
    return tuple(found) or None


def iter_shape_digests(file: PythonFile) -> Iterator[tuple[Definition, str, bytes]]:
    """Yield every function and class, with its qualified name and its digest, whatever its size.

    The digest is empty if the compiler rejects the file.
    """
    digests: dict[tuple[str, int], bytes] = {}
    pending = [] if file.code is None else [_digest_nested(file.code)]
    while pending:
        code_digest = pending.pop()
        digests[code_digest.code.co_name, code_digest.code.co_firstlineno] = code_digest.shape_digest
        pending += code_digest.nested
    kinds: tuple[type[Definition], ...] = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for kind in kinds:
        for node, scope in file.nodes(kind):
            first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
            name = ".".join(filter(None, [scope.qualified_name(), node.name]))
            yield node, name, digests.get((node.name, first), b"")


def _digest_nested(code_object: CodeType) -> _CodeDigest:
    """Return the digest of a code object; nested code is processed from the inside, without recursion."""
    order = [code_object]
    for code in order:
        order += _nested_code(code)
    digests: dict[int, _CodeDigest] = {}
    for code in reversed(order):
        digests[id(code)] = _digest_code(code, [digests[id(inner)] for inner in _nested_code(code)])
    return digests[id(code_object)]


def _nested_code(code: CodeType) -> list[CodeType]:
    return [item for item in code.co_consts if isinstance(item, CodeType)]


def _digest_code(code: CodeType, nested: list[_CodeDigest]) -> _CodeDigest:
    operations = normalize_bytecode(code.co_code)
    shapes = b"".join([operations.shape, *(inner.shape_digest for inner in nested)])
    return _CodeDigest(
        code,
        blake2b(shapes, digest_size=8).digest(),
        max(
            [*filter(None, map(_LINE_NUMBER, code.co_lines())), *(inner.end_line for inner in nested)],
            default=0,
        ),
        operations.has_effects or any(inner.has_effects for inner in nested),
        nested,
    )


def _definitions_by_line(file: PythonFile) -> dict[tuple[str, int], Definition]:
    """Return the definitions by name and by the line that the compiler records: the first decorator's."""
    nodes: list[Definition] = [
        *(node for node, _ in file.nodes(ast.FunctionDef)),
        *(node for node, _ in file.nodes(ast.AsyncFunctionDef)),
        *(node for node, _ in file.nodes(ast.ClassDef)),
    ]
    return {
        (node.name, min([node.lineno, *(item.lineno for item in node.decorator_list)])): node
        for node in nodes
    }


def _build_fragment(
    file: PythonFile,
    code_digest: _CodeDigest,
    definitions: dict[tuple[str, int], Definition],
    nonblank_counts: list[int],
    enclosing_index: int,
) -> CodeFragment | None:
    """Return a code object as a fragment. nonblank_counts: by line, the number of nonblank lines up to it."""
    code = code_digest.code
    if not code_digest.has_effects:
        return None
    node = definitions.get((code.co_name, code.co_firstlineno))
    kind: FragmentKind = (
        "class" if isinstance(node, ast.ClassDef) else "function" if node is not None else "file"
    )
    if (kind == "file" and code.co_name != "<module>") or (kind == "class" and not code_digest.nested):
        return None
    first = node.lineno if node is not None else 1
    line_count = (
        nonblank_counts[max(min(code_digest.end_line, len(nonblank_counts) - 1), first - 1)]
        - nonblank_counts[first - 1]
    )
    body = _body_without_docstring(file.tree if node is None else node)
    if line_count < MIN_LINES or (size := _count_nodes(body)) < MIN_NODES:
        return None
    return CodeFragment(
        code_digest.shape_digest,
        _exact_digest(file, body, code_digest),
        kind,
        "" if node is None else code.co_qualname.replace("<locals>.", ""),
        first,
        1 if node is None else file.parsed.column(node),
        line_count,
        size,
        enclosing_index,
    )


def _body_without_docstring(definition: Definition | ast.Module) -> list[ast.stmt]:
    """Return the statements of a definition or module, without the docstring."""
    first = definition.body[0]
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return definition.body[1:] if is_text else definition.body


def _count_nodes(body: list[ast.stmt]) -> int:
    """Return the number of statements and expressions; counting stops at MAX_NODES.

    Instructions, and the strings within an f-string, would differ between Python versions.
    """
    found: list[ast.AST] = [*body]
    for node in found:
        if len(found) >= MAX_NODES:
            return MAX_NODES
        if type(node) is ast.JoinedStr:
            found += [item for item in node.values if type(item) is not ast.Constant]
        else:
            found += children(node)
    return len(found)


def _exact_digest(file: PythonFile, body: list[ast.stmt], code_digest: _CodeDigest) -> bytes:
    """Return the digest of a body with its names and constants: of its lines, regardless of indentation.

    The tables of the code object are not used, since their constants depend on the Python version.
    """
    lines = [line.strip() for line in file.lines[body[0].lineno - 1 : code_digest.end_line]]
    text = "\n".join(line for line in lines if line and not line.startswith("#"))
    return blake2b(code_digest.shape_digest + text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def iter_enclosing(fragments: CodeFragments, index: int) -> Iterator[CodeFragment]:
    """Yield the fragments that enclose a fragment, from the inside out."""
    while (index := fragments[index].enclosing_index) >= 0:
        yield fragments[index]


CODE_FRAGMENTS: FactKind[CodeFragments] = FactKind("code fragments", CodeFragments, collect)
