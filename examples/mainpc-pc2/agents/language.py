"""Language on mainpc: analysis, translation, meaning, and the answer."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import Any

import msgspec

from agents import text_analysis
from agents.base_agent import ExampleAgent, ModelOptions, RejectedError, hop
from agents.pipeline_messages import Analysis, Feeling, Meaning, Person, Recollection, Speech, Spoken
from argosy.agent import request


class Analyzer(ExampleAgent):
    """Detects the language of a text, has it translated, and forwards it to be answered."""

    def __init__(self) -> None:
        super().__init__()
        self._languages: Counter[str] = Counter()

    async def contact_peers(self) -> None:
        """Check that the ear and the translation are available."""
        await self.ask_at_start("StreamingSpeechRecognition", "heard")
        await self.ask_at_start("TranslationService")

    @hop
    async def analyse(self, text: str) -> Spoken:
        """Return the fleet's answer to a text."""
        language = text_analysis.language_of(text_analysis.tokens(text))
        self._languages[language] += 1
        english = text
        if language != "en":
            english = await self.forward_request("TranslationService", "translate", returns=str, text=text)
        analysis = Analysis(text, language, english, text_analysis.tokens(english))
        return await self.forward_request(
            "RequestCoordinator", "route", returns=Spoken, within_s=4.5, kind="speech", analysis=analysis
        )

    def facts(self) -> dict[str, Any]:
        """Return the number of texts by language."""
        return {"languages": dict(self._languages)}


class LanguagePair(msgspec.Struct, frozen=True):
    """The source and target languages of a translator."""

    source: str = "tl"
    target: str = "en"


class Translator(ExampleAgent):
    """Translates with a dictionary of phrases."""

    Options = LanguagePair

    def __init__(self) -> None:
        super().__init__()
        self._words = 0

    @hop
    async def translate(self, text: str) -> str:
        """Return a text in English; words that are not in the dictionary are unchanged."""
        found = text_analysis.translate(text_analysis.tokens(text))
        self._words += len(found)
        return " ".join(found)

    def facts(self) -> dict[str, Any]:
        """Return the language pair and the number of translated words."""
        return {"pair": f"{self.options.source}-{self.options.target}", "words": self._words}


class StreamTranslator(ExampleAgent):
    """Translates a text as it arrives, holding back words that may begin a phrase."""

    Options = ModelOptions

    def __init__(self) -> None:
        super().__init__()
        self._held: list[str] = []

    async def contact_peers(self) -> None:
        """Reserve the model's memory."""
        await self.reserve_model()

    @request(short=True)
    def feed(self, text: str, is_last: bool = False) -> str:
        """Add the next piece and return the final part: all but the last two words."""
        self._held += text_analysis.tokens(text)
        count = len(self._held) if is_last else max(0, len(self._held) - 2)
        ready, self._held = self._held[:count], self._held[count:]
        return " ".join(text_analysis.translate(ready))


class Understanding(ExampleAgent):
    """Detects the intents of a text."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: Counter[str] = Counter()

    @hop
    async def understand(self, text: str) -> Meaning:
        """Return the intents of a text, strongest first."""
        intents = text_analysis.intents_of(text_analysis.tokens(text))
        self._seen.update(intents)
        return Meaning(intents)

    @request(short=True)
    def intents(self) -> list[str]:
        """Return the known intents."""
        return list(text_analysis.INTENTS)

    def facts(self) -> dict[str, Any]:
        """Return how often each intent was seen."""
        return {"seen": dict(self._seen)}


class Responder(ExampleAgent):
    """Answers a text from its intents, mood, speaker and memory, and has the answer spoken."""

    def __init__(self) -> None:
        super().__init__()
        self._answered = 0

    async def contact_peers(self) -> None:
        """Check that all agents needed for an answer are available."""
        await self.ask_at_start("NLUAgent", "intents")
        for helper in ("EmotionEngine", "FaceRecognitionAgent", "StreamingTTSAgent", "TTSService"):
            await self.ask_at_start(helper)

    @hop
    async def respond(self, analysis: Analysis) -> Spoken:
        """Answer an analysed text, and speak the answer."""
        text = analysis.english
        meaning: Meaning = await self.forward_request("NLUAgent", "understand", returns=Meaning, text=text)
        feeling: Feeling = await self.forward_request("EmotionEngine", "feel", returns=Feeling, text=text)
        person: Person = await self.forward_request("FaceRecognitionAgent", "who", returns=Person)
        memory: Recollection = await self.forward_request(
            "MemoryClient", "remember", returns=Recollection, within_s=3.0, who=person.name, text=text
        )
        said = compose(meaning, feeling, person, memory)
        speech: Speech = await self.forward_request(
            "StreamingTTSAgent", "speak", returns=Speech, within_s=3.0, text=said, mood=feeling.mood
        )
        self._answered += 1
        return Spoken(
            heard=analysis.heard,
            language=analysis.language,
            intents=meaning.intents,
            feeling=feeling.word,
            who=person.name,
            remembered=memory.written,
            said=said,
            speech=speech,
        )

    def facts(self) -> dict[str, Any]:
        """Return the number of answers."""
        return {"answered": self._answered}


def compose(meaning: Meaning, feeling: Feeling, person: Person, memory: Recollection) -> str:
    """Return an answer: a sentence for each intent, and one from memory."""
    sentences = {
        "greeting": f"hello {person.name}",
        "time": f"it is {time.strftime('%H %M')}",
        "thanks": "you are welcome",
        "calculate": "the executor calculates that for you",
        "remember": f"i keep that as number {memory.written}",
        "farewell": f"goodbye {person.name}",
        "chat": f"you sound {feeling.word}",
    }
    parts = [sentences[intent] for intent in meaning.intents]
    if memory.first is not None and memory.first.number != memory.written:
        parts.append(f"you first said: {memory.first.text}")
    return ". ".join(parts) + "."


class Chitchat(ExampleAgent):
    """Keeps a conversation going by turning statements into questions."""

    _TURNED = {"i": "you", "my": "your", "am": "are", "me": "you", "you": "i", "your": "my"}

    async def contact_peers(self) -> None:
        """Fetch the intents that other agents handle."""
        await self.ask_at_start("NLUAgent", "intents")

    @request(short=True)
    def chat(self, text: str) -> str:
        """Return the text turned into a question (after Weizenbaum's ELIZA, 1966)."""
        return "why do you say " + " ".join(self._TURNED.get(w, w) for w in text_analysis.tokens(text)) + "?"


class CommandHandler(ExampleAgent):
    """Finds an arithmetic command in a text, and has it written as code."""

    async def contact_peers(self) -> None:
        """Fetch the intents and the operators of the code generator."""
        await self.ask_at_start("NLUAgent", "intents")
        await self.ask_at_start("CodeGenerator", "operators")

    @request
    async def handle(self, text: str) -> str:
        """Return the code for the calculation in a text; rejected if there is none."""
        if "calculate" not in text_analysis.intents_of(text_analysis.tokens(text)):
            raise RejectedError(f"`{text}` has no calculation that can be written as code")
        code: str = await self.ask("CodeGenerator", "write", returns=str, text=text)
        return code


class Feedback(ExampleAgent):
    """Scores feedback by intent."""

    def __init__(self) -> None:
        super().__init__()
        self._scores: dict[str, float] = {}

    async def contact_peers(self) -> None:
        """Fetch the intents that can get feedback."""
        for intent in await self.ask_at_start("NLUAgent", "intents"):
            self._scores.setdefault(intent, 0.0)

    @request(short=True)
    def give(self, intent: str, text: str) -> float:
        """Add feedback on answers to an intent; return the score of that intent."""
        score = self._scores.get(intent, 0.0) + text_analysis.mood_of(text_analysis.tokens(text))
        self._scores[intent] = score
        return score


class IntentionValidator(ExampleAgent):
    """Decides whether an action is allowed for a text: a destructive one only if the text names it."""

    _DESTRUCTIVE = frozenset(("delete", "stop", "overwrite", "send"))

    async def contact_peers(self) -> None:
        """Announce itself."""
        await self.announce_kind("validation")

    @request(short=True)
    def is_meant(self, text: str, action: str) -> bool:
        """Return whether the action is harmless, or named in the text and not negated."""
        said = text_analysis.tokens(text)
        if action not in self._DESTRUCTIVE:
            return True
        return any(
            b == action and a not in ("not", "don't", "never")
            for a, b in zip(["", *said], said, strict=False)
        )


class Goals(ExampleAgent):
    """Stores goals and the remaining steps of each."""

    def __init__(self) -> None:
        super().__init__()
        self._goals: dict[str, deque[str]] = {}

    async def contact_peers(self) -> None:
        """Announce itself, and check that models and memory are available."""
        await self.announce_kind("goals")
        await self.ask_at_start("ModelOrchestrator")
        await self.ask_at_start("MemoryClient")

    @request(short=True)
    def set_goal(self, goal: str, steps: list[str]) -> int:
        """Store a goal; return the number of its steps."""
        self._goals[goal] = deque(steps)
        return len(steps)

    @request(short=True)
    def next_step(self, goal: str) -> str:
        """Remove and return the next step of a goal, empty if none is left; rejected for an unknown goal."""
        if goal not in self._goals:
            raise RejectedError(f"there is no goal `{goal}`; there are {len(self._goals)}")
        steps = self._goals[goal]
        return steps.popleft() if steps else ""

    def facts(self) -> dict[str, Any]:
        """Return the number of remaining steps by goal."""
        return {"steps_left": {goal: len(steps) for goal, steps in self._goals.items()}}


class Identity(ExampleAgent):
    """Stores the persona of the answers."""

    class Options(msgspec.Struct, frozen=True):
        """persona: the initial persona."""

        persona: str = "helper"

    def __init__(self) -> None:
        super().__init__()
        self._persona: str = self.options.persona

    async def contact_peers(self) -> None:
        """Announce itself."""
        await self.announce_kind("identity")

    @request(short=True)
    def become(self, persona: str) -> str:
        """Change the persona and return the previous one."""
        before, self._persona = self._persona, persona
        return before

    def facts(self) -> dict[str, Any]:
        """Return the persona."""
        return {"persona": self._persona}


class Reminders(ExampleAgent):
    """Stores reminders, and returns those that are due."""

    def __init__(self) -> None:
        super().__init__()
        self._due: list[tuple[float, str]] = []

    async def contact_peers(self) -> None:
        """Announce itself."""
        await self.announce_kind("reminders")

    @request(short=True)
    def remind_in(self, seconds: float, text: str) -> int:
        """Store a reminder; return how many there are."""
        self._due.append((time.monotonic() + seconds, text))
        return len(self._due)

    @request(short=True)
    def due(self) -> list[str]:
        """Remove and return the due reminders, oldest first."""
        now = time.monotonic()
        ready = sorted(item for item in self._due if item[0] <= now)
        self._due = [item for item in self._due if item[0] > now]
        return [text for _, text in ready]
