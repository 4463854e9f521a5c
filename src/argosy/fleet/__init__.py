"""The fleet file as data: schema, loader, dependency graph, addresses and importers.

The names in `__all__` are public; each one loads its module on first use. Other packages of argosy
may import any module here.

From outside: `add_agent`, `address_lookup`, `decode`, `dependency_graph`, `dockerfile`, `environments`,
`fleet_spec`, `hosts`, `importers`, `json_schema`, `loader`, `locations`, `placement`, `quantities`,
`redaction`, `resolver`, `schedule`, `suggestions`, `yaml_emitter`, `yaml_nodes`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argosy.fleet.dependency_graph import Graph, build_graph
    from argosy.fleet.environments import Placement, address, local_machines, place
    from argosy.fleet.fleet_spec import AgentSpec, Fleet, Need, Probe
    from argosy.fleet.loader import load_fleet, read_fleet

__all__ = [
    "AgentSpec",
    "Fleet",
    "Graph",
    "Need",
    "Placement",
    "Probe",
    "address",
    "build_graph",
    "load_fleet",
    "local_machines",
    "place",
    "read_fleet",
]

_MODULES = {
    "AgentSpec": "fleet_spec",
    "Fleet": "fleet_spec",
    "Graph": "dependency_graph",
    "Need": "fleet_spec",
    "Placement": "environments",
    "Probe": "fleet_spec",
    "address": "environments",
    "build_graph": "dependency_graph",
    "load_fleet": "loader",
    "local_machines": "environments",
    "place": "environments",
    "read_fleet": "loader",
}


def __getattr__(name: str) -> object:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
