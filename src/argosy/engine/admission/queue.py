"""The queue of agents that wait for scarce resources before they start.

All requests of one tick are considered together; the longest chain of dependents goes first. An agent
that has to wait for memory or a GPU lets the others pass: they may be what frees it.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Protocol

from argosy.engine.admission.available_memory import memory_shortage, memory_to_admit, read_available_memory
from argosy.engine.admission.cpu_pressure import can_start_another, dependent_chain_lengths, read_cpu_pressure
from argosy.engine.admission.gpu_memory import GpuMemoryWatch, gpu_memory_shortage
from argosy.engine.admission.memory_sampler import read_resident_bytes
from argosy.engine.plan.cell_plan import cell_unit_name, members_of
from argosy.engine.protocol.state_machine import State

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

    from argosy.engine.admission.available_memory import AvailableMemory
    from argosy.engine.admission.memory_sampler import MemoryHistory
    from argosy.engine.plan.process_plan import ProcessPlan, ProcessSpec
    from argosy.engine.process.helper_process import HelperResult

# Polled: there is no notification of falling pressure or freed memory.
_PRESSURE_RETRY_S = 0.01
_MEMORY_RETRY_S = 0.25
_FREE_CACHE_S = 0.25


class AdmissibleUnit(Protocol):
    """What the queue needs of a unit. started_at: on the clock of the event loop, in seconds."""

    name: str
    spec: ProcessSpec
    state: State
    reason: str
    started_at: float
    awaits_admission: bool

    @property
    def pid(self) -> int | None: ...
    @property
    def is_ready(self) -> bool: ...
    @property
    def has_process(self) -> bool: ...

    def update_reason(self, reason: str) -> None:
        """Show why it waits."""


class AdmissionQueue:
    """Admits units to start. units: all units of the fleet, and the cell processes, by name."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        units: Sequence[Mapping[str, AdmissibleUnit]],
        memory_history: MemoryHistory,
        run_helper: Callable[[Sequence[str], float], Awaitable[HelperResult]],
    ) -> None:
        self._loop = loop
        self._units = units
        self._memory_history = memory_history
        self._gpu = GpuMemoryWatch(loop, run_helper, self.schedule)
        self._max_starting: int | None = None
        self._available: AvailableMemory | None = None
        self._available_at = 0.0
        self._starting: list[AdmissibleUnit] = []  # pruned at each admission
        self._recently_started: dict[str, AdmissibleUnit] = {}  # started since the last memory reading
        self._gpu_budgets: dict[str, int] = {}
        self._chain_lengths: dict[str, int] = {}
        # In the order of the requests, with what admits them.
        self._queued: dict[str, tuple[AdmissibleUnit, Callable[[], None]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_immediate = False  # the timer is due after this tick

    def set_plan(self, plan: ProcessPlan) -> None:
        """Use the limits and the graph of this plan from now on."""
        self._max_starting = plan.max_starting
        self._gpu_budgets = plan.gpu_memory_bytes
        self._chain_lengths = dependent_chain_lengths(
            {name: spec.need_names() for name, spec in plan.processes.items()}
        )
        for cell, members in members_of(plan.processes).items():
            self._chain_lengths[cell_unit_name(cell)] = max(
                self._chain_lengths[spec.name] for spec in members
            )

    def count_running(self) -> None:
        """Count the starting units that an earlier supervisor has admitted."""
        self._starting = [unit for unit in self._all_units() if _is_starting(unit)]

    def request(self, unit: AdmissibleUnit, on_admitted: Callable[[], None]) -> None:
        """Queue the unit, and call `on_admitted()` when resources allow its start."""
        self._queued[unit.name] = (unit, on_admitted)
        self.schedule()

    def schedule(self, delay_s: float = 0.0) -> None:
        """Schedule the next admission after this tick, or after `delay_s`."""
        if not self._queued or (self._timer is not None and self._is_immediate):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._is_immediate = not delay_s
        self._timer = self._loop.call_later(delay_s, self._admit)

    def _admit(self) -> None:
        """Start as many queued units as the resources allow."""
        self._timer = None
        now = self._loop.time()
        starting = self._starting = [unit for unit in self._starting if _is_starting(unit)]
        start_ages = [now - unit.started_at for unit in starting if unit.spec.cell is None]
        pressure = read_cpu_pressure()
        waiting = self._queue_order(has_room=can_start_another(start_ages, self._max_starting, pressure))
        available: AvailableMemory | None = None
        unsampled: list[AdmissibleUnit] = []
        for unit in waiting:
            is_process = unit.spec.cell is None
            if is_process and not can_start_another(start_ages, self._max_starting, pressure):
                self.schedule(_PRESSURE_RETRY_S)
                return
            if available is None:
                available = self._read_available(now)
                unsampled = [unit for unit in self._recently_started.values() if unit.is_ready]
            if not self._fits(unit, available, starting, unsampled):
                continue
            if is_process:
                start_ages.append(0.0)
                pressure = pressure._replace(runnable=pressure.runnable + 1)
            _, on_admitted = self._queued.pop(unit.name)
            on_admitted()
            if _is_starting(unit):
                starting.append(unit)
                if is_process:
                    self._recently_started[unit.name] = unit
        if self._timer is None:
            self.schedule(_MEMORY_RETRY_S)

    def _queue_order(self, *, has_room: bool) -> list[AdmissibleUnit]:
        """Return the waiting units in the order of admission; without room for a process unsorted."""
        self._queued = {
            unit.name: (unit, on_admitted)
            for unit, on_admitted in self._queued.values()
            if unit.awaits_admission and unit.state is State.STARTING
        }
        waiting = [unit for unit, _ in self._queued.values()]
        # An agent of a cell needs no process of its own, only its share of a GPU.
        if has_room or any(unit.spec.cell is not None for unit in waiting):
            waiting.sort(key=lambda unit: (unit.spec.cell is None, -self._chain_lengths.get(unit.name, 1)))
        return waiting

    def _all_units(self) -> Iterator[AdmissibleUnit]:
        return chain.from_iterable(each.values() for each in self._units)

    def _read_available(self, now: float) -> AvailableMemory:
        """Return free memory; in a burst reuse the last reading, with the starts since then counted."""
        if self._available is None or now - self._available_at > _FREE_CACHE_S:
            self._available, self._available_at = read_available_memory(), now
            self._recently_started = {}
        return self._available

    def _fits(
        self,
        unit: AdmissibleUnit,
        available: AvailableMemory,
        starting: Sequence[AdmissibleUnit],
        unsampled: Sequence[AdmissibleUnit],
    ) -> bool:
        """Return whether the memory suffices beside other starts; sets the unit's reason if not."""
        if unit.spec.gpu_memory_bytes and not self._gpu.is_fresh():
            return False  # checked again when the query has finished
        shortage = self._memory_shortage(unit, available, [*starting, *unsampled]) or self._gpu_shortage(
            unit, starting
        )
        if shortage:
            unit.update_reason(shortage)
        else:
            unit.reason = ""
        return not shortage

    def _memory_shortage(
        self, unit: AdmissibleUnit, available: AvailableMemory, starting: Sequence[AdmissibleUnit]
    ) -> str:
        if unit.spec.cell is not None:
            return ""  # requested by its process
        needed_bytes = self._needed_bytes(unit)
        return memory_shortage(
            needed_bytes, self._reserved_bytes(starting, available, needed_bytes), available
        )

    def _needed_bytes(self, unit: AdmissibleUnit) -> int:
        return memory_to_admit(unit.spec.memory_bytes, self._memory_history.peak_bytes(unit.name))

    def _reserved_bytes(
        self, starting: Iterable[AdmissibleUnit], available: AvailableMemory, needed_bytes: int
    ) -> int:
        """Return the memory reserved for other starting units that they have not allocated yet."""
        others = [(self._needed_bytes(other), other.pid) for other in starting if other.spec.cell is None]
        total = sum(bytes_ for bytes_, _ in others)
        if not memory_shortage(needed_bytes, total, available):
            return total  # the common case, without reading each process
        return sum(max(0, bytes_ - (read_resident_bytes(pid) if pid else 0)) for bytes_, pid in others)

    def _gpu_shortage(self, unit: AdmissibleUnit, starting: Iterable[AdmissibleUnit]) -> str:
        needed_bytes, machine = unit.spec.gpu_memory_bytes, unit.spec.machine
        if not needed_bytes:
            return ""
        held_bytes = sum(
            other.spec.gpu_memory_bytes
            for other in self._all_units()
            if other is not unit
            and other.spec.machine == machine
            and other.has_process
            and not other.awaits_admission
        )
        reserved_bytes = sum(other.spec.gpu_memory_bytes for other in starting)
        budget = self._gpu_budgets.get(machine or "")
        return gpu_memory_shortage(needed_bytes, held_bytes, budget, reserved_bytes, self._gpu.free_bytes)

    def close(self) -> None:
        """Admit no more units."""
        if self._timer is not None:
            self._timer.cancel()
        self._gpu.close()


def _is_starting(unit: AdmissibleUnit) -> bool:
    return unit.state is State.STARTING and not unit.awaits_admission
