"""Ablations: each part is removed in the environment of its run only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from realfleet.environments import own_environment

PLACES = {
    "bind-arbiter": "argosy.agent.legacy.agent_identity:set_arbiter",
    "one-identity": "argosy.agent.legacy.agent_state:LegacyAgentState._claim_identity",
    "hooks-after-the-constructor": "argosy.agent.legacy.base_agent:BaseAgent.__init__",
    "discovery-from-the-fleet": "argosy.agent.legacy.service_discovery:discover_service",
}
LOOK = """
import functools, importlib, sys
for place in sys.argv[1:]:
    module, _, name = place.partition(":")
    found = functools.reduce(getattr, name.split("."), importlib.import_module(module))
    print("realfleet" in found.__code__.co_filename)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("environment") / "env"
    return str(own_environment(Path(sys.prefix), folder) / "python")


@pytest.mark.parametrize("part", ["", *PLACES])
def test_ablation_removes_exactly_one_part(python: str, part: str) -> None:
    environment = {**os.environ, "PYTHONPATH": "", "REAL_FLEET_ABLATION": part}
    completed = subprocess.run(
        [python, "-c", LOOK, *PLACES.values()], env=environment, capture_output=True, text=True, check=True
    )
    assert completed.stderr == ""
    out = [name for name, line in zip(PLACES, completed.stdout.split(), strict=True) if line == "True"]
    assert out == ([part] if part else [])
