"""The health of a BaseAgent: its health document, and what its supervisor is sent.

All of it runs in the responder's thread. The status is that of the main thread's stage; only
while that is the work loop, the agent's own payload is added and may make it worse.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from argosy.agent.health import (
    Health,
    Status,
    health_document,
    metric_facts,
    normalize_status,
    with_missing_packages,
)
from argosy.agent.legacy.health_worker import HealthWorker
from argosy.agent.legacy.main_thread import (
    SETTLE_TIME_S,
    MainThreadHealth,
    MainThreadProgress,
    MainThreadStage,
)
from argosy.agent.legacy.responder_thread import ResponderThread

RECHECK_S: Final = 0.25  # while the main thread is between its constructor and its work loop

_FINAL_STATUSES: Final = frozenset((Status.STOPPING, Status.FAILING))


class HealthReporter:
    """One agent's health, for health requests and the notify socket.

    moved_binds: binds that were redirected; other_agents: further agents of this process. Both are reported
    with the health. on_settled: called once, some time after the agent has become ready. on_leaving: called
    once, when the main thread has left its work. get_dependencies: returns the states of the agents that the
    agent needs and wants.
    """

    def __init__(
        self,
        progress: MainThreadProgress,
        health_worker: HealthWorker,
        responder: ResponderThread,
        moved_binds: Mapping[str, str],
        other_agents: Mapping[str, None],
        on_settled: Callable[[], object],
        on_leaving: Callable[[], object],
        get_dependencies: Callable[[], dict[str, dict[str, str]]],
    ) -> None:
        self._progress = progress
        self._health_worker = health_worker
        self._responder = responder
        self._moved_binds = moved_binds
        self._other_agents = other_agents
        self._on_settled = on_settled
        self._on_leaving = on_leaving
        self._get_dependencies = get_dependencies
        self._status = responder.status
        self._started_s = self._heartbeat_s = time.monotonic()

    def with_document(self, on_document: Callable[[dict[str, Any]], object]) -> None:
        """Call `on_document` with the health document, at once or as soon as the agent's payload is there."""
        if self._progress.health().status is Status.OK:
            self._health_worker.request(lambda: on_document(self.document()))
        else:
            on_document(self.document())

    def document(self) -> dict[str, Any]:
        """Return the reply of the health standard."""
        health = self._update_health(self._progress.health())
        counts = self._responder.statistics()
        counts["in_flight"] = max(0, counts["in_flight"] - 1)  # this request itself
        metrics = metric_facts(counts, self._progress.lag_s())
        uptime_s = time.monotonic() - self._started_s
        return health_document(
            self._responder.name, health, self._status.since, uptime_s, metrics, self._get_dependencies()
        )

    def _update_health(self, main_thread: MainThreadHealth) -> Health:
        """Return the agent's health, and keep the time of its last change."""
        is_ok = main_thread.status is Status.OK
        health = (
            with_missing_packages(self._agent_health())
            if is_ok
            else Health(main_thread.status, main_thread.reason)
        )
        noted = {"moved_binds": dict(self._moved_binds), "other_agents": list(self._other_agents)}
        if reported := {key: value for key, value in noted.items() if value}:
            health = msgspec.structs.replace(health, facts={**health.facts, **reported})
        self._status.set_health(normalize_status(health.status))
        return health

    def _agent_health(self) -> Health:
        sample, problem = self._health_worker.latest, self._progress.initialization_problem()
        if sample is None:
            return Health(Status.DEGRADED if problem else Status.OK, problem)
        facts = {**sample.facts, "payload_age": round(time.monotonic() - sample.measured_s, 3)}
        if sample.error:
            return Health(Status.FAILING, sample.error, facts)
        status_word = facts.get("status", Status.OK)
        if problem and normalize_status(status_word) is Status.OK:
            status_word = Status.DEGRADED
        return Health(status_word, problem or str(facts.get("reason", "")), facts)

    def on_heartbeat(self) -> None:
        """Notify the supervisor, now and at every interval from now on."""
        if self._progress.health().status is Status.OK:
            self._health_worker.refresh()
        self.notify()
        self._heartbeat_s = time.monotonic()
        self._responder.call_later(self._responder.notifier.heartbeat_s, self.on_heartbeat)

    def notify(self) -> None:
        """Notify the supervisor of the agent's health, and act on the main thread's stage."""
        main_thread = self._progress.health()
        health = self._update_health(main_thread)
        if main_thread.status in _FINAL_STATUSES:
            self._notify_end(main_thread.status, health.reason)
            return
        is_ready = main_thread.status is Status.OK
        if is_ready and self._status.refusal == "starting":
            self._responder.open()
            self._responder.call_later(SETTLE_TIME_S, self._on_settled)
        self._notify_alive(is_ready, health)
        if self._progress.stage is MainThreadStage.CONSTRUCTED:
            self._responder.call_later(RECHECK_S, self._recheck)

    def _notify_alive(self, is_ready: bool, health: Health) -> None:
        """Repeat the state; notify the watchdog only if the work loop has run since the last heartbeat."""
        status_word = normalize_status(health.status).value
        if not is_ready or self._progress.has_iterated_since(self._heartbeat_s):
            self._responder.notifier.send_heartbeat(ready=is_ready, health=status_word, text=health.reason)
        else:
            self._responder.notifier.send(f"READY=1\nX_ARGOSY_HEALTH={status_word}".encode())

    def _recheck(self) -> None:
        """Check again a main thread that is between its constructor and its work loop."""
        if self._status.refusal == "starting":
            self.notify()

    def _notify_end(self, status: Status, reason: str) -> None:
        """The main thread has left: refuse what waits, and notify the supervisor at every heartbeat."""
        notifier, text = self._responder.notifier, reason.replace("\n", " ")
        if self._status.refusal != "stopping":
            self._status.stop()
            self._on_leaving()
            notifier.send_stopping(text)
        if status is Status.FAILING:
            notifier.send(f"X_ARGOSY_HEALTH=failing\nSTATUS={text}".encode())
