"""Parts of the legacy base that a round of the ablation removes, one per round.

The environment of the run loads this module in each interpreter whose variable `REAL_FLEET_ABLATION`
names a part. The product has no such switches; this module replaces its functions by the behaviour of an
old base.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Final

from argosy.agent.legacy import agent_identity, agent_state, method_hooks, port_arbiter, service_discovery
from argosy.agent.legacy.base_agent import BaseAgent


def _no_arbiter() -> None:
    """Every bind uses the given port, and the base keeps its bound ports."""
    agent_identity.set_arbiter = lambda arbiter: None  # type: ignore[attr-defined]
    port_arbiter.set_arbiter(None)


def _no_identity() -> None:
    """Each agent object of a process binds the ports, as an old base did."""

    def claim(self: Any) -> None:
        self.identity = agent_identity.AgentIdentity(
            self.agent, self.progress, lambda: agent_state.compute_health_payload(self.agent)
        )
        agent_identity.set_identity(self.identity)

    agent_state.LegacyAgentState._claim_identity = claim  # type: ignore[method-assign]


def _old_hooks() -> None:
    """Hooks run in the constructor of the base, before the fields exist, and again later."""
    construct = BaseAgent.__init__

    def constructor(self: Any, *args: Any, **keywords: Any) -> None:
        construct(self, *args, **keywords)
        self._init_sockets()
        for hook in (self._start_health_check, self._start_initialization):
            hook()
        threading.Thread(target=self._perform_initialization, daemon=True).start()
        threading.Thread(target=self._health_check_loop, daemon=True).start()

    agent_state.LegacyAgentState._start_hooks = lambda self: self._initialized.set()  # type: ignore[method-assign]
    for name in ("_perform_initialization", "_health_check_loop"):
        method_hooks._WRAPPERS.pop(name)
    BaseAgent.__init__ = constructor  # type: ignore[method-assign]


def _no_discovery() -> None:
    """Lookups find nothing, after the time that the old client needed."""

    def look(service_name: str, machine: str | None = None) -> service_discovery.DiscoveryResult:
        threading.Event().wait(_OLD_LOOKUP_S)
        return service_discovery._not_found(f"service `{service_name}` not found")

    service_discovery.discover_service = look


_OLD_LOOKUP_S: Final = 20.0  # four tries of 5 s; the old client also paused between them
_ABLATIONS: Final[dict[str, Callable[[], None]]] = {
    "bind-arbiter": _no_arbiter,
    "one-identity": _no_identity,
    "hooks-after-the-constructor": _old_hooks,
    "discovery-from-the-fleet": _no_discovery,
}
ABLATION_PARTS: Final = tuple(_ABLATIONS)
SLOWER: Final = frozenset(
    {"discovery-from-the-fleet"}
)  # without it, agents wait longer than the fleet with all parts

if os.environ.get("REAL_FLEET_ABLATION"):
    _ABLATIONS[os.environ["REAL_FLEET_ABLATION"]]()
