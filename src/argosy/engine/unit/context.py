"""The interface through which a unit uses its surroundings: the unit manager, or a test double."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from argosy.engine.inventory.port_owners import PortOwners
    from argosy.engine.process.helper_process import HelperResult
    from argosy.engine.protocol.state_machine import State
    from argosy.engine.state.state_dir import StateDir
    from argosy.engine.state.unit_state_store import UnitStateStore
    from argosy.engine.unit.notify_batcher import NotifyBatcher
    from argosy.engine.unit.unit import Unit
    from argosy.fault import Fault


class Dependency(Protocol):
    """An agent of the fleet as its dependents see it: a unit here, or an agent of another machine."""

    name: str

    @property
    def state(self) -> State: ...
    @property
    def reason(self) -> str: ...
    @property
    def is_ready(self) -> bool: ...
    @property
    def has_process(self) -> bool: ...
    @property
    def is_reachable(self) -> bool: ...

    def need_names(self) -> tuple[str, ...]:
        """Return the names of the agents that must be ready first."""


class FailedDependency(NamedTuple):
    """Why a need will not become ready. root: the agent at the end of the chain, perhaps the need itself."""

    root: str
    reason: str


class DependencyStatus(NamedTuple):
    """The unmet needs of an agent: those that are not ready yet, and those that will not become ready."""

    waiting_on: list[str]
    failed: dict[str, FailedDependency]


class UnitContext(Protocol):
    """The services that a unit uses, and the observers that it notifies."""

    loop: asyncio.AbstractEventLoop
    state_dir: StateDir
    unit_states: UnitStateStore
    listeners: PortOwners
    notify_batcher: NotifyBatcher

    def dependency_status(self, unit: Unit) -> DependencyStatus:
        """Return which of its needs are not ready."""

    def tree_version(self) -> str:
        """Return the version of the tree now, empty when none is recorded."""

    def request_admission(self, unit: Unit) -> None:
        """Call its `start_process` when resources allow its start."""

    def adopt(self, unit: Unit) -> bool:
        """Hand it the process that its lease records; return whether that process lives."""

    def had_process(self, name: str) -> bool:
        """Return whether this supervisor has requested or adopted a process of this name before."""

    def spawn(self, unit: Unit, output: int) -> None:
        """Start its process; takes ownership of the descriptor `output`."""

    async def run_helper(self, unit: Unit, command: Sequence[str], timeout_s: float) -> HelperResult:
        """Run a command in its working directory and environment, without the means to report for it."""

    def forker_pids(self) -> set[int]:
        """Return the pids of the forkers and zygotes."""

    def was_oom_killed(self, unit: Unit) -> bool:
        """Return whether the kernel killed its process because it exceeded its `memory`."""

    def find_startup_fault(self, unit: Unit, on_result: Callable[[Fault | None], None]) -> None:
        """Call `on_result` with the fault in its code, None when none is known."""

    def drain_fork_events(self) -> None:
        """Process pending events of the forker."""

    def on_transition(self, unit: Unit) -> None:
        """It has made a transition, or its reason has changed."""

    def on_ready(self, unit: Unit) -> None:
        """It is ready now."""

    def on_unready(self, unit: Unit) -> None:
        """It is no longer ready."""

    def on_final(self, unit: Unit) -> None:
        """It will not become ready by itself."""

    def on_exit(self, unit: Unit) -> None:
        """Its process and all leftovers are gone."""
