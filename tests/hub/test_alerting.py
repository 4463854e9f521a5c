"""Alerts: one for each cause, damped, never in planned work, along any graph."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from argosy.hub.alerting import CALM_S, FLAPS, Alerting, Notice, Threshold

NEEDS = {"Root": [], "Middle": ["Root"], "Leaf": ["Middle"], "Other": []}


def alerting(**options: object) -> Alerting:
    made = Alerting(NEEDS, **options)  # type: ignore[arg-type]
    for agent in NEEDS:
        made.hear_state(agent, "ready", "")
    return made


def told(made: Alerting, *times: float) -> list[Notice]:
    return [notice for at in times for notice in made.look(at)]


def test_one_cause_is_one_alert_with_what_hangs_on_it() -> None:
    made = alerting()
    made.hear_state("Root", "given-up", "exit code 1")
    made.hear_state("Middle", "degraded", "needs Root")
    made.hear_state("Leaf", "blocked", "needs Middle")
    assert told(made, 0, 1, 2) == []
    (notice,) = told(made, 3, 4, 5)
    assert (notice.kind, notice.subject, notice.dependents) == ("raised", "Root", ("Leaf", "Middle"))
    assert "exit code 1" in notice.text
    for agent in NEEDS:
        made.hear_state(agent, "ready", "")
    assert told(made, 6, 10, 15) == []
    (cleared,) = told(made, 16, 17)
    assert (cleared.kind, cleared.key) == ("cleared", notice.key)


def test_a_restart_that_is_quick_wakes_nobody() -> None:
    made = alerting()
    made.hear_state("Root", "restart-pending", "")
    assert told(made, 0, 1) == []
    made.hear_state("Root", "ready", "")
    assert told(made, 2, 100) == []


def test_what_was_never_ready_and_only_starts_is_no_trouble_and_what_failed_is() -> None:
    made = Alerting(NEEDS)
    made.hear_state("Root", "starting", "")
    made.hear_state("Middle", "waiting", "")
    assert told(made, 0, 100) == []
    made.hear_state("Root", "given-up", "no such file")
    assert [notice.subject for notice in told(made, 101, 105)] == ["Root"]


def test_flapping_is_told_once_and_then_calm() -> None:
    made = alerting(after_s=1.0, clear_s=1.0)
    now, notices = 0.0, []
    for _ in range(FLAPS + 4):
        for state in ("failing", "ready"):
            made.hear_state("Root", state, "")
            notices += told(made, now, now + 2)
            now += 5
    raised = [notice for notice in notices if notice.kind == "raised"]
    assert [notice.is_flapping for notice in raised] == [False] * (FLAPS - 1) + [True]
    assert told(made, now, now + CALM_S - 10) == []
    (calm,) = told(made, now + CALM_S)
    assert calm.kind == "cleared"
    made.hear_state("Root", "failing", "")
    (again,) = told(made, now + CALM_S + 1, now + CALM_S + 3)
    assert not again.is_flapping


def test_planned_work_is_quiet_and_its_time_does_not_count() -> None:
    made = alerting()
    made.open_quiet()
    made.hear_state("Root", "starting", "")
    assert told(made, 0, 50, 100) == []
    made.close_quiet()
    assert told(made, 101, 103) == []
    assert [notice.subject for notice in told(made, 105)] == ["Root"]


def test_what_was_stopped_is_no_trouble() -> None:
    made = alerting()
    for state in ("stopping", "exited"):
        made.hear_state("Root", state, "")
        assert told(made, 0, 100) == []


def test_a_threshold_has_to_be_passed_for_its_time() -> None:
    made = alerting(thresholds=[Threshold("lag", above=5.0, for_s=10.0, agents=frozenset({"Leaf"}))])
    made.hear_figures("Other", {"lag": 100.0})
    made.hear_figures("Leaf", {"lag": 6.0})
    assert told(made, 0, 9) == []
    (notice,) = told(made, 10)
    assert (notice.subject, notice.text) == ("Leaf", "lag above 5 of Leaf")
    made.hear_figures("Leaf", {"lag": 4.0})
    assert [notice.kind for notice in told(made, 11, 21)] == ["cleared"]


def test_a_machine_that_cannot_be_seen_is_one_alert() -> None:
    made = alerting()
    made.hear_sight("pc2", is_blind=True, reason="no answer")
    assert [(notice.key, notice.subject) for notice in told(made, 0, 3)] == [("machine:pc2", "pc2")]
    made.hear_sight("pc2", is_blind=False, reason="")
    assert [notice.kind for notice in told(made, 4, 14)] == ["cleared"]


STATES = ("waiting", "starting", "ready", "degraded", "failing", "restart-pending", "given-up", "blocked")
NAMES = st.sampled_from([f"A{number}" for number in range(6)])
HAPPENED = st.tuples(NAMES, st.sampled_from((*STATES, "stopping", "exited")), st.integers(0, 20))


@given(
    st.dictionaries(NAMES, st.lists(NAMES, max_size=3)),
    st.lists(
        st.tuples(NAMES, st.sampled_from((*STATES, "stopping", "exited")), st.integers(0, 20)), max_size=60
    ),
)
def test_raises_and_clears_take_turns_and_every_trouble_is_under_a_cause(
    needs: dict[str, list[str]], happened: list[tuple[str, str, int]]
) -> None:
    made = Alerting(needs)
    now, is_raised = 0.0, {}
    for agent, state, wait in happened:
        made.hear_state(agent, state, "")
        now += wait
        for notice in made.look(now):
            assert is_raised.get(notice.key, False) is (notice.kind == "cleared")
            is_raised[notice.key] = notice.kind == "raised"
    causes = made._causes()
    listed = [agent for cause, dependents in causes.items() for agent in (cause, *dependents)]
    assert sorted(listed) == sorted(agent for agent in made._states if made._in_trouble(agent))
