"""Monitoring: errors, measurements and their smoothed levels, trust, forecasts, a scoreboard."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any, Final

import msgspec

from agents.base_agent import ERRORS, TWIN, ErrorReport, ExampleAgent
from argosy.agent import event, request

SMOOTHING: Final = 0.2


class Sample(msgspec.Struct, frozen=True):
    """One measurement of a quantity."""

    name: str
    value: float


class ErrorBus(ExampleAgent):
    """Collects the reports that all agents publish under `errors`."""

    machine = "pc2"

    class Options(msgspec.Struct, frozen=True):
        """keep: the number of last reports to keep."""

        keep: int

    def __init__(self) -> None:
        super().__init__()
        self._counts: Counter[str] = Counter()
        self._last: deque[ErrorReport] = deque(maxlen=self.options.keep)

    @event(ERRORS)
    async def happened(self, report: ErrorReport) -> None:
        """Receive one report."""
        self._counts[report.peer] += 1
        self._last.append(report)

    @request(short=True)
    def errors(self, most: int = 20) -> list[ErrorReport]:
        """Return the last reports, newest first."""
        return list(reversed(self._last))[:most]

    @request(short=True)
    def counts(self) -> dict[str, int]:
        """Return the number of failures by agent."""
        return dict(self._counts)

    def facts(self) -> dict[str, Any]:
        """Return the number of errors, in total and by the agent that failed."""
        return {"errors": self._counts.total(), "by_agent": dict(self._counts.most_common(10))}


class PerformanceLogger(ExampleAgent):
    """Stores the last measurements."""

    machine = "pc2"

    class Options(msgspec.Struct, frozen=True):
        """keep: the number of measurements to keep."""

        keep: int

    def __init__(self) -> None:
        super().__init__()
        self._samples: deque[Sample] = deque(maxlen=self.options.keep)

    @request(short=True)
    def log(self, sample: Sample) -> int:
        """Store a measurement; return how many are stored."""
        self._samples.append(sample)
        return len(self._samples)

    @request(short=True)
    def samples(self, name: str = "") -> list[Sample]:
        """Return the measurements of a quantity, or all, oldest first."""
        return [sample for sample in self._samples if name in ("", sample.name)]

    def facts(self) -> dict[str, Any]:
        """Return the number of stored measurements."""
        return {"samples": len(self._samples)}


class PerformanceMonitor(ExampleAgent):
    """Smooths measurements exponentially: new = old + SMOOTHING * (seen - old)."""

    machine = "pc2"

    async def contact_peers(self) -> None:
        """Check that measurements are available."""
        await self.ask_at_start("PerformanceLoggerAgent")

    @request
    async def levels(self) -> dict[str, float]:
        """Return the smoothed level of each quantity."""
        levels: dict[str, float] = {}
        for sample in await self.ask("PerformanceLoggerAgent", "samples", returns=list[Sample]):
            before = levels.setdefault(sample.name, sample.value)
            levels[sample.name] = before + SMOOTHING * (sample.value - before)
        return levels


class HealthMonitor(ExampleAgent):
    """Compares levels with limits."""

    machine = "pc2"

    def __init__(self) -> None:
        super().__init__()
        self._limits: dict[str, float] = {}

    async def contact_peers(self) -> None:
        """Check that the levels are available."""
        await self.ask_at_start("PerformanceMonitor", "levels")

    @request(short=True)
    def limit(self, name: str, most: float) -> None:
        """Set the limit of a quantity."""
        self._limits[name] = most

    @request
    async def above(self) -> dict[str, float]:
        """Return the quantities above their limits, with the excess."""
        levels = await self.ask("PerformanceMonitor", "levels", returns=dict[str, float])
        over = {name: levels[name] - most for name, most in self._limits.items() if name in levels}
        return {name: by for name, by in over.items() if by > 0}

    def facts(self) -> dict[str, Any]:
        """Return the number of limits."""
        return {"limits": len(self._limits)}


class TrustScorer(ExampleAgent):
    """Scores the trust in agents by their behaviour, with more weight on recent observations."""

    machine = "pc2"

    def __init__(self) -> None:
        super().__init__()
        self._trust: dict[str, float] = {}

    async def contact_peers(self) -> None:
        """Check that the health monitor is available."""
        await self.ask_at_start("HealthMonitor")

    @request(short=True)
    def observe(self, agent: str, kept: bool) -> float:
        """Record whether an agent kept a promise; return its trust from 0 to 1, initially 0.5."""
        trust = self._trust.get(agent, 0.5)
        self._trust[agent] = trust + SMOOTHING * (kept - trust)
        return self._trust[agent]

    def facts(self) -> dict[str, Any]:
        """Return the trust by agent."""
        return {"trust": {agent: round(trust, 3) for agent, trust in self._trust.items()}}


class Forecaster(ExampleAgent):
    """Predicts when a level reaches a limit, by the least squares line through its values."""

    @request(short=True)
    def steps_until(self, values: list[float], limit: float) -> float | None:
        """Return the number of steps after the last value until the limit; None for never."""
        count = len(values)
        if count < 2:
            return None
        middle, mean = (count - 1) / 2, sum(values) / count
        spread = sum((n - middle) ** 2 for n in range(count))
        slope = sum((n - middle) * (value - mean) for n, value in enumerate(values)) / spread
        if slope == 0:
            return None
        steps = (limit - mean) / slope + middle - (count - 1)
        return steps if steps >= 0 else None


class Scoreboard(ExampleAgent):
    """Formats the census of the fleet as text."""

    @request
    async def board(self) -> str:
        """Return a line `ROLE COUNT` for each role, most frequent first."""
        census: Counter[str] = Counter(await self.ask(TWIN, "census", returns=dict[str, int]))
        return "\n".join(f"{role} {count}" for role, count in census.most_common())
