"""The impact of a restart on other machines: queried there with `--dry-run` and merged here."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from argosy.cli.console import print_note
from argosy.engine.control.control_client import connect
from argosy.engine.protocol.messages import CommandOutput, FleetStatus, RelayCommand
from argosy.fault import ArgosyError

if TYPE_CHECKING:
    from argosy.engine.state.state_dir import StateDir


class RemotePart(NamedTuple):
    """Agents of another machine; no names means all of them."""

    machine: str
    names: list[str]


def remote_parts(report: FleetStatus, names: Collection[str], *, all_machines: bool) -> list[RemotePart]:
    """Return `names` by the other machine they run on; all_machines: include every other machine."""
    local_agents = report.local_agents()
    parts: dict[str, list[str]] = {}
    if all_machines:
        parts = {machine: [] for machine, each in report.machines.items() if each.state != "here"}
    for name in names:
        if name in report.agents and name not in local_agents:
            parts.setdefault(report.agents[name].machine or "", []).append(name)
    return [RemotePart(machine, there) for machine, there in parts.items()]


def preview_remote_impact(
    state_dir: StateDir, parts: Iterable[RemotePart], options: list[str]
) -> dict[str, dict[str, Any]]:
    """Return the object `restart/1` of each machine; warn about one that cannot be queried."""
    found = {}
    for machine, names in parts:
        arguments = ["restart", *names, "--here", "--dry-run", "--json", *options]
        impact = _request_impact(state_dir, machine, arguments)
        if impact is not None:
            found[machine] = impact
    return found


def _request_impact(state_dir: StateDir, machine: str, arguments: list[str]) -> dict[str, Any] | None:
    data = b""
    try:
        client = connect(state_dir, "restart")
        if client is None:
            return None
        with client:
            client.send(RelayCommand(machine=machine, args=arguments))
            while isinstance(answer := client.receive(None), CommandOutput) and answer.data:
                data += answer.data
    except ArgosyError as error:
        _warn(machine, error.faults[0].message)
        return None
    impact: dict[str, Any] = json.loads(data) if data else {"errors": [{"message": "it returned no output"}]}
    if "errors" in impact:
        _warn(machine, "; ".join(each["message"] for each in impact["errors"]))
        return None
    return impact


def merge_impacts(impacts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Merge objects `restart/1` into one: the machines restart their parts at the same time."""
    all_impacts = list(impacts)
    combined = all_impacts[0]
    for more in all_impacts[1:]:
        for key, value in more.items():
            if isinstance(value, dict):
                combined[key] = {**combined.get(key, {}), **value}
            elif isinstance(value, list):
                combined[key] = [*combined.get(key, []), *value]
            elif key == "seconds":
                combined[key] = max(combined[key], value)
    return combined


def _warn(machine: str, why: str) -> None:
    print_note("warning", f"machine `{machine}` did not answer: {why}")
