"""A401, A402: a literal address becomes the environment's, and what the old code honoured comes first.

`os.environ.get("PC2_IP", "192.168.100.17")` becomes `os.environ.get("PC2_IP", …host('pc2', 'PC2_IP'))`: the
read stays, and the call that stands for the literal asks the variable itself, so that the fleet file is not
needed where the variable is set. Which name it is, the fleet file says; an environment of it has to
have the literal under that name, and under that environment old and new must come to the same
for each variable unset, empty and set.
"""

from __future__ import annotations

import ast
from typing import Final

import msgspec

from argosy.refit.addresses.sites import Role, literal_addresses, literal_fallbacks
from argosy.refit.addresses.sites import Site as Literal
from argosy.refit.addresses.text import may_hold_address
from argosy.refit.rewrite.adding import has_import, import_at_top, is_argosy_taken
from argosy.refit.rewrite.change import Change, Replaced, place_of, replaced
from argosy.refit.rewrite.endpoints import agreed
from argosy.refit.rewrite.evaluate import ENDPOINT, HOST, difference
from argosy.refit.rewrite.index import Index
from argosy.refit.rewrite.profile import Directory, Named
from argosy.refit.rewrite.proof import transform
from argosy.refit.rewrite.view import Refusal, Site, View

CODES: Final = ("A401", "A402")
IMPORT: Final = "import argosy.fleet.whereabouts"


class Addresses(msgspec.Struct, frozen=True):
    """What becomes of the addresses of one file."""

    changes: tuple[Change, ...]
    migrated: tuple[Site, ...]
    refused: tuple[Refusal, ...]


def may_hold(data: bytes) -> bool:
    """Return whether a file can have a literal address at all."""
    return may_hold_address(data)


def plan_addresses(view: View, index: Index) -> Addresses:
    """Return which literal addresses become the fleet's, and why the others stay."""
    changes: dict[Replaced, None] = {}
    migrated: list[Site] = []
    refused: list[Refusal] = []
    found = [("A402", literal) for literal in literal_fallbacks(view.file)]
    found += [("A401", literal) for literal in literal_addresses(view.file)]
    file = _File(view, index)
    decided = agreed(view, [(literal, file.change(code, literal)) for code, literal in found])
    for (code, literal), (_, made) in zip(found, decided, strict=True):
        if isinstance(made, str):
            refused.append(view.refusal(literal.node, code, made))
        else:
            changes[made] = None
            migrated.append(view.site(literal.node, code))
    every: list[Change] = list(changes)
    if every and not has_import(view, IMPORT):
        every.append(import_at_top(view, IMPORT))
    return Addresses(tuple(every), tuple(migrated), tuple(refused))


class _File:
    """One file and the fleet that its addresses are looked up in."""

    def __init__(self, view: View, index: Index) -> None:
        self.view = view
        self.directory = index.directory

    def change(self, code: str, literal: Literal) -> Replaced | str:
        """Return the change for one literal, or why there is none."""
        if self.directory is None:
            return "no fleet file"
        if code == "A401" and (reason := _unfit(literal)):
            return reason
        named = self._name(self.directory, literal)
        if isinstance(named, str):
            return named
        if is_argosy_taken(self.view):
            return "the name `argosy` is bound to something else here"
        source = self._source(literal, named)
        made = self._put(literal, source) if source else _NOT_WHOLE
        if isinstance(made, str):
            return made
        return self._disagreement(literal, made, named) or made

    def _name(self, directory: Directory, literal: Literal) -> Named | str:
        address = literal.address
        if literal.read is not None:
            return directory.name_host(address.host, literal.name)
        if address.kind != "machine":
            return f"`{address.host}` is this machine, by design or by accident: no source tells"
        if literal.port is None:
            return directory.name_host(address.host)
        return directory.name_endpoint(address.host, literal.port)

    def _source(self, literal: Literal, named: Named) -> str:
        """Return the call that stands for a literal; empty when the literal is more than an address."""
        address, node = literal.address, literal.node
        if not isinstance(node, ast.Constant):
            return f"{HOST}({named.name!r})" if address.scheme == "tcp" and literal.port is None else ""
        if node.value == address.host:
            # In `or` the variable has been asked already, and an empty one counts as none.
            is_asked = literal.read is not None and literal.choice is None
            return f"{HOST}({named.name!r}{f', {literal.name!r}' if is_asked else ''})"
        if literal.read is None and node.value == f"tcp://{address.host}:{literal.port}":
            return f"{ENDPOINT}({named.name!r})"
        return ""

    def _put(self, literal: Literal, source: str) -> Replaced | str:
        """Return the change that puts a call in the place of a literal, or of the f-string around it."""
        around = next((n for n in self.view.ancestors(literal.node) if isinstance(n, ast.JoinedStr)), None)
        if around is None and isinstance(literal.node, ast.Constant):
            return replaced(literal.node, source)
        whole = around or literal.node
        if any(isinstance(node, ast.JoinedStr) for node in self.view.ancestors(whole)):
            return "it stands in an f-string within another"
        return _in_text(self.view, whole, literal, source)

    def _disagreement(self, literal: Literal, made: Replaced, named: Named) -> str:
        """Return under which variables old and new differ, where the literal is the environment's."""
        old: ast.expr = literal.choice or (literal.read.node if literal.read else literal.node)
        if made.place == place_of(old):
            new: ast.expr = ast.parse(made.new, mode="eval").body
        elif any(node is literal.node for node in ast.walk(old)) and made.place == place_of(literal.node):
            new = _exchanged(old, made)
        else:  # the read is within the f-string that is replaced whole
            old = next(n for n in self.view.ancestors(literal.node) if isinstance(n, ast.JoinedStr))
            new = ast.parse(made.new, mode="eval").body
        told = difference(old, new, literal.scope, named.profile)
        return f"old and new would differ: {told}" if told else ""


_NOT_WHOLE: Final = "the literal is more than a host, or than a host and port to connect to"


def _unfit(literal: Literal) -> str:
    if literal.role is Role.CONNECT:
        return ""
    if literal.role is Role.BIND:
        return "what is bound is a decision of its own"
    return "it is neither in a connect nor behind a variable of the environment"


def _exchanged(old: ast.expr, made: Replaced) -> ast.expr:
    """Return a copy of an expression with the change made in it."""
    line, copy = old.lineno, ast.parse(f"({ast.unparse(old)})", mode="eval").body
    was = ast.unparse(ast.parse(made.was, mode="eval").body)
    (place,) = [place_of(n) for n in ast.walk(copy) if isinstance(n, ast.Constant) and ast.unparse(n) == was][
        :1
    ]
    module = ast.Module([ast.Expr(copy, lineno=line, col_offset=0, end_lineno=1 << 30, end_col_offset=0)], [])
    module.body[0].lineno = 1
    transform(module, [Replaced(place, made.was, made.new)])
    statement = module.body[0]
    assert isinstance(statement, ast.Expr)
    return statement.value


def _in_text(view: View, whole: ast.expr, literal: Literal, source: str) -> Replaced | str:
    """Exchange a literal within an f-string by its text; the result must be the same but for that literal."""
    segment = ast.get_source_segment(view.file.text, whole)
    if segment is None:
        return "its f-string cannot be read"
    if isinstance(literal.node, ast.JoinedStr):
        quote = '"' if segment[-1] == "'" else "'"
        old, new = literal.address.host, "{" + source.replace("'", quote) + "}"
    else:
        host = literal.address.host
        tokens = [text for quote in "'\"" if (text := f"{quote}{host}{quote}") in segment]
        if len(tokens) != 1:
            return "its f-string holds the literal in a way that is not known"
        old, new = tokens[0], source.replace("'", tokens[0][0])
    if segment.count(old) != 1:
        return "its f-string holds the literal more than once"
    text = segment.replace(old, new)
    try:
        made = ast.parse(text, mode="eval").body
    except SyntaxError:
        return "its f-string would not parse"
    if not isinstance(made, ast.JoinedStr):
        return "its f-string is one of several texts in a row"
    return Replaced(place_of(whole), ast.unparse(whole), text)
