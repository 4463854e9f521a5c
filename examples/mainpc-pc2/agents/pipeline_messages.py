"""The messages between the stages that process an utterance."""

from __future__ import annotations

import msgspec


class Transcript(msgspec.Struct, frozen=True):
    """The text decoded from samples, and their duration."""

    text: str
    ms: float


class Analysis(msgspec.Struct, frozen=True):
    """A text as heard, its English translation, and the words of the latter."""

    heard: str
    language: str
    english: str
    words: list[str]


class Meaning(msgspec.Struct, frozen=True):
    """The intents of a text, strongest first, with their share of its words."""

    intents: dict[str, float]


class Feeling(msgspec.Struct, frozen=True):
    """A mood from -1 to 1, and the word for it."""

    mood: float
    word: str


class Person(msgspec.Struct, frozen=True):
    """The recognised speaker, and the distance of the face to the known one (0 is identical)."""

    name: str
    distance: float


class Record(msgspec.Struct, frozen=True):
    """One stored text, numbered in write order."""

    number: int
    who: str
    text: str


class Recollection(msgspec.Struct, frozen=True):
    """The memory of a person: the number of the new record, the last records, the first record."""

    written: int
    recent: list[Record]
    first: Record | None


class Voice(msgspec.Struct, frozen=True):
    """Spoken words as 16-bit samples, their duration, and whether they were interrupted."""

    samples: bytes
    ms: float
    is_cut: bool


class Speech(msgspec.Struct, frozen=True):
    """The number of spoken sentences, their duration, and whether they were interrupted."""

    sentences: int
    ms: float
    is_cut: bool


class Spoken(msgspec.Struct, frozen=True):
    """An answered utterance: what was heard, understood and said."""

    heard: str
    language: str
    intents: dict[str, float]
    feeling: str
    who: str
    remembered: int
    said: str
    speech: Speech
