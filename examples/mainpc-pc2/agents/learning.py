"""Learning: running means and variances, selection of lessons, parameters adjusted by feedback."""

from __future__ import annotations

import heapq
import math
from typing import Any

import msgspec

from agents.base_agent import ExampleAgent, ModelOptions, RejectedError
from argosy.agent import request


class Running(msgspec.Struct):
    """A mean and a variance that are updated one value at a time (Welford 1962)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Add a value."""
        self.count += 1
        step = value - self.mean
        self.mean += step / self.count
        self.squares += step * (value - self.mean)

    def error(self) -> float:
        """Return the standard error of the mean; infinite for fewer than two values."""
        if self.count < 2:
            return math.inf
        return math.sqrt(self.squares / (self.count - 1) / self.count)


class Evaluator(ExampleAgent):
    """Scores models by a running mean of their marks."""

    def __init__(self) -> None:
        super().__init__()
        self._marks: dict[str, Running] = {}

    @request(short=True)
    def mark(self, model: str, mark: float) -> float:
        """Add a mark of a model; return the mean of its marks."""
        running = self._marks.setdefault(model, Running())
        running.add(mark)
        return running.mean

    @request(short=True)
    def ranking(self) -> list[str]:
        """Return the models, best mean first."""
        return sorted(self._marks, key=lambda model: -self._marks[model].mean)

    def facts(self) -> dict[str, Any]:
        """Return the number of models with marks."""
        return {"models": len(self._marks)}


class Curriculum(ExampleAgent):
    """Orders lessons by mark, lowest first."""

    def __init__(self) -> None:
        super().__init__()
        self._lessons: list[tuple[float, str]] = []

    async def contact_peers(self) -> None:
        """Check that the ranking of models is available."""
        await self.ask_at_start("ModelEvaluationFramework", "ranking")

    @request(short=True)
    def add(self, lesson: str, mark: float) -> int:
        """Add a lesson with a mark; return the number of pending lessons."""
        heapq.heappush(self._lessons, (mark, lesson))
        return len(self._lessons)

    @request(short=True)
    def next_lesson(self) -> str:
        """Remove and return the lesson with the lowest mark; empty if there is none."""
        return heapq.heappop(self._lessons)[1] if self._lessons else ""

    def facts(self) -> dict[str, Any]:
        """Return the number of pending lessons."""
        return {"lessons": len(self._lessons)}


class OpportunityDetector(ExampleAgent):
    """Detects repeated questions."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: dict[str, int] = {}

    async def contact_peers(self) -> None:
        """Check that lessons and memory are available."""
        await self.ask_at_start("LearningOrchestrationService")
        await self.ask_at_start("MemoryClient")

    @request
    async def question(self, text: str) -> int:
        """Count a question, which becomes a lesson the third time; return its count."""
        count = self._asked[text] = self._asked.get(text, 0) + 1
        if count == 3:
            await self.ask("LearningOrchestrationService", "add", lesson=text, mark=0.0)
        return count


class Learner(ExampleAgent):
    """Computes a mean per subject."""

    def __init__(self) -> None:
        super().__init__()
        self._subjects: dict[str, Running] = {}

    async def contact_peers(self) -> None:
        """Announce itself, and check that memory is available."""
        await self.announce_kind("learning")
        await self.ask_at_start("MemoryClient")

    @request(short=True)
    def learn(self, subject: str, value: float) -> float:
        """Add a value of a subject; return the mean of its values."""
        running = self._subjects.setdefault(subject, Running())
        running.add(value)
        return running.mean

    @request(short=True)
    def errors(self) -> dict[str, float]:
        """Return the standard error of each subject with at least two values."""
        return {name: r.error() for name, r in self._subjects.items() if r.count > 1}

    def facts(self) -> dict[str, Any]:
        """Return the numbers of subjects and values."""
        return {"subjects": len(self._subjects), "values": sum(r.count for r in self._subjects.values())}


class QuestionChooser(ExampleAgent):
    """Chooses the subject with the largest uncertainty (Lewis and Gale 1994)."""

    async def contact_peers(self) -> None:
        """Check that the errors of subjects are available."""
        await self.ask_at_start("LearningManager", "errors")

    @request
    async def ask_about(self) -> str:
        """Return the subject with the largest error; empty if there is none."""
        errors = await self.ask("LearningManager", "errors", returns=dict[str, float])
        return max(errors, key=lambda subject: errors[subject], default="")


class TrainingQueue(ExampleAgent):
    """A round-robin queue of agents that want training."""

    Options = ModelOptions

    def __init__(self) -> None:
        super().__init__()
        self._turns: list[str] = []

    async def contact_peers(self) -> None:
        """Reserve the model's memory."""
        await self.reserve_model()

    @request(short=True)
    def enlist(self, agent: str) -> int:
        """Add an agent once; return its position in the queue, from 0."""
        if agent not in self._turns:
            self._turns.append(agent)
        return self._turns.index(agent)

    @request(short=True)
    def turn(self) -> str:
        """Return the next agent and move it to the end; rejected if the queue is empty."""
        if not self._turns:
            raise RejectedError("no agent has enlisted for training")
        self._turns.append(self._turns.pop(0))
        return self._turns[-1]

    def facts(self) -> dict[str, Any]:
        """Return the length of the queue."""
        return {"enlisted": len(self._turns)}


class Adjuster(ExampleAgent):
    """Moves parameters against the error, one step per call (Widrow and Hoff 1960)."""

    class Options(msgspec.Struct, frozen=True):
        """rate: the share of the error that one step removes."""

        rate: float

    def __init__(self) -> None:
        super().__init__()
        self._weights: dict[str, float] = {}

    async def contact_peers(self) -> None:
        """Join the training queue."""
        await self.ask_at_start("SelfTrainingOrchestrator", "enlist", agent=self.name)

    @request(short=True)
    def adjust(self, parameter: str, target: float) -> float:
        """Move a parameter towards a target; return its new value."""
        weight = self._weights.get(parameter, 0.0)
        self._weights[parameter] = weight + self.options.rate * (target - weight)
        return self._weights[parameter]

    def facts(self) -> dict[str, Any]:
        """Return the rate and the number of parameters."""
        return {"rate": self.options.rate, "parameters": len(self._weights)}
