"""How those are that an agent needs and wants, from what its own calls bring along.

Nothing is asked for it: who is never called stays `unknown`, and a need that is lost does not make
its agent fail. What is wrong with whom is for the supervisor, and for people, to see.
"""

from __future__ import annotations

from collections.abc import Callable

from argosy.wire.address_book import AgentAddress
from argosy.wire.client.peer_health import UNKNOWN


class DependencyHealth:
    """The last word of each agent that was called; safe in any thread, the latest news counts."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}

    def observer(self, name: str) -> Callable[[str], object]:
        """Return what a channel to this agent calls with each new word."""

        def observe(state: str) -> None:
            self._states[name] = state

        return observe

    def by_kind(self, address: AgentAddress) -> dict[str, dict[str, str]]:
        """Return the word of each agent that is needed or wanted, under `needs` and `wants`."""
        kinds = {"needs": address.needs, "wants": address.wants}
        return {
            edge: {name: self._states.get(name, UNKNOWN) for name in names}
            for edge, names in kinds.items()
            if names
        }
