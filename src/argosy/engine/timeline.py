"""The last start as the diary tells it: what each agent waited for, how long, and who decided the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from argosy.engine.diary import DISTANT, Entry
from argosy.engine.past import is_order
from argosy.engine.state import READY_STATES, State
from argosy.fleet.graph import Graph, Step, critical_path
from argosy.fleet.schedule import EdgeCost, edge_costs, ready_times

_READY = frozenset(state.value for state in READY_STATES)


class Phase(StrEnum):
    """What an agent does at one time of a start."""

    NEEDS = "needs"  # waits for what it needs
    ROOM = "room"  # may start, and waits for a processor
    START = "start"  # its process is on the way to be ready
    PAUSE = "pause"  # waits before a restart
    STOP = "stop"  # ends


class Stretch(msgspec.Struct, frozen=True):
    """One phase of one agent, in seconds from the start of the fleet."""

    phase: Phase
    from_s: float
    to_s: float


class Bar(msgspec.Struct, frozen=True):
    """One agent in a start.

    ready_s: seconds to its first readiness, None when it has none. gate: the need that was ready last,
    and so decided when this one could start; empty when none of them started here. end: its state and
    the reason when it did not get ready. starts: how many processes that took.
    """

    agent: str
    stretches: tuple[Stretch, ...]
    ready_s: float | None
    gate: str
    end: str
    starts: int

    def spent(self, phase: Phase) -> float:
        """Return the seconds that it spent in one phase."""
        return sum(each.to_s - each.from_s for each in self.stretches if each.phase is phase)

    @property
    def may_start_s(self) -> float | None:
        """When it could start for the first time: its needs were ready."""
        ends = [each.to_s for each in self.stretches if each.phase is Phase.NEEDS]
        begins = [each.from_s for each in self.stretches if each.phase is not Phase.NEEDS]
        return ends[0] if ends and begins else min(begins, default=None)


class Timeline(msgspec.Struct, frozen=True):
    """A start: bars in the order in which the agents could start.

    at_s: epoch seconds of its begin. seconds: until the account, or until now when it is not over.
    needs_alone_s: what the start would have taken, had nobody waited for a processor. costs: what each
    need between agents of this start adds to that, the costliest first.
    """

    at_s: float
    seconds: float
    is_over: bool
    bars: tuple[Bar, ...]
    critical_path: tuple[Step, ...]
    needs_alone_s: float
    costs: tuple[EdgeCost, ...]

    @property
    def critical_path_s(self) -> float:
        """When the last agent was ready."""
        return self.critical_path[-1].ready_s if self.critical_path else 0.0


def as_at_home(entry: Entry) -> Entry:
    """Return what was heard of an agent of another machine as if it were one of this; others as they are."""
    return msgspec.structs.replace(entry, kind="state") if entry.kind == DISTANT else entry


def last_start(entries: Iterable[Entry], graph: Graph, now_s: float) -> Timeline | None:
    """Return the last apply that started anything, or None when the diary has none.

    graph: of the fleet as it was applied. now_s: the monotonic clock.
    """
    return next(iter(last_starts(entries, graph, now_s, 1)), None)


def last_starts(entries: Iterable[Entry], graph: Graph, now_s: float, most: int) -> list[Timeline]:
    """Return the last applies that started anything, the newest first; see `last_start`."""
    windows = _windows(entries)
    return [
        _timeline(window, graph, now_s, is_last=number == 0)
        for number, window in enumerate(windows[: -most - 1 : -1])
    ]


def _timeline(window: list[Entry], graph: Graph, now_s: float, *, is_last: bool) -> Timeline:
    began = window[0]
    account = next((entry for entry in window if entry.kind == "account"), None)
    kept = window[: window.index(account) + 1] if account else window
    until_s = account.mono_s if account else kept[-1].mono_s
    if account is None and is_last:
        until_s = max(now_s, until_s)
    end_s = until_s - began.mono_s
    bars = _bars(kept, graph, began.mono_s, end_s)
    ready = {bar.agent: bar.ready_s for bar in bars if bar.ready_s is not None}
    inner = graph.only(ready)
    takes = {bar.agent: _own_time(bar) for bar in bars if bar.agent in ready}
    return Timeline(
        at_s=began.at_s,
        seconds=end_s,
        is_over=account is not None,
        bars=tuple(sorted(bars, key=_turn)),
        critical_path=_deciding(inner, ready, bars),
        needs_alone_s=max(ready_times(inner, takes).values(), default=0.0),
        costs=edge_costs(inner, takes),
    )


def _own_time(bar: Bar) -> float:
    """Return what a ready agent took for itself, from the readiness of its needs on."""
    return sum(
        each.to_s - each.from_s for each in bar.stretches if each.phase not in (Phase.NEEDS, Phase.ROOM)
    )


def _turn(bar: Bar) -> tuple[float, float]:
    never = float("inf")
    may_start_s = never if bar.may_start_s is None else bar.may_start_s
    return may_start_s, never if bar.ready_s is None else bar.ready_s


def _windows(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Return the entries from each apply that ordered a process to the next apply, oldest first."""
    found: list[list[Entry]] = []
    current: list[Entry] = []
    has_order = False
    for entry in entries:
        if entry.kind == "apply":
            current, has_order = [], False
        if entry.kind == "apply" or current:
            current.append(entry)
        if current and not has_order and is_order(entry):
            found.append(current)  # which goes on growing
            has_order = True
    return found


def _bars(window: list[Entry], graph: Graph, began_s: float, end_s: float) -> list[Bar]:
    """Return a bar for every agent that this apply began with; what ran on has none."""
    by_agent: dict[str, list[Entry]] = {}
    for entry in window:
        if entry.agent in graph.needs:
            by_agent.setdefault(entry.agent, []).append(entry)
    begun = {name: found for name, found in by_agent.items() if any(map(_is_begin, found))}
    ready = {name: _first_ready(found, began_s) for name, found in begun.items()}
    return [
        Bar(
            agent=name,
            stretches=tuple(_stretches(found, began_s, end_s, ready[name])),
            ready_s=ready[name],
            gate=_gate(graph.needs[name], ready),
            end="" if ready[name] is not None else _end(found),
            starts=_orders(found),
        )
        for name, found in begun.items()
    ]


def _is_begin(entry: Entry) -> bool:
    return is_order(entry) or (entry.kind == "state" and entry.state == State.WAITING)


def _first_ready(entries: Iterable[Entry], began_s: float) -> float | None:
    is_ordered = False
    for entry in entries:
        is_ordered = is_ordered or is_order(entry)
        if is_ordered and entry.kind == "state" and entry.state in _READY:
            return entry.mono_s - began_s
    return None


def _orders(entries: list[Entry]) -> int:
    return sum(entry.kind == "order" for entry in entries) or int(any(map(is_order, entries)))


def _end(entries: Iterable[Entry]) -> str:
    last = [entry for entry in entries if entry.kind == "state"][-1]
    return f"{last.state}, {last.text}" if last.text else last.state


def _gate(needs: Iterable[str], ready: Mapping[str, float | None]) -> str:
    times = {need: ready_s for need in needs if (ready_s := ready.get(need)) is not None}
    return max(times, key=times.__getitem__) if times else ""


def _phase_after(entry: Entry) -> Phase | None:
    """Return what begins with an entry; None when the agent is ready, or at rest."""
    if is_order(entry):
        return Phase.START
    return {
        State.WAITING.value: Phase.NEEDS,
        State.STARTING.value: Phase.ROOM,
        State.RESTART_PENDING.value: Phase.PAUSE,
        State.STOPPING.value: Phase.STOP,
    }.get(entry.state)


def _stretches(
    entries: Iterable[Entry], began_s: float, end_s: float, ready_s: float | None
) -> Iterable[Stretch]:
    """Yield the phases up to the first readiness, none of them empty."""
    phase: Phase | None = None
    since_s = 0.0
    for entry in entries:
        if entry.kind not in ("order", "state"):
            continue
        at_s = min(entry.mono_s - began_s, end_s)
        after = _phase_after(entry)
        if phase is Phase.START and entry.state == State.STARTING:
            after = Phase.START  # the birth, or a word about it
        if after is not phase:
            if phase is not None and at_s > since_s:
                yield Stretch(phase, since_s, at_s)
            phase, since_s = after, at_s
        if ready_s is not None and at_s >= ready_s:
            return
    if phase is not None and end_s > since_s:
        yield Stretch(phase, since_s, end_s)


def _deciding(graph: Graph, ready: Mapping[str, float], bars: Iterable[Bar]) -> tuple[Step, ...]:
    """Return the chain that decided when the fleet was ready; each step from when its process began."""
    if not ready:
        return ()
    begun = {bar.agent: bar.ready_s - bar.spent(Phase.START) for bar in bars if bar.ready_s is not None}
    return tuple(Step(step.agent, begun[step.agent], step.ready_s) for step in critical_path(graph, ready))
