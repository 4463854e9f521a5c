"""Language on mainpc: analysis, translation, meaning, and the answer."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import Any

import msgspec

from agents import text_analysis
from agents.base_agent import Member, ModelOptions, RefusalError, hop
from agents.pipeline_messages import Analysis, Feeling, Meaning, Person, Recollection, Speech, Spoken
from argosy.agent import request


class Analyzer(Member):
    """Tells the language of a text, has it translated, and sends it to be answered."""

    def __init__(self) -> None:
        super().__init__()
        self._languages: Counter[str] = Counter()

    async def greet(self) -> None:
        """See that the ear and the translation are there."""
        await self.meet("StreamingSpeechRecognition", "heard")
        await self.meet("TranslationService")

    @hop
    async def analyse(self, text: str) -> Spoken:
        """Return what the fleet answers to a text."""
        language = text_analysis.language_of(text_analysis.tokens(text))
        self._languages[language] += 1
        english = text
        if language != "en":
            english = await self.pass_on("TranslationService", "translate", returns=str, text=text)
        analysis = Analysis(text, language, english, text_analysis.tokens(english))
        return await self.pass_on(
            "RequestCoordinator", "route", returns=Spoken, within_s=4.5, kind="speech", analysis=analysis
        )

    def facts(self) -> dict[str, Any]:
        """Return how many texts came in each language."""
        return {"languages": dict(self._languages)}


class LanguagePair(msgspec.Struct, frozen=True):
    """The languages between which a translator works."""

    source: str = "tl"
    target: str = "en"


class Translator(Member):
    """Translates with a dictionary of phrases."""

    Options = LanguagePair

    def __init__(self) -> None:
        super().__init__()
        self._words = 0

    @hop
    async def translate(self, text: str) -> str:
        """Return a text in English; words that the dictionary does not have stay as they are."""
        found = text_analysis.translate(text_analysis.tokens(text))
        self._words += len(found)
        return " ".join(found)

    def facts(self) -> dict[str, Any]:
        """Return the pair and how many words were translated."""
        return {"pair": f"{self.options.source}-{self.options.target}", "words": self._words}


class StreamTranslator(Member):
    """Translates word by word as a text arrives, holding back what may become a phrase."""

    Options = ModelOptions

    def __init__(self) -> None:
        super().__init__()
        self._held: list[str] = []

    async def greet(self) -> None:
        """Reserve the model's memory."""
        await self.reserve_model()

    @request(short=True)
    def feed(self, text: str, is_last: bool = False) -> str:
        """Take the next piece and return what is sure by now: all but the last two words."""
        self._held += text_analysis.tokens(text)
        sure = len(self._held) if is_last else max(0, len(self._held) - 2)
        ready, self._held = self._held[:sure], self._held[sure:]
        return " ".join(text_analysis.translate(ready))


class Understanding(Member):
    """Tells which intents a text speaks for."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: Counter[str] = Counter()

    @hop
    async def understand(self, text: str) -> Meaning:
        """Return the intents of a text, the strongest first."""
        intents = text_analysis.intents_of(text_analysis.tokens(text))
        self._seen.update(intents)
        return Meaning(intents)

    @request(short=True)
    def intents(self) -> list[str]:
        """Return the intents that are known."""
        return list(text_analysis.INTENTS)

    def facts(self) -> dict[str, Any]:
        """Return how often each intent was seen."""
        return {"seen": dict(self._seen)}


class Responder(Member):
    """Answers: asks who speaks, what is meant and felt, what is remembered, and has the answer spoken."""

    def __init__(self) -> None:
        super().__init__()
        self._answered = 0

    async def greet(self) -> None:
        """See that all who help with an answer are there."""
        await self.meet("NLUAgent", "intents")
        for helper in ("EmotionEngine", "FaceRecognitionAgent", "StreamingTTSAgent", "TTSService"):
            await self.meet(helper)

    @hop
    async def respond(self, analysis: Analysis) -> Spoken:
        """Answer an analysed text, and speak the answer."""
        text = analysis.english
        meaning: Meaning = await self.pass_on("NLUAgent", "understand", returns=Meaning, text=text)
        feeling: Feeling = await self.pass_on("EmotionEngine", "feel", returns=Feeling, text=text)
        person: Person = await self.pass_on("FaceRecognitionAgent", "who", returns=Person)
        memory: Recollection = await self.pass_on(
            "MemoryClient", "remember", returns=Recollection, within_s=3.0, who=person.name, text=text
        )
        said = compose(meaning, feeling, person, memory)
        speech: Speech = await self.pass_on(
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
        """Return how many answers were given."""
        return {"answered": self._answered}


def compose(meaning: Meaning, feeling: Feeling, person: Person, memory: Recollection) -> str:
    """Return an answer: a sentence for each intent, and one for what is remembered."""
    sentences = {
        "greeting": f"hello {person.name}",
        "time": f"it is {time.strftime('%H %M')}",
        "thanks": "you are welcome",
        "reckon": "the executor reckons that for you",
        "remember": f"i keep that as number {memory.written}",
        "farewell": f"goodbye {person.name}",
        "chat": f"you sound {feeling.word}",
    }
    parts = [sentences[intent] for intent in meaning.intents]
    if memory.first is not None and memory.first.number != memory.written:
        parts.append(f"you first said: {memory.first.text}")
    return ". ".join(parts) + "."


class Chitchat(Member):
    """Keeps a light conversation by turning statements round."""

    _TURNED = {"i": "you", "my": "your", "am": "are", "me": "you", "you": "i", "your": "my"}

    async def greet(self) -> None:
        """Learn which intents others take care of."""
        await self.meet("NLUAgent", "intents")

    @request(short=True)
    def chat(self, text: str) -> str:
        """Return the text turned round as a question (after Weizenbaum's ELIZA, 1966)."""
        return "why do you say " + " ".join(self._TURNED.get(w, w) for w in text_analysis.tokens(text)) + "?"


class CommandHandler(Member):
    """Finds a command and its arguments in a text, and has an expression written as code."""

    async def greet(self) -> None:
        """Learn the intents, and that code can be written."""
        await self.meet("NLUAgent", "intents")
        await self.meet("CodeGenerator", "operators")

    @request
    async def handle(self, text: str) -> str:
        """Return the code for what a text asks to be reckoned; refused when it asks for nothing else."""
        if "reckon" not in text_analysis.intents_of(text_analysis.tokens(text)):
            raise RefusalError(f"`{text}` asks for nothing that can be written as code")
        code: str = await self.ask("CodeGenerator", "write", returns=str, text=text)
        return code


class Feedback(Member):
    """Counts praise and blame by intent."""

    def __init__(self) -> None:
        super().__init__()
        self._scores: dict[str, float] = {}

    async def greet(self) -> None:
        """Learn which intents there are to be praised for."""
        for intent in await self.meet("NLUAgent", "intents"):
            self._scores.setdefault(intent, 0.0)

    @request(short=True)
    def give(self, intent: str, text: str) -> float:
        """Take what was said about answers to an intent; return the score of that intent."""
        score = self._scores.get(intent, 0.0) + text_analysis.mood_of(text_analysis.tokens(text))
        self._scores[intent] = score
        return score


class IntentionValidator(Member):
    """Says whether an action may be done for a text: a destructive one only where the text names it."""

    _DESTRUCTIVE = frozenset(("delete", "stop", "overwrite", "send"))

    async def greet(self) -> None:
        """Announce itself."""
        await self.announce_kind("validation")

    @request(short=True)
    def is_meant(self, text: str, action: str) -> bool:
        """Tell whether the action is harmless, or named in the text and not negated."""
        said = text_analysis.tokens(text)
        if action not in self._DESTRUCTIVE:
            return True
        return any(
            b == action and a not in ("not", "don't", "never")
            for a, b in zip(["", *said], said, strict=False)
        )


class Goals(Member):
    """Keeps goals and the steps that are left of each."""

    def __init__(self) -> None:
        super().__init__()
        self._goals: dict[str, deque[str]] = {}

    async def greet(self) -> None:
        """Announce itself, and see that models and memory are there."""
        await self.announce_kind("goals")
        await self.meet("ModelOrchestrator")
        await self.meet("MemoryClient")

    @request(short=True)
    def set_goal(self, goal: str, steps: list[str]) -> int:
        """Keep a goal; return how many steps it has."""
        self._goals[goal] = deque(steps)
        return len(steps)

    @request(short=True)
    def next_step(self, goal: str) -> str:
        """Take and return the next step of a goal, empty when it is reached; refused for an unknown one."""
        if goal not in self._goals:
            raise RefusalError(f"there is no goal `{goal}`; there are {len(self._goals)}")
        steps = self._goals[goal]
        return steps.popleft() if steps else ""

    def facts(self) -> dict[str, Any]:
        """Return the steps left, by goal."""
        return {"steps_left": {goal: len(steps) for goal, steps in self._goals.items()}}


class Identity(Member):
    """Holds the persona that answers are given in."""

    class Options(msgspec.Struct, frozen=True):
        """persona: the one to begin with."""

        persona: str = "helper"

    def __init__(self) -> None:
        super().__init__()
        self._persona: str = self.options.persona

    async def greet(self) -> None:
        """Announce itself."""
        await self.announce_kind("identity")

    @request(short=True)
    def become(self, persona: str) -> str:
        """Take on a persona and return the one before."""
        before, self._persona = self._persona, persona
        return before

    def facts(self) -> dict[str, Any]:
        """Return the persona."""
        return {"persona": self._persona}


class Reminders(Member):
    """Keeps what is due, and tells what is when it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self._due: list[tuple[float, str]] = []

    async def greet(self) -> None:
        """Announce itself."""
        await self.announce_kind("reminders")

    @request(short=True)
    def remind_in(self, seconds: float, text: str) -> int:
        """Keep a reminder; return how many there are."""
        self._due.append((time.monotonic() + seconds, text))
        return len(self._due)

    @request(short=True)
    def due(self) -> list[str]:
        """Take and return what is due by now, oldest first."""
        now = time.monotonic()
        ready = sorted(item for item in self._due if item[0] <= now)
        self._due = [item for item in self._due if item[0] > now]
        return [text for _, text in ready]
