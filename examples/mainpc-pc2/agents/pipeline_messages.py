"""What the stages of an utterance hand to each other."""

from __future__ import annotations

import msgspec


class Transcript(msgspec.Struct, frozen=True):
    """The text found in samples, and how long they last."""

    text: str
    ms: float


class Analysis(msgspec.Struct, frozen=True):
    """A text as heard, in English, and the words of that."""

    heard: str
    language: str
    english: str
    words: list[str]


class Meaning(msgspec.Struct, frozen=True):
    """The intents that a text speaks for, the strongest first, with their shares of its words."""

    intents: dict[str, float]


class Feeling(msgspec.Struct, frozen=True):
    """A mood from -1 to 1, and the word for it."""

    mood: float
    word: str


class Person(msgspec.Struct, frozen=True):
    """Who is believed to speak, and how near the face was to the known one (0 is the same)."""

    name: str
    distance: float


class Record(msgspec.Struct, frozen=True):
    """One thing remembered: numbered in the order of writing."""

    number: int
    who: str
    text: str


class Recollection(msgspec.Struct, frozen=True):
    """What memory gave for a person: the record just written, the last ones, the first one ever."""

    written: int
    recent: list[Record]
    first: Record | None


class Voice(msgspec.Struct, frozen=True):
    """Spoken words as 16-bit samples, and how long they last; cut short when interrupted."""

    samples: bytes
    ms: float
    is_cut: bool


class Speech(msgspec.Struct, frozen=True):
    """What was spoken: sentences, milliseconds, and whether it was cut short."""

    sentences: int
    ms: float
    is_cut: bool


class Spoken(msgspec.Struct, frozen=True):
    """An utterance answered: what was heard and understood, and what was said."""

    heard: str
    language: str
    intents: dict[str, float]
    feeling: str
    who: str
    remembered: int
    said: str
    speech: Speech
