"""The public names that refit and repair write into code, by their current and former paths."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import argosy.api
from argosy.fleet import resolver

FORMER = {
    "argosy.agent.absent": ("absent", "stand_in"),
    "argosy.agent.compat": ("BaseAgent", "logger"),
    "argosy.agent.compat.discovery": (
        "ServiceDiscoveryClient",
        "connect_to_service",
        "discover_service",
        "get_service_address",
        "get_service_discovery_client",
        "register_service",
    ),
    "argosy.agent.typed": ("Items", "ItemsSync"),
    "argosy.fleet.whereabouts": ("endpoint", "host"),
    "argosy.wire": ("context",),
    "argosy.wire.pooled": ("ask", "ask_json", "question"),
}


def test_api_exports_are_sorted_and_documented() -> None:
    assert argosy.api.__all__ == sorted(argosy.api.__all__)
    page = (Path(__file__).parents[1] / "docs/reference/api.md").read_text()
    assert all(callable(getattr(argosy.api, name)) and f"`{name}(" in page for name in argosy.api.__all__)
    with pytest.raises(AttributeError):
        argosy.api.nothing  # noqa: B018


def test_api_import_loads_no_other_module() -> None:
    code = "import sys, argosy.api; print(sorted(m for m in sys.modules if m.startswith(('argosy', 'zmq'))))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "['argosy', 'argosy.api']\n"


@pytest.mark.parametrize("module", FORMER)
def test_former_paths_are_importable(module: str) -> None:
    loaded = importlib.import_module(module)
    assert set(FORMER[module]) <= set(loaded.__all__)
    assert all(getattr(loaded, name) is not None for name in FORMER[module])


def test_api_exposes_resolver_functions_unwrapped() -> None:
    whereabouts = importlib.import_module("argosy.fleet.whereabouts")
    assert argosy.api.host is whereabouts.host is resolver.host
    assert argosy.api.endpoint is whereabouts.endpoint is resolver.endpoint


def test_former_placeholder_accepts_former_keyword() -> None:
    code = (
        "try:\n    import no_such_torch\nexcept ModuleNotFoundError:\n"
        "    from argosy.agent.absent import absent, stand_in\n\n"
        "    no_such_torch = stand_in('no_such_torch', behind_probes=True)\n"
        "print(absent(), no_such_torch)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "('no_such_torch',) <placeholder for no_such_torch>\n"
