"""Remote agent: its state by the last report received and by whether its machine is reachable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from argosy.engine.peering.remote_agent import RemoteAgent
from argosy.engine.plan.peering_plan import RemoteAgentSpec, plan_peering
from argosy.engine.protocol.messages import AgentStatus
from argosy.engine.protocol.state_machine import READY_STATES, RUNNING_STATES, State
from argosy.fleet.environments import place
from argosy.fleet.loader import load_fleet
from argosy.wire.security.key_management import make_keys

SPEC = RemoteAgentSpec(machine="two", group=None, port=None, needs=(), required=True)
FLEET = """
fleet: duo
machines: {one: {}, two: {}, idle: {}}
environments:
  development: {one: 192.168.100.16, two: host-two, idle: 192.168.100.18}
  testing: {one: 127.0.0.1, two: 127.0.0.1, idle: 127.0.0.1}
hub: {port: 9000}
agents:
  A: {run: [sleep, "1"], machine: one, port: 5000}
  B: {run: [sleep, "1"], machine: two, port: 5001, needs: [A], required: false}
"""


@dataclass
class FakeReachability:
    is_connected: bool = False
    is_timed_out: bool = False
    is_marked_failed: bool = False
    since_s: float = 3.0
    description: str = "machine `two` has not been seen"


def status(state: State, apply_id: str = "") -> AgentStatus:
    return AgentStatus(
        state=state,
        health=None,
        pid=7,
        machine="two",
        group=None,
        port=None,
        restarts=0,
        since_s=1.0,
        waiting_on=[],
        reason="its own words",
        rss_bytes=None,
        pss_bytes=None,
        sampled_s=None,
        apply_id=apply_id,
    )


def test_unreported_remote_agent_waits_until_machine_times_out() -> None:
    reachability = FakeReachability()
    remote = RemoteAgent("B", SPEC, reachability)
    assert remote.state is State.WAITING
    reachability.is_timed_out = True
    assert (remote.state, remote.reason) == (State.BLOCKED, reachability.description)
    reachability.is_connected, reachability.is_timed_out = True, False
    assert remote.state is State.EXITED
    remote.expect_apply("second")
    assert remote.state is State.WAITING


@pytest.mark.parametrize("state", State)
def test_remote_agent_keeps_last_state_while_machine_is_unreachable(state: State) -> None:
    reachability = FakeReachability(is_connected=True)
    remote = RemoteAgent("B", SPEC, reachability)
    remote.update_status(status(state), 5.0)
    assert remote.has_process == (state in RUNNING_STATES)
    reachability.is_connected, reachability.is_timed_out = False, True
    assert remote.state is state
    assert remote.pid == 7
    assert remote.is_ready == (state in READY_STATES)
    assert not remote.has_process
    assert remote.reason == ("its own words" if remote.is_ready else reachability.description)


def test_remote_agent_has_exited_when_machine_is_marked_failed() -> None:
    reachability = FakeReachability(is_connected=True)
    remote = RemoteAgent("B", SPEC, reachability)
    remote.update_status(status(State.READY), 5.0)
    reachability.is_connected, reachability.is_marked_failed = False, True
    assert (remote.state, remote.reason) == (State.EXITED, reachability.description)
    reported = remote.to_status()
    assert (reported.state, reported.pid, reported.since_s) == (State.EXITED, 7, reachability.since_s)


def test_remote_agent_ignores_status_from_before_its_apply() -> None:
    remote = RemoteAgent("B", SPEC, FakeReachability(is_connected=True))
    remote.update_status(status(State.EXITED, "first"), 1.0)
    remote.expect_apply("second")
    assert remote.state is State.WAITING
    remote.update_status(status(State.STARTING), 2.0)
    remote.update_status(status(State.READY), 3.0)
    assert (remote.started_at, remote.ready_at) == (2.0, 3.0)
    remote.update_status(status(State.EXITED), 4.0)
    assert remote.state is State.EXITED


@pytest.mark.parametrize("is_reported_first", [True, False])
def test_remote_agent_takes_final_state_of_its_own_apply(is_reported_first: bool) -> None:
    remote = RemoteAgent("B", SPEC, FakeReachability(is_connected=True))
    reports = [status(State.WAITING, "second"), status(State.BLOCKED, "second")]
    remote.update_status(status(State.EXITED, "first"), 1.0)
    if is_reported_first:
        for each in reports:
            remote.update_status(each, 2.0)
    remote.expect_apply("second")
    if not is_reported_first:
        remote.update_status(reports[-1], 2.0)
    assert remote.state is State.BLOCKED


def test_peering_plan_connects_machines_with_agents(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET)
    fleet = load_fleet(path)
    keys = tmp_path / "keys"
    placed = place(fleet, "development", {"ARGOSY_KEYS": str(keys)})
    assert plan_peering(fleet, placed, ["one"]) is None  # no keys, no links
    make_keys(str(keys), fleet.machines)

    one = plan_peering(fleet, placed, ["one"])
    assert one is not None
    assert (one.machine, one.listen_endpoint, one.peers) == (
        "one",
        "tcp://192.168.100.16:9002",
        {"two": "tcp://host-two:9002"},
    )
    assert list(one.agents) == ["B"]
    assert (one.agents["B"].need_names(), one.agents["B"].required) == (("A",), False)
    two = plan_peering(fleet, placed, ["two"])
    assert two is not None
    assert (two.listen_endpoint, two.peers) == ("tcp://0.0.0.0:9002", {"one": "tcp://192.168.100.16:9002"})
    assert plan_peering(fleet, place(fleet, "testing", {}), ["one", "two"]) is None
