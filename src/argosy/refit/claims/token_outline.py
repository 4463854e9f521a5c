"""The outline of a Python file that does not parse: definitions, imports, calls and strings, by its tokens.

Statements are those of `argosy.refit.analysis.lenient_statements`, which accepts unbalanced brackets and
wrong indentation. Code inside an unterminated string is not found.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import cached_property

import msgspec

from argosy.refit.analysis.lenient_statements import (
    CLOSING_BRACKETS,
    OPENING_BRACKETS,
    SourceStatement,
    read_statements,
)
from argosy.refit.analysis.lenient_tokens import Token, tokenize_leniently
from argosy.refit.core.source_file import module_name
from argosy.source.python_source import split_lines


class TokenDefinition(msgspec.Struct, frozen=True):
    """A `def` or a `class`. name: qualified. lines: not blank, up to the end of its block."""

    kind: str
    name: str
    line: int
    column: int
    bases: tuple[str, ...]
    lines: int


class TokenOutline:
    """The outline of a file. path: relative to the tree."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text

    @cached_property
    def statements(self) -> Sequence[SourceStatement]:
        """The logical lines of the file."""
        return read_statements(self.text)

    @cached_property
    def imports(self) -> tuple[tuple[SourceStatement, ast.Import | ast.ImportFrom], ...]:
        """The import statements that parse on their own."""
        found = []
        for statement in self.statements:
            if statement.keyword in ("import", "from"):
                node = _parse_import(statement.normalized_text())
                if node is not None:
                    found.append((statement, node))
        return tuple(found)

    @cached_property
    def aliases(self) -> dict[str, str]:
        """The local names of imports, to the imported dotted names."""
        found: dict[str, str] = {}
        for _, node in self.imports:
            for alias in node.names:
                if isinstance(node, ast.Import):
                    first = alias.name.partition(".")[0]
                    found[alias.asname or first] = alias.name if alias.asname else first
                elif alias.name != "*":
                    found[alias.asname or alias.name] = (
                        f"{absolute_module(self.path, node)}.{alias.name}".lstrip(".")
                    )
        return found

    def resolve_name(self, dotted: str) -> str:
        """Return a dotted name resolved through imports."""
        first, dot, rest = dotted.partition(".")
        return f"{self.aliases.get(first, first)}{dot}{rest}"

    @cached_property
    def definitions(self) -> tuple[TokenDefinition, ...]:
        """Functions and classes; their names are qualified by indentation."""
        return tuple(self._definitions())

    def _definitions(self) -> Iterator[TokenDefinition]:
        enclosing: list[tuple[int, str]] = []
        for index, statement in enumerate(self.statements):
            while enclosing and enclosing[-1][0] >= statement.indent:
                enclosing.pop()
            if statement.keyword not in ("def", "class"):
                continue
            names = [token for token in statement.tokens if token.kind == "name" and token.text != "async"]
            if not names:
                continue
            qualified = ".".join([*(name for _, name in enclosing), names[0].text])
            enclosing.append((statement.indent, names[0].text))
            bases = tuple(self._bases(statement)) if statement.keyword == "class" else ()
            first = statement.first_token
            yield TokenDefinition(
                statement.keyword,
                qualified,
                first.line,
                first.column + 1,
                bases,
                self._count_lines(index, statement),
            )

    def find_calls(self) -> Iterator[tuple[str, Token]]:
        """Yield the dotted names of calls, resolved through imports, each with its first token."""
        for statement in self.statements:
            if statement.keyword != "case":  # class patterns look like calls
                yield from self._calls_in(statement.tokens)
            for token in statement.tokens:
                if token.kind == "string":
                    for part in _placeholders(token.text):
                        for tokens in _expression_tokens(part):
                            yield from ((name, token) for name, _ in self._calls_in(tokens))

    def find_strings(self) -> Iterator[tuple[str, Token]]:
        """Yield the strings of the file, except docstrings and other statements that are only a string."""
        for statement in self.statements:
            if len(statement.tokens) > 1:
                for token in statement.tokens:
                    if token.kind == "string":
                        yield _string_value(token.text), token

    def _calls_in(self, tokens: Sequence[Token]) -> Iterator[tuple[str, Token]]:
        for index, token in enumerate(tokens):
            if token.text != "(" or index == 0 or tokens[index - 1].kind != "name":
                continue
            first = index - 1
            while first >= 2 and tokens[first - 1].text == "." and tokens[first - 2].kind == "name":
                first -= 2
            if first and tokens[first - 1].text in (".", "def", "class"):
                continue  # a call of an expression, or a definition
            dotted = "".join(item.text for item in tokens[first:index])
            yield self.resolve_name(dotted), tokens[first]

    def _bases(self, statement: SourceStatement) -> Iterator[str]:
        """Yield the bases of a class that are dotted names, with or without a subscript."""
        depth = 0
        argument: list[Token] = []
        for token in statement.tokens:
            depth -= token.text in CLOSING_BRACKETS
            if (depth == 0 and token.text in CLOSING_BRACKETS) or (depth == 1 and token.text == ","):
                if _is_dotted(argument):
                    yield self.resolve_name("".join(item.text for item in argument))
                argument = []
            elif depth == 1 and token.text not in CLOSING_BRACKETS and token.text != "[":
                argument.append(token)
            depth += token.text in OPENING_BRACKETS

    def _count_lines(self, index: int, statement: SourceStatement) -> int:
        last = statement.end_line
        for other in self.statements[index + 1 :]:
            if other.indent <= statement.indent:
                break
            last = other.end_line
        return sum(1 for line in self._text_lines[statement.line - 1 : last] if line.strip())

    @cached_property
    def _text_lines(self) -> list[str]:
        return split_lines(self.text)


def _is_dotted(tokens: Sequence[Token]) -> bool:
    """Return whether the tokens are a dotted name such as `a.b.c`."""
    return bool(tokens) and all(
        token.text == "." if index % 2 else token.kind == "name" for index, token in enumerate(tokens)
    )


def absolute_module(path: str, node: ast.ImportFrom) -> str:
    """Return the absolute name of the module of a `from` import; empty for the root itself."""
    if not node.level:
        return node.module or ""
    parts = module_name(path).split(".")
    is_package = path.endswith("__init__.py")
    kept = parts[: max(len(parts) - node.level + is_package, 0)]
    return ".".join([*kept, *([node.module] if node.module else [])])


def _parse_import(text: str) -> ast.Import | ast.ImportFrom | None:
    try:
        body = ast.parse(text.rstrip(" ;")).body
    except (SyntaxError, ValueError, RecursionError):
        return None
    return body[0] if len(body) == 1 and isinstance(body[0], ast.Import | ast.ImportFrom) else None


def _placeholders(text: str) -> Iterator[str]:
    """Yield the replacement fields of an f-string."""
    prefix = text[: text.index(text[-1])].lower()
    if "f" not in prefix and "t" not in prefix:
        return
    depth, start = 0, 0
    at = len(prefix)
    while at < len(text):
        if depth == 0 and text[at : at + 2] in ("{{", "}}"):
            at += 1
        elif text[at] == "{":
            depth += 1
            start = at + 1 if depth == 1 else start
        elif text[at] == "}" and depth:
            depth -= 1
            if depth == 0:
                yield text[start:at]
        at += 1


def _expression_tokens(text: str) -> Iterator[list[Token]]:
    """Yield the tokens of an expression, then of each expression in the f-strings within it."""
    tokens = [token for token in tokenize_leniently(text) if token.is_code]
    yield tokens
    for token in tokens:
        if token.kind == "string":
            for part in _placeholders(token.text):
                yield from _expression_tokens(part)


def _string_value(text: str) -> str:
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
    return value if isinstance(value, str) else ""
