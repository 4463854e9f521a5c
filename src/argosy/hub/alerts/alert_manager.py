"""The watch: what comes in of this machine is judged twice a second, and alerts are kept and delivered."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from argosy.fleet.quantities import parse_duration_s
from argosy.hub.alerts.delivery import AlertDelivery, command_sender, webhook_sender
from argosy.hub.alerts.evaluator import AlertEvaluator, AlertThreshold
from argosy.hub.alerts.pending_alerts import PendingAlerts
from argosy.hub.alerts.recovery_executor import RecoveryExecutor
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
STARTUP_GRACE_S: Final = 5.0  # without a supervisor's word nothing is judged for so long
_MAX_REPLAYED_ACTIONS: Final = 5000  # that are looked at again when a hub begins
_MAX_REPLAYED_STATES: Final = 50  # of each agent, likewise


class AlertManager:
    """One machine's alerts, where they go, and what is done about them.

    sights: of the other machines, as they are now. past: the engine's diary so far.
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
        self._clock_offset_s = self._started_s - time.monotonic()  # one that nobody can set back
        self.evaluator = AlertEvaluator()
        self._pending = PendingAlerts(writer)
        self._pending.on_persisted = self._wake_deliveries
        self.recovery_executor = RecoveryExecutor(writer, action_executor, self.evaluator, self.now_s)
        self.deliveries: list[AlertDelivery] = []
        self.active_alerts: dict[str, dict[str, Any]] = {}  # alerts that are raised, by key
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
        """Go by this fleet from now on."""
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
            task.cancel()  # what was on its way is sent again, with the same key
        self._delivery_tasks = [
            self.tasks.start(f"the delivery to {each.name}", each.run) for each in self.deliveries
        ]

    def _wake_deliveries(self) -> None:
        for delivery in self.deliveries:
            delivery.wake()

    def now_s(self) -> float:
        """Return epoch seconds by a clock that goes on evenly."""
        return self._clock_offset_s + time.monotonic()

    # -- what it is told ----------------------------------------------------------------------

    def mark_status_received(self) -> None:
        """Begin to judge: a supervisor has said how things are."""
        self._has_status = True

    def update(self, events: Iterable[HubEvent], samples: Iterable[MetricSample]) -> None:
        """Take what this machine has to say."""
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
        if event.time_ms / 1000 >= self._started_s:  # the windows of the past are closed
            self._update_engine_silences(event, at_s)

    def _update_engine_silences(self, event: HubEvent, at_s: float) -> None:
        """Open and close the windows of what the engine does for an order."""
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
        """Take an action that a machine's hub has kept: what is to be quiet is so on every hub."""
        if word := silence_record(event, "" if machine == self._machine else machine):
            self.apply_silence(word)

    def apply_silence(self, record: SilenceRecord) -> bool:
        """Take a person's word on what is to be quiet; return whether it was."""
        self._update_clock_skews()
        if not record.clock_machine:  # from now on by a clock that goes on evenly
            ahead_s = time.time() - self.now_s()
            until_s = None if record.until_s is None else record.until_s - ahead_s
            record = msgspec.structs.replace(record, said_s=record.created_s - ahead_s, until_s=until_s)
        return self.evaluator.apply_silence(record)

    def _update_clock_skews(self) -> None:
        ahead_s = time.time() - self.now_s()
        self.evaluator.silences.clock_skews = {
            sight.machine: sight.skew_s + ahead_s for sight in self._peer_statuses
        }

    def _time_of(self, event: HubEvent) -> float:
        mono_s = event.body.get("mono")
        if isinstance(mono_s, float) and mono_s <= time.monotonic():
            return self._clock_offset_s + mono_s
        return event.time_ms / 1000

    # -- what it does -------------------------------------------------------------------------

    async def run(self) -> None:
        """Judge and deliver until cancelled."""
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
        """Go on where an earlier life of this hub was: what was told is not told again. To be called before
        anything new is heard.
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
                    name: event.body[name] for name in event.body if name not in ("id", "had")
                }
            else:
                self.active_alerts.pop(key, None)
        for key, body in self.active_alerts.items():
            self.evaluator.restore(key, body["since_s"], body.get("dependents", ()))

    def _agent_events(self, reader: StoreReader) -> list[HubEvent]:
        """Return this machine's last states of each agent, and all recoveries that count for a budget, oldest
        first; whatever else has been told since, as log lines are by the thousand, pushes none of them out.
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
        advice = "make room on" if "full" in failure or is_full(self._writer.directory) else "see to"
        return (
            f"the store of {self._machine or 'this machine'} takes nothing: {failure}; {advice} the disk of "
            f"{self._writer.directory} (what happens until then is told, and kept once there is room)"
        )

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that are open, each with who hangs on it now, and who needs it and runs on."""
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
    """Return whom each agent needs."""
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
        found.append(("the webhook", webhook_sender(alerts.webhook)))
    if alerts.command:
        found.append(("the command", command_sender(alerts.command, working_dir)))
    return found
