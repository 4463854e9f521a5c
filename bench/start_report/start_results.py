"""The measurements of bench/start.py and the quantities by which launchers are compared."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import msgspec

from testbed.start_measurement import StartMeasurement


class StartSample(msgspec.Struct, frozen=True):
    """One start by one launcher.

    pss_after_gc_mib: the memory of all its processes after a garbage collection in each agent, or None.
    """

    start: StartMeasurement
    pss_after_gc_mib: float | None = None


class StartResults(msgspec.Struct, frozen=True):
    """The results of all rounds.

    starts: by launcher, one per round. unavailable: launcher to the reason why it was not measured.
    idle_shares: shares of a core that argosy's own processes used while idle. single_starts_s: starts of
    single agents on an idle machine. chain: agents on the longest chain of needs. agents: in the fleet.
    """

    starts: dict[str, list[StartSample]]
    unavailable: dict[str, str]
    idle_shares: list[float]
    single_starts_s: list[float]
    chain: int
    agents: int


def _after_gc_mib(found: StartSample) -> float:
    assert found.pss_after_gc_mib is not None, "launchers of this row collect garbage"
    return found.pss_after_gc_mib


class Quantity(Enum):
    """What is compared; the value of a member is its label suffix and its unit."""

    WALL = ("", "s")
    PROCESSOR = ("_cpu", "s")
    MEMORY = ("_pss", "MiB")
    MEMORY_AFTER_GC = ("_pss_after_gc", "MiB")

    @property
    def suffix(self) -> str:
        """The text after a launcher's name in a label."""
        return self.value[0]

    @property
    def unit(self) -> str:
        """Seconds or MiB."""
        return self.value[1]

    def of(self, found: list[StartSample]) -> list[float]:
        """Return the quantity of each start."""
        return [_READ[self](each) for each in found]


_READ: dict[Quantity, Callable[[StartSample], float]] = {
    Quantity.WALL: lambda found: found.start.wall_s,
    Quantity.PROCESSOR: lambda found: found.start.usage.processor_s,
    Quantity.MEMORY: lambda found: found.start.pss_mib,
    Quantity.MEMORY_AFTER_GC: _after_gc_mib,
}
