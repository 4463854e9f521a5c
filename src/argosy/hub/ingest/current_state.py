"""The current state and last metrics of each agent on every machine, from the records of all hubs."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from argosy.hub.store.block_codec import decode_block
from argosy.hub.store.legacy_names import decode_event
from argosy.hub.store.records import (
    ChunkColumn,
    HubEvent,
    MetricSample,
    RecordBatch,
    RecordOrigin,
    RecordStream,
    SampleRow,
    SeriesSchema,
    decode_header,
    decode_row,
)
from argosy.hub.store.store_reader import StoreReader

_LIBRARY_METRIC: Final = "loop_lag_ms"  # in the samples that an agent of the library reports each second
_STALE_AFTER_S: Final = 10.0
_STALE_AFTER_FIRST_S: Final = 60.0  # while the interval of a metric is unknown
_MAX_MISSED: Final = 4
EXPIRE_AFTER_S: Final = 300.0  # age at which a metric is dropped


class _Arrival(NamedTuple):
    """When a metric was last received (monotonic) and measured, and the interval since the one before."""

    received_s: float
    time_ms: int
    interval_ms: int | None

    @property
    def stale_after_s(self) -> float:
        """The age at which the metric is stale."""
        if self.interval_ms is None:
            return _STALE_AFTER_FIRST_S
        return max(_STALE_AFTER_S, _MAX_MISSED * self.interval_ms / 1000)


class AgentSnapshot(msgspec.Struct):
    """One agent now. Times are epoch seconds by its machine's clock, or epoch milliseconds (`_ms`).

    since: its last change of state. metrics: by name; replaced, never changed in place. metrics_ms: when the
    newest of `metrics` was measured. reported_ms: the newest that the agent reported itself. silent_since:
    its last heartbeat, None unless one is missed.
    """

    agent: str
    machine: str
    state: str = "unknown"
    since: float = 0.0
    reason: str = ""
    pid: int | None = None
    metrics: dict[str, float] = {}
    metrics_ms: int = 0
    reported_ms: int = 0
    silent_since: float | None = None
    _arrivals: dict[str, _Arrival] = msgspec.field(default_factory=dict)

    def update(self, sample: MetricSample, now_s: float) -> None:
        """Add a sample received at `now_s` (monotonic), unless it is too old."""
        if sample.time_ms < self.metrics_ms - 1000 * EXPIRE_AFTER_S:
            return  # sent by a hub that catches up
        is_self_reported = _LIBRARY_METRIC in sample.names
        previous = self._arrivals.get(sample.names[0]) if sample.names else None
        interval_ms = sample.time_ms - previous.time_ms if previous else None
        arrival = _Arrival(now_s, sample.time_ms, 0 if is_self_reported else interval_ms)
        self._arrivals.update(dict.fromkeys(sample.names, arrival))
        self.metrics = {**self.metrics, **dict(zip(sample.names, array("d", sample.values), strict=True))}
        self.metrics_ms = max(self.metrics_ms, sample.time_ms)
        if is_self_reported:
            self.reported_ms = max(self.reported_ms, sample.time_ms)

    def stale_metrics(self, now_s: float) -> dict[str, float]:
        """Return the metrics overdue by several intervals, each with its age in seconds."""
        ages = {
            name: (now_s - arrival.received_s, arrival.stale_after_s)
            for name, arrival in self._arrivals.items()
        }
        return {name: age_s for name, (age_s, bound_s) in ages.items() if age_s > bound_s}

    def expire(self, now_s: float) -> None:
        """Drop the metrics not received for `EXPIRE_AFTER_S`."""
        expired = {
            name for name, arrival in self._arrivals.items() if now_s - arrival.received_s >= EXPIRE_AFTER_S
        }
        if expired:
            self.metrics = {name: each for name, each in self.metrics.items() if name not in expired}
            self._arrivals = {name: each for name, each in self._arrivals.items() if name not in expired}

    def last_seen(self) -> float | None:
        """Return when the agent last reported, epoch seconds; None if it never does."""
        return max(self.reported_ms / 1000, self.silent_since or 0.0) or None


class CurrentState:
    """All agents that records mention. on_change: called with each change of a state."""

    KINDS: Final = frozenset(("state",))  # event kinds that change an agent's state

    def __init__(self, on_change: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
        self._on_change = on_change
        self.agents: dict[tuple[str, str], AgentSnapshot] = {}

    def get_or_add(self, machine: str, agent: str) -> AgentSnapshot:
        """Return an agent's snapshot, a new one if it is unknown."""
        key = machine, agent
        found = self.agents.get(key)
        if found is None:
            found = self.agents[key] = AgentSnapshot(agent, machine)
        return found

    def update(self, machine: str, events: Iterable[HubEvent], samples: Iterable[MetricSample] = ()) -> None:
        """Process records of a machine in order; an outdated state is only published."""
        for event in events:
            if event.kind in self.KINDS and event.subject:
                self._on_state(machine, event)
        now_s = time.monotonic()
        for each in samples:
            self.get_or_add(machine, each.agent).update(each, now_s)

    def expire_metrics(self) -> None:
        """Drop the metrics not received for `EXPIRE_AFTER_S`."""
        now_s = time.monotonic()
        for snapshot in self.agents.values():
            snapshot.expire(now_s)

    def _on_state(self, machine: str, event: HubEvent) -> None:
        snapshot = self.get_or_add(machine, event.subject)
        reported = AgentSnapshot(
            event.subject,
            machine,
            str(event.body.get("state", "")),
            event.time_ms / 1000,
            str(event.body.get("text", "")),
            event.body.get("pid"),
        )
        if reported.since >= snapshot.since:
            snapshot.state, snapshot.since = reported.state, reported.since
            snapshot.reason, snapshot.pid = reported.reason, reported.pid
            snapshot.silent_since = None  # until the next supervisor status
        self._on_change(to_document(reported))  # even if a supervisor status has overtaken it: it happened

    def reconcile(
        self,
        machine: str,
        agent: str,
        state: str,
        since: float,
        reason: str,
        pid: int | None,
        silent_since: float | None = None,
    ) -> None:
        """Apply a supervisor status, which is right whatever events were missed. machine: as declared."""
        snapshot = self.get_or_add(machine, agent)
        has_changed = (snapshot.state, snapshot.pid) != (state, pid)
        has_silence_changed = (snapshot.silent_since is None) != (silent_since is None)
        snapshot.state, snapshot.reason, snapshot.pid = state, reason, pid
        snapshot.silent_since = silent_since
        if has_changed:
            snapshot.since = since or snapshot.since
        if has_changed or has_silence_changed:
            self._on_change(to_document(snapshot))

    def as_documents(self) -> list[dict[str, Any]]:
        """Return all snapshots as JSON documents."""
        return [to_document(each) for each in self.agents.values()]


def to_document(snapshot: AgentSnapshot) -> dict[str, Any]:
    """Return a snapshot as a JSON document."""
    return {
        "agent": snapshot.agent,
        "machine": snapshot.machine,
        "state": snapshot.state,
        "since": snapshot.since,
        "reason": snapshot.reason,
        "pid": snapshot.pid,
        "silent_since": snapshot.silent_since,
    }


class StateUpdater:
    """Applies records to the current state.

    machine_of: returns the machine that an agent is declared on, None if unknown. on_action: called with each
    action received from another machine's hub.
    """

    def __init__(
        self,
        current_state: CurrentState,
        reader: StoreReader,
        machine_of: Callable[[str], str | None],
        on_action: Callable[[str, HubEvent], object],
    ) -> None:
        self._current_state = current_state
        self._on_action = on_action
        self._machine_of = machine_of
        self._schemas: dict[RecordOrigin, dict[int, SeriesSchema]] = {}
        for origin, schema in reader.schemas():
            self._schemas.setdefault(origin, {})[schema.schema_id] = schema
        for stored_event in reader.last_states():
            self.update(stored_event.origin.machine, [stored_event.event], ())

    def update(self, machine: str, events: Sequence[HubEvent], samples: Iterable[MetricSample]) -> None:
        """Apply events and samples of a machine's hub."""
        for event in events:
            self._current_state.update(self._machine_of(event.subject) or machine, [event])
        for each in samples:
            self._current_state.update(self._machine_of(each.agent) or machine, (), [each])

    def update_from_batch(self, batch: RecordBatch) -> None:
        """Apply a batch received from another hub."""
        if batch.stream is RecordStream.EVENTS:
            for row in batch.rows:
                kind = decode_header(row).kind
                if kind in CurrentState.KINDS:
                    self.update(batch.origin.machine, [decode_event(row)], ())
                elif kind == "action":
                    self._on_action(batch.origin.machine, decode_event(row))
            return
        self._add_schemas(batch.origin, batch.schemas)
        for row in batch.rows:
            self.update(batch.origin.machine, (), self._samples(batch.origin, decode_row(row)))
        self._add_schemas(batch.origin, (column.schema for column in batch.columns))
        if batch.chunk and not batch.chunk.step_ms:
            self.update(batch.origin.machine, (), map(_last_sample, batch.columns))

    def _samples(self, origin: RecordOrigin, sample_row: SampleRow) -> Iterator[MetricSample]:
        known = self._add_schemas(origin, sample_row.schemas)
        offset = 0
        for schema_id, time_ms in zip(
            array("I", sample_row.schema_ids), array("d", sample_row.times), strict=True
        ):
            schema = known.get(schema_id)
            if schema is None:
                return  # the schema was dropped, so the offsets after it are unknown
            end = offset + 8 * len(schema.names)
            yield MetricSample(schema.agent, schema.names, int(time_ms), sample_row.values[offset:end])
            offset = end

    def _add_schemas(self, origin: RecordOrigin, schemas: Iterable[SeriesSchema]) -> dict[int, SeriesSchema]:
        known = self._schemas.setdefault(origin, {})
        known.update((schema.schema_id, schema) for schema in schemas)
        return known


def _last_sample(column: ChunkColumn) -> MetricSample:
    values = array("d", [decode_block(block)[-1] for block in column.values])
    return MetricSample(
        column.schema.agent, column.schema.names, int(decode_block(column.times)[-1]), values.tobytes()
    )
