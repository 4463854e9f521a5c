"""Jobs on pc2: resources, a job processor, a priority scheduler, routers."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from typing import Any

import msgspec

from agents import text_analysis
from agents.base_agent import ExampleAgent, RejectedError
from argosy.agent import request


class Resources(ExampleAgent):
    """Allocates a limited number of units of a resource."""

    machine = "pc2"

    class Options(msgspec.Struct, frozen=True):
        """units: the total number of units."""

        units: int

    def __init__(self) -> None:
        super().__init__()
        self._held: dict[str, int] = {}

    async def contact_peers(self) -> None:
        """Check that the health monitor is available."""
        await self.ask_at_start("HealthMonitor")

    @request(short=True)
    def hold(self, holder: str, units: int) -> int:
        """Set the units of a holder (0 releases all); return the free units; rejected if too few are free."""
        others = sum(held for name, held in self._held.items() if name != holder)
        left: int = self.options.units - others - units
        if units < 0 or left < 0:
            raise RejectedError(
                f"{units} units for `{holder}`: {left + units} of {self.options.units} are free"
            )
        self._held[holder] = units
        return left

    def facts(self) -> dict[str, Any]:
        """Return the total units, and the units by holder."""
        return {"units": self.options.units, "held": dict(self._held)}


class TieredResponder(ExampleAgent):
    """Answers in tiers: from known answers, else with a guess."""

    machine = "pc2"

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, str] = {}
        self._tiers: Counter[str] = Counter()

    async def contact_peers(self) -> None:
        """Hold a unit."""
        await self.ask_at_start("ResourceManager", "hold", holder=self.name, units=1)

    @request(short=True)
    def teach(self, question: str, answer: str) -> None:
        """Store the answer to a question."""
        self._known[question] = answer

    @request(short=True)
    def answer(self, question: str) -> str:
        """Return the known answer, else the longest word of the question."""
        tier = "known" if question in self._known else "guessed"
        self._tiers[tier] += 1
        return self._known.get(question) or max(text_analysis.tokens(question), key=len, default="")

    def facts(self) -> dict[str, Any]:
        """Return the number of answers by tier."""
        return {"tiers": dict(self._tiers)}


class Processor(ExampleAgent):
    """Processes jobs: computes the digest of a payload."""

    machine = "pc2"

    def __init__(self) -> None:
        super().__init__()
        self._bytes = 0

    async def contact_peers(self) -> None:
        """Hold two units."""
        await self.ask_at_start("ResourceManager", "hold", holder=self.name, units=2)

    @request
    def process(self, payload: str) -> str:
        """Return the SHA-256 of a payload."""
        data = payload.encode()
        self._bytes += len(data)
        return hashlib.sha256(data).hexdigest()

    def facts(self) -> dict[str, Any]:
        """Return the number of processed bytes."""
        return {"bytes": self._bytes}


class Scheduler(ExampleAgent):
    """A priority queue of jobs; runs the first one on request."""

    machine = "pc2"

    def __init__(self) -> None:
        super().__init__()
        self._jobs: list[tuple[int, int, str]] = []
        self._taken = 0

    async def contact_peers(self) -> None:
        """Check that the processor is available."""
        await self.ask_at_start("AsyncProcessor")

    @request(short=True)
    def add(self, payload: str, priority: int = 0) -> int:
        """Add a job after those of equal priority; return the number of pending jobs."""
        self._taken += 1
        heapq.heappush(self._jobs, (-priority, self._taken, payload))
        return len(self._jobs)

    @request
    async def run_next(self) -> str:
        """Run the job with the highest priority and return its result; it stays queued if it fails."""
        if not self._jobs:
            raise RejectedError("there is no pending job")
        job = self._jobs[0]
        result: str = await self.ask("AsyncProcessor", "process", returns=str, payload=job[2])
        self._jobs.remove(job)
        heapq.heapify(self._jobs)
        return result

    def facts(self) -> dict[str, Any]:
        """Return the numbers of pending jobs and of all jobs."""
        return {"waiting": len(self._jobs), "taken": self._taken}


class Router(ExampleAgent):
    """Schedules jobs with a priority by kind."""

    machine = "pc2"

    _PRIORITIES = {"urgent": 9, "normal": 5, "idle": 1}

    async def contact_peers(self) -> None:
        """Check that the scheduler is available."""
        await self.ask_at_start("TaskScheduler")

    @request
    async def send(self, kind: str, payload: str) -> int:
        """Schedule a payload; return the number of pending jobs; rejected for an unknown kind."""
        if kind not in self._PRIORITIES:
            raise RejectedError(f"`{kind}` is not a kind of job; kinds: {', '.join(self._PRIORITIES)}")
        priority = self._PRIORITIES[kind]
        return await self.ask("TaskScheduler", "add", returns=int, payload=payload, priority=priority)


class Connector(ExampleAgent):
    """Accepts jobs as lines `KIND PAYLOAD`."""

    machine = "pc2"

    def __init__(self) -> None:
        super().__init__()
        self._lines = 0

    async def contact_peers(self) -> None:
        """Check that the router is available."""
        await self.ask_at_start("AdvancedRouter")

    @request
    async def line(self, text: str) -> int:
        """Forward a line; return the number of pending jobs; rejected if it is not `KIND PAYLOAD`."""
        kind, _, payload = text.partition(" ")
        if not payload:
            raise RejectedError(f"`{text[:40]}` is not `KIND PAYLOAD`")
        self._lines += 1
        return await self.ask("AdvancedRouter", "send", returns=int, kind=kind, payload=payload)

    def facts(self) -> dict[str, Any]:
        """Return the number of accepted lines."""
        return {"lines": self._lines}
