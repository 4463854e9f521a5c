"""Seeing: the nearest known face on mainpc, histograms of images on pc2."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Final

from agents.base_agent import Member, ModelOptions, RefusalError, hop
from agents.pipeline_messages import Person
from argosy.agent import request

# Faces as points; a stand-in for what a network would find in an image.
KNOWN: Final = {"ana": (0.2, 0.9, 0.4), "ben": (0.8, 0.1, 0.5), "carla": (0.5, 0.5, 0.9)}


class Faces(Member):
    """Tells whose known face is nearest to the one seen last."""

    Options = ModelOptions

    def __init__(self) -> None:
        super().__init__()
        self._seen = (0.25, 0.85, 0.4)

    async def greet(self) -> None:
        """Announce itself and reserve the model's memory."""
        await self.announce_kind("faces")
        await self.reserve_model()

    @request(short=True)
    def see(self, face: tuple[float, float, float]) -> None:
        """Take the face that is before the camera now."""
        self._seen = face

    @hop
    async def who(self) -> Person:
        """Return the nearest known person to the face seen last."""
        name = min(KNOWN, key=lambda known: math.dist(KNOWN[known], self._seen))
        return Person(name, round(math.dist(KNOWN[name], self._seen), 4))


class Images(Member):
    """Describes grey images by how their brightness is spread."""

    machine = "pc2"

    def __init__(self) -> None:
        super().__init__()
        self._described = 0

    async def greet(self) -> None:
        """See that the cache is there."""
        await self.meet("CacheManager")

    @request
    def histogram(self, pixels: bytes, bins: int = 4) -> list[int]:
        """Return how many pixels (a byte each) fall into each of 1 to 256 bins of brightness."""
        if not 1 <= bins <= 256:
            raise RefusalError(f"{bins} bins; 1 to 256 were expected")
        counts = Counter(pixel * bins // 256 for pixel in pixels)
        self._described += 1
        return [counts[index] for index in range(bins)]

    def facts(self) -> dict[str, Any]:
        """Return how many images were described."""
        return {"described": self._described}
