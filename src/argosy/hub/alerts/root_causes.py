"""Causes: who is in trouble, and whose trouble that is, along the graph that starts the fleet.

An agent is in *trouble* when it was ready and is not, or when it failed before it ever was. Its *cause* is
the need of it that is in trouble and has no such need itself. Whose trouble began with that of a need stays
under it until it is well, also when the need is well sooner: a root that is back in a second does not turn
into one cause for each agent that takes longer. What waits for a need that was stopped on purpose is in no
trouble.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from argosy.engine.process.os_process import describe_exit

_HEALTHY_STATES: Final = frozenset(("ready", "stopping", "unknown"))
_FAILED_STATES: Final = frozenset(("failing", "given-up", "blocked"))  # also of one that was never ready
_DEPENDENCY_STATES: Final = frozenset(
    ("waiting", "degraded", "restart-pending")
)  # may be for want of a need alone


class AgentHealthState(NamedTuple):
    """How an agent is. since_s: epoch seconds, None where nobody said."""

    state: str = "unknown"
    reason: str = ""
    since_s: float | None = None


class RootCauses:
    """The states of one machine's agents, and what follows from them. needs: of each agent."""

    def __init__(self, needs: Mapping[str, Sequence[str]]) -> None:
        self.needs = needs
        self._states: dict[str, AgentHealthState] = {}
        self._were_ready: set[str] = set()
        self._root_cause_of: dict[str, str] = {}  # agents in trouble, with the cause that it began with

    def update(self, agent: str, state: str, reason: str, since_s: float | None = None) -> None:
        """Take an agent's state; one that was stopped, or ended in order, need not be ready any more."""
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
        elif agent not in self._root_cause_of and (cause := self._current_root_of(agent)) not in (
            None,
            agent,
        ):
            self._root_cause_of[agent] = str(cause)

    def mark_ready(self, agents: Iterable[str]) -> None:
        """Know that agents were ready before anything was heard."""
        self._were_ready.update(agents)

    def state_of(self, agent: str) -> AgentHealthState:
        """Return how an agent is."""
        return self._states.get(agent, AgentHealthState())

    def is_unhealthy(self, agent: str) -> bool:
        """Return whether an agent is not as it should be."""
        state = self.state_of(agent).state
        return state in _FAILED_STATES or (agent in self._were_ready and state not in _HEALTHY_STATES)

    def is_stopped(self, agent: str) -> bool:
        """Return whether somebody stopped an agent, or it ended in order."""
        state = self.state_of(agent).state
        return state == "stopping" or (state == "exited" and agent not in self._were_ready)

    def dependents_by_cause(self) -> dict[str, tuple[str, ...]]:
        """Return the causes of all trouble, each with the agents that hang on it."""
        found: dict[str, list[str]] = {}
        for agent in self._states:
            cause = self.cause_of(agent) if self.is_unhealthy(agent) else None
            if cause is not None:
                cause_dependents = found.setdefault(cause, [])
                if cause != agent:
                    cause_dependents.append(agent)
        return {cause: tuple(sorted(dependents)) for cause, dependents in found.items()}

    def cause_of(self, agent: str) -> str | None:
        """Return the cause of an agent's trouble; None where it waits for what was stopped on purpose."""
        cause = self._current_root_of(agent)
        seen = {cause}
        while (
            cause is not None and (above := self._root_cause_of.get(cause)) is not None and above not in seen
        ):
            seen.add(above)
            cause = above
        return cause

    def _current_root_of(self, agent: str) -> str | None:
        """Return the need in trouble now that has no such need itself."""
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
        """Return agents with all that need them, also by way of others."""
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
