"""Finds the peers of a file: names and ports that it passes to functions that connect or send."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator

import msgspec

from argosy.source import control_flow
from argosy.source.binder import NodeIndex
from argosy.source.python_parser import Parsed

# Names of functions that contact another program by name. Other functions (loggers, lists, prints) take
# such names too, but contact no peer.
_PEER_CALL_NAME = re.compile(
    r"connect|peer|ask|meet|call|request|discover|lookup|resolve|endpoint|address|service|agent|"
    r"pass_on|send|query|fetch|subscribe",
    re.IGNORECASE,
)
_ENDPOINT = re.compile(r"(?:tcp|http)://[^/\s]*:(\d{1,5})(?:/\S*)?")
_WORD = re.compile(r"[A-Za-z][\w.-]*")
_NUMBER = re.compile(r"\d{2,5}")
_MAX_TEXT_LENGTH = 2000
_MAX_PORT = 65_535


class PeerReference(msgspec.Struct, frozen=True):
    """A text or a port that is passed to contact a peer.

    scope: the enclosing top-level class or function, or empty. call: the name of the called function.
    """

    text: str
    port: int | None
    line: int
    column: int
    scope: str
    call: str


class PeerReferences(msgspec.Struct, frozen=True):
    """All references to peers in a file.

    text_words: every word in its texts. possible_ports: every number in code and texts that may be a port.
    """

    references: tuple[PeerReference, ...]
    text_words: frozenset[str]
    possible_ports: frozenset[int]


def find_peer_references(parsed: Parsed, index: NodeIndex) -> PeerReferences:
    """Return the references to peers in a file, in line order. index: filled by `find_scopes`."""
    values = _module_values(parsed.tree)
    found: list[PeerReference] = []
    for call, scope in index.of_type(ast.Call):
        if is_peer_call(_last_name(call.func)):
            found += _references_in_call(call, scope.qualified_name().partition(".")[0], values, parsed)
    texts = {node.value for node, _ in index.of_type(ast.Constant) if type(node.value) is str}
    # One search for all texts: neither a word nor a number spans a line break.
    joined = "\n".join(text for text in texts if len(text) <= _MAX_TEXT_LENGTH)
    words = frozenset(_WORD.findall(joined))
    numbers = {int(digits) for digits in set(_NUMBER.findall(joined))}
    numbers |= {node.value for node, _ in index.of_type(ast.Constant) if type(node.value) is int}
    ports = frozenset(number for number in numbers if number <= _MAX_PORT)
    found.sort(key=lambda reference: (reference.line, reference.column))
    return PeerReferences(tuple(found), words, ports)


@functools.lru_cache(4096)
def is_peer_call(call: str) -> bool:
    """Return whether a function with this name takes the name or the address of another program."""
    return call != "bind" and _PEER_CALL_NAME.search(call) is not None


def _references_in_call(
    node: ast.Call, scope: str, values: dict[str, str | int], parsed: Parsed
) -> Iterator[PeerReference]:
    call = _last_name(node.func)
    for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
        text = _text_of(argument, values)
        if text is not None:
            endpoint = _ENDPOINT.fullmatch(text)
            port = int(endpoint[1]) if endpoint else None
            yield PeerReference(text, port, argument.lineno, parsed.column(argument), scope, call)


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return control_flow.dotted_name(node)


def _text_of(node: ast.expr, values: dict[str, str | int]) -> str | None:
    """Return the text of a literal, a module constant or an f-string, with `?` for variable parts."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Name):
        value = values.get(node.id)
        return value if isinstance(value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(_text_of_part(part, values) for part in node.values)
    return None


def _text_of_part(node: ast.expr, values: dict[str, str | int]) -> str:
    if isinstance(node, ast.FormattedValue):
        inner = node.value
        return str(values.get(inner.id, "?")) if isinstance(inner, ast.Name) else "?"
    return str(node.value) if isinstance(node, ast.Constant) else "?"


def _module_values(tree: ast.Module) -> dict[str, str | int]:
    """Return the texts and numbers that are assigned to names at module level."""
    values: dict[str, str | int] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name) and isinstance(node.value.value, str | int):
                    values[target.id] = node.value.value
    return values
