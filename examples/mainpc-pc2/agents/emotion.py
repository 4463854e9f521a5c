"""Feelings: a lexicon's score, followers that smooth it, and how an answer should sound."""

from __future__ import annotations

from typing import Any

import msgspec

from agents import text_analysis
from agents.base_agent import Member, ModelOptions, hop
from agents.pipeline_messages import Feeling
from argosy.agent import request


def feeling_of(mood: float) -> Feeling:
    """Return a mood with the word for it."""
    return Feeling(mood, "glad" if mood > 0.2 else "low" if mood < -0.2 else "calm")


class Engine(Member):
    """Scores the mood of a text by a lexicon."""

    def __init__(self) -> None:
        super().__init__()
        self._last = 0.0

    @hop
    async def feel(self, text: str) -> Feeling:
        """Return the mood of a text."""
        self._last = text_analysis.mood_of(text_analysis.tokens(text))
        return feeling_of(self._last)

    @request(short=True)
    def last(self) -> float:
        """Return the mood of the last text."""
        return self._last

    def facts(self) -> dict[str, Any]:
        """Return the mood of the last text."""
        return {"mood": self._last}


class Follower(Member):
    """Follows one aspect of the conversation, smoothed: new = old + weight * (seen - old)."""

    class Options(msgspec.Struct, frozen=True):
        """follows: the aspect, for people. weight: of what is new, 0 to 1."""

        follows: str
        weight: float

    def __init__(self) -> None:
        super().__init__()
        self._level = 0.0
        self._seen = 0

    async def greet(self) -> None:
        """Take in the last mood."""
        await self._take(await self.meet("EmotionEngine", "last"))

    @request
    async def look(self) -> float:
        """Take in the engine's last mood, and return the smoothed level."""
        return await self._take(await self.ask("EmotionEngine", "last", returns=float))

    async def _take(self, seen: float) -> float:
        self._level += self.options.weight * (seen - self._level)
        self._seen += 1
        return self._level

    def facts(self) -> dict[str, Any]:
        """Return the aspect, its level, and from how many looks."""
        return {"follows": self.options.follows, "level": round(self._level, 4), "looks": self._seen}


class Empathy(Member):
    """Chooses how an answer should sound: it goes half of the way to the speaker's mood."""

    async def greet(self) -> None:
        """See that the mood and the voice are there."""
        await self.meet("EmotionEngine", "last")
        await self.meet("StreamingTTSAgent")

    @request
    async def tone(self) -> Feeling:
        """Return the mood in which to answer; never lower than calm."""
        mood: float = await self.ask("EmotionEngine", "last", returns=float)
        return feeling_of(max(0.0, mood / 2))


class Expression(Member):
    """Dresses a text in a mood."""

    Options = ModelOptions

    async def greet(self) -> None:
        """Announce itself and reserve the model's memory."""
        await self.announce_kind("expression")
        await self.reserve_model()

    @request(short=True)
    def express(self, text: str, mood: float) -> str:
        """Return the text with an opening and an end for the mood."""
        word = feeling_of(mood).word
        opening = {"glad": "how nice: ", "low": "i am sorry: ", "calm": ""}[word]
        return f"{opening}{text.rstrip('.')}{'!' if word == 'glad' else '.'}"
