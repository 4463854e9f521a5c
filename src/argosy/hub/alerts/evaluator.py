"""Decides when to raise an alert: one for each root cause, with its dependents in the dependency graph.

Pure: takes states, metrics and the time, and returns transitions. Only root causes (`root_causes.py`) raise
alerts; their dependents are listed under them.

An alert is raised when its condition has lasted for a while, and cleared when it has been over for a while.
The third raise within ten minutes marks the alert as flapping, and nothing more is reported until it has been
stable for five. During a silence (`silences.py`) nothing is raised, and its time does not count. An
unreachable machine raises at once, because its time-out has passed already; one never reached yet gets time
to start. A store that cannot be written raises an alert of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from argosy.hub.alerts.root_causes import RootCauses
from argosy.hub.alerts.silences import SilenceRecord, Silences, SilenceWindow
from argosy.hub.alerts.start_latency import StartLatencyTracker

FLAP_COUNT: Final = 3
FLAP_WINDOW_S: Final = 600.0
FLAP_RECOVERY_S: Final = 300.0
FIRST_CONTACT_S: Final = 15.0  # time that another machine has to become reachable for the first time
AlertCategory = Literal["unhealthy", "threshold", "machine", "slow-start", "store"]
_CATEGORY_OF_KEY: Final[dict[str, AlertCategory]] = {  # by the prefix of the key
    "agent": "unhealthy",
    "threshold": "threshold",
    "machine": "machine",
    "slow-start": "slow-start",
    "store": "store",
}
_STOPPED_STATES: Final = frozenset(("stopping", "exited"))


class AlertTransition(msgspec.Struct, frozen=True):
    """An alert that was raised or cleared.

    key: identifies the alert, the same when it is raised and cleared. subject: the agent or machine. metric:
    of a threshold, else empty.
    """

    kind: Literal["raised", "cleared"]
    key: str
    subject: str
    at_s: float
    since_s: float
    text: str
    dependents: tuple[str, ...] = ()
    is_flapping: bool = False
    category: AlertCategory = "unhealthy"
    metric: str = ""

    def event_body(self) -> dict[str, Any]:
        """Return the body of an `alert` event."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


class AlertThreshold(msgspec.Struct, frozen=True):
    """A bound of a metric.

    for_s: how long the bound has to be breached before an alert. clear_s: how long it has to hold again;
    None: the fleet's default.
    """

    metric: str
    above: float | None = None
    below: float | None = None
    for_s: float = 30.0
    clear_s: float | None = None
    agents: frozenset[str] | None = None

    def is_breached(self, value: float) -> bool:
        """Return whether a value breaches the bound."""
        return (self.above is not None and value > self.above) or (
            self.below is not None and value < self.below
        )

    @property
    def description(self) -> str:
        """The bound as text."""
        return (
            f"{self.metric} above {self.above:g}"
            if self.above is not None
            else f"{self.metric} below {self.below:g}"
        )


class _ActiveCondition(msgspec.Struct, frozen=True):
    """A condition that holds now.

    raise_after_s, clear_after_s: how long it, and its end, have to last. active_since_s: when it began, if
    that is known from a record.
    """

    subject: str
    text: str
    raise_after_s: float
    clear_after_s: float
    dependents: tuple[str, ...] = ()
    active_since_s: float | None = None
    metric: str = ""


class _AlertState:
    """One condition: how long it has held or been over, and whether it is raised."""

    def __init__(self) -> None:
        self.active_since_s: float | None = None  # when the condition began
        self.resolved_since_s: float | None = None  # when the condition ended, while raised
        self.clear_after_s = 0.0
        self.is_raised = False
        self.is_muted = False
        self.raised_at: deque[float] = deque(maxlen=FLAP_COUNT)


class AlertEvaluator:
    """The alerts of one machine."""

    def __init__(
        self,
        needs: Mapping[str, Sequence[str]] | None = None,
        raise_after_s: float = 3.0,
        clear_after_s: float = 10.0,
        thresholds: Sequence[AlertThreshold] = (),
    ) -> None:
        self.causes = RootCauses({})
        self.configure(needs or {}, raise_after_s, clear_after_s, thresholds)
        self.silences = Silences()
        self.start_latency = StartLatencyTracker()
        self._alerts: dict[str, _AlertState] = {}
        self._unreachable: dict[str, str] = {}
        self._seen_machines: set[str] = set()
        self._failing_stores: dict[str, str] = {}  # text by machine
        self._slow_start_groups: dict[str, tuple[str, ...]] = {}  # agents by alert key
        self._silenced_until: dict[str, float] = {}  # last time a silence covered an active condition, by key

    # -- input --------------------------------------------------------------------------------

    def configure(
        self,
        needs: Mapping[str, Sequence[str]],
        raise_after_s: float,
        clear_after_s: float,
        thresholds: Sequence[AlertThreshold],
    ) -> None:
        """Use this dependency graph and these bounds.

        raise_after_s, clear_after_s: how long a condition and its end have to last.
        """
        self.causes.needs = needs
        self._raise_after_s, self._clear_after_s = raise_after_s, clear_after_s
        self._thresholds = thresholds
        self._breaches: dict[tuple[str, int], bool] = {}  # by agent and threshold index

    def update_state(self, agent: str, state: str, reason: str, since_s: float | None = None) -> None:
        """Update an agent's state. since_s: epoch seconds, None if unknown."""
        self.causes.update(agent, state, reason, since_s)
        if state in _STOPPED_STATES:
            for key in [key for key in self._breaches if key[0] == agent]:
                del self._breaches[key]  # a stopped agent has no metrics

    def update_metrics(self, agent: str, metrics: Mapping[str, float]) -> None:
        """Update an agent's metrics."""
        for number, threshold in enumerate(self._thresholds):
            if threshold.metric in metrics and (threshold.agents is None or agent in threshold.agents):
                self._breaches[agent, number] = threshold.is_breached(metrics[threshold.metric])

    def update_reachability(self, machine: str, *, is_unreachable: bool, reason: str) -> None:
        """Update whether another machine can be reached."""
        if is_unreachable:
            self._unreachable[machine] = reason
        else:
            self._unreachable.pop(machine, None)
            self._seen_machines.add(machine)

    def update_store(self, machine: str, text: str) -> None:
        """Update why a machine's store cannot be written; empty: it can."""
        if text:
            self._failing_stores[machine] = text
        else:
            self._failing_stores.pop(machine, None)

    def open_silence(self, key: str, agents: Iterable[str] | None, until_s: float) -> None:
        """Open the silence of an engine operation, for agents and their dependents; None for everything."""
        self.silences.open(SilenceWindow(key, self._with_dependents(agents), until_s))

    def apply_silence(self, record: SilenceRecord) -> bool:
        """Open or end a user's silence, dependents included; return whether it was open before."""
        window = None
        if record.until_s is not None:
            silenced = self._with_dependents(record.agents)
            window = SilenceWindow(
                record.target.key,
                silenced,
                record.until_s,
                record.requested_by,
                record.target,
                record.clock_machine,
            )
        created_s = record.created_s - self.silences.clock_skews.get(record.clock_machine, 0.0)
        return self.silences.apply(record.target.key, created_s, window)

    def _with_dependents(self, agents: Iterable[str] | None) -> frozenset[str] | None:
        return None if agents is None else frozenset(self.causes.with_dependents(agents))

    def restore(self, key: str, since_s: float, dependents: Iterable[str]) -> None:
        """Restore an alert raised before this process started; it is not raised again."""
        alert = self._alerts.setdefault(key, _AlertState())
        alert.active_since_s, alert.is_raised, alert.clear_after_s = since_s, True, self._clear_after_s
        category, _, subject = key.partition(":")
        if category == "agent":
            self.causes.mark_ready((subject, *dependents))

    # -- evaluation ---------------------------------------------------------------------------

    def evaluate(self, now_s: float) -> list[AlertTransition]:
        """Return the alerts to raise and clear now. Call about once a second."""
        active = {
            **self._unhealthy_agents(now_s),
            **self._breached_thresholds(),
            **self._unreachable_machines(),
            **self._store_failures(),
            **self._find_slow_starts(now_s),
        }
        subjects = {
            key: active[key].subject if key in active else key.split(":")[1]
            for key in {**active, **self._alerts}
        }
        machines = {key for key in subjects if key.startswith(("machine:", "store:"))}
        silenced_agents = self.silences.silenced_agents(
            {subjects[key] for key in subjects.keys() - machines}, now_s
        )
        silenced_machines = self.silences.silenced_machines({subjects[key] for key in machines}, now_s)
        transitions = []
        for key, subject in subjects.items():
            if subject in (silenced_machines if key in machines else silenced_agents):
                self._hold_back(key, now_s)
            elif transition := self._transition(key, active.get(key), now_s):
                transitions.append(transition)
        return transitions

    def is_active(self, key: str) -> bool:
        """Return whether an alert's condition still holds; of an agent, whether it is itself unhealthy."""
        alert = self._alerts.get(key)
        if alert is None or alert.active_since_s is None or alert.resolved_since_s is not None:
            return False
        category, _, subject = key.partition(":")
        return category != "agent" or self.causes.is_unhealthy(subject)

    def dependents_of(self, key: str) -> tuple[str, ...]:
        """Return the agents that an alert's cause makes unhealthy now."""
        category, _, subject = key.partition(":")
        return self.causes.dependents_by_cause().get(subject, ()) if category == "agent" else ()

    # -- conditions ---------------------------------------------------------------------------

    def _unhealthy_agents(self, now_s: float) -> dict[str, _ActiveCondition]:
        active = {}
        for cause, dependents in self.causes.dependents_by_cause().items():
            state, reason, since_s = self.causes.state_of(cause)
            text = f"{cause} is {state}" + (f": {reason}" if reason else "")
            if not self.causes.is_unhealthy(cause):
                text = f"{cause} is {state} again; {len(dependents)} that need it are not yet"
            active_since_s = None if since_s is None else min(since_s, now_s)
            active[f"agent:{cause}"] = _ActiveCondition(
                cause, text, self._raise_after_s, self._clear_after_s, dependents, active_since_s
            )
        return active

    def _breached_thresholds(self) -> dict[str, _ActiveCondition]:
        active = {}
        for (agent, number), is_breached in self._breaches.items():
            if is_breached:
                bound = self._thresholds[number]
                clear_s = self._clear_after_s if bound.clear_s is None else bound.clear_s
                active[f"threshold:{agent}:{bound.description}"] = _ActiveCondition(
                    agent,
                    f"{bound.description} of {agent}",
                    bound.for_s,
                    clear_s,
                    metric=bound.metric,
                )
        return active

    def _unreachable_machines(self) -> dict[str, _ActiveCondition]:
        return {
            f"machine:{machine}": _ActiveCondition(
                machine,
                f"{machine} cannot be reached: {reason}",
                0.0 if machine in self._seen_machines else FIRST_CONTACT_S,
                self._clear_after_s,
            )
            for machine, reason in self._unreachable.items()
        }

    def _store_failures(self) -> dict[str, _ActiveCondition]:
        return {
            f"store:{machine}": _ActiveCondition(machine, text, self._raise_after_s, self._clear_after_s)
            for machine, text in self._failing_stores.items()
        }

    def _find_slow_starts(self, now_s: float) -> dict[str, _ActiveCondition]:
        """Return slow starts, those detected together as one condition; silenced agents are deferred."""
        slow = self.start_latency.slow_starts(now_s)
        grouped = {agent for agents in self._slow_start_groups.values() for agent in agents}
        new = sorted(
            set(slow) - grouped - self.silences.silenced_agents(slow, now_s),
            key=lambda name: -slow[name].took_s,
        )
        if new:
            self._slow_start_groups[f"slow-start:{new[0]}"] = tuple(new)
        active = {}
        for key, agents in list(self._slow_start_groups.items()):
            listed = [slow[agent] for agent in agents if agent in slow]
            if not listed:
                del self._slow_start_groups[key]
                continue
            descriptions = "; ".join(each.description for each in listed[:3])
            more = f"; and {len(listed) - 3} more" if len(listed) > 3 else ""
            text = f"slower to start than before: {descriptions}{more}"
            active[key] = _ActiveCondition(agents[0], text, 0.0, self._clear_after_s)
            for each in listed:
                if each.is_finished:
                    self.start_latency.discard(each.agent)
        return active

    # -- raising and clearing -----------------------------------------------------------------

    def _hold_back(self, key: str, now_s: float) -> None:
        alert = self._alerts.get(key)
        if alert is not None and alert.active_since_s is not None and not alert.is_raised:
            alert.active_since_s = now_s
        self._silenced_until[key] = now_s

    def _transition(
        self, key: str, condition: _ActiveCondition | None, now_s: float
    ) -> AlertTransition | None:
        alert = self._alerts.setdefault(key, _AlertState())
        if condition is None:
            return self._resolve(key, alert, now_s)
        alert.resolved_since_s, alert.clear_after_s = None, condition.clear_after_s
        if alert.active_since_s is None:
            active_since_s = now_s if condition.active_since_s is None else condition.active_since_s
            alert.active_since_s = max(active_since_s, self._silenced_until.pop(key, active_since_s))
        if alert.is_raised or now_s - alert.active_since_s < condition.raise_after_s:
            return None
        alert.is_raised = True
        alert.raised_at.append(now_s)
        if alert.is_muted:
            return None
        is_flapping = len(alert.raised_at) == FLAP_COUNT and now_s - alert.raised_at[0] <= FLAP_WINDOW_S
        alert.is_muted = is_flapping
        return AlertTransition(
            "raised",
            key,
            condition.subject,
            now_s,
            alert.active_since_s,
            condition.text,
            condition.dependents,
            is_flapping,
            _CATEGORY_OF_KEY[key.partition(":")[0]],
            condition.metric,
        )

    def _resolve(self, key: str, alert: _AlertState, now_s: float) -> AlertTransition | None:
        """Clear an alert whose condition has been over for long enough; a flapping one when it is stable."""
        if not alert.is_raised and not alert.is_muted:
            alert.active_since_s = None
            if not alert.raised_at or now_s - alert.raised_at[-1] > FLAP_WINDOW_S:
                del self._alerts[key]
            return None
        if alert.resolved_since_s is None:
            alert.resolved_since_s = now_s
        resolved_for_s = now_s - alert.resolved_since_s
        if alert.is_raised and resolved_for_s >= alert.clear_after_s:
            alert.is_raised = False
            if not alert.is_muted:
                return self._cleared_transition(key, alert, now_s)
        if alert.is_muted and resolved_for_s >= FLAP_RECOVERY_S:
            alert.is_muted = False
            alert.raised_at.clear()
            return self._cleared_transition(key, alert, now_s)
        return None

    def _cleared_transition(self, key: str, alert: _AlertState, now_s: float) -> AlertTransition:
        since_s = now_s if alert.active_since_s is None else alert.active_since_s
        alert.active_since_s = alert.resolved_since_s = None
        kind, subject = key.split(":")[:2]
        text = {
            "machine": f"{subject} can be reached again",
            "store": f"the store of {subject or 'this machine'} can be written again",
            "slow-start": f"the slow start of {subject} is over",
            "threshold": f"{key.split(':', 2)[-1]} of {subject} is over",
        }.get(kind, f"{subject} is healthy again")
        if kind == "agent" and self.causes.is_unhealthy(subject):
            text = f"{subject} is now listed under {self.causes.cause_of(subject)}"
        return AlertTransition("cleared", key, subject, now_s, since_s, text, category=_CATEGORY_OF_KEY[kind])
