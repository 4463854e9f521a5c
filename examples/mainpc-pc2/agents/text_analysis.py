"""Text analysis by tables: words, intents, moods, a small dictionary. Pure functions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Final

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")

INTENTS: Final[Mapping[str, frozenset[str]]] = {
    "greeting": frozenset(["hello", "hi", "hey", "morning", "afternoon", "evening"]),
    "time": frozenset(["time", "clock", "hour", "o'clock"]),
    "thanks": frozenset(["thanks", "thank", "grateful"]),
    "calculate": frozenset(["plus", "minus", "times", "divided", "sum", "calculate"]),
    "remember": frozenset(["remember", "note", "remind", "forget"]),
    "farewell": frozenset(["goodbye", "bye", "night"]),
}

MOODS: Final[Mapping[str, int]] = {
    **dict.fromkeys(["good", "great", "love", "thanks", "thank", "happy", "wonderful", "nice", "please"], 1),
    **dict.fromkeys(["bad", "sad", "angry", "hate", "terrible", "wrong", "tired", "broken", "never"], -1),
}

# From Filipino; the longest matching phrase is used.
DICTIONARY: Final[Mapping[str, str]] = {
    "magandang umaga": "good morning",
    "magandang hapon": "good afternoon",
    "magandang gabi": "good evening",
    "anong oras na": "what is the time",
    "kumusta ka": "how are you",
    "salamat": "thank you",
    "masaya": "happy",
    "malungkot": "sad",
    "ako": "i",
    "ikaw": "you",
    "oo": "yes",
    "hindi": "no",
    "paalam": "goodbye",
}
_FOREIGN = frozenset(word for phrase in DICTIONARY for word in phrase.split())
_LONGEST = max(len(phrase.split()) for phrase in DICTIONARY)


def tokens(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return _WORD.findall(text.lower())


def language_of(words: list[str]) -> str:
    """Return `tl` if at least half of the words are in the dictionary, else `en`."""
    known = sum(word in _FOREIGN for word in words)
    return "tl" if words and 2 * known >= len(words) else "en"


def translate(words: list[str]) -> list[str]:
    """Return English words; words that are not in the dictionary are unchanged."""
    found: list[str] = []
    at = 0
    while at < len(words):
        for length in range(_LONGEST, 0, -1):
            phrase = DICTIONARY.get(" ".join(words[at : at + length]))
            if phrase is not None:
                break
        found.extend(phrase.split() if phrase else words[at : at + 1])
        at += length
    return found


def intents_of(words: list[str]) -> dict[str, float]:
    """Return the share of words for each intent, highest first; `chat` if there is no intent."""
    hits = Counter(intent for intent, cues in INTENTS.items() for word in words if word in cues)
    return {intent: hits[intent] / len(words) for intent, _ in hits.most_common()} or {"chat": 1.0}


def mood_of(words: list[str]) -> float:
    """Return a mood from -1 to 1; `not` negates the next word."""
    scores = [
        -MOODS[word] if before == "not" else MOODS[word]
        for before, word in zip(["", *words], words, strict=False)
        if word in MOODS
    ]
    return sum(scores) / len(scores) if scores else 0.0
