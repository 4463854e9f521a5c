"""Ports and hosts that a file gives to names: constants, fallbacks, table entries, parameters."""

from __future__ import annotations

import ast
import re

import msgspec

from argosy.refit.analysis.addresses.address_sites import find_address_sites
from argosy.refit.analysis.addresses.environment_reads import find_environment_read
from argosy.refit.analysis.ast_queries import (
    iter_all_parameter_defaults,
    iter_assignments,
    keyword_argument,
    last_name,
    string_literal,
)
from argosy.refit.analysis.testing_code import is_test_file
from argosy.refit.core.fact import FactKind
from argosy.refit.core.source_file import PythonFile, TextFile
from argosy.source.peer_reference_scan import is_peer_call

TEXT_FILE_PATTERNS = ("*.env", ".env*", "*.yaml", "*.yml", "*.sh", "Dockerfile*", "Containerfile*")
_SETTING_LINE = re.compile(
    r"^\s*(?:-\s+)?(?:export\s+|ENV\s+|ARG\s+)?[\"']?(?P<name>[A-Za-z]\w*[_A-Za-z](?:PORT|HOST|IP|port|host|ip))[\"']?"
    r"\s*[:=]\s*[\"']?(?:\$\{\w+:-)?(?P<value>[\w.]+)\}?[\"']?\s*(?:#.*)?$"
)
_IPV4_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")


class AddressDefault(msgspec.Struct, frozen=True, array_like=True):
    """The default port or host of a name."""

    name: str
    value: int | str
    line: int
    column: int


AddressDefaults = tuple[AddressDefault, ...]


def collect(file: PythonFile) -> AddressDefaults | None:
    """Return the defaults of a Python file."""
    if is_test_file(file):
        return None
    collector = _DefaultCollector(file)
    collector.collect()
    return tuple(sorted(collector.found, key=lambda item: (item.line, item.column, item.name))) or None


def collect_text(file: TextFile) -> AddressDefaults | None:
    """Return the defaults of a file that sets variables, line by line."""
    found = []
    for number, line in enumerate(file.lines, 1):
        match = _SETTING_LINE.match(line)
        if match is None:
            continue
        text = match["value"]
        value: int | str | None = (
            int(text) if _is_port_digits(text) else text if _IPV4_ADDRESS.fullmatch(text) else None
        )
        if value is not None:
            found.append(AddressDefault(match["name"], value, number, match.start("value") + 1))
    return tuple(found) or None


class _DefaultCollector:
    def __init__(self, file: PythonFile) -> None:
        self.file = file
        self.found: set[AddressDefault] = set()

    def collect(self) -> None:
        for site in self.file.compute_once(find_address_sites):
            if site.name and site.address.kind != "wildcard":
                self.add(site.name, site.address.host, site.node)
        for call, scope in self.file.nodes(ast.Call):
            # A port is given by a keyword, or after a name; most calls have neither.
            if call.keywords or len(call.args) > 1:
                environment_read = find_environment_read(call, scope)
                if environment_read is not None:
                    self.add_port(environment_read.variable, environment_read.default)
                else:
                    self.add_from_call(call)
        for table, _ in self.file.nodes(ast.Dict):
            self.add_from_dict(table)
        for target, value, _ in iter_assignments(self.file):
            if type(value) is ast.Constant or type(value) is ast.Call:
                self.add_port(last_name(target), value)
        for name, default, _ in iter_all_parameter_defaults(self.file):
            self.add_port(name, default)

    def add_from_call(self, call: ast.Call) -> None:
        name = last_name(call.func)
        for item in call.keywords:
            self.add_port(item.arg or "", item.value)
        if name in ("get", "getattr", "setdefault", "pop") and len(call.args) > 1:
            self.add_port(string_literal(call.args[-2]), call.args[-1])
        elif name == "add_argument" and call.args:
            self.add_port(string_literal(call.args[-1]).lstrip("-"), keyword_argument(call, "default"))
        elif call.args and is_peer_call(name) and (named := string_literal(call.args[0])):
            for value in (*call.args[1:], *(item.value for item in call.keywords if item.arg == "port")):
                self.add_port(named, value, is_any_name=True)

    def add_from_dict(self, table: ast.Dict) -> None:
        rows = {string_literal(key): value for key, value in zip(table.keys, table.values, strict=True)}
        row_name = string_literal(rows.get("name"))
        for key, value in rows.items():
            if isinstance(value, ast.Dict):
                inner = {
                    string_literal(key_node): value_node
                    for key_node, value_node in zip(value.keys, value.values, strict=True)
                }
                self.add_port(key, inner.get("port"), is_any_name=True)
            elif row_name and key == "port":
                self.add_port(row_name, value, is_any_name=True)
            elif key:
                self.add_port(key, value, is_any_name=True)

    def add_port(self, name: str, value: ast.expr | None, *, is_any_name: bool = False) -> None:
        """Record `value` as the port of `name`. is_any_name: accept any name."""
        while isinstance(value, ast.Call) and last_name(value.func) in ("int", "str") and value.args:
            value = value.args[0]
        if not isinstance(value, ast.Constant) or not name:
            return
        number = value.value
        if isinstance(number, str) and _is_port_digits(number):
            number = int(number)
        if type(number) is not int or not 1 <= number <= 65535:
            return
        # A small number with a name is a count.
        if (is_any_name and number >= 1024) or name.lower().endswith("port"):
            self.add(name, number, value)

    def add(self, name: str, value: int | str, node: ast.expr) -> None:
        self.found.add(AddressDefault(name, value, node.lineno, self.file.parsed.column(node)))


def _is_port_digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5


ADDRESS_DEFAULTS: FactKind[AddressDefaults] = FactKind(
    "address defaults",
    AddressDefaults,
    collect,
    file_patterns=TEXT_FILE_PATTERNS,
    collect_text=collect_text,
)
