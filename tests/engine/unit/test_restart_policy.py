"""Restart policy: what follows an exit, by the rules of the fleet file."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.engine.plan.process_plan import ProcessSpec
from argosy.engine.protocol.state_machine import UnitEvent
from argosy.engine.unit.restart_policy import (
    FROZEN_GRACE_S,
    ProcessExit,
    RestartBudget,
    decide_exit,
    stop_grace_s,
    with_jitter,
)
from argosy.fleet.fleet_spec import Probe

SPEC = ProcessSpec(
    name="A",
    argv=("true",),
    env={},
    cwd="/",
    is_sdk=False,
    machine=None,
    group=None,
    ports=(),
    host="127.0.0.1",
    port=None,
    probe=Probe(probe="alive"),
    probe_port=None,
    needs=(),
    wants=(),
    required=True,
    watchdog_s=None,
    start_timeout_s=1.0,
    stop_timeout_s=1.0,
    restart="on-failure",
    restart_times=3,
    restart_within_s=60.0,
    backoff_first_s=0.1,
    backoff_most_s=1.0,
    open_files=0,
)


def decide(
    code: int | None, *, cause: str = "exit", restart: str = "on-failure", ready: bool = True
) -> UnitEvent:
    spec = msgspec.structs.replace(SPEC, restart=restart)
    return decide_exit(spec, ProcessExit(code, cause, ready), True, RestartBudget(3, 60.0), 0.0).event


@pytest.mark.parametrize(
    ("restart", "code", "cause", "expected"),
    [
        ("on-failure", 0, "exit", UnitEvent.FINISHED),
        ("on-failure", 1, "exit", UnitEvent.RETRY),
        ("on-failure", -9, "exit", UnitEvent.RETRY),
        ("on-failure", None, "exit", UnitEvent.RETRY),
        ("on-failure", -15, "timeout", UnitEvent.GIVE_UP),
        ("on-failure", -15, "frozen", UnitEvent.RETRY),
        ("on-failure", -15, "no-readiness-after-adoption", UnitEvent.RETRY),
        ("never", -15, "no-readiness-after-adoption", UnitEvent.FINISHED),
        ("on-failure", None, "not-started", UnitEvent.RETRY),
        ("always", 0, "exit", UnitEvent.RETRY),
        ("always", -15, "timeout", UnitEvent.RETRY),
        ("never", 0, "exit", UnitEvent.FINISHED),
        ("never", 1, "exit", UnitEvent.FINISHED),
    ],
)
def test_restart_policy_decides_event_after_exit(
    restart: str, code: int | None, cause: str, expected: UnitEvent
) -> None:
    assert decide(code, cause=cause, restart=restart) is expected


def test_stopped_agent_is_finished_after_any_exit() -> None:
    assert (
        decide_exit(SPEC, ProcessExit(1, "exit", True), False, RestartBudget(3, 60.0), 0.0).event
        is UnitEvent.FINISHED
    )


def test_failed_exec_spends_no_restart() -> None:
    budget = RestartBudget(0, 60.0)
    for code in (114, 115, 116):
        assert decide_exit(SPEC, ProcessExit(code, "exit", False), True, budget, 0.0).event is UnitEvent.RETRY


def test_injected_exit_spends_no_restart_and_has_no_backoff() -> None:
    budget = RestartBudget(0, 60.0)
    for cause in ("exit", "frozen"):
        verdict = decide_exit(SPEC, ProcessExit(-9, cause, True, is_injected=True), True, budget, 0.0)
        assert (verdict.event, verdict.delay_s, budget.restart_count) == (UnitEvent.RETRY, 0.0, 0)
    never = msgspec.structs.replace(SPEC, restart="never")
    verdict = decide_exit(never, ProcessExit(-9, "exit", True, is_injected=True), True, budget, 0.0)
    assert verdict.event is UnitEvent.FINISHED


def test_missing_program_is_given_up_at_once() -> None:
    assert decide(127, ready=False) is UnitEvent.GIVE_UP
    assert decide(126, ready=False) is UnitEvent.GIVE_UP


def test_backoff_doubles_up_to_maximum() -> None:
    budget = RestartBudget(100, 60.0)
    waits = [decide_exit(SPEC, ProcessExit(1, "exit", False), True, budget, 0.0).delay_s for _ in range(6)]
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_first_restart_of_ready_agent_has_no_backoff() -> None:
    budget = RestartBudget(100, 60.0)
    waits = [decide_exit(SPEC, ProcessExit(-9, "exit", True), True, budget, 0.0).delay_s for _ in range(3)]
    assert waits == [0.0, 0.1, 0.2]


@given(st.lists(st.floats(0, 10_000), min_size=1, max_size=60).map(sorted), st.integers(1, 6))
def test_restart_budget_limits_restarts_per_window(times: list[float], most: int) -> None:
    budget = RestartBudget(most, 60.0)
    granted = [now for now in times if budget.record_restart(now, was_ready=True) is not None]
    for now in granted:
        assert sum(1 for other in granted if now - 60.0 < other <= now) <= most


def test_restart_budget_counts_failed_starts_outside_window() -> None:
    budget = RestartBudget(3, 60.0)
    assert [budget.record_restart(100.0 * n, was_ready=False) for n in range(5)] == [1, 2, 3, None, None]
    assert budget.record_restart(1000.0, was_ready=True) == 1


@given(st.floats(0, 3600), st.floats(0, 1), st.floats(0, 1))
def test_jitter_stays_between_half_and_full_backoff(wait_s: float, one: float, other: float) -> None:
    waits = sorted(with_jitter(wait_s, lambda chance=chance: chance) for chance in (one, other))
    assert wait_s / 2 <= waits[0] <= waits[1] <= wait_s
    assert with_jitter(wait_s, lambda: 1.0) == wait_s


@given(st.integers(1, 40), st.floats(0.001, 10), st.floats(0.001, 100), st.booleans())
def test_backoff_never_shrinks_or_exceeds_maximum(
    times: int, first_s: float, most_s: float, was_ready: bool
) -> None:
    spec = msgspec.structs.replace(SPEC, backoff_first_s=first_s, backoff_most_s=most_s)
    budget = RestartBudget(times, 60.0)
    waits = [
        decide_exit(spec, ProcessExit(1, "exit", was_ready), True, budget, 0.0).delay_s for _ in range(times)
    ]
    assert waits == sorted(waits)
    assert all(0.0 <= wait_s <= most_s for wait_s in waits)
    assert waits[0] == (0.0 if was_ready else min(first_s, most_s))
    assert decide_exit(spec, ProcessExit(1, "exit", was_ready), True, budget, 0.0).event is UnitEvent.GIVE_UP


def test_frozen_agent_gets_shorter_stop_grace() -> None:
    patient = msgspec.structs.replace(SPEC, stop_timeout_s=30.0)
    assert (stop_grace_s(patient, "exit"), stop_grace_s(patient, "frozen")) == (30.0, FROZEN_GRACE_S)
    assert stop_grace_s(msgspec.structs.replace(SPEC, stop_timeout_s=0.5), "frozen") == 0.5
