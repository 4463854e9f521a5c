"""What the HTTP server uses of the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from argosy.fleet.fleet_spec import AgentSpec
    from argosy.hub.alerts.actions import ActionExecutor
    from argosy.hub.alerts.alert_manager import AlertManager
    from argosy.hub.http.sse import SseBroadcaster
    from argosy.hub.ingest.current_state import CurrentState
    from argosy.hub.replication.replicator import Replicator
    from argosy.hub.store.store_writer import StoreWriter


class HubOptions(Protocol):
    """The paths that the hub was started with. fleet: the fleet file, or empty; store: the record file."""

    fleet: str
    store: str


class HubServices(Protocol):
    """The hub of one machine, as its page and its API see it. started_s: epoch seconds."""

    machine: str
    fleet: str
    environment: str
    started_s: float
    writer: StoreWriter
    current_state: CurrentState
    sse_broadcaster: SseBroadcaster
    replicators: dict[str, Replicator]
    token_file: Path
    action_executor: ActionExecutor
    alert_manager: AlertManager
    action_policy: Literal["loopback", "anywhere", "never"]
    is_metrics_guarded: bool

    @property
    def options(self) -> HubOptions: ...

    def host_names(self) -> frozenset[str]:
        """Return the host names that requests may use."""

    def is_here(self, machine: str | None) -> bool:
        """Return whether `machine` is this machine; None means this machine."""

    def machines(self) -> frozenset[str]:
        """Return the names of the fleet's machines."""

    def declared_hardware(self) -> dict[str, Any]:
        """Return the hardware and labels that the fleet file declares for each machine."""

    async def health_of(self, agent: str) -> Any:
        """Return an agent's reply to a health request.

        Raises WireError: the agent does not reply; InputError: it is not in the address book.
        """

    def declared_agents(self) -> dict[str, AgentSpec]:
        """Return the agents of the fleet file; those of the last valid version if it is invalid."""

    def last_lines(self, agent: str, limit: int) -> list[str]:
        """Return the last `limit` lines that an agent of this machine printed."""

    def machine_of(self, agent: str) -> str | None:
        """Return the machine an agent runs on, None if unknown."""

    def failure(self) -> str:
        """Return why the store cannot be written and which tasks failed recently; empty if neither."""
