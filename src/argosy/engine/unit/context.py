"""What a unit sees of the world around it; the crew is that world, a test may be another."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from argosy.engine.process.helper_process import HelperResult
    from argosy.engine.process.port_owners import PortOwners
    from argosy.engine.state.state_dir import StateDir
    from argosy.engine.state.unit_state_store import UnitStateStore
    from argosy.engine.unit.notify_batcher import NotifyBatcher
    from argosy.engine.unit.state_machine import State
    from argosy.engine.unit.unit import Unit
    from argosy.fault import Fault


class Dependency(Protocol):
    """An agent of the fleet, as those see it that need it: a unit here, or one of another machine."""

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
    """Why a need will not come. root: the agent at the end of the chain, itself where it needs no other."""

    root: str
    reason: str


class DependencyStatus(NamedTuple):
    """What an agent needs and has not: names not ready yet, and names that will not come."""

    waiting_on: list[str]
    failed: dict[str, FailedDependency]


class UnitContext(Protocol):
    """What a unit asks, and whom it tells."""

    loop: asyncio.AbstractEventLoop
    state_dir: StateDir
    unit_states: UnitStateStore
    listeners: PortOwners
    notify_batcher: NotifyBatcher

    def dependency_status(self, unit: Unit) -> DependencyStatus:
        """Return what it still waits for."""

    def tree_version(self) -> str:
        """Return the version of the tree now, empty where none is noted."""

    def request_admission(self, unit: Unit) -> None:
        """Call its `spawn_now` when there is room for its start."""

    def adopt(self, unit: Unit) -> bool:
        """Give it the process that its lease records, if that lives."""

    def had_process(self, name: str) -> bool:
        """Return whether this supervisor has ordered or adopted a process of this name before."""

    def spawn(self, unit: Unit, output: int) -> None:
        """Have its process forked; takes over the descriptor `output`."""

    async def run_helper(self, unit: Unit, command: Sequence[str], timeout_s: float) -> HelperResult:
        """Run a command in its folder and environment, that may not speak for it."""

    def forker_pids(self) -> set[int]:
        """Return the process numbers of the forkers and zygotes."""

    def was_oom_killed(self, unit: Unit) -> bool:
        """Return whether the kernel killed its process, because it had more than its `memory`."""

    def find_startup_fault(self, unit: Unit, on_result: Callable[[Fault | None], None]) -> None:
        """Call `then` with what is wrong with its code, None when nothing is known of it."""

    def drain_fork_events(self) -> None:
        """Take what the forker has told."""

    def on_transition(self, unit: Unit) -> None:
        """It has made a transition, or has something new to say."""

    def on_ready(self, unit: Unit) -> None:
        """It is ready now."""

    def on_unready(self, unit: Unit) -> None:
        """It was ready and is no more."""

    def on_final(self, unit: Unit) -> None:
        """It will not come by itself any more."""

    def on_exit(self, unit: Unit) -> None:
        """Nothing is left of its process."""
