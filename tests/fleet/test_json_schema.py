"""JSON schema of the fleet file: valid, and in agreement with the loader about every value."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from argosy import fleet as fleet_package
from argosy.fleet import fleet_spec, read_fleet
from argosy.fleet.json_schema import fleet_json_schema, key_descriptions

SCHEMA = fleet_json_schema()
STRUCTS = [
    fleet_spec.FleetKeys,
    fleet_spec.Machine,
    fleet_spec.Alerts,
    fleet_spec.HubSpec,
    fleet_spec.RecoverySpec,
    fleet_spec.Scrape,
    fleet_spec.ThresholdSpec,
    fleet_spec.Logs,
    fleet_spec.AgentKeys,
    fleet_spec.Need,
    fleet_spec.Probe,
    fleet_spec.Liveness,
    fleet_spec.RestartLimit,
    fleet_spec.Backoff,
]
REFERENCE = sorted((Path(__file__).parents[2] / "docs/reference").glob("fleet-file*.md"))


def agent(**keys: object) -> dict[str, Any]:
    return {"fleet": "f", "agents": {"A": {"run": "a.py", **keys}, "B": {"run": "b.py"}}}


def is_valid(value: object) -> bool:
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(value)


def test_fleet_schema_is_valid_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "value",
    [
        agent(),
        agent(args=["--n", 5, True], env={"A": 1, "B": "x", "C": False}),
        agent(needs=["B"], wants=[]),
        agent(needs=[{"agent": "B", "on_death": "restart"}]),
        agent(run=["python", "-m", "x", 1], port=1, health_port=65535, required=False),
        agent(ready={"probe": "http", "port": 80, "path": "/up"}, liveness={"watchdog": "30s"}),
        agent(ready={"probe": "zmq", "port": 5, "send": {"deep": [1, None, {"x": 2.5}]}}),
        agent(start_timeout="1.5h", memory="512MiB", cpus=0.5, open_files=1024),
        agent(restart="never", restart_limit={"times": 0}, backoff={"first": "1ms"}),
        {
            **agent(),
            "defaults": {"machine": "m"},
            "machines": {"m": None, "n": {"gpu_memory": "24GiB", "labels": {"rack": 7}}},
        },
        {
            **agent(),
            "environments": {"own": {"redis": "$REDIS:6379"}},
            "preload": ["numpy"],
            "max_starting": 3,
            "containers": "agent",
        },
        {
            **agent(),
            "hub": {
                "port": 9000,
                "hosts": ["hub.example"],
                "actions": "never",
                "alerts": {
                    "webhook": "http://127.0.0.1:9/",
                    "after": "1s",
                    "slow_start": False,
                    "thresholds": [{"figure": "lag", "above": 5, "lasting": "10s", "clear": "1m"}],
                },
                "recovery": [
                    {"do": "restart-dependents", "agents": ["A"], "times": 2, "within": "10m"},
                    {"do": "run", "run": ["./free.sh"], "figure": "lag", "pause": "5s"},
                ],
            },
            "defaults": {"group": "g"},
        },
    ],
)
def test_schema_accepts_values_that_load(value: dict[str, Any]) -> None:
    assert read_fleet("/f.yaml", json.dumps(value))[1] == []
    assert is_valid(value)


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        {"fleet": "f"},
        {"fleet": "f", "agents": {}},
        {"fleet": "no spaces", "agents": {"A": {"run": "a.py"}}},
        {"fleet": "f", "agents": {"1A": {"run": "a.py"}}},
        {"fleet": "f", "agents": {"A": None}},
        agent(prot=1),
        agent(port=0),
        agent(port="5000"),
        agent(port=True),
        agent(needs="B"),
        agent(needs=[{"on_death": "wait"}]),
        agent(needs=[{"agent": "B", "on_death": "cry"}]),
        agent(run=5),
        agent(group=True),
        agent(env={"A": [1]}),
        agent(env={"A": None}),
        agent(start_timeout="60"),
        agent(memory="5 GB"),
        agent(cpus=0),
        agent(open_files=0),
        agent(restart="sometimes"),
        agent(ready={"probe": "guess"}),
        agent(ready={"probe": "alive", "seconds": -1}),
        agent(liveness={"watchdog": "5s", "failures": 0}),
        {**agent(), "machines": {"m": {"gpu_memory": 24}}},
        {**agent(), "environments": {"testing": {"redis": 6379}}},
        {**agent(), "preload": "all"},
        {**agent(), "max_starting": 0},
        {**agent(), "containers": "cell"},
    ],
)
def test_schema_rejects_values_that_loader_rejects(value: object) -> None:
    assert read_fleet("/f.yaml", json.dumps(value))[1] != []
    assert not is_valid(value)


@pytest.mark.parametrize("cls", STRUCTS, ids=lambda cls: cls.__name__)
def test_every_key_is_described_in_schema_and_reference(cls: type[msgspec.Struct]) -> None:
    words = key_descriptions(cls)
    reference = "".join(path.read_text() for path in REFERENCE)
    assert set(words) == set(cls.__struct_encode_fields__)
    for key in words:
        assert SCHEMA["$defs"][cls.__name__]["properties"][key]["description"] == words[key]
        assert f"`{key}`" in reference, f"docs/reference/fleet-file.md does not name `{key}`"


def test_schema_definitions_match_tested_structs() -> None:
    assert set(SCHEMA["$defs"]) == {cls.__name__ for cls in STRUCTS}


def test_fleet_package_exports_exist_and_are_sorted() -> None:
    assert sorted(fleet_package.__all__) == fleet_package.__all__
    for name in fleet_package.__all__:
        assert getattr(fleet_package, name).__name__ == name
    assert set(fleet_package.__all__) <= set(dir(fleet_package))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        fleet_package.nothing  # noqa: B018


def test_fleet_import_does_not_load_yaml() -> None:
    modules = "argosy.fleet, argosy.fleet.dependency_graph, argosy.fleet.environments"
    code = f"import sys, {modules}; print('yaml' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
