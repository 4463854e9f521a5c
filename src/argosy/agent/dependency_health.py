"""The health of the agents that an agent needs and wants, from the replies to its own calls.

Nothing is sent for it: an agent that is never called stays `unknown`, and a lost need does not make
its agent fail. Judging that is up to the supervisor and to people.
"""

from __future__ import annotations

from collections.abc import Callable

from argosy.wire.address_book import AgentAddress
from argosy.wire.client.peer_health import UNKNOWN


class DependencyHealth:
    """The last health state of each agent that was called; safe in any thread, the latest update counts."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}

    def observer(self, name: str) -> Callable[[str], object]:
        """Return what a channel to this agent calls with each new state."""

        def observe(state: str) -> None:
            self._states[name] = state

        return observe

    def by_kind(self, address: AgentAddress) -> dict[str, dict[str, str]]:
        """Return the state of each agent that is needed or wanted, under `needs` and `wants`."""
        kinds = {"needs": address.needs, "wants": address.wants}
        return {
            edge: {name: self._states.get(name, UNKNOWN) for name in names}
            for edge, names in kinds.items()
            if names
        }
