"""Learning: running means and variances, what to learn next, and parameters that follow feedback."""

from __future__ import annotations

import heapq
import math
from typing import Any

import msgspec

from agents.base_agent import Member, ModelOptions, RefusalError
from argosy.agent import request


class Running(msgspec.Struct):
    """A mean and a variance that take one value at a time (Welford 1962)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Take a value."""
        self.count += 1
        step = value - self.mean
        self.mean += step / self.count
        self.squares += step * (value - self.mean)

    def error(self) -> float:
        """Return the standard error of the mean; infinite below two values."""
        if self.count < 2:
            return math.inf
        return math.sqrt(self.squares / (self.count - 1) / self.count)


class Evaluator(Member):
    """Scores models: a running mean of marks for each."""

    def __init__(self) -> None:
        super().__init__()
        self._marks: dict[str, Running] = {}

    @request(short=True)
    def mark(self, model: str, mark: float) -> float:
        """Take a mark of a model; return its mean."""
        running = self._marks.setdefault(model, Running())
        running.add(mark)
        return running.mean

    @request(short=True)
    def ranking(self) -> list[str]:
        """Return the models, best mean first."""
        return sorted(self._marks, key=lambda model: -self._marks[model].mean)

    def facts(self) -> dict[str, Any]:
        """Return how many models have marks."""
        return {"models": len(self._marks)}


class Curriculum(Member):
    """Orders lessons: the worst model's turn comes first."""

    def __init__(self) -> None:
        super().__init__()
        self._lessons: list[tuple[float, str]] = []

    async def greet(self) -> None:
        """See the ranking that lessons go by."""
        await self.meet("ModelEvaluationFramework", "ranking")

    @request(short=True)
    def add(self, lesson: str, mark: float) -> int:
        """Add a lesson for something that got a mark; return how many lessons wait."""
        heapq.heappush(self._lessons, (mark, lesson))
        return len(self._lessons)

    @request(short=True)
    def next_lesson(self) -> str:
        """Take and return the lesson of the lowest mark, empty when none waits."""
        return heapq.heappop(self._lessons)[1] if self._lessons else ""

    def facts(self) -> dict[str, Any]:
        """Return how many lessons wait."""
        return {"lessons": len(self._lessons)}


class OpportunityDetector(Member):
    """Notices questions that come again and again."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: dict[str, int] = {}

    async def greet(self) -> None:
        """See that lessons and memory are there."""
        await self.meet("LearningOrchestrationService")
        await self.meet("MemoryClient")

    @request
    async def question(self, text: str) -> int:
        """Count a question; the third time it becomes a lesson. Return how often it came."""
        count = self._asked[text] = self._asked.get(text, 0) + 1
        if count == 3:
            await self.ask("LearningOrchestrationService", "add", lesson=text, mark=0.0)
        return count


class Learner(Member):
    """Learns a mean per subject."""

    def __init__(self) -> None:
        super().__init__()
        self._subjects: dict[str, Running] = {}

    async def greet(self) -> None:
        """Announce itself, and see that memory is there."""
        await self.announce_kind("learning")
        await self.meet("MemoryClient")

    @request(short=True)
    def learn(self, subject: str, value: float) -> float:
        """Take a value of a subject; return its mean."""
        running = self._subjects.setdefault(subject, Running())
        running.add(value)
        return running.mean

    @request(short=True)
    def errors(self) -> dict[str, float]:
        """Return the standard error of each subject that has at least two values."""
        return {name: r.error() for name, r in self._subjects.items() if r.count > 1}

    def facts(self) -> dict[str, Any]:
        """Return subjects and values learned."""
        return {"subjects": len(self._subjects), "values": sum(r.count for r in self._subjects.values())}


class QuestionChooser(Member):
    """Chooses to ask about the subject that is known least well (Lewis and Gale 1994)."""

    async def greet(self) -> None:
        """See how well subjects are known."""
        await self.meet("LearningManager", "errors")

    @request
    async def ask_about(self) -> str:
        """Return the subject of the largest error, empty when nothing was learned."""
        errors = await self.ask("LearningManager", "errors", returns=dict[str, float])
        return max(errors, key=lambda subject: errors[subject], default="")


class TrainingQueue(Member):
    """Enlists who wants training, and lets them train one at a time, in turn."""

    Options = ModelOptions

    def __init__(self) -> None:
        super().__init__()
        self._turns: list[str] = []

    async def greet(self) -> None:
        """Reserve the model's memory."""
        await self.reserve_model()

    @request(short=True)
    def enlist(self, agent: str) -> int:
        """Enlist an agent once; return its place in the turns, from 0."""
        if agent not in self._turns:
            self._turns.append(agent)
        return self._turns.index(agent)

    @request(short=True)
    def turn(self) -> str:
        """Return whose turn it is and put it last; refused when nobody is enlisted."""
        if not self._turns:
            raise RefusalError("nobody has enlisted for training")
        self._turns.append(self._turns.pop(0))
        return self._turns[-1]

    def facts(self) -> dict[str, Any]:
        """Return how many are enlisted."""
        return {"enlisted": len(self._turns)}


class Adjuster(Member):
    """Moves parameters against the error, a step of its rate at a time (Widrow and Hoff 1960)."""

    class Options(msgspec.Struct, frozen=True):
        """rate: the share of the error that one step takes away."""

        rate: float

    def __init__(self) -> None:
        super().__init__()
        self._weights: dict[str, float] = {}

    async def greet(self) -> None:
        """Enlist for training."""
        await self.meet("SelfTrainingOrchestrator", "enlist", agent=self.name)

    @request(short=True)
    def adjust(self, parameter: str, target: float) -> float:
        """Move a parameter towards a target; return where it is now."""
        weight = self._weights.get(parameter, 0.0)
        self._weights[parameter] = weight + self.options.rate * (target - weight)
        return self._weights[parameter]

    def facts(self) -> dict[str, Any]:
        """Return the rate and how many parameters there are."""
        return {"rate": self.options.rate, "parameters": len(self._weights)}
