"""An agent of another machine: what it is by what was heard, and by whether its machine is seen."""

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


def test_one_that_was_never_heard_of_may_come_until_its_machine_is_timed_out() -> None:
    reachability = FakeReachability()
    distant = RemoteAgent("B", SPEC, reachability)
    assert distant.state is State.WAITING
    reachability.is_timed_out = True
    assert (distant.state, distant.reason) == (State.BLOCKED, reachability.description)
    reachability.is_connected, reachability.is_timed_out = True, False
    assert distant.state is State.EXITED
    distant.expect_apply("second")
    assert distant.state is State.WAITING


@pytest.mark.parametrize("state", State)
def test_a_blind_machine_leaves_the_last_state(state: State) -> None:
    reachability = FakeReachability(is_connected=True)
    distant = RemoteAgent("B", SPEC, reachability)
    distant.update_status(status(state), 5.0)
    assert distant.has_process == (state in RUNNING_STATES)
    reachability.is_connected, reachability.is_timed_out = False, True
    assert distant.state is state
    assert distant.pid == 7
    assert distant.is_ready == (state in READY_STATES)
    assert not distant.has_process
    assert distant.reason == ("its own words" if distant.is_ready else reachability.description)


def test_what_was_on_a_machine_that_is_marked_failed_has_exited() -> None:
    reachability = FakeReachability(is_connected=True)
    distant = RemoteAgent("B", SPEC, reachability)
    distant.update_status(status(State.READY), 5.0)
    reachability.is_connected, reachability.is_marked_failed = False, True
    assert (distant.state, distant.reason) == (State.EXITED, reachability.description)
    told = distant.to_status()
    assert (told.state, told.pid, told.since_s) == (State.EXITED, 7, reachability.since_s)


def test_what_was_before_it_was_asked_for_says_nothing() -> None:
    distant = RemoteAgent("B", SPEC, FakeReachability(is_connected=True))
    distant.update_status(status(State.EXITED, "first"), 1.0)
    distant.expect_apply("second")
    assert distant.state is State.WAITING
    distant.update_status(status(State.STARTING), 2.0)
    distant.update_status(status(State.READY), 3.0)
    assert (distant.started_at, distant.ready_at) == (2.0, 3.0)
    distant.update_status(status(State.EXITED), 4.0)
    assert distant.state is State.EXITED


@pytest.mark.parametrize("is_heard_first", [True, False])
def test_what_became_of_it_by_the_order_itself_is_final(is_heard_first: bool) -> None:
    distant = RemoteAgent("B", SPEC, FakeReachability(is_connected=True))
    said = [status(State.WAITING, "second"), status(State.BLOCKED, "second")]
    distant.update_status(status(State.EXITED, "first"), 1.0)
    if is_heard_first:
        for each in said:
            distant.update_status(each, 2.0)
    distant.expect_apply("second")
    if not is_heard_first:
        distant.update_status(said[-1], 2.0)
    assert distant.state is State.BLOCKED


def test_links_are_to_the_other_machines_that_have_agents(tmp_path: Path) -> None:
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
