"""The applied plan: a file of an earlier version is read like one of today."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from argosy.engine.peering.peering_plan import PeeringPlan
from argosy.engine.state.applied_plan import AppliedPlan, load_applied_plan, specs_missing_from_plan
from argosy.engine.state.file_identity import FileIdentity
from argosy.engine.state.known_fleets import read_recorded_fleet
from argosy.engine.state.state_dir import locate_state_dir
from argosy.engine.unit.process_plan import ProcessPlan


def test_an_applied_plan_of_an_earlier_version_is_read(tmp_path: Path) -> None:
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
