"""Parses source to a syntax tree; failures are returned as data."""

from __future__ import annotations

import ast
import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType

import msgspec

from argosy.source.python_source import FailureStage, SourceText, Unparsed, split_lines


class Parsed(msgspec.Struct, frozen=True):
    """A source and its tree.

    lines: the lines as UTF-8, because offsets in `ast` count UTF-8 bytes; None for plain ASCII, where bytes
    and characters are the same.
    """

    source: SourceText
    tree: ast.Module
    lines: tuple[bytes, ...] | None

    @property
    def path(self) -> str:
        return self.source.path

    def column(self, node: ast.expr | ast.stmt | ast.alias | ast.excepthandler) -> int:
        """Return the column of `node` in characters, counted from 1."""
        if self.lines is None or node.lineno > len(self.lines):
            return node.col_offset + 1
        return len(self.lines[node.lineno - 1][: node.col_offset].decode("utf-8", "replace")) + 1


def parse(source: SourceText, *, is_compiled: bool = True) -> Parsed | Unparsed:
    """Return the tree of `source`, or where and why it does not parse; never raises.

    The compiler rejects code that the parser accepts (`return` outside a function, `await` outside an
    async one), so the tree is also compiled and the code discarded; `is_compiled=False` skips this.
    Not thread-safe: changes the process's warning filters while it runs.
    """
    if (at := source.data.find(b"\0")) >= 0:
        line = source.data.count(b"\n", 0, at) + 1
        column = at - (source.data.rfind(b"\n", 0, at) + 1) + 1
        return Unparsed(source.path, line, column, "the source has a null byte", "read")
    with warnings.catch_warnings():
        # Invalid escapes and the like cause warnings, which are irrelevant for other people's code.
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(source.data, source.path)
        except Exception as error:  # codecs, deep nesting: the possible exceptions are not documented
            return _unparsed_from_error(source, error, "parse")
    parsed = Parsed(source, tree, None if source.data.isascii() else _encoded_lines(source))
    built = compile_parsed(parsed) if is_compiled else None
    return built if isinstance(built, Unparsed) else parsed


def compile_parsed(parsed: Parsed) -> CodeType | Unparsed:
    """Return the module's code, which must not be run, or why it does not compile; never raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            try:
                return compile(parsed.tree, parsed.path, "exec", dont_inherit=True)
            except RecursionError:
                # Compiling a tree needs more recursion than compiling text: a sum of 1500 terms compiles.
                return compile(parsed.source.data, parsed.path, "exec", dont_inherit=True)
        except Exception as error:
            return _unparsed_from_error(parsed.source, error, "compile")


def _unparsed_from_error(source: SourceText, error: Exception, stage: FailureStage) -> Unparsed:
    if isinstance(error, SyntaxError):
        return Unparsed(
            source.path, max(error.lineno or 1, 1), max(error.offset or 1, 1), error.msg or "syntax", stage
        )
    if isinstance(error, RecursionError | MemoryError):
        return Unparsed(source.path, 1, 1, "nested too deeply for Python's own parser", stage)
    return Unparsed(source.path, 1, 1, f"{type(error).__name__}: {error}", stage)


def _encoded_lines(source: SourceText) -> tuple[bytes, ...]:
    return tuple(line.encode("utf-8", "replace") for line in split_lines(source.text()))


@contextmanager
def pause_gc() -> Iterator[None]:
    """Pause the garbage collector: a tree is a hundred thousand young objects, none of them garbage.

    Parsing the 94 files of one real fleet took 0.25 s with the pause and 1.1 s without.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
