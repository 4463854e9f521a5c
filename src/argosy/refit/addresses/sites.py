"""The literal addresses of a file, each with what the code does with it.

One way for all: the rules that find addresses and the rewrite that replaces them ask here. Only places
where an address is used are looked at: arguments, defaults, values with a name. So comparisons,
docstrings, messages, dictionary keys and annotations are never one.
"""

from __future__ import annotations

import ast
import enum
from functools import cached_property
from typing import NamedTuple

from argosy.refit.addresses import naming
from argosy.refit.addresses.environment import Read, environment_read
from argosy.refit.addresses.leaves import Leaf, find_near, leaves
from argosy.refit.addresses.shapes import (
    all_parameter_defaults,
    assignments,
    keyword_of,
    last_name,
    target_name,
    text_of,
)
from argosy.refit.addresses.testing import is_test
from argosy.refit.addresses.text import Address, may_hold_address
from argosy.refit.file import PythonFile
from argosy.source.mentions import is_reaching
from argosy.source.scopes import Scope

_LOOKUPS = frozenset({"get", "getattr", "pop", "setdefault", "getenv"})
_OPTIONS = frozenset({"add_argument", "option", "add_option", "Option"})


class Role(enum.StrEnum):
    """What the code does with an address."""

    CONNECT = "connect"  # handed to what connects, or disconnects
    BIND = "bind"  # handed to what listens, or ends that, or held by a name for it
    FALLBACK = "fallback"  # used where a variable of the environment is not set
    SETTING = "setting"  # held by a name, a key or a keyword
    PARAMETER = "parameter"  # the default of a parameter or of an option of the command line
    VALUE = "value"  # an argument or a result, whatever comes of it


class Site(NamedTuple):
    """One literal address.

    node: the literal. name: the variable of a fallback, else the keyword, key, target or function that it is
    for. port: the literal port in it or beside it. read: for a fallback, what reads the variable; None for
    the field of a settings class. choice: for a fallback by `or` or by a condition, the whole expression.
    """

    node: ast.Constant | ast.JoinedStr
    scope: Scope
    role: Role
    address: Address
    name: str
    port: int | None = None
    read: Read | None = None
    choice: ast.expr | None = None


def find_sites(file: PythonFile) -> tuple[Site, ...]:
    """Return the literal addresses of a file, in the order of its lines."""
    if not may_hold_address(file.source.data):
        return ()
    return _Finder(file).find()


def literal_fallbacks(file: PythonFile) -> list[Site]:
    """Return the addresses that stand in for a variable; to listen on every interface is nobody's address."""
    return [
        site
        for site in file.derived(find_sites)
        if site.role is Role.FALLBACK and not _is_for_listening(site)
    ]


def literal_addresses(file: PythonFile) -> list[Site]:
    """Return the addresses that are used as they stand; none of files that test."""
    if is_test(file):
        return []
    return [
        site
        for site in file.derived(find_sites)
        if site.role is not Role.FALLBACK and site.address.kind != "wildcard"
    ]


def _is_for_listening(site: Site) -> bool:
    is_own = site.address.kind == "loopback" and naming.names_interface(site.name)
    return site.address.kind == "wildcard" or is_own


class _Finder:
    """sites: by their literal; the first that is said of one holds."""

    def __init__(self, file: PythonFile) -> None:
        self.file = file
        self.sites: dict[ast.expr, Site] = {}
        self.marks = find_near(file.source)

    @cached_property
    def asks_own_address(self) -> set[Scope]:
        """The functions that connect a socket to ask it for its own address: to nobody's peer."""
        calls = self.file.nodes(ast.Call)
        return {scope for call, scope in calls if last_name(call.func) == "getsockname"}

    def is_near(self, node: ast.expr | ast.stmt) -> bool:
        """Return whether a node may hold an address: most lines of most files have none."""
        return self.marks.touch(node.lineno, node.end_lineno)

    def find(self) -> tuple[Site, ...]:
        self.in_calls([place for place in self.file.nodes(ast.Call) if self.is_near(place[0])])
        for table, scope in self.file.nodes(ast.Dict):
            if self.is_near(table):
                for key, value in zip(table.keys, table.values, strict=True):
                    self.named(text_of(key), value, scope)
        for target, value, scope in assignments(self.file):
            if self.is_near(value):
                self.assigned(target, value, scope)
        for name, default, scope in all_parameter_defaults(self.file):
            if self.is_near(default):
                self.named(name, default, scope, Role.PARAMETER)
        for result, scope in self.file.nodes(ast.Return):
            if self.is_near(result):
                self.returned(result.value, scope)
        return tuple(sorted(self.sites.values(), key=lambda site: (site.node.lineno, site.node.col_offset)))

    def in_calls(self, calls: list[tuple[ast.Call, Scope]]) -> None:
        for call, scope in calls:
            read = environment_read(call, scope)
            if read is not None:
                self.fallback(read, scope)
        for call, scope in calls:
            self.call(call, scope)

    def add(self, leaf: Leaf, scope: Scope, role: Role, name: str) -> None:
        if leaf.read is not None:
            role, name = Role.FALLBACK, leaf.read.variable
        site = Site(leaf.node, scope, role, leaf.address, name, leaf.port, leaf.read, leaf.choice)
        self.sites.setdefault(leaf.node, site)

    def fallback(self, read: Read, scope: Scope) -> None:
        for leaf in leaves(read.default, scope):
            self.add(leaf._replace(read=read), scope, Role.FALLBACK, read.variable)

    def call(self, call: ast.Call, scope: Scope) -> None:
        name = last_name(call.func)
        if naming.is_idle(name):
            return
        if name in _OPTIONS:
            flag = next((text.lstrip("-") for text in map(text_of, call.args) if text.startswith("-")), "")
            self.named(flag or "host", keyword_of(call, "default"), scope, Role.PARAMETER)
            return
        variable = name == "Field" and text_of(keyword_of(call, "env", "validation_alias"))
        if variable:
            default = call.args[0] if call.args else keyword_of(call, "default")
            self.fallback(Read(variable, default, call), scope)
            return
        if name in _LOOKUPS and len(call.args) > 1:
            self.named(text_of(call.args[-2]), call.args[-1], scope)
        else:
            for value in call.args:
                self.argument(name, value, scope)
        self.keywords(name, call, scope)

    def keywords(self, name: str, call: ast.Call, scope: Scope) -> None:
        role = _role_of(name)
        for item in call.keywords:
            if role is not Role.VALUE and item.arg and naming.names_host(item.arg):
                for leaf in leaves(item.value, scope):
                    self.add(leaf, scope, role, name)
            else:
                self.named(item.arg or "", item.value, scope)

    def argument(self, call: str, value: ast.expr, scope: Scope) -> None:
        if isinstance(value, ast.Call) or (call == "connect" and scope in self.asks_own_address):
            return
        role = _role_of(call)
        for leaf in leaves(value, scope):
            address = leaf.address
            is_address = bool(address.scheme) or leaf.port is not None or address.kind == "machine"
            if role is not Role.VALUE or (address.kind != "wildcard" and (is_address or is_reaching(call))):
                self.add(leaf, scope, role, call)

    def named(self, name: str, value: ast.expr | None, scope: Scope, role: Role = Role.SETTING) -> None:
        """Take what a name holds: any address of a machine, `localhost` where the name is that of a host."""
        if naming.names_comparison(name):
            return
        for leaf in leaves(value, scope):
            address = leaf.address
            is_address = bool(address.scheme) or address.kind == "machine"
            if leaf.read is not None or is_address or naming.names_host(name):
                is_bind = naming.names_interface(name) or address.kind == "wildcard"
                self.add(leaf, scope, Role.BIND if is_bind else role, name)

    def returned(self, value: ast.expr | None, scope: Scope) -> None:
        for leaf in leaves(value, scope):
            if leaf.address.kind == "machine" or leaf.read is not None:
                self.add(leaf, scope, Role.VALUE, scope.name)

    def assigned(self, target: ast.expr, value: ast.expr, scope: Scope) -> None:
        name = target_name(target)
        if scope.kind == "class" and name and _is_settings(scope.node):
            # A field of pydantic's BaseSettings is read from a variable of its name.
            for leaf in leaves(value, scope):
                self.add(leaf, scope, Role.FALLBACK, name.upper())
        self.named(name, value, scope)


def _role_of(call: str) -> Role:
    if naming.is_connect(call) or call == "disconnect":
        return Role.CONNECT
    return Role.BIND if naming.is_bind(call) or call == "unbind" else Role.VALUE


def _is_settings(node: ast.AST) -> bool:
    return isinstance(node, ast.ClassDef) and any(last_name(base) == "BaseSettings" for base in node.bases)
