"""Models on the GPU: reservations of its memory, and the choice of a model for a request."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from typing import Any, Final

import msgspec

from agents.base_agent import ExampleAgent, ModelOptions, RejectedError
from argosy.agent import request


class ModelReservation(msgspec.Struct, frozen=True):
    """Memory that an agent reserves for a model, in GiB; `used` orders reservations by last use."""

    holder: str
    model: str
    gib: float
    used: int


class ModelManager(ExampleAgent):
    """Reserves GPU memory for models within a budget.

    A holder has one reservation per model. There is no eviction: a model that does not fit is rejected;
    VRAMOptimizerAgent proposes which reservations to release.
    """

    class Options(msgspec.Struct, frozen=True):
        """budget_gib: memory of the GPU. models: NAME=GIB. library: the agent whose models it adds."""

        budget_gib: float
        models: list[str] = []
        library: str = ""

    def __init__(self) -> None:
        super().__init__()
        pairs = (model.split("=", 1) for model in self.options.models)
        self._sizes = {name: float(gib) for name, gib in pairs}
        self._held: dict[tuple[str, str], ModelReservation] = {}
        self._uses = 0

    async def contact_peers(self) -> None:
        """Fetch the models of the library."""
        if self.options.library:
            self._sizes |= await self.ask_at_start(self.options.library, "catalogue")

    @request(short=True)
    def catalogue(self) -> dict[str, float]:
        """Return the known models with their sizes in GiB."""
        return self._sizes

    @request(short=True)
    def reserve(self, model: str, gib: float, holder: str) -> float:
        """Reserve memory for a model and return the remaining GiB; rejected if it does not fit."""
        others = sum(each.gib for key, each in self._held.items() if key != (holder, model))
        left: float = self.options.budget_gib - others - gib
        if gib <= 0 or left < 0:
            raise RejectedError(
                f"`{model}` needs {gib} GiB of {self.options.budget_gib} GiB, and {others} GiB are held "
                f"by {len(self._held)} reservations"
            )
        self._uses += 1
        self._held[holder, model] = ModelReservation(holder, model, gib, self._uses)
        return left

    @request(short=True)
    def release(self, model: str, holder: str) -> bool:
        """Release a reservation; return whether there was one."""
        return self._held.pop((holder, model), None) is not None

    @request(short=True)
    def holdings(self) -> list[ModelReservation]:
        """Return all reservations, least recently used first."""
        return sorted(self._held.values(), key=lambda each: each.used)

    def facts(self) -> dict[str, Any]:
        """Return the budget and the reserved memory in GiB."""
        held = sum(each.gib for each in self._held.values())
        return {"budget_gib": self.options.budget_gib, "held_gib": held, "models": len(self._sizes)}


class MemoryOptimizer(ExampleAgent):
    """Proposes reservations to release so that a model fits."""

    async def contact_peers(self) -> None:
        """Announce itself, and check that the reservations are available."""
        await self.announce_kind("memory")
        await self.ask_at_start("ModelManagerAgent", "holdings")

    @request
    async def models_to_free(self, gib: float) -> list[ModelReservation]:
        """Return the least recently used reservations with a total size of at least `gib`."""
        reservations = await self.ask("ModelManagerAgent", "holdings", returns=list[ModelReservation])
        chosen: list[ModelReservation] = []
        for reservation in reservations:
            if sum(each.gib for each in chosen) >= gib:
                break
            chosen.append(reservation)
        return chosen


class Preloader(ExampleAgent):
    """Predicts the next kinds of request by their frequency."""

    async def contact_peers(self) -> None:
        """Announce itself."""
        await self.announce_kind("preload")

    @request
    async def expected_kinds(self, most: int = 3) -> dict[str, float]:
        """Return the most frequent kinds with their share of all requests."""
        counts: Counter[str] = Counter(await self.ask("RequestCoordinator", "counts", returns=dict[str, int]))
        return {kind: count / counts.total() for kind, count in counts.most_common(most)}


class ModelChooser(ExampleAgent):
    """Chooses the smallest model that can handle a request."""

    def __init__(self) -> None:
        super().__init__()
        self._sizes: dict[str, float] = {}

    async def contact_peers(self) -> None:
        """Announce itself and fetch the models."""
        await self.announce_kind("models")
        self._sizes = await self.ask_at_start("ModelManagerAgent", "catalogue")

    @request(short=True)
    def choose(self, tokens: int) -> str:
        """Return a model for a number of tokens, 1 GiB for each 1,000; rejected if none fits."""
        fitting = [(gib, name) for name, gib in self._sizes.items() if gib * 1000 >= tokens]
        if not fitting:
            raise RejectedError(f"no model handles {tokens} tokens; {len(self._sizes)} models are known")
        return min(fitting)[1]


_TEXT: Final = (
    "the ships of the fleet leave the harbour in the morning and the fleet is back in the evening "
    "when the harbour is quiet the ships are counted and the fleet is ready for the morning"
)


class TinyModel(ExampleAgent):
    """A bigram language model."""

    Options = ModelOptions

    def __init__(self) -> None:
        super().__init__()
        self._next: dict[str, list[str]] = {}
        for word, following in pairwise(_TEXT.split()):
            self._next.setdefault(word, []).append(following)

    async def contact_peers(self) -> None:
        """Reserve the model's memory."""
        await self.reserve_model()

    @request(short=True)
    def complete(self, word: str, length: int = 8, seed: int = 0) -> str:
        """Return a text that begins with a word; the same seed gives the same text."""
        generator = random.Random(seed)
        text = [word]
        while len(text) < min(length, 100) and text[-1] in self._next:
            text.append(generator.choice(self._next[text[-1]]))
        return " ".join(text)
