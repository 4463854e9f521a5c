"""Work on pc2: resources, a processor of jobs, a schedule by priority, routes to both."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from typing import Any

import msgspec

from agents import text_analysis
from agents.base_agent import Member, RefusalError
from argosy.agent import request


class Resources(Member):
    """Hands out units of a resource, never more than there are."""

    machine = "pc2"

    class Options(msgspec.Struct, frozen=True):
        """units: how many there are."""

        units: int

    def __init__(self) -> None:
        super().__init__()
        self._held: dict[str, int] = {}

    async def greet(self) -> None:
        """See that health is watched."""
        await self.meet("HealthMonitor")

    @request(short=True)
    def hold(self, holder: str, units: int) -> int:
        """Set how many units a holder has (0 gives them back); return what is left, refused above that."""
        others = sum(held for name, held in self._held.items() if name != holder)
        left: int = self.options.units - others - units
        if units < 0 or left < 0:
            raise RefusalError(
                f"{units} units for `{holder}`: {left + units} of {self.options.units} are free"
            )
        self._held[holder] = units
        return left

    def facts(self) -> dict[str, Any]:
        """Return units there are, and who holds how many."""
        return {"units": self.options.units, "held": dict(self._held)}


class TieredResponder(Member):
    """Answers by tier: at once from what it knows, else by a word of its own."""

    machine = "pc2"

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, str] = {}
        self._tiers: Counter[str] = Counter()

    async def greet(self) -> None:
        """Hold a unit."""
        await self.meet("ResourceManager", "hold", holder=self.name, units=1)

    @request(short=True)
    def teach(self, question: str, answer: str) -> None:
        """Take an answer to be given at once."""
        self._known[question] = answer

    @request(short=True)
    def answer(self, question: str) -> str:
        """Return the known answer, else the question's longest word as what it is about."""
        tier = "known" if question in self._known else "guessed"
        self._tiers[tier] += 1
        return self._known.get(question) or max(text_analysis.tokens(question), key=len, default="")

    def facts(self) -> dict[str, Any]:
        """Return how many answers came from each tier."""
        return {"tiers": dict(self._tiers)}


class Processor(Member):
    """Does jobs: the digest of a payload."""

    machine = "pc2"

    def __init__(self) -> None:
        super().__init__()
        self._bytes = 0

    async def greet(self) -> None:
        """Hold two units."""
        await self.meet("ResourceManager", "hold", holder=self.name, units=2)

    @request
    def process(self, payload: str) -> str:
        """Return the SHA-256 of a payload."""
        data = payload.encode()
        self._bytes += len(data)
        return hashlib.sha256(data).hexdigest()

    def facts(self) -> dict[str, Any]:
        """Return how many bytes were processed."""
        return {"bytes": self._bytes}


class Scheduler(Member):
    """Keeps jobs by priority, and has the first one done when it is told to."""

    machine = "pc2"

    def __init__(self) -> None:
        super().__init__()
        self._jobs: list[tuple[int, int, str]] = []
        self._taken = 0

    async def greet(self) -> None:
        """See that somebody does the jobs."""
        await self.meet("AsyncProcessor")

    @request(short=True)
    def add(self, payload: str, priority: int = 0) -> int:
        """Add a job, of equal priority after those before; return how many wait."""
        self._taken += 1
        heapq.heappush(self._jobs, (-priority, self._taken, payload))
        return len(self._jobs)

    @request
    async def run_next(self) -> str:
        """Have the job of the highest priority done and return its result; it stays when that fails."""
        if not self._jobs:
            raise RefusalError("no job waits")
        job = self._jobs[0]
        result: str = await self.ask("AsyncProcessor", "process", returns=str, payload=job[2])
        self._jobs.remove(job)
        heapq.heapify(self._jobs)
        return result

    def facts(self) -> dict[str, Any]:
        """Return how many jobs wait, and how many ever came."""
        return {"waiting": len(self._jobs), "taken": self._taken}


class Router(Member):
    """Sends work to the schedule, with a priority by its kind."""

    machine = "pc2"

    _PRIORITIES = {"urgent": 9, "normal": 5, "idle": 1}

    async def greet(self) -> None:
        """See that there is a schedule."""
        await self.meet("TaskScheduler")

    @request
    async def send(self, kind: str, payload: str) -> int:
        """Schedule a payload; return how many jobs wait. RefusalError for an unknown kind."""
        if kind not in self._PRIORITIES:
            raise RefusalError(f"`{kind}` is no kind of work; those are {', '.join(self._PRIORITIES)}")
        priority = self._PRIORITIES[kind]
        return await self.ask("TaskScheduler", "add", returns=int, payload=payload, priority=priority)


class Connector(Member):
    """Takes work from outside: a line `KIND PAYLOAD`."""

    machine = "pc2"

    def __init__(self) -> None:
        super().__init__()
        self._lines = 0

    async def greet(self) -> None:
        """See that work is routed."""
        await self.meet("AdvancedRouter")

    @request
    async def line(self, text: str) -> int:
        """Send a line of work on; return how many jobs wait. RefusalError when it is not `KIND PAYLOAD`."""
        kind, _, payload = text.partition(" ")
        if not payload:
            raise RefusalError(f"`{text[:40]}` is not `KIND PAYLOAD`")
        self._lines += 1
        return await self.ask("AdvancedRouter", "send", returns=int, kind=kind, payload=payload)

    def facts(self) -> dict[str, Any]:
        """Return how many lines were taken."""
        return {"lines": self._lines}
