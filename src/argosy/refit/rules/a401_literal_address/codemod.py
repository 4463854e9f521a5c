"""A401, A402: replaces a literal address by a lookup in the fleet file; variables keep precedence.

`os.environ.get("PC2_IP", "192.168.100.17")` becomes `os.environ.get("PC2_IP", …host('pc2', 'PC2_IP'))`. The
read stays, and the call that replaces the literal reads the variable too, so that the fleet file is not
needed where the variable is set. The fleet file provides the name: one of its environments must have this
literal under the name, and in that environment the old and the new expression must evaluate to the same value
for each variable unset, empty and set.

Of an endpoint that a file names more than once, all literals are replaced or none: `disconnect` and `unbind`
must name what `connect` and `bind` named, and a client in this file must use the same endpoint that the file
binds.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from typing import Final

from argosy.refit.analysis.addresses.address_literals import can_hold_address
from argosy.refit.analysis.addresses.address_sites import (
    AddressRole,
    AddressSite,
    find_literal_addresses,
    find_literal_fallbacks,
)
from argosy.refit.analysis.addresses.address_sites import AddressSite as Literal
from argosy.refit.analysis.ast_queries import last_name
from argosy.refit.rewrite.codemod import Codemod, CodemodPlan
from argosy.refit.rewrite.import_insertion import has_import, import_at_top, is_argosy_shadowed
from argosy.refit.rewrite.tree_index import TreeIndex
from argosy.refit.rules.a401_literal_address.expression_evaluator import (
    RESOLVE_ENDPOINT,
    RESOLVE_HOST,
    evaluation_difference,
)
from argosy.refit.rules.a401_literal_address.fleet_addresses import (
    FleetAddress,
    FleetAddresses,
    fleet_addresses,
)
from argosy.refit.transaction.source_change import Change, Replacement, position_of, replace_node
from argosy.refit.transaction.source_view import RefusedSite, RewriteSite, SourceView
from argosy.refit.transaction.tree_diff import apply_to_tree

RESOLVER_IMPORT: Final = "import argosy.api"


def may_match(data: bytes) -> bool:
    """Return whether a file can contain a literal address."""
    return can_hold_address(data)


def plan(view: SourceView, index: TreeIndex) -> CodemodPlan:
    """Return which literal addresses are replaced, and why the others are refused."""
    changes: dict[Replacement, None] = {}
    migrated: list[RewriteSite] = []
    refused: list[RefusedSite] = []
    found = [("A402", literal) for literal in find_literal_fallbacks(view.python_file)]
    found += [("A401", literal) for literal in find_literal_addresses(view.python_file)]
    file = _AddressFile(view, index)
    decisions = agree_on_endpoints(
        view, [(literal, file.change_for(code, literal)) for code, literal in found]
    )
    for (code, literal), (_, result) in zip(found, decisions, strict=True):
        if isinstance(result, str):
            refused.append(view.refused_at(literal.node, code, result))
        else:
            changes[result] = None
            migrated.append(view.site_at(literal.node, code))
    all_changes: list[Change] = list(changes)
    if all_changes and not has_import(view, RESOLVER_IMPORT):
        all_changes.append(import_at_top(view, RESOLVER_IMPORT))
    return CodemodPlan(tuple(all_changes), tuple(migrated), tuple(refused))


class _AddressFile:
    """One file and the fleet addresses that its literals are looked up in."""

    def __init__(self, view: SourceView, index: TreeIndex) -> None:
        self.view = view
        self.fleet_addresses = index.compute_once(fleet_addresses)

    def change_for(self, code: str, literal: Literal) -> Replacement | str:
        """Return the change for one literal, or the reason for a refusal."""
        if self.fleet_addresses is None:
            return "no fleet file"
        if code == "A401" and (reason := _unsupported_role_reason(literal)):
            return reason
        fleet_address = self._lookup_name(self.fleet_addresses, literal)
        if isinstance(fleet_address, str):
            return fleet_address
        if is_argosy_shadowed(self.view):
            return "the name `argosy` is bound to something else here"
        source = self._call_source(literal, fleet_address)
        replacement = self._replacement(literal, source) if source else _NOT_A_WHOLE_ADDRESS
        if isinstance(replacement, str):
            return replacement
        return self._difference_reason(literal, replacement, fleet_address) or replacement

    def _lookup_name(self, addresses: FleetAddresses, literal: Literal) -> FleetAddress | str:
        address = literal.address
        if literal.environment_read is not None:
            return addresses.find_host(address.host, literal.name)
        if address.kind != "machine":
            return f"`{address.host}` is this machine, and the source does not tell whether that is intended"
        if literal.port is None:
            return addresses.find_host(address.host)
        return addresses.find_endpoint(address.host, literal.port)

    def _call_source(self, literal: Literal, fleet_address: FleetAddress) -> str:
        """Return the call that replaces a literal; empty if the literal is more than an address."""
        address, node = literal.address, literal.node
        if not isinstance(node, ast.Constant):
            return (
                f"{RESOLVE_HOST}({fleet_address.name!r})"
                if address.scheme == "tcp" and literal.port is None
                else ""
            )
        if node.value == address.host:
            # In `or` the variable is already read, and an empty value counts as unset.
            is_variable_read = literal.environment_read is not None and literal.conditional is None
            return (
                f"{RESOLVE_HOST}({fleet_address.name!r}{f', {literal.name!r}' if is_variable_read else ''})"
            )
        if literal.environment_read is None and node.value == f"tcp://{address.host}:{literal.port}":
            return f"{RESOLVE_ENDPOINT}({fleet_address.name!r})"
        return ""

    def _replacement(self, literal: Literal, source: str) -> Replacement | str:
        """Return the change that replaces a literal, or the f-string around it, by a call."""
        enclosing_fstring = next(
            (n for n in self.view.ancestors_of(literal.node) if isinstance(n, ast.JoinedStr)), None
        )
        if enclosing_fstring is None and isinstance(literal.node, ast.Constant):
            return replace_node(literal.node, source)
        replaced_node = enclosing_fstring or literal.node
        if any(isinstance(node, ast.JoinedStr) for node in self.view.ancestors_of(replaced_node)):
            return "it is in an f-string nested in another"
        return _replace_in_fstring(self.view, replaced_node, literal, source)

    def _difference_reason(
        self, literal: Literal, replacement: Replacement, fleet_address: FleetAddress
    ) -> str:
        """Return for which variables the old and new values differ; empty without a variable."""
        old: ast.expr = literal.conditional or (
            literal.environment_read.node if literal.environment_read else literal.node
        )
        if replacement.position == position_of(old):
            new: ast.expr = ast.parse(replacement.replacement, mode="eval").body
        elif any(node is literal.node for node in ast.walk(old)) and replacement.position == position_of(
            literal.node
        ):
            new = _with_replacement(old, replacement)
        else:  # the read is inside the f-string, which is replaced as a whole
            old = next(n for n in self.view.ancestors_of(literal.node) if isinstance(n, ast.JoinedStr))
            new = ast.parse(replacement.replacement, mode="eval").body
        differs = evaluation_difference(old, new, literal.scope, fleet_address.environment)
        return f"old and new would differ: {differs}" if differs else ""


_NOT_A_WHOLE_ADDRESS: Final = "the literal is more than a host, or a host and port to connect to"


def _unsupported_role_reason(literal: Literal) -> str:
    if literal.role is AddressRole.CONNECT:
        return ""
    if literal.role is AddressRole.BIND:
        return "the address to bind needs a decision by a person"
    return "it is neither passed to a connect nor a fallback of an environment variable"


def _with_replacement(old: ast.expr, replacement: Replacement) -> ast.expr:
    """Return a copy of an expression with the change applied."""
    line, copy = old.lineno, ast.parse(f"({ast.unparse(old)})", mode="eval").body
    was = ast.unparse(ast.parse(replacement.expected, mode="eval").body)
    (place,) = [
        position_of(n) for n in ast.walk(copy) if isinstance(n, ast.Constant) and ast.unparse(n) == was
    ][:1]
    module = ast.Module([ast.Expr(copy, lineno=line, col_offset=0, end_lineno=1 << 30, end_col_offset=0)], [])
    module.body[0].lineno = 1
    apply_to_tree(module, [Replacement(place, replacement.expected, replacement.replacement)])
    statement = module.body[0]
    assert isinstance(statement, ast.Expr)
    return statement.value


def _replace_in_fstring(
    view: SourceView, replaced_node: ast.expr, literal: Literal, source: str
) -> Replacement | str:
    """Replace a literal inside an f-string textually; the result must differ in that literal only."""
    segment = ast.get_source_segment(view.python_file.text, replaced_node)
    if segment is None:
        return "its f-string cannot be read"
    if isinstance(literal.node, ast.JoinedStr):
        quote = '"' if segment[-1] == "'" else "'"
        old, new = literal.address.host, "{" + source.replace("'", quote) + "}"
    else:
        host = literal.address.host
        tokens = [text for quote in "'\"" if (text := f"{quote}{host}{quote}") in segment]
        if len(tokens) != 1:
            return "its f-string contains the literal in an unknown form"
        old, new = tokens[0], source.replace("'", tokens[0][0])
    if segment.count(old) != 1:
        return "its f-string contains the literal more than once"
    text = segment.replace(old, new)
    try:
        parsed = ast.parse(text, mode="eval").body
    except SyntaxError:
        return "its f-string would not parse"
    if not isinstance(parsed, ast.JoinedStr):
        return "its f-string is part of an implicit string concatenation"
    return Replacement(position_of(replaced_node), ast.unparse(replaced_node), text)


# -- endpoints that a file names more than once ------------------------------------------------------


_DISCONNECT: Final = "disconnect"

# A literal with its change, or with the reason why it stays.
AddressDecision = tuple[AddressSite, Replacement | str]


def agree_on_endpoints(view: SourceView, decisions: Sequence[AddressDecision]) -> list[AddressDecision]:
    """Return the decisions, with a reason for each literal whose endpoint is not replaced consistently."""
    current = list(decisions)
    has_unseen_end = _has_unseen_disconnect(view, {id(site.node) for site, _ in current})
    while True:
        reasons = {
            at: reason
            for at in range(len(current))
            if (reason := _inconsistency(current, at, has_unseen_end=has_unseen_end))
        }
        if not reasons:
            return current
        current = [(site, reasons.get(at, change)) for at, (site, change) in enumerate(current)]


def _inconsistency(decisions: Sequence[AddressDecision], at: int, *, has_unseen_end: bool) -> str:
    """Return why a literal must stay, given the decisions on the others; empty if it may be replaced."""
    site, change = decisions[at]
    if isinstance(change, str):
        return ""
    others = [
        (other, became)
        for n, (other, became) in enumerate(decisions)
        if n != at and _may_be_same_endpoint(site, other)
    ]
    for other, other_change in others:
        line = other.node.lineno
        is_ending = _DISCONNECT in (site.name, other.name)
        is_bound = other.role is AddressRole.BIND and other.port is not None and other.port == site.port
        if isinstance(other_change, str) and (is_ending or is_bound or has_unseen_end):
            return f"line {line} names the same endpoint and is not replaced"
        if (
            isinstance(other_change, Replacement)
            and is_ending
            and other_change.replacement != change.replacement
        ):
            return f"line {line} would name the same endpoint differently"
    if site.name == _DISCONNECT and not any(other.role is AddressRole.CONNECT for other, _ in others):
        return "nothing in this file connects to it by its literal"
    return ""


def _may_be_same_endpoint(site: AddressSite, other: AddressSite) -> bool:
    """Return whether two literals may be one endpoint; a port that is filled in later may be any port."""
    is_near = site.address.host.lower() == other.address.host.lower()
    return is_near and (site.port is None or other.port is None or site.port == other.port)


def _has_unseen_disconnect(view: SourceView, literals: Collection[int]) -> bool:
    """Return whether the file disconnects or unbinds something that is not a literal at the call."""
    calls = (call for call in view.nodes_of(ast.Call) if last_name(call.func) in (_DISCONNECT, "unbind"))
    named = (call.args[0] for call in calls if call.args)
    return any(not any(id(node) in literals for node in ast.walk(each)) for each in named)


CODEMOD: Final = Codemod(2, ("A401", "A402"), may_match, plan)
