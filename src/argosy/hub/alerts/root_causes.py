"""Root causes: which agents are unhealthy, and which need made each of them so.

An agent is *unhealthy* when it was ready and is not any more, or failed before it was ever ready. Its *cause*
is its unhealthy need that has no unhealthy need itself. An agent that became unhealthy with a need stays
listed under it until the agent itself is healthy, even if the need recovers sooner: a root that is back in a
second does not become one cause for each slower dependent. An agent that waits for a need stopped on purpose
is not unhealthy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from argosy.engine.process.os_process import describe_exit

_HEALTHY_STATES: Final = frozenset(("ready", "stopping", "unknown"))
_FAILED_STATES: Final = frozenset(("failing", "given-up", "blocked"))  # also of one that was never ready
# States that a missing need alone can cause.
_DEPENDENCY_STATES: Final = frozenset(("waiting", "degraded", "restart-pending"))


class AgentHealthState(NamedTuple):
    """An agent's state. since_s: epoch seconds, None if unknown."""

    state: str = "unknown"
    reason: str = ""
    since_s: float | None = None


class RootCauses:
    """The states of one machine's agents and their causes. needs: the needs of each agent."""

    def __init__(self, needs: Mapping[str, Sequence[str]]) -> None:
        self.needs = needs
        self._states: dict[str, AgentHealthState] = {}
        self._were_ready: set[str] = set()
        self._root_cause_of: dict[str, str] = {}  # the initial cause of each unhealthy agent

    def update(self, agent: str, state: str, reason: str, since_s: float | None = None) -> None:
        """Update an agent's state; one that was stopped, or exited with 0, need not be ready any more."""
        before = self.state_of(agent)
        if (before.state, state) != ("exited", "exited"):
            self._states[agent] = AgentHealthState(
                state, reason, since_s if before.state != state else before.since_s
            )
        if state in ("ready", "degraded"):
            self._were_ready.add(agent)
        elif state == "exited" and (before.state in ("stopping", "unknown") or reason == describe_exit(0)):
            self._were_ready.discard(agent)
        if not self.is_unhealthy(agent) or state in _FAILED_STATES:
            self._root_cause_of.pop(agent, None)
        elif agent not in self._root_cause_of and (cause := self._current_root_of(agent)) != agent and cause:
            self._root_cause_of[agent] = cause

    def mark_ready(self, agents: Iterable[str]) -> None:
        """Record that agents were ready before the first update."""
        self._were_ready.update(agents)

    def state_of(self, agent: str) -> AgentHealthState:
        """Return an agent's state."""
        return self._states.get(agent, AgentHealthState())

    def is_unhealthy(self, agent: str) -> bool:
        """Return whether an agent is unhealthy."""
        state = self.state_of(agent).state
        return state in _FAILED_STATES or (agent in self._were_ready and state not in _HEALTHY_STATES)

    def is_stopped(self, agent: str) -> bool:
        """Return whether an agent was stopped or exited with 0."""
        state = self.state_of(agent).state
        return state == "stopping" or (state == "exited" and agent not in self._were_ready)

    def dependents_by_cause(self) -> dict[str, tuple[str, ...]]:
        """Return all causes, each with the agents it makes unhealthy."""
        found: dict[str, list[str]] = {}
        for agent in self._states:
            cause = self.cause_of(agent) if self.is_unhealthy(agent) else None
            if cause is not None:
                cause_dependents = found.setdefault(cause, [])
                if cause != agent:
                    cause_dependents.append(agent)
        return {cause: tuple(sorted(dependents)) for cause, dependents in found.items()}

    def cause_of(self, agent: str) -> str | None:
        """Return the cause of an unhealthy agent; None if it waits for a need stopped on purpose."""
        cause = self._current_root_of(agent)
        seen = {cause}
        while (above := self._root_cause_of.get(cause or "")) and above not in seen:
            seen.add(above)
            cause = above
        return cause

    def _current_root_of(self, agent: str) -> str | None:
        """Return the unhealthy need that has no unhealthy need itself now."""
        seen = {agent}
        while True:
            needs = [need for need in self.needs.get(agent, ()) if need not in seen]
            above = next((need for need in needs if self.is_unhealthy(need)), None)
            if above is None:
                is_by_dependency = self.state_of(agent).state in _DEPENDENCY_STATES
                return None if is_by_dependency and any(map(self.is_stopped, needs)) else agent
            seen.add(above)
            agent = above

    def with_dependents(self, agents: Iterable[str]) -> list[str]:
        """Return agents with their direct and indirect dependents."""
        found = dict.fromkeys(agents)
        while True:
            more = [
                name
                for name, needs in self.needs.items()
                if name not in found and not found.keys().isdisjoint(needs)
            ]
            if not more:
                return list(found)
            found.update(dict.fromkeys(more))
