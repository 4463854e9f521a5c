"""Emotions: a lexicon score of the mood, smoothed followers, and the tone of an answer."""

from __future__ import annotations

from typing import Any

import msgspec

from agents import text_analysis
from agents.base_agent import ExampleAgent, ModelOptions, hop
from agents.pipeline_messages import Feeling
from argosy.agent import request


def feeling_of(mood: float) -> Feeling:
    """Return a mood with the word for it."""
    return Feeling(mood, "glad" if mood > 0.2 else "low" if mood < -0.2 else "calm")


class Engine(ExampleAgent):
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


class Follower(ExampleAgent):
    """Follows one aspect of the conversation, smoothed: new = old + weight * (seen - old)."""

    class Options(msgspec.Struct, frozen=True):
        """follows: the name of the aspect. weight: of a new value, 0 to 1."""

        follows: str
        weight: float

    def __init__(self) -> None:
        super().__init__()
        self._level = 0.0
        self._seen = 0

    async def contact_peers(self) -> None:
        """Fetch the last mood."""
        await self._take(await self.ask_at_start("EmotionEngine", "last"))

    @request
    async def look(self) -> float:
        """Fetch the engine's last mood, and return the smoothed level."""
        return await self._take(await self.ask("EmotionEngine", "last", returns=float))

    async def _take(self, seen: float) -> float:
        self._level += self.options.weight * (seen - self._level)
        self._seen += 1
        return self._level

    def facts(self) -> dict[str, Any]:
        """Return the aspect, its level, and the number of values."""
        return {"follows": self.options.follows, "level": round(self._level, 4), "looks": self._seen}


class Empathy(ExampleAgent):
    """Chooses the tone of an answer: half of the speaker's mood."""

    async def contact_peers(self) -> None:
        """Check that the mood and the voice are available."""
        await self.ask_at_start("EmotionEngine", "last")
        await self.ask_at_start("StreamingTTSAgent")

    @request
    async def tone(self) -> Feeling:
        """Return the mood of the answer; never lower than calm."""
        mood: float = await self.ask("EmotionEngine", "last", returns=float)
        return feeling_of(max(0.0, mood / 2))


class Expression(ExampleAgent):
    """Expresses a mood in a text."""

    Options = ModelOptions

    async def contact_peers(self) -> None:
        """Announce itself and reserve the model's memory."""
        await self.announce_kind("expression")
        await self.reserve_model()

    @request(short=True)
    def express(self, text: str, mood: float) -> str:
        """Return the text with an opening and an ending for the mood."""
        word = feeling_of(mood).word
        opening = {"glad": "how nice: ", "low": "i am sorry: ", "calm": ""}[word]
        return f"{opening}{text.rstrip('.')}{'!' if word == 'glad' else '.'}"
