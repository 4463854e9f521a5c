"""A default differs from the fleet file

Code or configuration gives a name one port or host, and the fleet file another: `7120` for a service that is
declared on 7220. When the variable is not set, requests go to the wrong agent or to none. A name is compared
with agents, machines and services by its spelling (`SYSTEM_DIGITAL_TWIN_PORT`, `systemDigitalTwinPort`, a
table with the key `SystemDigitalTwin`), and with the variables that `environments` names. A host that any
environment declares for the name is accepted.

Instead: read the fleet file, `argosy.fleet.address("SystemDigitalTwin")`, or correct the wrong value.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.analysis.addresses.address_defaults import ADDRESS_DEFAULTS
from argosy.refit.analysis.addresses.fleet_lookup import FleetAddressIndex
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_tree import SourceTree


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
