"""Speech and text: a decoder of tones, a synthesiser, and what may cut a voice short."""

from __future__ import annotations

import re
import time
from typing import Any, Final

import msgspec

from agents import tone_codec
from agents.base_agent import Member, ModelOptions, RefusalError, hop
from agents.pipeline_messages import Speech, Transcript, Voice
from argosy.agent import request

NEUTRAL_HZ: Final = 180.0


class SpeechToText(Member):
    """Finds the text in samples."""

    Options = ModelOptions

    def __init__(self) -> None:
        super().__init__()
        self._seconds = 0.0

    async def greet(self) -> None:
        """Reserve the model's memory."""
        await self.reserve_model()

    @hop
    async def transcribe(self, samples: bytes) -> Transcript:
        """Return the text that samples carry; refused when they carry none."""
        heard = tone_codec.unpack(samples)
        try:
            text = tone_codec.hear_tones(heard)
        except ValueError as error:
            raise RefusalError(f"no text in it: {error}") from error
        self._seconds += len(heard) / tone_codec.RATE
        return Transcript(text, 1000 * len(heard) / tone_codec.RATE)

    def facts(self) -> dict[str, Any]:
        """Return seconds of voice transcribed."""
        return {"transcribed_s": round(self._seconds, 3)}


class Interruption(msgspec.Struct, frozen=True):
    """Whether the voice is to be silent now."""

    is_set: bool


class InterruptHandler(Member):
    """Knows whether somebody has asked for silence."""

    def __init__(self) -> None:
        super().__init__()
        self._silent_until_s = 0.0

    async def greet(self) -> None:
        """See that the ear and the mouth it stands between are there."""
        await self.meet("StreamingSpeechRecognition", "heard")
        await self.meet("StreamingTTSAgent")

    @request(short=True)
    def interrupt(self, seconds: float = 2.0) -> None:
        """Ask for silence for so many seconds."""
        self._silent_until_s = time.monotonic() + seconds

    @hop
    async def interruption(self) -> Interruption:
        """Tell whether silence is asked for now."""
        return Interruption(time.monotonic() < self._silent_until_s)


class TextToSpeech(Member):
    """Makes samples of words; before it speaks it asks whether it was interrupted."""

    Options = ModelOptions

    def __init__(self) -> None:
        super().__init__()
        self._words = 0

    async def greet(self) -> None:
        """Reserve the model's memory."""
        await self.reserve_model()

    @hop
    async def synthesise(self, text: str, mood: float = 0.0) -> Voice:
        """Return a text as voice, higher the better the mood (-1 to 1); nothing when interrupted."""
        asked: Interruption = await self.pass_on(
            "StreamingInterruptHandler", "interruption", returns=Interruption
        )
        if asked.is_set:
            return Voice(b"", 0.0, is_cut=True)
        words = text.lower().split()
        self._words += len(words)
        spoken = b"".join(tone_codec.voice(word, NEUTRAL_HZ * (1 + mood / 4)).tobytes() for word in words)
        return Voice(spoken, 1000 * len(spoken) / 2 / tone_codec.RATE, is_cut=False)

    def facts(self) -> dict[str, Any]:
        """Return how many words were spoken."""
        return {"words": self._words}


class StreamingSpeech(Member):
    """Speaks an answer sentence by sentence, so that the first can be heard before the last is made."""

    def __init__(self) -> None:
        super().__init__()
        self._spoken_ms = 0.0

    async def greet(self) -> None:
        """Announce itself, and see that the voice and the overview are there."""
        await self.announce_kind("speaking")
        await self.meet("TTSService")
        await self.meet("UnifiedSystemAgent")

    @hop
    async def speak(self, text: str, mood: float = 0.0) -> Speech:
        """Speak a text; stops at the sentence that is interrupted."""
        sentences = [part.strip() for part in re.split(r"[.!?]+", text) if part.strip()]
        spoken_ms, done = 0.0, 0
        for sentence in sentences:
            voice: Voice = await self.pass_on(
                "TTSService", "synthesise", returns=Voice, within_s=2.5, text=sentence, mood=mood
            )
            if voice.is_cut:
                break
            spoken_ms += voice.ms
            done += 1
        self._spoken_ms += spoken_ms
        return Speech(done, round(spoken_ms, 1), is_cut=done < len(sentences))

    def facts(self) -> dict[str, Any]:
        """Return seconds spoken."""
        return {"spoken_s": round(self._spoken_ms / 1000, 3)}
