"""A default differs from the fleet file

Code or configuration gives a name one port or host, and the fleet file another: `7120` for a service that is
declared on 7220. When the variable is not set, requests go to the wrong agent or to none. A name is compared
with agents, machines and services by its spelling (`SYSTEM_DIGITAL_TWIN_PORT`, `systemDigitalTwinPort`, a
table with the key `SystemDigitalTwin`), and with the variables that `environments` names. A host that any
environment declares for the name is accepted.

Instead: read the fleet file, `argosy.fleet.address("SystemDigitalTwin")`, or correct the wrong value.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from argosy.fleet.fleet_spec import Fleet
from argosy.fleet.hosts import is_ip, is_loopback, parse_address, referenced_variable
from argosy.refit.analysis.addresses.address_sites import find_address_sites
from argosy.refit.analysis.addresses.environment_reads import find_environment_read
from argosy.refit.analysis.addresses.name_semantics import host_variable_names, normalize_name
from argosy.refit.analysis.ast_queries import (
    iter_all_parameter_defaults,
    iter_assignments,
    keyword_argument,
    last_name,
    string_literal,
)
from argosy.refit.analysis.testing_code import is_test_file
from argosy.refit.core.fact import FactKind
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile, TextFile
from argosy.refit.core.source_tree import SourceTree
from argosy.source.peer_reference_scan import is_peer_call


def check(tree: SourceTree) -> Iterator[Finding]:
    """Compare each default with the fleet file."""
    if tree.fleet is None:
        return
    lookup = FleetAddressIndex(tree.fleet)
    fleet_path = tree.relative_path(tree.fleet.path)
    for path, defaults in tree.facts(ADDRESS_DEFAULTS).items():
        for item in defaults if path != fleet_path else ():
            declared = lookup.find(item.name, item.value)
            if declared is not None and item.value not in declared.values:
                expected = " or ".join(sorted(f"`{value}`" for value in declared.values))
                message = (
                    f"`{item.name}` is `{item.value}` here, and the fleet file has {expected} "
                    f"for `{declared.owner}` ({declared.location})"
                )
                yield Finding(path, item.line, item.column, "", message, symbol=item.name)


# -- defaults ----------------------------------------------------------------------------------------


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


# -- names in the fleet file -------------------------------------------------------------------------


class DeclaredValue(NamedTuple):
    """The declared value of a name.

    owner: the agent, machine or service. location: the place in the fleet file.
    """

    owner: str
    values: frozenset[int | str]
    location: str


class FleetAddressIndex:
    """Looks up names such as `SYSTEM_DIGITAL_TWIN_PORT`, `redisHost` or `SystemDigitalTwin` in a fleet file.

    A name that two owners share is ambiguous and not found.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._ports: dict[str, list[DeclaredValue]] = {}
        self._hosts: dict[str, list[DeclaredValue]] = {}
        hosts = self._add_environments()
        for agent in fleet.agents.values():
            location = fleet.locations.get(f"agents.{agent.name}.port", agent.where)
            normalized = normalize_name(agent.name)
            if agent.port is not None:
                found = DeclaredValue(agent.name, frozenset([agent.port]), location)
                self._add(self._ports, (normalized, f"{normalized}port"), found)
            if agent.health_port is not None:
                found = DeclaredValue(agent.name, frozenset([agent.health_port]), location)
                self._add(self._ports, (f"{normalized}healthport", f"{normalized}healthcheckport"), found)
            if agent.machine in hosts:
                self._add(
                    self._hosts,
                    host_variable_names(agent.name),
                    hosts[agent.machine]._replace(owner=agent.name),
                )

    def find(self, name: str, value: int | str) -> DeclaredValue | None:
        """Return what the fleet file declares for a name, None for nothing or for more than one answer."""
        names = self._ports if isinstance(value, int) else self._hosts
        found = names.get(normalize_name(name), [])
        return found[0] if len({item.values for item in found}) == 1 else None

    def _add_environments(self) -> dict[str | None, DeclaredValue]:
        """Index machines and services; return them by name."""
        hosts: dict[str, set[int | str]] = {}
        ports: dict[str, set[int | str]] = {}
        variables: dict[str, str] = {}
        locations: dict[str, str] = {}
        for environment, addresses in self._fleet.environments.items():
            for name, text in addresses.items():
                address = parse_address(text)
                if address is None:
                    continue
                location = self._fleet.locations.get(f"environments.{environment}.{name}", self._fleet.path)
                locations.setdefault(name, location)
                variable = referenced_variable(address.host)
                if variable is None:
                    hosts.setdefault(name, set()).add(address.host)
                else:
                    variables[variable] = name
                if address.port.isdigit():
                    ports.setdefault(name, set()).add(int(address.port))
        # If only loopback and names are declared, the machine's address is not known yet.
        hosts = {name: values for name, values in hosts.items() if any(map(_is_machine_address, values))}
        host_values: dict[str | None, DeclaredValue] = {
            name: DeclaredValue(name, frozenset(values), locations[name]) for name, values in hosts.items()
        }
        for name, values in hosts.items():
            self._add(
                self._hosts,
                host_variable_names(name),
                DeclaredValue(name, frozenset(values), locations[name]),
            )
        for variable, name in variables.items():
            if name in host_values:
                self._add(self._hosts, (normalize_name(variable),), host_values[name])
        for name, values in ports.items():
            found = DeclaredValue(name, frozenset(values), locations[name])
            self._add(self._ports, (f"{normalize_name(name)}port",), found)
        return host_values

    @staticmethod
    def _add(index: dict[str, list[DeclaredValue]], names: tuple[str, ...], found: DeclaredValue) -> None:
        for name in names:
            index.setdefault(name, []).append(found)


def _is_machine_address(host: int | str) -> bool:
    return is_ip(str(host)) and not is_loopback(str(host))


RULE = Rule(
    code="A404",
    title="default differs from the fleet file",
    action="review",
    fact_kinds=(ADDRESS_DEFAULTS,),
    check_tree=check,
    is_fleet_rule=True,
)

_FLEET_TEXT = """\
fleet: harbour
machines: {mainpc: {}, pc2: {}}
environments:
  development: {mainpc: 192.168.100.16, pc2: 192.168.100.17, redis: "192.168.100.16:6379"}
  production: {mainpc: $MAINPC_IP, pc2: $SECOND_IP, redis: $REDIS_HOST}
  testing: {mainpc: 127.0.0.1, pc2: 127.0.0.1, redis: 127.0.0.1}
agents:
  SystemDigitalTwin: {run: [a], machine: mainpc, port: 7220, health_port: 8220}
  Responder: {run: [b], machine: pc2, port: 5637}
"""

MUST = (
    RuleCase(
        "import os\n"
        'PORT = int(os.environ.get("SYSTEM_DIGITAL_TWIN_PORT", 7120))  # <--\n'
        'TEXT = os.getenv("SYSTEM_DIGITAL_TWIN_PORT", "7120")  # <--\n'
        "SYSTEM_DIGITAL_TWIN_PORT = 7120  # <--\n"
        "SYSTEM_DIGITAL_TWIN_HEALTH_PORT = 8120  # <--\n"
        'PORTS = {"SystemDigitalTwin": 7120, "Responder": 5637}  # <--\n'
        'ROWS = [{"name": "SystemDigitalTwin", "port": 7120}]  # <--\n'
        'TABLE = {"SystemDigitalTwin": {"host": "localhost", "port": 7120}}  # <--\n'
        "def f(config, ask):\n"
        '    ask.discover("SystemDigitalTwin", port=7120)  # <--\n'
        '    return config.get("system_digital_twin_port", 7120)  # <--\n'
        "def g(system_digital_twin_port=7120):  # <--\n    pass\n",
        fleet=_FLEET_TEXT,
    ),
    RuleCase(
        'import os\nA = os.environ.get("MAINPC_IP", "192.168.1.2")  # <--\n'
        'PC2_IP = "192.168.1.27"  # <--\n'
        'B = os.environ.get("SECOND_IP", "10.0.0.1")  # <--\n'
        'REDIS_HOST = "10.0.0.2"  # <--\nREDIS_PORT = 6380  # <--\n',
        fleet=_FLEET_TEXT,
    ),
    RuleCase(
        files={".env": "SYSTEM_DIGITAL_TWIN_PORT=7120  # <--\nPC2_IP=10.0.0.1  # <--\n"}, fleet=_FLEET_TEXT
    ),
)
MUST_NOT = (
    RuleCase('import os\nPORT = int(os.environ.get("SYSTEM_DIGITAL_TWIN_PORT", 7220))\n', fleet=_FLEET_TEXT),
    RuleCase('PC2_IP = "192.168.100.17"\nMAINPC_IP = "127.0.0.1"\nHOST = "10.0.0.9"\n', fleet=_FLEET_TEXT),
    RuleCase("PORT = 7120\nport = 7120\nOTHER_PORT = 7120\nSystemDigitalTwin = 3\n", fleet=_FLEET_TEXT),
    RuleCase('COUNTS = {"responder_count": 7, "Responder": 5}\nif x == 7120:\n    pass\n', fleet=_FLEET_TEXT),
    RuleCase('import os\nPORT = int(os.environ.get("SYSTEM_DIGITAL_TWIN_PORT", 7120))\n'),
    RuleCase(files={"tests/test_a.py": 'TWIN = {"SystemDigitalTwin": 7120}\n'}, fleet=_FLEET_TEXT),
    RuleCase(
        'MAINPC_IP = "192.168.1.2"\n',
        fleet="fleet: f\nmachines: {mainpc: {}}\nenvironments: {development: {mainpc: 127.0.0.1}}\n"
        "agents: {A: {run: [a], machine: mainpc}}\n",
    ),
)
