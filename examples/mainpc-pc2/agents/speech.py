"""Speech: recognition, synthesis and interruption."""

from __future__ import annotations

import re
import time
from typing import Any, Final

import msgspec

from agents import tone_codec
from agents.base_agent import ExampleAgent, ModelOptions, RejectedError, hop
from agents.pipeline_messages import Speech, Transcript, Voice
from argosy.agent import request

NEUTRAL_HZ: Final = 180.0


class SpeechToText(ExampleAgent):
    """Decodes the text in samples."""

    Options = ModelOptions

    def __init__(self) -> None:
        super().__init__()
        self._seconds = 0.0

    async def contact_peers(self) -> None:
        """Reserve the model's memory."""
        await self.reserve_model()

    @hop
    async def transcribe(self, samples: bytes) -> Transcript:
        """Return the text in samples; rejected if there is none."""
        unpacked = tone_codec.unpack(samples)
        try:
            text = tone_codec.decode_tones(unpacked)
        except ValueError as error:
            raise RejectedError(f"the samples contain no text: {error}") from error
        self._seconds += len(unpacked) / tone_codec.RATE
        return Transcript(text, 1000 * len(unpacked) / tone_codec.RATE)

    def facts(self) -> dict[str, Any]:
        """Return the seconds of transcribed voice."""
        return {"transcribed_s": round(self._seconds, 3)}


class Interruption(msgspec.Struct, frozen=True):
    """Whether the voice must be silent now."""

    is_set: bool


class InterruptHandler(ExampleAgent):
    """Stores whether silence is requested."""

    def __init__(self) -> None:
        super().__init__()
        self._silent_until_s = 0.0

    async def contact_peers(self) -> None:
        """Check that speech recognition and output are available."""
        await self.ask_at_start("StreamingSpeechRecognition", "heard")
        await self.ask_at_start("StreamingTTSAgent")

    @request(short=True)
    def interrupt(self, seconds: float = 2.0) -> None:
        """Request silence for a number of seconds."""
        self._silent_until_s = time.monotonic() + seconds

    @hop
    async def interruption(self) -> Interruption:
        """Return whether silence is requested now."""
        return Interruption(time.monotonic() < self._silent_until_s)


class TextToSpeech(ExampleAgent):
    """Converts words to samples, unless it is interrupted."""

    Options = ModelOptions

    def __init__(self) -> None:
        super().__init__()
        self._words = 0

    async def contact_peers(self) -> None:
        """Reserve the model's memory."""
        await self.reserve_model()

    @hop
    async def synthesise(self, text: str, mood: float = 0.0) -> Voice:
        """Return a text as voice, with a higher pitch for a better mood (-1 to 1); empty if interrupted."""
        interruption: Interruption = await self.forward_request(
            "StreamingInterruptHandler", "interruption", returns=Interruption
        )
        if interruption.is_set:
            return Voice(b"", 0.0, is_cut=True)
        words = text.lower().split()
        self._words += len(words)
        spoken = b"".join(tone_codec.voice(word, NEUTRAL_HZ * (1 + mood / 4)).tobytes() for word in words)
        return Voice(spoken, 1000 * len(spoken) / 2 / tone_codec.RATE, is_cut=False)

    def facts(self) -> dict[str, Any]:
        """Return the number of spoken words."""
        return {"words": self._words}


class StreamingSpeech(ExampleAgent):
    """Speaks an answer sentence by sentence, so that output starts before synthesis ends."""

    def __init__(self) -> None:
        super().__init__()
        self._spoken_ms = 0.0

    async def contact_peers(self) -> None:
        """Announce itself, and check that the voice and the overview are available."""
        await self.announce_kind("speaking")
        await self.ask_at_start("TTSService")
        await self.ask_at_start("UnifiedSystemAgent")

    @hop
    async def speak(self, text: str, mood: float = 0.0) -> Speech:
        """Speak a text until a sentence is interrupted."""
        sentences = [part.strip() for part in re.split(r"[.!?]+", text) if part.strip()]
        spoken_ms, done = 0.0, 0
        for sentence in sentences:
            voice: Voice = await self.forward_request(
                "TTSService", "synthesise", returns=Voice, within_s=2.5, text=sentence, mood=mood
            )
            if voice.is_cut:
                break
            spoken_ms += voice.ms
            done += 1
        self._spoken_ms += spoken_ms
        return Speech(done, round(spoken_ms, 1), is_cut=done < len(sentences))

    def facts(self) -> dict[str, Any]:
        """Return the seconds of spoken text."""
        return {"spoken_s": round(self._spoken_ms / 1000, 3)}
