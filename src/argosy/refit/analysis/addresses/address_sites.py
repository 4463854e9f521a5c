"""Finds the literal addresses of a file, each with its role in the code.

The rules that report addresses and the codemod that replaces them both use this module. Only places where an
address is used are searched: arguments, defaults, values with a name. So comparisons, docstrings, messages,
dictionary keys and annotations are never included.
"""

from __future__ import annotations

import ast
import enum
from functools import cached_property
from typing import NamedTuple

from argosy.refit.analysis.addresses import name_semantics
from argosy.refit.analysis.addresses.address_literals import (
    AddressLiteral,
    LiteralAddress,
    can_hold_address,
    find_address_literals,
    find_candidate_lines,
)
from argosy.refit.analysis.addresses.environment_reads import EnvironmentRead, find_environment_read
from argosy.refit.analysis.ast_queries import (
    iter_all_parameter_defaults,
    iter_assignments,
    keyword_argument,
    last_name,
    string_literal,
    target_name,
)
from argosy.refit.analysis.testing_code import is_test_file
from argosy.refit.core.source_file import PythonFile
from argosy.source.name_scopes import NameScope
from argosy.source.peer_reference_scan import is_peer_call

_LOOKUP_CALLS = frozenset({"get", "getattr", "pop", "setdefault", "getenv"})
_OPTION_CALLS = frozenset({"add_argument", "option", "add_option", "Option"})


class AddressRole(enum.StrEnum):
    """The role of an address in the code."""

    CONNECT = "connect"  # passed to a call that connects, or disconnects
    BIND = "bind"  # passed to a call that listens, or stops listening, or the value of a name for it
    FALLBACK = "fallback"  # used if an environment variable is not set
    SETTING = "setting"  # the value of a name, a key or a keyword
    PARAMETER = "parameter"  # the default of a parameter or of a command-line option
    VALUE = "value"  # any other argument or result


class AddressSite(NamedTuple):
    """One literal address.

    node: the literal. name: the variable of a fallback, else the keyword, key, target or function that it is
    used for. port: the literal port in it or next to it. environment_read: for a fallback, the read of the
    variable; None for a field of a settings class. conditional: for a fallback by `or` or by a condition, the
    whole expression.
    """

    node: ast.Constant | ast.JoinedStr
    scope: NameScope
    role: AddressRole
    address: LiteralAddress
    name: str
    port: int | None = None
    environment_read: EnvironmentRead | None = None
    conditional: ast.expr | None = None


def find_address_sites(file: PythonFile) -> tuple[AddressSite, ...]:
    """Return the literal addresses of a file, in the order of its lines."""
    if not can_hold_address(file.source.data):
        return ()
    return _SiteFinder(file).find()


def find_literal_fallbacks(file: PythonFile) -> list[AddressSite]:
    """Return the addresses that are fallbacks of a variable, without those to listen on every interface."""
    return [
        site
        for site in file.compute_once(find_address_sites)
        if site.role is AddressRole.FALLBACK and not _is_for_listening(site)
    ]


def find_literal_addresses(file: PythonFile) -> list[AddressSite]:
    """Return the addresses that are used unconditionally; none of test files."""
    if is_test_file(file):
        return []
    return [
        site
        for site in file.compute_once(find_address_sites)
        if site.role is not AddressRole.FALLBACK and site.address.kind != "wildcard"
    ]


def _is_for_listening(site: AddressSite) -> bool:
    is_loopback_bind = site.address.kind == "loopback" and name_semantics.is_bind_name(site.name)
    return site.address.kind == "wildcard" or is_loopback_bind


class _SiteFinder:
    """Collects the sites of a file by literal; the first role found for a literal counts."""

    def __init__(self, file: PythonFile) -> None:
        self.file = file
        self.sites: dict[ast.expr, AddressSite] = {}
        self.candidate_lines = find_candidate_lines(file.source)

    @cached_property
    def own_address_functions(self) -> set[NameScope]:
        """Return the functions that connect a socket only to find out their own address."""
        calls = self.file.nodes(ast.Call)
        return {scope for call, scope in calls if last_name(call.func) == "getsockname"}

    def is_candidate(self, node: ast.expr | ast.stmt) -> bool:
        """Return whether a node may contain an address; most lines of most files contain none."""
        return self.candidate_lines.is_marked(node.lineno, node.end_lineno)

    def find(self) -> tuple[AddressSite, ...]:
        self.add_from_calls([place for place in self.file.nodes(ast.Call) if self.is_candidate(place[0])])
        for table, scope in self.file.nodes(ast.Dict):
            if self.is_candidate(table):
                for key, value in zip(table.keys, table.values, strict=True):
                    self.add_named(string_literal(key), value, scope)
        for target, value, scope in iter_assignments(self.file):
            if self.is_candidate(value):
                self.add_assigned(target, value, scope)
        for name, default, scope in iter_all_parameter_defaults(self.file):
            if self.is_candidate(default):
                self.add_named(name, default, scope, AddressRole.PARAMETER)
        for result, scope in self.file.nodes(ast.Return):
            if self.is_candidate(result):
                self.add_returned(result.value, scope)
        return tuple(sorted(self.sites.values(), key=lambda site: (site.node.lineno, site.node.col_offset)))

    def add_from_calls(self, calls: list[tuple[ast.Call, NameScope]]) -> None:
        for call, scope in calls:
            environment_read = find_environment_read(call, scope)
            if environment_read is not None:
                self.add_fallback(environment_read, scope)
        for call, scope in calls:
            self.add_from_call(call, scope)

    def add(self, leaf: AddressLiteral, scope: NameScope, role: AddressRole, name: str) -> None:
        if leaf.environment_read is not None:
            role, name = AddressRole.FALLBACK, leaf.environment_read.variable
        site = AddressSite(
            leaf.node, scope, role, leaf.address, name, leaf.port, leaf.environment_read, leaf.conditional
        )
        self.sites.setdefault(leaf.node, site)

    def add_fallback(self, environment_read: EnvironmentRead, scope: NameScope) -> None:
        for leaf in find_address_literals(environment_read.default, scope):
            self.add(
                leaf._replace(environment_read=environment_read),
                scope,
                AddressRole.FALLBACK,
                environment_read.variable,
            )

    def add_from_call(self, call: ast.Call, scope: NameScope) -> None:
        name = last_name(call.func)
        if name_semantics.is_inert_call(name):
            return
        if name in _OPTION_CALLS:
            flag = next(
                (text.lstrip("-") for text in map(string_literal, call.args) if text.startswith("-")), ""
            )
            self.add_named(flag or "host", keyword_argument(call, "default"), scope, AddressRole.PARAMETER)
            return
        variable = name == "Field" and string_literal(keyword_argument(call, "env", "validation_alias"))
        if variable:
            default = call.args[0] if call.args else keyword_argument(call, "default")
            self.add_fallback(EnvironmentRead(variable, default, call), scope)
            return
        if name in _LOOKUP_CALLS and len(call.args) > 1:
            self.add_named(string_literal(call.args[-2]), call.args[-1], scope)
        else:
            for value in call.args:
                self.add_argument(name, value, scope)
        self.add_keywords(name, call, scope)

    def add_keywords(self, name: str, call: ast.Call, scope: NameScope) -> None:
        role = _role_of(name)
        for item in call.keywords:
            if role is not AddressRole.VALUE and item.arg and name_semantics.is_host_name(item.arg):
                for leaf in find_address_literals(item.value, scope):
                    self.add(leaf, scope, role, name)
            else:
                self.add_named(item.arg or "", item.value, scope)

    def add_argument(self, function_name: str, value: ast.expr, scope: NameScope) -> None:
        if isinstance(value, ast.Call) or (
            function_name == "connect" and scope in self.own_address_functions
        ):
            return
        role = _role_of(function_name)
        for leaf in find_address_literals(value, scope):
            address = leaf.address
            is_address = bool(address.scheme) or leaf.port is not None or address.kind == "machine"
            if role is not AddressRole.VALUE or (
                address.kind != "wildcard" and (is_address or is_peer_call(function_name))
            ):
                self.add(leaf, scope, role, function_name)

    def add_named(
        self, name: str, value: ast.expr | None, scope: NameScope, role: AddressRole = AddressRole.SETTING
    ) -> None:
        """Add the value of a name: any machine's address, and `localhost` if the name is that of a host."""
        if name_semantics.is_comparison_name(name):
            return
        for leaf in find_address_literals(value, scope):
            address = leaf.address
            is_address = bool(address.scheme) or address.kind == "machine"
            if leaf.environment_read is not None or is_address or name_semantics.is_host_name(name):
                is_bind = name_semantics.is_bind_name(name) or address.kind == "wildcard"
                self.add(leaf, scope, AddressRole.BIND if is_bind else role, name)

    def add_returned(self, value: ast.expr | None, scope: NameScope) -> None:
        for leaf in find_address_literals(value, scope):
            if leaf.address.kind == "machine" or leaf.environment_read is not None:
                self.add(leaf, scope, AddressRole.VALUE, scope.name)

    def add_assigned(self, target: ast.expr, value: ast.expr, scope: NameScope) -> None:
        name = target_name(target)
        if scope.kind == "class" and name and _is_settings_class(scope.node):
            # A field of pydantic's BaseSettings is read from a variable of its name.
            for leaf in find_address_literals(value, scope):
                self.add(leaf, scope, AddressRole.FALLBACK, name.upper())
        self.add_named(name, value, scope)


def _role_of(function_name: str) -> AddressRole:
    if name_semantics.is_connect_call(function_name) or function_name == "disconnect":
        return AddressRole.CONNECT
    return (
        AddressRole.BIND
        if name_semantics.is_bind_call(function_name) or function_name == "unbind"
        else AddressRole.VALUE
    )


def _is_settings_class(node: ast.AST) -> bool:
    return isinstance(node, ast.ClassDef) and any(last_name(base) == "BaseSettings" for base in node.bases)
