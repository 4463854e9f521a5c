"""Audio input: from captured sound to recognised text."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from agents import tone_codec
from agents.base_agent import TWIN, ExampleAgent, ForwardedReply, HopError, RejectedError, hop
from agents.pipeline_messages import Spoken, Transcript
from argosy.agent import request

# Each stage has a shorter time-out than its caller, so that the direct caller of a failed agent times
# out first and names it: 6.0, 5.5, 5.0, 4.5 s from here to the responder.


class Capture(ExampleAgent):
    """The microphone: converts a text to samples and is the first hop of a trace."""

    def __init__(self) -> None:
        super().__init__()
        self._captured = 0

    @request
    async def say(self, text: str) -> ForwardedReply[Spoken]:
        """Send a text to the fleet; return the answer and its hops, which are also stored in the twin."""
        reply = await self.capture(text)
        try:
            await self.ask(TWIN, "keep_trace", correlation=reply.hops[0].trace, hops=reply.hops)
        except HopError:
            return reply  # the answer is still valid; `ask` has published the error
        return reply

    @hop
    async def capture(self, text: str) -> Spoken:
        """Convert a text to samples and forward them; rejected if it is empty or too long."""
        try:
            samples = tone_codec.add_room_noise(tone_codec.encode_tones(text))
        except ValueError as error:
            raise RejectedError(str(error)) from error
        self._captured += 1
        data = samples.tobytes()
        return await self.forward_request(
            "FusedAudioPreprocessor", "process", returns=Spoken, within_s=6.0, samples=data
        )

    @request(short=True)
    def format(self) -> dict[str, int]:
        """Return the format of the samples."""
        return {"rate": tone_codec.RATE, "burst": tone_codec.BURST}

    def facts(self) -> dict[str, Any]:
        """Return the number of captured utterances."""
        return {"captured": self._captured}


class Preprocessor(ExampleAgent):
    """Removes the offset of samples, scales them, and keeps only the voiced part."""

    class Options(msgspec.Struct, frozen=True):
        """floor: the energy above which a burst is voiced, relative to a peak of 1."""

        floor: float = 0.05

    def __init__(self) -> None:
        super().__init__()
        self._received = self._kept = 0

    async def contact_peers(self) -> None:
        """Check that the samples have the expected format."""
        sample_format = await self.ask_at_start("AudioCapture", "format")
        if sample_format["burst"] != tone_codec.BURST:
            raise RejectedError(
                f"`AudioCapture` has bursts of {sample_format['burst']} samples, expected {tone_codec.BURST}"
            )

    @hop
    async def process(self, samples: bytes) -> Spoken:
        """Clean samples and forward the voiced part; rejected if there is none."""
        clean = self.clean(samples)
        return await self.forward_request(
            "StreamingSpeechRecognition", "recognise", returns=Spoken, within_s=5.5, samples=clean
        )

    @request
    def clean(self, samples: bytes) -> bytes:
        """Return the voiced part of samples; rejected if there is none."""
        raw = tone_codec.unpack(samples)
        voiced = tone_codec.voiced(tone_codec.without_offset(raw), self.options.floor) if raw else raw
        if not voiced:
            raise RejectedError(f"no voice in {len(raw)} samples above an energy of {self.options.floor}")
        self._received += len(raw)
        self._kept += len(voiced)
        return tone_codec.pack(voiced)

    @request(short=True)
    def floor(self) -> float:
        """Return the energy above which a burst is voiced."""
        level: float = self.options.floor
        return level

    def facts(self) -> dict[str, Any]:
        """Return the numbers of samples received and kept."""
        return {"samples": self._received, "voiced": self._kept}


class WakeWord(ExampleAgent):
    """Detects its word at the start of samples, tone by tone."""

    class Options(msgspec.Struct, frozen=True):
        """word: the wake word."""

        word: str = "argosy"

    def __init__(self) -> None:
        super().__init__()
        self._pattern = tone_codec.encode_tones(self.options.word)
        self._floor = 0.0

    async def contact_peers(self) -> None:
        """Fetch the format of the samples and the floor of the voice."""
        await self.ask_at_start("AudioCapture", "format")
        self._floor = await self.ask_at_start("FusedAudioPreprocessor", "floor")

    @request
    def is_called(self, samples: bytes) -> bool:
        """Return whether the voice in samples begins with the word."""
        heard = tone_codec.voiced(tone_codec.without_offset(tone_codec.unpack(samples)), self._floor)[
            : len(self._pattern)
        ]
        return len(heard) == len(self._pattern) and tone_codec.decode_tones(heard) == self.options.word


class Recognition(ExampleAgent):
    """Has samples transcribed and forwards the text."""

    def __init__(self) -> None:
        super().__init__()
        self._heard: Counter[str] = Counter()

    async def contact_peers(self) -> None:
        """Announce itself, and check that its neighbours in the chain are available."""
        await self.announce_kind("recognition")
        await self.ask_at_start("FusedAudioPreprocessor", "floor")
        await self.ask_at_start("STTService")

    @hop
    async def recognise(self, samples: bytes) -> Spoken:
        """Return the fleet's answer to the text in samples."""
        transcript: Transcript = await self.forward_request(
            "STTService", "transcribe", returns=Transcript, samples=samples
        )
        self._heard.update(transcript.text.split())
        return await self.forward_request(
            "StreamingLanguageAnalyzer", "analyse", returns=Spoken, within_s=5.0, text=transcript.text
        )

    @request(short=True)
    def heard(self) -> int:
        """Return the number of words recognised since the start."""
        return self._heard.total()

    def facts(self) -> dict[str, Any]:
        """Return the numbers of words and of distinct words recognised."""
        return {"words": self._heard.total(), "different": len(self._heard)}
