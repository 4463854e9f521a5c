"""The alert manager: evaluates alerts twice a second, persists them, delivers them and starts recoveries."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from argosy.fleet.quantities import parse_duration_s
from argosy.hub.alerts.delivery import AlertDelivery, PendingAlerts, command_sender, webhook_sender
from argosy.hub.alerts.evaluator import AlertEvaluator, AlertThreshold
from argosy.hub.alerts.recovery import RecoveryExecutor
from argosy.hub.alerts.silences import MAX_ENGINE_WINDOW_S, MAX_USER_WINDOW_S, SilenceRecord, silence_record
from argosy.hub.background_tasks import BackgroundTasks
from argosy.hub.store.records import HubEvent, MetricSample
from argosy.hub.store.store_file import is_full
from argosy.hub.store.store_reader import StoredEvent, StoreReader
from argosy.hub.store.store_writer import StoreWriter

if TYPE_CHECKING:
    from argosy.engine.state.event_log import EventLogRecord
    from argosy.fleet.fleet_spec import AgentSpec, Alerts, Fleet
    from argosy.hub.alerts.actions import ActionExecutor
    from argosy.hub.replication.replicator import PeerHubStatus

EVALUATE_EVERY_S: Final = 0.5
STARTUP_GRACE_S: Final = 5.0  # how long evaluation waits for a first supervisor status
_MAX_REPLAYED_ACTIONS: Final = 5000  # read at the start of the hub
_MAX_REPLAYED_STATES: Final = 50  # read at the start, for each agent


class AlertManager:
    """One machine's alerts, their receivers and their recoveries.

    peer_statuses: of the other machines' hubs, updated in place. event_log: the engine's events so far.
    """

    def __init__(
        self,
        writer: StoreWriter,
        machine: str,
        fleet: Fleet,
        peer_statuses: Sequence[PeerHubStatus],
        action_executor: ActionExecutor,
        event_log: Sequence[EventLogRecord] = (),
    ) -> None:
        self._writer = writer
        self._machine = machine
        self._peer_statuses = peer_statuses
        self._started_s = time.time()
        self._clock_offset_s = self._started_s - time.monotonic()  # epoch offset of the monotonic clock
        self.evaluator = AlertEvaluator()
        self._pending = PendingAlerts(writer, self._wake_deliveries)
        self.recovery_executor = RecoveryExecutor(writer, action_executor, self.evaluator, self.now_s)
        self.deliveries: list[AlertDelivery] = []
        self.active_alerts: dict[str, dict[str, Any]] = {}  # by key
        self.tasks = BackgroundTasks()
        self._delivery_tasks: list[asyncio.Task[None]] = []
        self._has_status = self._is_running = False
        for entry in event_log:
            self.evaluator.start_latency.on_event(
                entry.kind, entry.agent, entry.state, self._clock_offset_s + entry.mono_s
            )
        self._latency_since_s = event_log[-1].mono_s if event_log else 0.0
        self.configure(fleet)

    def configure(self, fleet: Fleet) -> None:
        """Apply the alert settings of a fleet file."""
        alerts = fleet.hub.alerts
        self._agents = tuple(fleet.agents)
        self._reports_slow_starts = alerts.slow_start
        self.evaluator.configure(
            needs_of_specs(fleet.agents),
            parse_duration_s(alerts.after),
            parse_duration_s(alerts.clear),
            _thresholds(alerts),
        )
        working_dir = str(Path(fleet.path).parent)
        self.recovery_executor.configure(fleet.hub.recovery, working_dir)
        self.deliveries = [
            AlertDelivery(self._writer, self._pending, self._machine, name, send, {"fleet": fleet.name})
            for name, send in _receivers(alerts, working_dir)
        ]
        if self._is_running:
            self._start_deliveries()

    def _start_deliveries(self) -> None:
        for task in self._delivery_tasks:
            task.cancel()  # an interrupted delivery is repeated with the same key
        self._delivery_tasks = [
            self.tasks.start(f"delivery to {each.name}", each.run) for each in self.deliveries
        ]

    def _wake_deliveries(self) -> None:
        for delivery in self.deliveries:
            delivery.wake()

    def now_s(self) -> float:
        """Return epoch seconds by a monotonic clock."""
        return self._clock_offset_s + time.monotonic()

    # -- input --------------------------------------------------------------------------------

    def mark_status_received(self) -> None:
        """Start evaluation: a supervisor has reported its status."""
        self._has_status = True

    def update(self, events: Iterable[HubEvent], samples: Iterable[MetricSample]) -> None:
        """Update from new events and samples of this machine."""
        for event in events:
            self._update_from_event(event)
        for each in samples:
            self.evaluator.update_metrics(
                each.agent, dict(zip(each.names, array("d", each.values), strict=True))
            )

    def _update_from_event(self, event: HubEvent) -> None:
        at_s = self._time_of(event)
        if event.kind == "state":
            state, reason = str(event.body.get("state", "")), str(event.body.get("text", ""))
            self.evaluator.update_state(event.subject, state, reason, at_s)
        if self._reports_slow_starts and float(event.body.get("mono") or 0.0) > self._latency_since_s:
            self.evaluator.start_latency.on_event(
                event.kind, event.subject, str(event.body.get("state", "")), at_s
            )
        if event.time_ms / 1000 >= self._started_s:  # engine operations of the past are over
            self._update_engine_silences(event, at_s)

    def _update_engine_silences(self, event: HubEvent, at_s: float) -> None:
        """Open and close the silences of engine operations."""
        text = str(event.body.get("text", ""))
        if event.kind == "apply":
            self.evaluator.open_silence("apply", None, at_s + MAX_ENGINE_WINDOW_S)
        elif event.kind == "apply-summary":
            self.evaluator.silences.close("apply")
        elif event.kind == "restart":
            self.evaluator.open_silence(f"restart {text}", text.split(", "), at_s + MAX_ENGINE_WINDOW_S)
        elif event.kind == "restart-finished":
            self.evaluator.silences.close(f"restart {text}")
        elif event.kind == "supervisor":
            self.evaluator.silences.close_engine()

    def on_action(self, machine: str, event: HubEvent) -> None:
        """Apply an action of any machine's hub: a silence holds on every hub."""
        if record := silence_record(event, "" if machine == self._machine else machine):
            self.apply_silence(record)

    def apply_silence(self, record: SilenceRecord) -> bool:
        """Open or end a user's silence; return whether it was open before."""
        self._update_clock_skews()
        if not record.clock_machine:  # convert to the monotonic clock
            ahead_s = time.time() - self.now_s()
            until_s = None if record.until_s is None else record.until_s - ahead_s
            record = msgspec.structs.replace(record, created_s=record.created_s - ahead_s, until_s=until_s)
        return self.evaluator.apply_silence(record)

    def _update_clock_skews(self) -> None:
        ahead_s = time.time() - self.now_s()
        self.evaluator.silences.clock_skews = {
            each.machine: each.skew_s + ahead_s for each in self._peer_statuses
        }

    def _time_of(self, event: HubEvent) -> float:
        mono_s = event.body.get("mono")
        if isinstance(mono_s, float) and mono_s <= time.monotonic():
            return self._clock_offset_s + mono_s
        return event.time_ms / 1000

    # -- evaluation ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Evaluate and deliver until cancelled."""
        self._is_running = True
        self._start_deliveries()
        try:
            while True:
                await asyncio.sleep(EVALUATE_EVERY_S)
                if self._has_status or self.now_s() > self._started_s + STARTUP_GRACE_S:
                    self._evaluate()
        finally:
            for task in self._delivery_tasks:
                task.cancel()
            self.recovery_executor.cancel()

    async def restore(self) -> None:
        """Restore the state of an earlier hub process, so that no alert is raised twice.

        Call before the first `update`.
        """
        now_ms = int(time.time() * 1000)
        week_ms = int(MAX_USER_WINDOW_S * 1000)

        def load(reader: StoreReader) -> tuple[list[HubEvent], list[HubEvent], list[StoredEvent]]:
            alerts = [each.event for each in reader.alerts(self._machine)]
            actions = reader.events_of_kinds(
                ("action",), now_ms - week_ms, now_ms + week_ms, _MAX_REPLAYED_ACTIONS
            )
            return self._agent_events(reader), alerts, actions[::-1]

        agent_events, alerts, actions = await self._writer.read(load)
        for action in actions:
            self.on_action(action.origin.machine, action.event)
        for event in agent_events:
            if event.kind == "state":
                self.evaluator.update_state(
                    event.subject, event.body.get("state", ""), event.body.get("text", "")
                )
            else:
                self.recovery_executor.restore_attempt(event)
        for event in alerts:
            key = str(event.body["key"])
            if event.body["kind"] == "raised":
                self.active_alerts[key] = {
                    name: event.body[name] for name in event.body if name not in ("id", "delivered_to")
                }
            else:
                self.active_alerts.pop(key, None)
        for key, body in self.active_alerts.items():
            self.evaluator.restore(key, body["since_s"], body.get("dependents", ()))

    def _agent_events(self, reader: StoreReader) -> list[HubEvent]:
        """Return this machine's last states of each agent and the recoveries within a budget, oldest first.

        They are read by kind, so that thousands of log lines do not crowd them out.
        """
        since_ms = int((time.time() - self.recovery_executor.budget_window_s()) * 1000)
        found = reader.events_of_kinds(("recovery",), since_ms, 1 << 62)
        for agent in self._agents:
            found += reader.events_of_kinds(("state",), 0, 1 << 62, _MAX_REPLAYED_STATES, agent)
        found.sort(key=lambda each: (each.event.time_ms, each.origin.began_ms, each.number))
        return [each.event for each in found if each.origin.machine == self._machine]

    def _evaluate(self) -> None:
        for peer_status in self._peer_statuses:
            self.evaluator.update_reachability(
                peer_status.machine, is_unreachable=peer_status.is_unreachable, reason=peer_status.reason
            )
        self.evaluator.update_store(self._machine, self._store_failure())
        self._update_clock_skews()
        now_s = self.now_s()
        transitions = self.evaluator.evaluate(now_s)
        for transition in transitions:
            if transition.kind == "raised":
                self.active_alerts[transition.key] = transition.event_body()
            else:
                self.active_alerts.pop(transition.key, None)
        self._pending.add(
            [
                HubEvent(int(each.at_s * 1000), "alert", each.subject, each.event_body())
                for each in transitions
            ]
        )
        self.recovery_executor.start_due(self.active_alerts.values(), now_s)
        for delivery in self.deliveries:
            delivery.wake_if_overdue()

    def _store_failure(self) -> str:
        failure = self._writer.failure
        if not failure:
            return ""
        advice = "free space on" if "full" in failure or is_full(self._writer.directory) else "check"
        return (
            f"the store of {self._machine or 'this machine'} cannot be written: {failure}; {advice} the disk "
            f"of {self._writer.directory} (until then alerts are delivered, and records wait in memory)"
        )

    def alerts(self) -> list[dict[str, Any]]:
        """Return the active alerts, each with its dependents now (`needed_by`: those still healthy)."""
        return [self._current_alert(key, body) for key, body in self.active_alerts.items()]

    def _current_alert(self, key: str, body: Mapping[str, Any]) -> dict[str, Any]:
        dependents = {*body.get("dependents", ()), *self.evaluator.dependents_of(key)}
        unaffected_dependents: set[str] = set()
        if key.startswith("agent:"):
            unaffected_dependents = (
                {*self.evaluator.causes.with_dependents([body["subject"]])} - dependents - {body["subject"]}
            )
        return {**body, "dependents": sorted(dependents), "needed_by": sorted(unaffected_dependents)}


def needs_of_specs(specs: Mapping[str, AgentSpec]) -> dict[str, list[str]]:
    """Return the needs of each agent."""
    return {name: [need.agent for need in spec.needs] for name, spec in specs.items()}


def _thresholds(alerts: Alerts) -> list[AlertThreshold]:
    return [
        AlertThreshold(
            each.metric,
            each.above,
            each.below,
            parse_duration_s(each.lasting),
            None if each.clear is None else parse_duration_s(each.clear),
            frozenset(each.agents) if each.agents else None,
        )
        for each in alerts.thresholds
    ]


def _receivers(alerts: Alerts, working_dir: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    if alerts.webhook:
        found.append(("webhook", webhook_sender(alerts.webhook)))
    if alerts.command:
        found.append(("command", command_sender(alerts.command, working_dir)))
    return found
