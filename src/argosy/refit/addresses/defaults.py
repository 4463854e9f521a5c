"""Ports and hosts that a file gives to names: constants, fallbacks, table entries, parameters."""

from __future__ import annotations

import ast
import re

import msgspec

from argosy.refit.addresses.environment import environment_read
from argosy.refit.addresses.shapes import (
    all_parameter_defaults,
    assignments,
    keyword_of,
    last_name,
    text_of,
)
from argosy.refit.addresses.sites import find_sites
from argosy.refit.addresses.testing import is_test
from argosy.refit.fact import FactKind
from argosy.refit.file import PythonFile, TextFile
from argosy.source.mentions import is_reaching

TEXT_NAMES = ("*.env", ".env*", "*.yaml", "*.yml", "*.sh", "Dockerfile*", "Containerfile*")
_LINE = re.compile(
    r"^\s*(?:-\s+)?(?:export\s+|ENV\s+|ARG\s+)?[\"']?(?P<name>[A-Za-z]\w*[_A-Za-z](?:PORT|HOST|IP|port|host|ip))[\"']?"
    r"\s*[:=]\s*[\"']?(?:\$\{\w+:-)?(?P<value>[\w.]+)\}?[\"']?\s*(?:#.*)?$"
)
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")


class Default(msgspec.Struct, frozen=True, array_like=True):
    """A port or a host that a name has when nobody says otherwise."""

    name: str
    value: int | str
    line: int
    column: int


Defaults = tuple[Default, ...]


def collect(file: PythonFile) -> Defaults | None:
    """Return the defaults of a Python file."""
    if is_test(file):
        return None
    collector = _Collector(file)
    collector.collect()
    return tuple(sorted(collector.found, key=lambda item: (item.line, item.column, item.name))) or None


def collect_text(file: TextFile) -> Defaults | None:
    """Return the defaults of a file that sets variables, line by line."""
    found = []
    for number, line in enumerate(file.lines, 1):
        match = _LINE.match(line)
        if match is None:
            continue
        text = match["value"]
        value: int | str | None = (
            int(text) if _is_digits(text) else text if _ADDRESS.fullmatch(text) else None
        )
        if value is not None:
            found.append(Default(match["name"], value, number, match.start("value") + 1))
    return tuple(found) or None


class _Collector:
    def __init__(self, file: PythonFile) -> None:
        self.file = file
        self.found: set[Default] = set()

    def collect(self) -> None:
        for site in self.file.derived(find_sites):
            if site.name and site.address.kind != "wildcard":
                self.add(site.name, site.address.host, site.node)
        for call, scope in self.file.nodes(ast.Call):
            # A port is given by a keyword, or behind a name: most calls have neither.
            if call.keywords or len(call.args) > 1:
                read = environment_read(call, scope)
                if read is not None:
                    self.port(read.variable, read.default)
                else:
                    self.of_call(call)
        for table, _ in self.file.nodes(ast.Dict):
            self.of_table(table)
        for target, value, _ in assignments(self.file):
            if type(value) is ast.Constant or type(value) is ast.Call:
                self.port(last_name(target), value)
        for name, default, _ in all_parameter_defaults(self.file):
            self.port(name, default)

    def of_call(self, call: ast.Call) -> None:
        name = last_name(call.func)
        for item in call.keywords:
            self.port(item.arg or "", item.value)
        if name in ("get", "getattr", "setdefault", "pop") and len(call.args) > 1:
            self.port(text_of(call.args[-2]), call.args[-1])
        elif name == "add_argument" and call.args:
            self.port(text_of(call.args[-1]).lstrip("-"), keyword_of(call, "default"))
        elif call.args and is_reaching(name) and (named := text_of(call.args[0])):
            for value in (*call.args[1:], *(item.value for item in call.keywords if item.arg == "port")):
                self.port(named, value, is_named=True)

    def of_table(self, table: ast.Dict) -> None:
        rows = {text_of(key): value for key, value in zip(table.keys, table.values, strict=True)}
        named = text_of(rows.get("name"))
        for key, value in rows.items():
            if isinstance(value, ast.Dict):
                inner = {text_of(one): held for one, held in zip(value.keys, value.values, strict=True)}
                self.port(key, inner.get("port"), is_named=True)
            elif named and key == "port":
                self.port(named, value, is_named=True)
            elif key:
                self.port(key, value, is_named=True)

    def port(self, name: str, value: ast.expr | None, *, is_named: bool = False) -> None:
        """Take `value` as the port of `name`. is_named: whatever the name is."""
        while isinstance(value, ast.Call) and last_name(value.func) in ("int", "str") and value.args:
            value = value.args[0]
        if not isinstance(value, ast.Constant) or not name:
            return
        number = value.value
        if isinstance(number, str) and _is_digits(number):
            number = int(number)
        if type(number) is not int or not 1 <= number <= 65535:
            return
        # A small number beside a name counts something.
        if (is_named and number >= 1024) or name.lower().endswith("port"):
            self.add(name, number, value)

    def add(self, name: str, value: int | str, node: ast.expr) -> None:
        self.found.add(Default(name, value, node.lineno, self.file.parsed.column(node)))


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5


DEFAULTS: FactKind[Defaults] = FactKind(
    "defaults",
    Defaults,
    collect,
    names=TEXT_NAMES,
    collect_text=collect_text,
)
