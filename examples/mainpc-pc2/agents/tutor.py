"""Teaching on pc2: a quiz with a level per learner."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from agents.base_agent import ExampleAgent, RejectedError
from agents.text_analysis import DICTIONARY
from argosy.agent import request


class Question(msgspec.Struct, frozen=True):
    """A question and its answer."""

    text: str
    answer: str


class Progress(msgspec.Struct):
    """A learner's state: the level, the number of consecutive right answers, the open question."""

    level: int = 1
    streak: int = 0
    asked: int = 0
    open: Question | None = None


class QuizAgent(ExampleAgent):
    """Asks questions on a topic; three consecutive right answers raise the level, a wrong one lowers it."""

    machine = "pc2"

    class Options(msgspec.Struct, frozen=True):
        """topic: `arithmetic` or `words`."""

        topic: str

    def __init__(self) -> None:
        super().__init__()
        topics = {"arithmetic": sum_question, "words": word_question}
        if self.options.topic not in topics:
            raise RejectedError(f"`{self.options.topic}` is not a topic; topics: {', '.join(topics)}")
        self._make_question = topics[self.options.topic]
        self._learners: dict[str, Progress] = {}

    async def contact_peers(self) -> None:
        """Check that memory is available."""
        await self.ask_at_start("MemoryOrchestratorService", "count")

    @request(short=True)
    def question(self, learner: str) -> str:
        """Return the learner's open question, or a new one."""
        progress = self._learners.setdefault(learner, Progress())
        if progress.open is None:
            progress.asked += 1
            progress.open = self._make_question(progress.level, random.Random(f"{learner}{progress.asked}"))
        return progress.open.text

    @request(short=True)
    def answer(self, learner: str, text: str) -> bool:
        """Return whether an answer is right; rejected if no question is open."""
        progress = self._learners.get(learner)
        if progress is None or progress.open is None:
            raise RejectedError(f"no question is open for `{learner}`")
        is_right = text.strip().lower() == progress.open.answer
        progress.open = None
        progress.streak = progress.streak + 1 if is_right else 0
        progress.level = max(1, progress.level + (progress.streak == 3) - (not is_right))
        progress.streak %= 3
        return is_right

    def facts(self) -> dict[str, Any]:
        """Return the topic and each learner's level."""
        return {"topic": self.options.topic, "levels": {who: p.level for who, p in self._learners.items()}}


def sum_question(level: int, generator: random.Random) -> Question:
    """Return a sum of two numbers up to 10 ** `level`."""
    a, b = (generator.randint(1, 10**level) for _ in range(2))
    return Question(f"{a} + {b}", str(a + b))


def word_question(level: int, generator: random.Random) -> Question:
    """Return a phrase of at most `level` words to translate."""
    phrase = generator.choice([each for each in DICTIONARY if len(each.split()) <= level])
    return Question(phrase, DICTIONARY[phrase])
