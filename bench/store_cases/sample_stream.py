"""An hour of a fleet's metrics for all stores: 84 agents, 12 metrics each, one sample per second."""

from __future__ import annotations

import random
import time
from array import array
from collections.abc import Iterator
from typing import Final

AGENTS: Final = 84
COUNTERS, GAUGES, LATENCIES = 5, 4, 3
METRICS: Final = tuple(
    [f"counter{n}" for n in range(COUNTERS)]
    + [f"gauge{n}" for n in range(GAUGES)]
    + [f"latency{n}" for n in range(LATENCIES)]
)
SERIES: Final = AGENTS * len(METRICS)
FIRST_MS: Final = (int(time.time()) - 7 * 86400) * 1000
_RATES: Final = (0.0, 0.2, 3.0, 20.0, 100.0)  # of the counters, a second


class SyntheticAgent:
    """One agent's metrics, second by second: counters, gauges with one decimal place, latencies of full
    entropy.
    """

    def __init__(self, number: int) -> None:
        self.name = f"Agent{number:02}"
        self._random = random.Random(number)
        self._counts = [float(self._random.randrange(10**6)) for _ in range(COUNTERS)]
        self._gauges = [round(self._random.uniform(10, 100), 1) for _ in range(GAUGES)]

    def next_second(self) -> array[float]:
        """Return the next values, in the order of `METRICS`."""
        chance = self._random
        for number, rate in enumerate(_RATES):
            self._counts[number] += max(0, round(chance.gauss(rate, rate**0.5)))
        for number in range(GAUGES):
            if chance.random() < 0.2:
                self._gauges[number] = round(self._gauges[number] + chance.gauss(0, 0.5), 1)
        latencies = [chance.lognormvariate(-7, 0.5) for _ in range(LATENCIES)]
        return array("d", [*self._counts, *self._gauges, *latencies])


def iter_seconds(count: int, how_many: int = AGENTS) -> Iterator[tuple[int, list[tuple[str, array[float]]]]]:
    """Yield (time in ms, agents with their values); every call yields the same."""
    agents = [SyntheticAgent(number) for number in range(how_many)]
    for next_second in range(count):
        yield FIRST_MS + 1000 * next_second, [(agent.name, agent.next_second()) for agent in agents]
