"""The services that all units of a supervisor share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from argosy.engine.admission.queue import AdmissionQueue
    from argosy.engine.fork.launcher import ProcessLauncher
    from argosy.engine.inventory.port_owners import PortOwners
    from argosy.engine.logs.log_keeper import LogKeeper
    from argosy.engine.state.event_log import EventLog
    from argosy.engine.state.state_dir import StateDir
    from argosy.engine.state.unit_state_store import UnitStateStore
    from argosy.engine.unit.dependency_state import Dependency
    from argosy.engine.unit.notify_socket import NotifyBatcher


class UnitServices(NamedTuple):
    """The services that all units share.

    agents: the agents of all machines by name. listeners: which process listens on which port.
    boot_id: of this boot of the machine. ensure_state_dir(): creates the state directory again if it was
    deleted. tree_version(): the version of the tree now, empty when none is recorded.
    """

    loop: asyncio.AbstractEventLoop
    state_dir: StateDir
    event_log: EventLog
    unit_states: UnitStateStore
    log_keeper: LogKeeper
    launcher: ProcessLauncher
    admission: AdmissionQueue
    listeners: PortOwners
    notify_batcher: NotifyBatcher
    agents: Mapping[str, Dependency]
    boot_id: bytes
    ensure_state_dir: Callable[[], None]
    tree_version: Callable[[], str]
