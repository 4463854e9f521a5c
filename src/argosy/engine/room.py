"""The agents that may start but for what is scarce, and who of them goes next.

Who asks in one tick is there to choose from; the longest chain goes first. One that memory or a GPU
is short for lets the others pass: they may be what frees it.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from argosy.engine.admission import chain_lengths, read_pressure, room_for
from argosy.engine.cellplan import hull_name, members_of
from argosy.engine.free import read_free
from argosy.engine.memory import read_resident
from argosy.engine.scarcity import lacks_gpu_memory, lacks_memory, needed_bytes
from argosy.engine.state import State

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from argosy.engine.appetite import Appetite
    from argosy.engine.free import Free
    from argosy.engine.gpu import GpuWatch
    from argosy.engine.plan import Plan
    from argosy.engine.unit import Unit

# Nobody tells when the pressure falls or memory becomes free.
_PRESSURE_AGAIN_S = 0.01
_MEMORY_AGAIN_S = 0.25
_FREE_FOR_S = 0.25


class Room:
    """Lets units in.

    units: all of the crew, and the processes of cells, by name. tell(unit): it has something new to say.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        units: Sequence[Mapping[str, Unit]],
        appetite: Appetite,
        gpu: GpuWatch,
        tell: Callable[[Unit], None],
    ) -> None:
        self._loop = loop
        self._units = units
        self._appetite = appetite
        self._gpu = gpu
        self._tell = tell
        self._most_starting: int | None = None
        self._free: Free | None = None
        self._free_at = 0.0
        self._begun: list[Unit] = []  # who starts; those that do not any more are dropped at each look
        self._lately: dict[str, Unit] = {}  # whose start began since the last look at the memory
        self._gpu_budgets: dict[str, int] = {}
        self._chains: dict[str, int] = {}
        self._wanted: dict[str, Unit] = {}  # in the order of asking
        self._timer: asyncio.TimerHandle | None = None
        self._is_soon = False  # it is due after this tick

    def adopt_plan(self, plan: Plan) -> None:
        """Go by this plan from now on."""
        self._most_starting = plan.max_starting
        self._gpu_budgets = plan.gpu_memory_bytes
        self._chains = chain_lengths({name: spec.need_names() for name, spec in plan.processes.items()})
        for cell, members in members_of(plan.processes).items():
            self._chains[hull_name(cell)] = max(self._chains[spec.name] for spec in members)

    def adopt_running(self) -> None:
        """Count those that have begun without asking: an earlier supervisor let them in."""
        self._begun = [unit for unit in self._each() if _has_begun(unit)]

    def ask(self, unit: Unit) -> None:
        """Let the unit start in its turn."""
        self._wanted[unit.name] = unit
        self.look_soon()

    def look_soon(self, delay_s: float = 0.0) -> None:
        """Look for room after this tick, or so long after it."""
        if not self._wanted or (self._timer is not None and self._is_soon):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._is_soon = not delay_s
        self._timer = self._loop.call_later(delay_s, self._let_in)

    def _let_in(self) -> None:
        """Give the room there is to those who wait for it."""
        self._timer = None
        now = self._loop.time()
        starting = self._begun = [unit for unit in self._begun if _has_begun(unit)]
        ages = [now - unit.started_at for unit in starting if unit.spec.cell is None]
        pressure = read_pressure()
        waiting = self._in_turn(has_room=room_for(ages, self._most_starting, pressure))
        free: Free | None = None
        unseen: list[Unit] = []
        for unit in waiting:
            is_process = unit.spec.cell is None
            if is_process and not room_for(ages, self._most_starting, pressure):
                self.look_soon(_PRESSURE_AGAIN_S)
                return
            if free is None:
                free = self._look_at_memory(now)
                unseen = [unit for unit in self._lately.values() if unit.is_ready]
            if not self._fits(unit, free, starting, unseen):
                continue
            if is_process:
                ages.append(0.0)
                pressure = pressure._replace(runnable=pressure.runnable + 1)
            del self._wanted[unit.name]
            unit.spawn_now()
            if _has_begun(unit):
                starting.append(unit)
                if is_process:
                    self._lately[unit.name] = unit
        if self._timer is None:
            self.look_soon(_MEMORY_AGAIN_S)

    def _in_turn(self, *, has_room: bool) -> list[Unit]:
        """Return who waits, by its turn; without room for a process it does not matter whose turn it is."""
        waiting = [unit for unit in self._wanted.values() if unit.waits_for_room]
        waiting = [unit for unit in waiting if unit.state is State.STARTING]
        self._wanted = {unit.name: unit for unit in waiting}
        # An agent of a cell asks for no process of its own: only its share of a GPU is to be had.
        if has_room or any(unit.spec.cell is not None for unit in waiting):
            waiting.sort(key=lambda unit: (unit.spec.cell is None, -self._chains.get(unit.name, 1)))
        return waiting

    def _each(self) -> Iterator[Unit]:
        return chain.from_iterable(each.values() for each in self._units)

    def _look_at_memory(self, now: float) -> Free:
        """Return what is free; in a wave of starts what was, and those that began since count beside it."""
        if self._free is None or now - self._free_at > _FREE_FOR_S:
            self._free, self._free_at = read_free(), now
            self._lately = {}
        return self._free

    def _fits(self, unit: Unit, free: Free, starting: Sequence[Unit], unseen: Sequence[Unit]) -> bool:
        """Return whether memory suffices beside those that start; says what it waits for when not."""
        if unit.spec.gpu_memory_bytes and not self._gpu.is_fresh():
            return False  # looked at again when the answer is there
        short = self._lacks_memory(unit, free, [*starting, *unseen]) or self._lacks_gpu(unit, starting)
        if short and unit.reason != short:
            unit.reason = short
            self._tell(unit)
        elif not short:
            unit.reason = ""
        return not short

    def _lacks_memory(self, unit: Unit, free: Free, starting: Sequence[Unit]) -> str:
        if unit.spec.cell is not None:
            return ""  # its process has asked for it
        need = self._need(unit)
        return lacks_memory(need, self._promised(starting, free, need), free)

    def _need(self, unit: Unit) -> int:
        return needed_bytes(unit.spec.memory_bytes, self._appetite.of(unit.name))

    def _promised(self, starting: Iterable[Unit], free: Free, need: int) -> int:
        """Return what others that start were promised and have not taken yet."""
        others = [(self._need(other), other.pid) for other in starting if other.spec.cell is None]
        whole = sum(bytes_ for bytes_, _ in others)
        if not lacks_memory(need, whole, free):
            return whole  # the common case, without a look at each process
        return sum(max(0, bytes_ - (read_resident(pid) if pid else 0)) for bytes_, pid in others)

    def _lacks_gpu(self, unit: Unit, starting: Iterable[Unit]) -> str:
        need, machine = unit.spec.gpu_memory_bytes, unit.spec.machine
        if not need:
            return ""
        held = sum(
            other.spec.gpu_memory_bytes
            for other in self._each()
            if other is not unit
            and other.spec.machine == machine
            and other.has_process
            and not other.waits_for_room
        )
        promised = sum(other.spec.gpu_memory_bytes for other in starting)
        budget = self._gpu_budgets.get(machine or "")
        return lacks_gpu_memory(need, held, budget, promised, self._gpu.free_bytes)

    def close(self) -> None:
        """Let nobody in any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._gpu.close()


def _has_begun(unit: Unit) -> bool:
    return unit.state is State.STARTING and not unit.waits_for_room
