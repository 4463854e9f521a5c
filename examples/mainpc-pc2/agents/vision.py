"""Vision: face recognition on mainpc, image histograms on pc2."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Final

from agents.base_agent import ExampleAgent, ModelOptions, RejectedError, hop
from agents.pipeline_messages import Person
from argosy.agent import request

# Faces as points, in place of the embeddings of a neural network.
KNOWN: Final = {"ana": (0.2, 0.9, 0.4), "ben": (0.8, 0.1, 0.5), "carla": (0.5, 0.5, 0.9)}


class Faces(ExampleAgent):
    """Recognises the person whose face is nearest to the last one seen."""

    Options = ModelOptions

    def __init__(self) -> None:
        super().__init__()
        self._seen = (0.25, 0.85, 0.4)

    async def contact_peers(self) -> None:
        """Announce itself and reserve the model's memory."""
        await self.announce_kind("faces")
        await self.reserve_model()

    @request(short=True)
    def see(self, face: tuple[float, float, float]) -> None:
        """Set the face that the camera sees now."""
        self._seen = face

    @hop
    async def who(self) -> Person:
        """Return the known person nearest to the last face seen."""
        name = min(KNOWN, key=lambda known: math.dist(KNOWN[known], self._seen))
        return Person(name, round(math.dist(KNOWN[name], self._seen), 4))


class Images(ExampleAgent):
    """Computes brightness histograms of grey images."""

    machine = "pc2"

    def __init__(self) -> None:
        super().__init__()
        self._described = 0

    async def contact_peers(self) -> None:
        """Check that the cache is available."""
        await self.ask_at_start("CacheManager")

    @request
    def histogram(self, pixels: bytes, bins: int = 4) -> list[int]:
        """Return the number of pixels (one byte each) in each of 1 to 256 brightness bins."""
        if not 1 <= bins <= 256:
            raise RejectedError(f"`bins` is {bins}, expected 1 to 256")
        counts = Counter(pixel * bins // 256 for pixel in pixels)
        self._described += 1
        return [counts[index] for index in range(bins)]

    def facts(self) -> dict[str, Any]:
        """Return the number of processed images."""
        return {"described": self._described}
