"""The functions and classes of a module by what they do, whatever their names and constants.

The print of one is taken from its bytecode, where a name is but the place at which it came first: two have
the same print when one becomes the other by renaming and by other constants. What is nested (methods,
lambdas) is part of it; comments, formatting and a function's docstring are not. No further walk of the tree
is needed, since the compiler has been asked already whether it takes the file.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import accumulate
from operator import itemgetter
from types import CodeType
from typing import Literal

import msgspec

from argosy.refit.fact import FactKind
from argosy.refit.file import PythonFile
from argosy.source.bytecode import normal_form
from argosy.source.digest import blake2b
from argosy.source.nodes import children

Kind = Literal["file", "class", "function"]
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

_LINE = itemgetter(2)
# So much, or it is a phrase of the language and no copy of anything.
LEAST_SIZE, LEAST_LINES = 24, 5
MOST_SIZE = 100  # nobody asks for more, and counting takes time


class Unit(msgspec.Struct, frozen=True, array_like=True):
    """A function, a class or a whole file.

    shape: its print. exact: the same with its words. name: such as `Translator.start`, empty for
    the file. line, column: of its `def`. lines: how many there are, blank ones left out. size: how many
    statements and expressions, MOST_SIZE for more. outer: the place among the file's units of what it lies
    in, -1 for none.
    """

    shape: bytes
    exact: bytes
    kind: Kind
    name: str
    line: int
    column: int
    lines: int
    size: int
    outer: int


Units = tuple[Unit, ...]


class _Print(msgspec.Struct):
    """What is known of a piece of code and all within it. last: its last line. acts: it calls or branches."""

    code: CodeType
    shape: bytes
    last: int
    acts: bool
    within: list[_Print]


def collect(file: PythonFile) -> Units | None:
    """Return the units of a file that are large enough to be copied, outer ones first."""
    if file.code is None:
        return None
    whole = _take(file.code)
    found: list[Unit] = []
    places = _places(file)
    filled = [0, *accumulate(bool(line.strip()) for line in file.lines)]
    todo: list[tuple[_Print, int]] = [(whole, -1)]
    while todo:
        taken, outer = todo.pop()
        unit = _unit(file, taken, places, filled, outer)
        if unit is not None:
            found.append(unit)
            outer = len(found) - 1
        todo += [(inner, outer) for inner in reversed(taken.within)]
    return tuple(found) or None


def prints_of(file: PythonFile) -> Iterator[tuple[Definition, str, bytes]]:
    """Yield every function and class, with its qualified name and its print, whatever its size.

    The print is empty where the compiler refuses the file.
    """
    prints: dict[tuple[str, int], bytes] = {}
    todo = [] if file.code is None else [_take(file.code)]
    while todo:
        taken = todo.pop()
        prints[taken.code.co_name, taken.code.co_firstlineno] = taken.shape
        todo += taken.within
    kinds: tuple[type[Definition], ...] = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for kind in kinds:
        for node, scope in file.nodes(kind):
            first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
            name = ".".join(filter(None, [scope.qualified_name(), node.name]))
            yield node, name, prints.get((node.name, first), b"")


def _take(whole: CodeType) -> _Print:
    """Return the print of a piece of code; what is nested thousands deep is taken too, from within."""
    order = [whole]
    for code in order:
        order += _inner(code)
    taken: dict[int, _Print] = {}
    for code in reversed(order):
        taken[id(code)] = _print(code, [taken[id(inner)] for inner in _inner(code)])
    return taken[id(whole)]


def _inner(code: CodeType) -> list[CodeType]:
    return [item for item in code.co_consts if isinstance(item, CodeType)]


def _print(code: CodeType, within: list[_Print]) -> _Print:
    operations = normal_form(code.co_code)
    shapes = b"".join([operations.shape, *(inner.shape for inner in within)])
    return _Print(
        code,
        blake2b(shapes, digest_size=8).digest(),
        max([*filter(None, map(_LINE, code.co_lines())), *(inner.last for inner in within)], default=0),
        operations.acts or any(inner.acts for inner in within),
        within,
    )


def _places(file: PythonFile) -> dict[tuple[str, int], Definition]:
    """Return the definitions by name and by the line that the compiler has: the first decorator's."""
    nodes: list[Definition] = [
        *(node for node, _ in file.nodes(ast.FunctionDef)),
        *(node for node, _ in file.nodes(ast.AsyncFunctionDef)),
        *(node for node, _ in file.nodes(ast.ClassDef)),
    ]
    return {
        (node.name, min([node.lineno, *(item.lineno for item in node.decorator_list)])): node
        for node in nodes
    }


def _unit(
    file: PythonFile,
    taken: _Print,
    places: dict[tuple[str, int], Definition],
    filled: list[int],
    outer: int,
) -> Unit | None:
    """Return a piece of code as a unit. filled: by line, how many up to it are not blank."""
    code = taken.code
    if not taken.acts:
        return None
    node = places.get((code.co_name, code.co_firstlineno))
    kind: Kind = "class" if isinstance(node, ast.ClassDef) else "function" if node is not None else "file"
    if (kind == "file" and code.co_name != "<module>") or (kind == "class" and not taken.within):
        return None
    first = node.lineno if node is not None else 1
    lines = filled[max(min(taken.last, len(filled) - 1), first - 1)] - filled[first - 1]
    body = _body(file.tree if node is None else node)
    if lines < LEAST_LINES or (size := _size(body)) < LEAST_SIZE:
        return None
    return Unit(
        taken.shape,
        _words(file, body, taken),
        kind,
        "" if node is None else code.co_qualname.replace("<locals>.", ""),
        first,
        1 if node is None else file.parsed.column(node),
        lines,
        size,
        outer,
    )


def _body(whole: Definition | ast.Module) -> list[ast.stmt]:
    """Return the statements of a definition or module, without the text that documents it."""
    first = whole.body[0]
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return whole.body[1:] if is_text else whole.body


def _size(body: list[ast.stmt]) -> int:
    """Return how many statements and expressions there are; no more than MOST_SIZE are counted.

    Instructions would be other ones with each version of Python, and so are the texts within an f-string.
    """
    found: list[ast.AST] = [*body]
    for node in found:
        if len(found) >= MOST_SIZE:
            return MOST_SIZE
        if type(node) is ast.JoinedStr:
            found += [item for item in node.values if type(item) is not ast.Constant]
        else:
            found += children(node)
    return len(found)


def _words(file: PythonFile, body: list[ast.stmt], taken: _Print) -> bytes:
    """Return the print of a body with its names and constants: of its lines, whatever their indentation.

    The code's own tables would not do: which constants are in them hangs on the version of Python.
    """
    lines = [line.strip() for line in file.lines[body[0].lineno - 1 : taken.last]]
    text = "\n".join(line for line in lines if line and not line.startswith("#"))
    return blake2b(taken.shape + text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def enclosing(units: Units, at: int) -> Iterator[Unit]:
    """Yield what a unit lies in, from the inside out."""
    while (at := units[at].outer) >= 0:
        yield units[at]


UNITS: FactKind[Units] = FactKind("units", Units, collect)
