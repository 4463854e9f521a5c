"""The health of a BaseAgent: its health document, and what its supervisor is sent.

All of it runs in the responder's thread. The status is that of the main thread's stage; only
while that is the work loop, the agent's own payload is added and may make it worse.

A payload may sample a device for two seconds, wait for a lock, or raise. It is computed in a thread of its
own that lives as long as the computation, one at a time; a caller gets the new value if it comes at once,
else the last one with its age.
"""

from __future__ import annotations

import threading
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
from argosy.agent.legacy.main_thread import (
    SETTLE_TIME_S,
    MainThreadProgress,
    MainThreadStage,
)
from argosy.agent.legacy.responder_thread import ResponderThread

RECHECK_S: Final = 0.25  # while the main thread is between its constructor and its work loop

_FINAL_STATUSES: Final = frozenset((Status.STOPPING, Status.FAILING))


class HealthReporter:
    """One agent's health, for health requests and the notify socket.

    compute: computes the agent's own payload. moved_binds: binds that were redirected; other_agents: further
    agents of this process. Both are reported with the health. on_settled: called once, some time after the
    agent has become ready. on_leaving: called once, when the main thread has left its work.
    get_dependencies: returns the states of the agents that the agent needs and wants.
    """

    def __init__(
        self,
        progress: MainThreadProgress,
        compute: Callable[[], Any],
        responder: ResponderThread,
        moved_binds: Mapping[str, str],
        other_agents: Mapping[str, None],
        on_settled: Callable[[], object],
        on_leaving: Callable[[], object],
        get_dependencies: Callable[[], dict[str, dict[str, str]]],
    ) -> None:
        self._progress = progress
        self._health_worker = HealthWorker(compute, responder)
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

    def _update_health(self, main_thread: Health) -> Health:
        """Return the agent's health, and keep the time of its last change."""
        is_ok = main_thread.status is Status.OK
        health = with_missing_packages(self._agent_health()) if is_ok else main_thread
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

    def _notify_end(self, status: str, reason: str) -> None:
        """The main thread has left: refuse what waits, and notify the supervisor at every heartbeat."""
        notifier, text = self._responder.notifier, reason.replace("\n", " ")
        if self._status.refusal != "stopping":
            self._status.stop()
            self._on_leaving()
            notifier.send_stopping(text)
        if status is Status.FAILING:
            notifier.send(f"X_ARGOSY_HEALTH=failing\nSTATUS={text}".encode())


MAX_WAIT_S: Final = 0.1  # probes give up after 0.2 s
REFRESH_S: Final = 10.0  # for a payload that nobody asks for
MAX_DUTY: Final = 20  # refreshes take at most 1/20 of the time


class HealthSample(msgspec.Struct, frozen=True):
    """One payload. error: what it raised; then `facts` are those of the last that did not raise."""

    facts: dict[str, Any]
    measured_s: float
    duration_s: float
    error: str = ""


class HealthWorker:
    """Computes one agent's payload; every method but the computation is for the responder's thread.

    compute: the user's code.
    """

    def __init__(self, compute: Callable[[], Any], responder: ResponderThread) -> None:
        self._compute = compute
        self._responder = responder
        self._is_computing = False
        self._waiting: list[Callable[[], object]] = []
        self.latest: HealthSample | None = None

    def request(self, on_done: Callable[[], object]) -> None:
        """Call `on_done` when there is a new payload, or after MAX_WAIT_S without one."""
        latest = self.latest
        if not self._is_computing and latest and time.monotonic() - latest.measured_s < latest.duration_s:
            on_done()  # a slow payload is not computed again before as much time has passed as it took
            return
        self._waiting.append(on_done)
        self._responder.call_later(MAX_WAIT_S, lambda: self._on_timeout(on_done))
        self._start()

    def refresh(self) -> None:
        """Compute a payload that nobody waits for, unless the last one is fresh or is slow."""
        latest = self.latest
        rest_s = max(REFRESH_S, MAX_DUTY * latest.duration_s) if latest else 0.0
        if not latest or time.monotonic() - latest.measured_s > rest_s:
            self._start()

    def _start(self) -> None:
        if not self._is_computing:
            self._is_computing = True
            threading.Thread(target=self._run, name="argosy-payload", daemon=True).start()

    def _run(self) -> None:
        started_s = time.monotonic()
        facts, error = self.latest.facts if self.latest else {}, ""
        try:
            facts = to_jsonable(self._compute())
        except Exception as raised:
            error = f"its health payload raised {type(raised).__name__}: {raised}"
        now_s = time.monotonic()
        sample = HealthSample(facts, now_s, now_s - started_s, error)
        self._responder.post(lambda: self._on_sample(sample))

    def _on_sample(self, sample: HealthSample) -> None:
        self.latest = sample
        self._is_computing = False
        waiting, self._waiting = self._waiting, []
        for on_done in waiting:
            on_done()

    def _on_timeout(self, on_done: Callable[[], object]) -> None:
        if on_done in self._waiting:
            self._waiting.remove(on_done)
            on_done()


def to_jsonable(value: Any) -> dict[str, Any]:
    """Return a payload as JSON: unsupported values as text, a bare value under `payload`."""
    document = value if isinstance(value, dict) else {"payload": value}
    if isinstance(value, str | bool):
        document["status"] = value
    document_copy = msgspec.to_builtins(
        {str(key): each for key, each in document.items()}, str_keys=True, enc_hook=_encode_hook
    )
    assert isinstance(document_copy, dict)
    return document_copy


def _encode_hook(value: Any) -> Any:
    listed = getattr(value, "tolist", None)
    return listed() if callable(listed) else str(value)
