"""Alert evaluator: root causes, damping, silences, thresholds, unreachable machines and a failing store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.hub.alerts.evaluator import (
    FIRST_CONTACT_S,
    FLAP_COUNT,
    FLAP_RECOVERY_S,
    AlertEvaluator,
    AlertThreshold,
    AlertTransition,
)
from argosy.hub.alerts.silences import SilenceRecord, SilenceTarget

NEEDS = {"Root": [], "Middle": ["Root"], "Leaf": ["Middle"], "Other": []}


def alerting(**options: object) -> AlertEvaluator:
    made = AlertEvaluator(NEEDS, **options)  # type: ignore[arg-type]
    for agent in NEEDS:
        made.update_state(agent, "ready", "")
    return made


def reported(made: AlertEvaluator, *times: float) -> list[AlertTransition]:
    return [notice for at in times for notice in made.evaluate(at)]


def test_evaluator_raises_one_alert_for_root_cause_with_its_dependents() -> None:
    made = alerting()
    made.update_state("Root", "given-up", "exit code 1")
    made.update_state("Middle", "degraded", "needs Root")
    made.update_state("Leaf", "blocked", "needs Middle")
    assert reported(made, 0, 1, 2) == []
    (notice,) = reported(made, 3, 4, 5)
    assert (notice.kind, notice.subject, notice.dependents) == ("raised", "Root", ("Leaf", "Middle"))
    assert "exit code 1" in notice.text
    for agent in NEEDS:
        made.update_state(agent, "ready", "")
    assert reported(made, 6, 10, 15) == []
    (cleared,) = reported(made, 16, 17)
    assert (cleared.kind, cleared.key) == ("cleared", notice.key)


def test_evaluator_keeps_one_alert_while_dependents_of_ready_root_still_start() -> None:
    made = alerting()
    for agent in ("Root", "Middle", "Leaf"):
        made.update_state(agent, "restart-pending", "")
    made.update_state("Root", "ready", "")
    for agent in ("Middle", "Leaf"):
        made.update_state(agent, "starting", "")
    (notice,) = reported(made, 0, 3, 6)
    assert (notice.subject, notice.dependents) == ("Root", ("Leaf", "Middle"))
    assert notice.text == "Root is ready again; 2 that need it are not yet"
    assert not made.is_active(notice.key)  # there is nothing to be done about Root
    made.update_state("Middle", "ready", "")
    assert reported(made, 7, 20) == []
    made.update_state("Leaf", "given-up", "exit code 1")  # which is its own
    assert [(each.kind, each.subject) for each in reported(made, 21, 24, 31)] == [
        ("raised", "Leaf"),
        ("cleared", "Root"),
    ]


def test_evaluator_raises_no_alert_for_quick_restart() -> None:
    made = alerting()
    made.update_state("Root", "restart-pending", "")
    assert reported(made, 0, 1) == []
    made.update_state("Root", "ready", "")
    assert reported(made, 2, 100) == []


def test_evaluator_ignores_first_start_but_raises_alert_for_failed_start() -> None:
    made = AlertEvaluator(NEEDS)
    made.update_state("Root", "starting", "")
    made.update_state("Middle", "waiting", "")
    assert reported(made, 0, 100) == []
    made.update_state("Root", "given-up", "no such file")
    assert [notice.subject for notice in reported(made, 101, 105)] == ["Root"]


def test_evaluator_marks_flapping_alert_once_and_clears_it_after_recovery_time() -> None:
    made = alerting(raise_after_s=1.0, clear_after_s=1.0)
    now, notices = 0.0, []
    for _ in range(FLAP_COUNT + 4):
        for state in ("failing", "ready"):
            made.update_state("Root", state, "")
            notices += reported(made, now, now + 2)
            now += 5
    raised = [notice for notice in notices if notice.kind == "raised"]
    assert [notice.is_flapping for notice in raised] == [False] * (FLAP_COUNT - 1) + [True]
    assert reported(made, now, now + FLAP_RECOVERY_S - 10) == []
    (calm,) = reported(made, now + FLAP_RECOVERY_S)
    assert calm.kind == "cleared"
    made.update_state("Root", "failing", "")
    (again,) = reported(made, now + FLAP_RECOVERY_S + 1, now + FLAP_RECOVERY_S + 3)
    assert not again.is_flapping


def test_silence_suppresses_alerts_and_restarts_raise_delay() -> None:
    made = alerting()
    made.open_silence("apply", None, until_s=1000)
    made.update_state("Root", "starting", "")
    assert reported(made, 0, 50, 100) == []
    made.silences.close("apply")
    assert reported(made, 101, 102) == []
    assert [notice.subject for notice in reported(made, 105)] == ["Root"]


def test_silence_of_restart_covers_only_agent_and_its_dependents() -> None:
    made = alerting()
    made.open_silence("restart Middle", ["Middle"], until_s=1000)
    for agent in ("Middle", "Leaf", "Other"):
        made.update_state(agent, "failing", "")
    assert [notice.subject for notice in reported(made, 0, 4, 8)] == ["Other"]


def test_silence_ends_at_its_time_or_with_its_supervisor() -> None:
    made = alerting()
    made.open_silence("apply", None, until_s=50)
    made.update_state("Root", "failing", "")
    assert reported(made, 0, 49, 50) == []
    assert [notice.subject for notice in reported(made, 51, 54)] == ["Root"]
    made.apply_silence(
        SilenceRecord(SilenceTarget(), None, created_s=54, until_s=1000, requested_by="somebody")
    )
    made.open_silence("apply", None, until_s=1000)
    made.silences.close_engine()
    assert [window.requested_by for window in made.silences.windows(60)] == ["somebody"]


def test_evaluator_ignores_dependents_of_stopped_agent_unless_one_fails() -> None:
    made = alerting()
    for state in ("stopping", "exited"):
        made.update_state("Root", state, "")
        made.update_state("Middle", "degraded", "needs Root")
        made.update_state("Leaf", "degraded", "needs Middle")
        assert reported(made, 0, 100) == []
    made.update_state("Middle", "given-up", "exit code 1")
    (notice,) = reported(made, 101, 105)
    assert (notice.subject, notice.dependents) == ("Middle", ("Leaf",))


def test_alert_starts_at_time_of_its_event() -> None:
    made = alerting()
    made.update_state("Root", "failing", "", since_s=97.5)
    (notice,) = reported(made, 100, 100.6)
    assert notice.since_s == 97.5


def test_evaluator_moves_alert_of_dependent_under_its_cause() -> None:
    made = alerting()
    made.update_state("Leaf", "degraded", "no answer")
    assert [notice.subject for notice in reported(made, 0, 3)] == ["Leaf"]
    made.update_state("Middle", "failing", "")
    raised, cleared = reported(made, 4, 7, 14)
    assert (raised.subject, raised.dependents) == ("Middle", ("Leaf",))
    assert (cleared.kind, cleared.text) == ("cleared", "Leaf is now listed under Middle")
    assert made.dependents_of(raised.key) == ("Leaf",)


def test_restored_alert_is_not_raised_again_and_is_cleared() -> None:
    made = AlertEvaluator(NEEDS)
    made.restore("agent:Root", 5.0, ["Middle"])
    made.update_state("Root", "restart-pending", "exit code 1")
    assert reported(made, 100, 104, 200) == []
    made.update_state("Root", "ready", "")
    assert [(notice.kind, notice.key) for notice in reported(made, 201, 211)] == [("cleared", "agent:Root")]


def test_evaluator_joins_slow_starts_into_one_alert_after_silence() -> None:
    made = alerting()
    for at in range(0, 60, 10):
        for agent in ("Root", "Leaf", "Other"):
            made.start_latency.on_event("spawn-requested", agent, "", at)
            made.start_latency.on_event("state", agent, "ready", at + 1)
    made.open_silence("restart Root", ["Root"], until_s=1000)
    for agent in ("Root", "Leaf"):
        made.start_latency.on_event("spawn-requested", agent, "", 100)
    assert reported(made, 101, 102, 110) == []
    made.start_latency.on_event("state", "Root", "ready", 112)
    made.start_latency.on_event("state", "Leaf", "ready", 109)
    made.silences.close("restart Root")
    (raised, cleared) = reported(made, 113, 114, 124)
    assert (raised.category, raised.subject) == ("slow-start", "Root")
    assert "Root was ready after 12.0 s: 6 earlier starts took 1.00 s in the median, ± 0.00 s" in raised.text
    assert "Leaf was ready after 9.0 s" in raised.text
    assert cleared.kind == "cleared"


def test_evaluator_raises_no_alert_for_stopped_agent() -> None:
    made = alerting()
    for state in ("stopping", "exited"):
        made.update_state("Root", state, "")
        assert reported(made, 0, 100) == []


def test_threshold_alert_is_raised_after_its_duration() -> None:
    made = alerting(thresholds=[AlertThreshold("lag", above=5.0, for_s=10.0, agents=frozenset({"Leaf"}))])
    made.update_metrics("Other", {"lag": 100.0})
    made.update_metrics("Leaf", {"lag": 6.0})
    assert reported(made, 0, 9) == []
    (notice,) = reported(made, 10)
    assert (notice.subject, notice.text) == ("Leaf", "lag above 5 of Leaf")
    made.update_metrics("Leaf", {"lag": 4.0})
    assert [notice.kind for notice in reported(made, 11, 21)] == ["cleared"]


def test_threshold_alert_clears_after_its_own_delay_or_when_agent_stops() -> None:
    bounds = [
        AlertThreshold("lag", above=5.0, for_s=0.0, clear_s=60.0),
        AlertThreshold("load", below=1.0, for_s=0.0),
    ]
    made = alerting(thresholds=bounds)
    made.update_metrics("Leaf", {"lag": 6.0, "load": 0.5})
    assert sorted(notice.metric for notice in reported(made, 0)) == ["lag", "load"]
    made.update_metrics("Leaf", {"lag": 4.0})
    assert reported(made, 1, 60) == []
    assert [notice.text for notice in reported(made, 61)] == ["lag above 5 of Leaf is over"]
    made.update_state("Leaf", "stopping", "")
    assert [notice.text for notice in reported(made, 62, 72)] == ["load below 1 of Leaf is over"]


def test_evaluator_raises_alert_for_unreachable_machine_at_once() -> None:
    made = alerting()
    made.update_reachability("pc2", is_unreachable=False, reason="")
    assert reported(made, 0) == []
    made.update_reachability("pc2", is_unreachable=True, reason="no answer")
    assert [(notice.key, notice.subject) for notice in reported(made, 1)] == [("machine:pc2", "pc2")]
    made.update_reachability("pc2", is_unreachable=False, reason="")
    assert [notice.text for notice in reported(made, 4, 14)] == ["pc2 can be reached again"]


@pytest.mark.parametrize(
    ("asked", "agents"), [(SilenceTarget(machines=("pc2",)), ("Root",)), (SilenceTarget(), None)]
)
def test_silence_by_user_suppresses_alert_of_unreachable_machine(
    asked: SilenceTarget, agents: tuple[str, ...] | None
) -> None:
    made = alerting()
    made.open_silence("apply", None, until_s=1000)
    for machine in ("pc2", "pc3"):
        made.update_reachability(machine, is_unreachable=False, reason="")
        made.update_reachability(machine, is_unreachable=True, reason="no answer")
    made.apply_silence(SilenceRecord(asked, agents, created_s=0, until_s=50, requested_by="somebody"))
    assert [notice.subject for notice in reported(made, 1, 49)] == (["pc3"] if agents else [])
    assert "pc2" in [notice.subject for notice in reported(made, 51)]


def test_evaluator_waits_for_first_contact_with_machine() -> None:
    made = alerting()
    made.update_reachability("pc2", is_unreachable=True, reason="not asked yet")
    assert reported(made, 0, FIRST_CONTACT_S - 1) == []
    assert [notice.subject for notice in reported(made, FIRST_CONTACT_S)] == ["pc2"]


def test_store_alert_is_raised_until_store_can_be_written_again() -> None:
    made = alerting()
    made.update_store("pc1", "the store of pc1 takes nothing: database or disk is full")
    assert reported(made, 0, 2) == []
    (raised,) = reported(made, 3, 4)
    assert (raised.key, raised.subject, raised.category) == ("store:pc1", "pc1", "store")
    assert "database or disk is full" in raised.text
    assert made.is_active(raised.key)
    made.update_state("Root", "failing", "")  # which is reported beside it
    assert [notice.subject for notice in reported(made, 5, 8)] == ["Root"]
    made.update_store("pc1", "")
    assert reported(made, 9, 18) == []
    assert [(each.kind, each.category, each.text) for each in reported(made, 19)] == [
        ("cleared", "store", "the store of pc1 can be written again")
    ]


def test_store_alert_ignores_short_failure_and_damps_flapping() -> None:
    made = alerting(raise_after_s=1.0, clear_after_s=1.0)
    now, notices = 0.0, []
    for lasts in (0.5, *[2.0] * (FLAP_COUNT + 3)):
        for text in ("it takes nothing", ""):
            made.update_store("", text)
            notices += reported(made, now, now + lasts)
            now += 5
    assert [notice.is_flapping for notice in notices if notice.kind == "raised"] == [False] * (
        FLAP_COUNT - 1
    ) + [True]
    assert notices[1].text == "the store of this machine can be written again"


def test_store_alert_is_silenced_by_user_and_not_by_engine() -> None:
    for key, agents, by, subjects in (
        ("apply", None, "argosy", ["pc1"]),
        ("pc1", ("Root",), "somebody", []),
    ):
        made = alerting()
        if by == "argosy":
            made.open_silence(key, agents, until_s=50)
        else:
            made.apply_silence(
                SilenceRecord(
                    SilenceTarget(machines=(key,)), agents, created_s=0, until_s=50, requested_by=by
                )
            )
        made.update_store("pc1", "it takes nothing")
        assert [notice.subject for notice in reported(made, 0, 4)] == subjects


def test_restored_store_alert_is_cleared() -> None:
    made = alerting()
    made.restore("store:pc1", since_s=0.0, dependents=())
    assert [(each.kind, each.key) for each in reported(made, 1, 11)] == [("cleared", "store:pc1")]


STATES = ("waiting", "starting", "ready", "degraded", "failing", "restart-pending", "given-up", "blocked")
NAMES = st.sampled_from([f"A{number}" for number in range(6)])
HAPPENED = st.tuples(NAMES, st.sampled_from((*STATES, "stopping", "exited")), st.integers(0, 20))


@given(
    st.dictionaries(NAMES, st.lists(NAMES, max_size=3)),
    st.lists(
        st.tuples(NAMES, st.sampled_from((*STATES, "stopping", "exited")), st.integers(0, 20)), max_size=60
    ),
)
def test_evaluator_alternates_raise_and_clear_and_lists_each_unhealthy_agent_once(
    needs: dict[str, list[str]], happened: list[tuple[str, str, int]]
) -> None:
    made = AlertEvaluator(
        {agent: [need for need in listed if need < agent] for agent, listed in needs.items()}
    )
    now, is_raised = 0.0, {}
    for agent, state, wait in happened:
        made.update_state(agent, state, "")
        now += wait
        for notice in made.evaluate(now):
            assert is_raised.get(notice.key, False) is (notice.kind == "cleared")
            is_raised[notice.key] = notice.kind == "raised"
    causes = made.causes.dependents_by_cause()
    listed = [agent for cause, dependents in causes.items() for agent in (cause, *dependents)]
    listed = [agent for agent in listed if made.causes.is_unhealthy(agent)]  # a cause may be well again first
    planned = [
        agent
        for agent in made.causes._states
        if made.causes.is_unhealthy(agent) and made.causes.cause_of(agent) is None
    ]
    assert sorted(listed + planned) == sorted(
        agent for agent in made.causes._states if made.causes.is_unhealthy(agent)
    )
    stopped = [agent for agent in made.causes._states if made.causes.is_stopped(agent)]
    assert set(planned) <= set(made.causes.with_dependents(stopped))
