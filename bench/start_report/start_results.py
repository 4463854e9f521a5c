"""What the rounds of bench/start.py brought, and the quantities that two ways are compared by."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import msgspec

from testbed.start_measurement import StartMeasurement


class StartSample(msgspec.Struct, frozen=True):
    """One start by one way.

    pss_after_gc_mib: the memory of all its processes once each agent has collected its garbage, None where
    that was not asked for.
    """

    start: StartMeasurement
    pss_after_gc_mib: float | None = None


class StartResults(msgspec.Struct, frozen=True):
    """What was found.

    starts: by way, one a round. absent: way to the reason why it was not taken. rests: shares of a core that
    argosy's own processes took while nothing happened. alone_s: starts of agents with nothing else going
    on. chain: agents on the longest chain of needs. agents: in the fleet.
    """

    starts: dict[str, list[StartSample]]
    unavailable: dict[str, str]
    idle_shares: list[float]
    single_starts_s: list[float]
    chain: int
    agents: int


def _after_gc_mib(found: StartSample) -> float:
    assert found.pss_after_gc_mib is not None, "a way of this row was told to collect"
    return found.pss_after_gc_mib


class Quantity(Enum):
    """What is compared; its value is the end of a label and the unit."""

    WALL = ("", "s")
    PROCESSOR = ("_cpu", "s")
    MEMORY = ("_pss", "MiB")
    MEMORY_AFTER_GC = ("_pss_after_gc", "MiB")

    @property
    def suffix(self) -> str:
        """What follows a way's name in a label."""
        return self.value[0]

    @property
    def unit(self) -> str:
        """Seconds or MiB."""
        return self.value[1]

    def of(self, found: list[StartSample]) -> list[float]:
        """Return its series."""
        return [_READ[self](each) for each in found]


_READ: dict[Quantity, Callable[[StartSample], float]] = {
    Quantity.WALL: lambda found: found.start.wall_s,
    Quantity.PROCESSOR: lambda found: found.start.usage.processor_s,
    Quantity.MEMORY: lambda found: found.start.pss_mib,
    Quantity.MEMORY_AFTER_GC: _after_gc_mib,
}
