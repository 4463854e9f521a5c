"""The applied plan of an earlier version, whose running fleet the next supervisor adopts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from argosy.engine.inventory.known_fleets import read_recorded_fleet
from argosy.engine.plan.applied_plan import AppliedPlan, load_applied_plan, specs_missing_from_plan
from argosy.engine.plan.peering_plan import PeeringPlan
from argosy.engine.plan.process_plan import LivenessSchedule, ProcessPlan, ProcessSpec
from argosy.engine.state.file_identity import FileIdentity
from argosy.engine.state.state_dir import StateDir, locate_state_dir
from argosy.fleet.fleet_spec import Probe


def spec(name: str, **fields: Any) -> ProcessSpec:
    shown: dict[str, Any] = {
        "name": name,
        "argv": ("sleep", "1"),
        "env": {},
        "cwd": "/",
        "is_sdk": False,
        "machine": None,
        "group": None,
        "ports": (),
        "host": "127.0.0.1",
        "port": None,
        "probe": Probe(probe="alive"),
        "probe_port": None,
        "needs": (),
        "wants": (),
        "required": True,
        "watchdog_s": None,
        "start_timeout_s": 1.0,
        "stop_timeout_s": 1.0,
        "restart": "never",
        "restart_times": 0,
        "restart_within_s": 1.0,
        "backoff_first_s": 0.0,
        "backoff_most_s": 0.0,
        "open_files": 0,
        "liveness_schedule": LivenessSchedule(2.0, 7),
        "start_error": "no script",
    }
    return ProcessSpec(**(shown | fields))


def with_earlier_keys(value: Any) -> Any:
    """Return the JSON of a plan with the keys that an earlier version gave it."""
    names = {
        "stopping": "leaving",
        "cell_processes": "hulls",
        "peering": "links",
        "fleet_file": "mark",
        "liveness_schedule": "rhythm",
        "start_error": "refusal",
        "listen_endpoint": "door",
        "keys_dir": "keys",
    }
    if isinstance(value, dict):
        return {names.get(key, key): with_earlier_keys(each) for key, each in value.items()}
    return [with_earlier_keys(each) for each in value] if isinstance(value, list) else value


def test_applied_plan_of_earlier_version_is_read(tmp_path: Path) -> None:
    plan = ProcessPlan(
        fleet="toy",
        path="/fleet.yaml",
        environment="testing",
        declared=("A",),
        processes={"A": spec("A", cell="one")},
        left_out={},
        cell_processes={"one": spec("cell:one")},
    )
    peering = PeeringPlan(
        fleet="toy",
        environment="testing",
        machine="here",
        listen_endpoint="tcp://*:1",
        keys_dir="/keys",
        peers={"pc2": "tcp://pc2:1"},
        agents={},
    )
    applied = AppliedPlan(plan, ["here"], {"B": spec("B")}, {"one": spec("cell:one")}, peering)
    folder = StateDir(tmp_path, tmp_path / "run")
    earlier = with_earlier_keys(msgspec.to_builtins(applied))
    assert {"leaving", "hulls", "links", "mark"} < earlier.keys()
    folder.applied_plan.write_bytes(msgspec.json.encode(earlier))
    assert load_applied_plan(folder) == applied


def test_peering_keys_of_earlier_version_are_read(tmp_path: Path) -> None:
    variables = {"XDG_STATE_HOME": str(tmp_path)}
    state_dir = locate_state_dir(tmp_path / "fleet.yaml", variables)
    state_dir.path.mkdir(parents=True)
    specs = specs_missing_from_plan(state_dir, ["A", "B"]).agents
    plan = ProcessPlan(
        fleet="toys",
        path=str(tmp_path / "fleet.yaml"),
        environment="development",
        declared=("A",),
        processes={"A": specs["A"]},
        left_out={},
    )
    peering = PeeringPlan(
        fleet="toys",
        environment="development",
        machine="one",
        listen_endpoint="tcp://127.0.0.1:9",
        keys_dir="/keys",
        peers={},
        agents={},
    )
    applied_plan = AppliedPlan(
        plan, ["one"], stopping={"B": specs["B"]}, peering=peering, fleet_file=FileIdentity(1, 2, "ab")
    )
    fields = json.loads(msgspec.json.encode(applied_plan))
    links = fields.pop("peering")
    links["door"], links["keys"] = links.pop("listen_endpoint"), links.pop("keys_dir")
    fields |= {"leaving": fields.pop("stopping"), "links": links, "mark": fields.pop("fleet_file")}
    state_dir.applied_plan.write_text(json.dumps(fields, separators=(",", ":")))
    assert load_applied_plan(state_dir) == applied_plan
    fleet = read_recorded_fleet(state_dir.path, variables)
    assert fleet is not None
    assert (fleet.name, fleet.file_identity) == ("toys", applied_plan.fleet_file)
