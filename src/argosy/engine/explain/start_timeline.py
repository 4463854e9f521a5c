"""The last start as recorded in the event log: what each agent waited for and for how long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from argosy.engine.explain.timing_history import is_spawn_request
from argosy.engine.protocol.state_machine import READY_STATES, State
from argosy.engine.state.event_log import REMOTE_STATE, EventLogRecord
from argosy.fleet.dependency_graph import CriticalStep, Graph, critical_path
from argosy.fleet.schedule import EdgeCost, compute_edge_costs, compute_ready_times

_READY = frozenset(state.value for state in READY_STATES)


class StartPhase(StrEnum):
    """What an agent does during a part of a start."""

    NEEDS = "needs"  # waits for its needs
    ADMISSION = "admission"  # may start, and waits for a processor
    START = "start"  # its process is not ready yet
    BACKOFF = "backoff"  # waits before a restart
    STOP = "stop"  # stops


class PhaseSpan(msgspec.Struct, frozen=True):
    """One phase of one agent, in seconds from the start of the fleet."""

    phase: StartPhase
    from_s: float
    to_s: float


class AgentBar(msgspec.Struct, frozen=True):
    """One agent in a start.

    ready_s: seconds to its first readiness, None without one. gating_need: the need that was ready last, and
    so decided when the agent could start; empty when none of its needs started here. outcome: its state
    and the reason when it did not become ready. start_count: the number of processes.
    """

    agent: str
    spans: tuple[PhaseSpan, ...]
    ready_s: float | None
    gating_need: str
    outcome: str
    start_count: int

    def time_in(self, phase: StartPhase) -> float:
        """Return the seconds that it spent in one phase."""
        return sum(each.to_s - each.from_s for each in self.spans if each.phase is phase)

    @property
    def may_start_s(self) -> float | None:
        """When it could start for the first time: its needs were ready."""
        ends = [each.to_s for each in self.spans if each.phase is StartPhase.NEEDS]
        begins = [each.from_s for each in self.spans if each.phase is not StartPhase.NEEDS]
        return ends[0] if ends and begins else min(begins, default=None)


class StartTimeline(msgspec.Struct, frozen=True):
    """A start: bars in the order in which the agents could start.

    at_s: epoch seconds of its begin. seconds: until the summary, or until now when it is not complete.
    unlimited_seconds: the duration of the start if no agent had waited for a processor. costs: what each
    need between agents of this start adds to that, the most expensive first.
    """

    at_s: float
    seconds: float
    is_complete: bool
    bars: tuple[AgentBar, ...]
    critical_path: tuple[CriticalStep, ...]
    unlimited_seconds: float
    costs: tuple[EdgeCost, ...]

    @property
    def critical_path_s(self) -> float:
        """When the last agent was ready."""
        return self.critical_path[-1].ready_s if self.critical_path else 0.0


def as_local_record(record: EventLogRecord) -> EventLogRecord:
    """Return a record of a remote agent as if it were of this machine; others unchanged."""
    return msgspec.structs.replace(record, kind="state") if record.kind == REMOTE_STATE else record


def latest_start(records: Iterable[EventLogRecord], graph: Graph, now_s: float) -> StartTimeline | None:
    """Return the last apply that started any process, or None when the event log has none.

    graph: of the fleet as it was applied. now_s: the monotonic clock.
    """
    return next(iter(latest_starts(records, graph, now_s, 1)), None)


def latest_starts(
    records: Iterable[EventLogRecord], graph: Graph, now_s: float, limit: int
) -> list[StartTimeline]:
    """Return the last applies that started any process, the newest first; see `latest_start`."""
    windows = _split_applies(records)
    return [
        _build_timeline(window, graph, now_s, is_last=number == 0)
        for number, window in enumerate(windows[: -limit - 1 : -1])
    ]


def _build_timeline(
    window: list[EventLogRecord], graph: Graph, now_s: float, *, is_last: bool
) -> StartTimeline:
    apply_record = window[0]
    summary = next((record for record in window if record.kind == "apply-summary"), None)
    kept = window[: window.index(summary) + 1] if summary else window
    until_s = summary.mono_s if summary else kept[-1].mono_s
    if summary is None and is_last:
        until_s = max(now_s, until_s)
    end_s = until_s - apply_record.mono_s
    bars = _build_bars(kept, graph, apply_record.mono_s, end_s)
    ready = {bar.agent: bar.ready_s for bar in bars if bar.ready_s is not None}
    inner = graph.subgraph(ready)
    durations_s = {bar.agent: _active_time(bar) for bar in bars if bar.agent in ready}
    return StartTimeline(
        at_s=apply_record.at_s,
        seconds=end_s,
        is_complete=summary is not None,
        bars=tuple(sorted(bars, key=_sort_key)),
        critical_path=_critical_path_of(inner, ready, bars),
        unlimited_seconds=max(compute_ready_times(inner, durations_s).values(), default=0.0),
        costs=compute_edge_costs(inner, durations_s),
    )


def _active_time(bar: AgentBar) -> float:
    """Return how long a ready agent took, from the readiness of its needs on, without admission."""
    return sum(
        each.to_s - each.from_s
        for each in bar.spans
        if each.phase not in (StartPhase.NEEDS, StartPhase.ADMISSION)
    )


def _sort_key(bar: AgentBar) -> tuple[float, float]:
    never = float("inf")
    may_start_s = never if bar.may_start_s is None else bar.may_start_s
    return may_start_s, never if bar.ready_s is None else bar.ready_s


def _split_applies(records: Iterable[EventLogRecord]) -> list[list[EventLogRecord]]:
    """Return the records of each apply that started any process, up to the next apply, oldest first."""
    found: list[list[EventLogRecord]] = []
    current: list[EventLogRecord] = []
    has_spawn_request = False
    for record in records:
        if record.kind == "apply":
            current, has_spawn_request = [], False
        if record.kind == "apply" or current:
            current.append(record)
        if current and not has_spawn_request and is_spawn_request(record):
            found.append(current)  # later records are appended to it
            has_spawn_request = True
    return found


def _build_bars(window: list[EventLogRecord], graph: Graph, began_s: float, end_s: float) -> list[AgentBar]:
    """Return a bar for every agent that this apply started; agents that kept running have none."""
    by_agent: dict[str, list[EventLogRecord]] = {}
    for record in window:
        if record.agent in graph.needs:
            by_agent.setdefault(record.agent, []).append(record)
    started = {name: found for name, found in by_agent.items() if any(map(_is_start_record, found))}
    ready = {name: _first_ready_s(found, began_s) for name, found in started.items()}
    return [
        AgentBar(
            agent=name,
            spans=tuple(_iter_phase_spans(found, began_s, end_s, ready[name])),
            ready_s=ready[name],
            gating_need=_find_gating_need(graph.needs[name], ready),
            outcome="" if ready[name] is not None else _describe_outcome(found),
            start_count=_count_spawn_requests(found),
        )
        for name, found in started.items()
    ]


def _is_start_record(record: EventLogRecord) -> bool:
    return is_spawn_request(record) or (record.kind == "state" and record.state == State.WAITING)


def _first_ready_s(records: Iterable[EventLogRecord], began_s: float) -> float | None:
    is_spawn_requested = False
    for record in records:
        is_spawn_requested = is_spawn_requested or is_spawn_request(record)
        if is_spawn_requested and record.kind == "state" and record.state in _READY:
            return record.mono_s - began_s
    return None


def _count_spawn_requests(records: list[EventLogRecord]) -> int:
    return sum(record.kind == "spawn-requested" for record in records) or int(
        any(map(is_spawn_request, records))
    )


def _describe_outcome(records: Iterable[EventLogRecord]) -> str:
    last = [record for record in records if record.kind == "state"][-1]
    return f"{last.state}, {last.text}" if last.text else last.state


def _find_gating_need(needs: Iterable[str], ready: Mapping[str, float | None]) -> str:
    times = {need: ready_s for need in needs if (ready_s := ready.get(need)) is not None}
    return max(times, key=times.__getitem__) if times else ""


def _phase_after(record: EventLogRecord) -> StartPhase | None:
    """Return the phase that begins with a record; None when the agent is ready, or not to run."""
    if is_spawn_request(record):
        return StartPhase.START
    return {
        State.WAITING.value: StartPhase.NEEDS,
        State.STARTING.value: StartPhase.ADMISSION,
        State.RESTART_PENDING.value: StartPhase.BACKOFF,
        State.STOPPING.value: StartPhase.STOP,
    }.get(record.state)


def _iter_phase_spans(
    records: Iterable[EventLogRecord], began_s: float, end_s: float, ready_s: float | None
) -> Iterable[PhaseSpan]:
    """Yield the phases up to the first readiness, without empty ones."""
    phase: StartPhase | None = None
    since_s = 0.0
    for record in records:
        if record.kind not in ("spawn-requested", "state"):
            continue
        at_s = min(record.mono_s - began_s, end_s)
        after = _phase_after(record)
        if phase is StartPhase.START and record.state == State.STARTING:
            after = StartPhase.START  # the spawn, or a change of the reason
        if after is not phase:
            if phase is not None and at_s > since_s:
                yield PhaseSpan(phase, since_s, at_s)
            phase, since_s = after, at_s
        if ready_s is not None and at_s >= ready_s:
            return
    if phase is not None and end_s > since_s:
        yield PhaseSpan(phase, since_s, end_s)


def _critical_path_of(
    graph: Graph, ready: Mapping[str, float], bars: Iterable[AgentBar]
) -> tuple[CriticalStep, ...]:
    """Return the chain that decided when the fleet was ready; each step from the start of its process."""
    if not ready:
        return ()
    started = {
        bar.agent: bar.ready_s - bar.time_in(StartPhase.START) for bar in bars if bar.ready_s is not None
    }
    return tuple(
        CriticalStep(step.agent, started[step.agent], step.ready_s) for step in critical_path(graph, ready)
    )
