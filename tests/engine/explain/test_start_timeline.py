"""Start timeline and measured durations, from event logs made by hand."""

from __future__ import annotations

from collections.abc import Iterator

from argosy.engine.explain.start_timeline import StartPhase, latest_start
from argosy.engine.explain.timing_history import MAX_SAMPLES, load_timing_history
from argosy.engine.state.event_log import EventLogRecord
from argosy.fleet.dependency_graph import graph_from_edges


def entries(*lines: str, at: float = 100.0) -> Iterator[EventLogRecord]:
    """Each line is `seconds kind-or-state [agent [pid]]`."""
    for number, line in enumerate(lines):
        seconds, kind, *rest = line.split()
        is_state = kind not in ("apply", "apply-summary", "spawn-requested", "adopted")
        yield EventLogRecord(
            sequence=number,
            at_s=1e9 + float(seconds),
            mono_s=at + float(seconds),
            kind="state" if is_state else kind,
            state=kind if is_state else "",
            agent=rest[0] if rest else "",
            pid=int(rest[1]) if len(rest) > 1 else None,
        )


START = (
    "0 apply",
    "0 waiting A",
    "0 starting A",
    "0 waiting B",
    "1 spawn-requested A",
    "1.5 starting A 11",
    "3 ready A",
    "3 starting B",
    "3 spawn-requested B",
    "7 ready B",
    "7 apply-summary",
)
GRAPH = graph_from_edges({"A": [], "B": ["A"], "C": []})


def test_timeline_has_phases_gating_needs_and_critical_path() -> None:
    timeline = latest_start(entries(*START), GRAPH, 999.0)
    assert timeline is not None
    assert (timeline.seconds, timeline.is_complete) == (7.0, True)
    first, second = timeline.bars
    assert [(each.phase, each.from_s, each.to_s) for each in first.spans] == [
        (StartPhase.ADMISSION, 0.0, 1.0),
        (StartPhase.START, 1.0, 3.0),
    ]
    assert [(each.phase, each.from_s, each.to_s) for each in second.spans] == [
        (StartPhase.NEEDS, 0.0, 3.0),
        (StartPhase.START, 3.0, 7.0),
    ]
    assert (first.gating_need, second.gating_need) == ("", "A")
    assert [(step.agent, step.started_s, step.ready_s) for step in timeline.critical_path] == [
        ("A", 1.0, 3.0),
        ("B", 3.0, 7.0),
    ]
    assert timeline.unlimited_seconds == 6.0
    assert [(cost.agent, cost.need, cost.agent_s, cost.fleet_s) for cost in timeline.costs] == [
        ("B", "A", 2.0, 2.0)
    ]


def test_timeline_ends_at_apply_summary() -> None:
    later = ("9 restart-pending B", "9 spawn-requested B", "20 ready B")
    timeline = latest_start(entries(*START, *later), GRAPH, 999.0)
    assert timeline is not None
    assert [bar.ready_s for bar in timeline.bars] == [3.0, 7.0]


def test_timeline_skips_apply_without_starts() -> None:
    timeline = latest_start(entries(*START, "30 apply", "30 apply-summary"), GRAPH, 999.0)
    assert timeline is not None
    assert timeline.seconds == 7.0


def test_timeline_of_unfinished_start_lasts_until_now() -> None:
    timeline = latest_start(entries(*START[:5]), GRAPH, 104.0)
    assert timeline is not None
    assert (timeline.seconds, timeline.is_complete, timeline.critical_path) == (4.0, False, ())
    assert [(bar.agent, bar.ready_s, bar.time_in(StartPhase.START)) for bar in timeline.bars] == [
        ("A", None, 3.0),
        ("B", None, 0.0),
    ]


def test_timeline_bar_includes_restart_after_failed_start() -> None:
    lines = (
        "0 apply",
        "0 waiting A",
        "0 starting A",
        "0 spawn-requested A",
        "1 restart-pending A",
        "2 waiting A",
        "2 starting A",
        "2 spawn-requested A",
        "5 ready A",
        "5 waiting C",
        "5 blocked C",
        "6 apply-summary",
    )
    timeline = latest_start(entries(*lines), GRAPH, 999.0)
    assert timeline is not None
    bars = {bar.agent: bar for bar in timeline.bars}
    assert (bars["A"].start_count, bars["A"].ready_s) == (2, 5.0)
    assert (bars["A"].time_in(StartPhase.START), bars["A"].time_in(StartPhase.BACKOFF)) == (4.0, 1.0)
    assert (bars["C"].ready_s, bars["C"].outcome) == (None, "blocked")


def test_timeline_is_none_without_start() -> None:
    assert latest_start(entries(), GRAPH, 0.0) is None
    assert latest_start(entries("0 apply", "0 apply-summary"), GRAPH, 0.0) is None


def test_timing_history_is_median_of_last_ready_starts() -> None:
    lines = []
    for second in range(0, 10 * (MAX_SAMPLES + 5), 10):
        is_new = second >= 50
        lines += [f"{second} order A", f"{second} starting A 7", f"{second + (2 if is_new else 9)} ready A"]
        lines += [f"{second + 9} stopping A", f"{second + 9.5} exited A"]
    past = load_timing_history(entries(*lines))["A"]
    assert past.starts_s == (2.0,) * MAX_SAMPLES
    assert (past.median_start_s, past.median_stop_s) == (2.0, 0.5)


def test_timing_history_skips_failed_and_adopted_starts() -> None:
    lines = (
        "0 spawn-requested A",
        "5 restart-pending A",
        "6 spawn-requested A",
        "7 adopted A",
        "8 ready A",
        "9 degraded B",
    )
    assert load_timing_history(entries(*lines)) == {}


def test_timing_history_counts_from_spawn_without_request_event() -> None:
    assert load_timing_history(entries("0 starting A", "1 starting A 7", "3 ready A"))["A"].starts_s == (2.0,)
