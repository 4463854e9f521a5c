"""Teaching on pc2: a quiz that remembers what each learner gets right."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from agents.base_agent import Member, RefusalError
from agents.text_analysis import DICTIONARY
from argosy.agent import request


class Question(msgspec.Struct, frozen=True):
    """A question and its answer."""

    text: str
    answer: str


class Progress(msgspec.Struct):
    """A learner's state: the level, how many answers in a row were right, and the open question."""

    level: int = 1
    streak: int = 0
    asked: int = 0
    open: Question | None = None


class Quiz(Member):
    """Asks questions of a topic; three right answers in a row raise the level, a wrong one lowers it."""

    machine = "pc2"

    class Options(msgspec.Struct, frozen=True):
        """topic: `arithmetic` or `words`."""

        topic: str

    def __init__(self) -> None:
        super().__init__()
        makers = {"arithmetic": sum_question, "words": word_question}
        if self.options.topic not in makers:
            raise RefusalError(f"`{self.options.topic}` is no topic; those are {', '.join(makers)}")
        self._make = makers[self.options.topic]
        self._learners: dict[str, Progress] = {}

    async def greet(self) -> None:
        """See that memory is there."""
        await self.meet("MemoryOrchestratorService", "count")

    @request(short=True)
    def question(self, learner: str) -> str:
        """Return the learner's next question; the same one until it is answered."""
        progress = self._learners.setdefault(learner, Progress())
        if progress.open is None:
            progress.asked += 1
            progress.open = self._make(progress.level, random.Random(f"{learner}{progress.asked}"))
        return progress.open.text

    @request(short=True)
    def answer(self, learner: str, text: str) -> bool:
        """Take an answer and return whether it is right; refused when no question is open."""
        progress = self._learners.get(learner)
        if progress is None or progress.open is None:
            raise RefusalError(f"no question is open for `{learner}`")
        is_right = text.strip().lower() == progress.open.answer
        progress.open = None
        progress.streak = progress.streak + 1 if is_right else 0
        progress.level = max(1, progress.level + (progress.streak == 3) - (not is_right))
        progress.streak %= 3
        return is_right

    def facts(self) -> dict[str, Any]:
        """Return the topic and each learner's level."""
        return {"topic": self.options.topic, "levels": {who: p.level for who, p in self._learners.items()}}


def sum_question(level: int, chance: random.Random) -> Question:
    """Return a sum of numbers of up to `level` digits."""
    a, b = (chance.randint(1, 10**level) for _ in range(2))
    return Question(f"{a} + {b}", str(a + b))


def word_question(level: int, chance: random.Random) -> Question:
    """Return a phrase to translate, of at most `level` words."""
    phrase = chance.choice([each for each in DICTIONARY if len(each.split()) <= level])
    return Question(phrase, DICTIONARY[phrase])
