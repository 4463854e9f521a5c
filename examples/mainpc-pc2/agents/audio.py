"""Hearing: from a text said into the air to the text recognised in it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from agents import tone_codec
from agents.base_agent import TWIN, HopError, Member, Passed, RefusalError, hop
from agents.pipeline_messages import Spoken, Transcript
from argosy.agent import request

# Each stage waits a little less than the one before it, so that when an agent is down, it is its
# own neighbour who gives up first and names it: 6.0, 5.5, 5.0, 4.5 here and on to the responder.


class Capture(Member):
    """The microphone: what is said becomes samples, and the first hop of a trace."""

    def __init__(self) -> None:
        super().__init__()
        self._captured = 0

    @request
    async def say(self, text: str) -> Passed[Spoken]:
        """Say a text to the fleet; return the answer and the hops it took, and keep these in the twin."""
        passed = await self.capture(text)
        try:
            await self.ask(TWIN, "keep_trace", correlation=passed.hops[0].trace, hops=passed.hops)
        except HopError:
            return passed  # answered all the same; `ask` has told the errors topic
        return passed

    @hop
    async def capture(self, text: str) -> Spoken:
        """Turn a text into samples and hand them on; refused when it is empty or too long."""
        try:
            samples = tone_codec.in_a_room(tone_codec.say_in_tones(text))
        except ValueError as error:
            raise RefusalError(str(error)) from error
        self._captured += 1
        data = samples.tobytes()
        return await self.pass_on(
            "FusedAudioPreprocessor", "process", returns=Spoken, within_s=6.0, samples=data
        )

    @request(short=True)
    def format(self) -> dict[str, int]:
        """Return how the samples are to be read."""
        return {"rate": tone_codec.RATE, "burst": tone_codec.BURST}

    def facts(self) -> dict[str, Any]:
        """Return how many utterances were captured."""
        return {"captured": self._captured}


class Preprocessor(Member):
    """Takes the offset out of samples, scales them, and keeps the part that is voice."""

    class Options(msgspec.Struct, frozen=True):
        """floor: the energy above which a burst is voice, where a peak is 1."""

        floor: float = 0.05

    def __init__(self) -> None:
        super().__init__()
        self._taken = self._kept = 0

    async def greet(self) -> None:
        """Make sure that the samples come as this agent reads them."""
        told = await self.meet("AudioCapture", "format")
        if told["burst"] != tone_codec.BURST:
            raise RefusalError(
                f"`AudioCapture` has bursts of {told['burst']} samples, {tone_codec.BURST} were expected"
            )

    @hop
    async def process(self, samples: bytes) -> Spoken:
        """Clean samples and hand the voice in them on; refused when there is none."""
        clean = self.clean(samples)
        return await self.pass_on(
            "StreamingSpeechRecognition", "recognise", returns=Spoken, within_s=5.5, samples=clean
        )

    @request
    def clean(self, samples: bytes) -> bytes:
        """Return the voice in samples; refused when there is none."""
        heard = tone_codec.unpack(samples)
        voiced = tone_codec.voiced(tone_codec.without_offset(heard), self.options.floor) if heard else heard
        if not voiced:
            raise RefusalError(f"no voice in {len(heard)} samples above an energy of {self.options.floor}")
        self._taken += len(heard)
        self._kept += len(voiced)
        return tone_codec.pack(voiced)

    @request(short=True)
    def floor(self) -> float:
        """Return the energy above which a burst is voice."""
        level: float = self.options.floor
        return level

    def facts(self) -> dict[str, Any]:
        """Return samples taken, and kept as voice."""
        return {"samples": self._taken, "voiced": self._kept}


class WakeWord(Member):
    """Finds its word at the beginning of samples, by comparing energies tone by tone."""

    class Options(msgspec.Struct, frozen=True):
        """word: what it wakes at."""

        word: str = "argosy"

    def __init__(self) -> None:
        super().__init__()
        self._pattern = tone_codec.say_in_tones(self.options.word)
        self._floor = 0.0

    async def greet(self) -> None:
        """Learn the format of the samples and the floor of voice."""
        await self.meet("AudioCapture", "format")
        self._floor = await self.meet("FusedAudioPreprocessor", "floor")

    @request
    def is_called(self, samples: bytes) -> bool:
        """Tell whether the voice in samples begins with the word."""
        heard = tone_codec.voiced(tone_codec.without_offset(tone_codec.unpack(samples)), self._floor)[
            : len(self._pattern)
        ]
        return len(heard) == len(self._pattern) and tone_codec.hear_tones(heard) == self.options.word


class Recognition(Member):
    """Has samples transcribed and hands the text on."""

    def __init__(self) -> None:
        super().__init__()
        self._heard: Counter[str] = Counter()

    async def greet(self) -> None:
        """Announce itself, and see that those it works between are there."""
        await self.announce_kind("recognition")
        await self.meet("FusedAudioPreprocessor", "floor")
        await self.meet("STTService")

    @hop
    async def recognise(self, samples: bytes) -> Spoken:
        """Return what the fleet answers to the text in samples."""
        told: Transcript = await self.pass_on("STTService", "transcribe", returns=Transcript, samples=samples)
        self._heard.update(told.text.split())
        return await self.pass_on(
            "StreamingLanguageAnalyzer", "analyse", returns=Spoken, within_s=5.0, text=told.text
        )

    @request(short=True)
    def heard(self) -> int:
        """Return how many words were heard since the start."""
        return self._heard.total()

    def facts(self) -> dict[str, Any]:
        """Return how many words were heard, and how many different ones."""
        return {"words": self._heard.total(), "different": len(self._heard)}
