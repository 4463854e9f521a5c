"""Models on the GPU: who holds how much of its memory, and which model suits a request."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from typing import Any, Final

import msgspec

from agents.base_agent import Member, ModelOptions, RefusalError
from argosy.agent import request


class Holding(msgspec.Struct, frozen=True):
    """Memory that an agent holds for a model, in GiB; `used` orders holdings by their last use."""

    holder: str
    model: str
    gib: float
    used: int


class ModelManager(Member):
    """Admits models to the GPU while its budget holds.

    A holder has one holding per model. There is no eviction: what does not fit is refused, with the
    holdings that are in the way, and whoever may free them (VRAMOptimizerAgent) says which.
    """

    class Options(msgspec.Struct, frozen=True):
        """budget_gib: memory of the GPU. models: NAME=GIB. library: whose models it knows too."""

        budget_gib: float
        models: list[str] = []
        library: str = ""

    def __init__(self) -> None:
        super().__init__()
        pairs = (model.split("=", 1) for model in self.options.models)
        self._sizes = {name: float(gib) for name, gib in pairs}
        self._held: dict[tuple[str, str], Holding] = {}
        self._uses = 0

    async def greet(self) -> None:
        """Take in the models of the library."""
        if self.options.library:
            self._sizes |= await self.meet(self.options.library, "catalogue")

    @request(short=True)
    def catalogue(self) -> dict[str, float]:
        """Return the known models with their sizes in GiB."""
        return self._sizes

    @request(short=True)
    def reserve(self, model: str, gib: float, holder: str) -> float:
        """Hold memory for a model and return what is left, in GiB; refused when it does not fit."""
        others = sum(each.gib for key, each in self._held.items() if key != (holder, model))
        left: float = self.options.budget_gib - others - gib
        if gib <= 0 or left < 0:
            raise RefusalError(
                f"`{model}` needs {gib} GiB of {self.options.budget_gib} GiB, and {others} GiB are held "
                f"by {len(self._held)} holdings"
            )
        self._uses += 1
        self._held[holder, model] = Holding(holder, model, gib, self._uses)
        return left

    @request(short=True)
    def release(self, model: str, holder: str) -> bool:
        """Give a holding back; return whether there was one."""
        return self._held.pop((holder, model), None) is not None

    @request(short=True)
    def holdings(self) -> list[Holding]:
        """Return all holdings, the one used longest ago first."""
        return sorted(self._held.values(), key=lambda each: each.used)

    def facts(self) -> dict[str, Any]:
        """Return the budget and what of it is held, in GiB."""
        held = sum(each.gib for each in self._held.values())
        return {"budget_gib": self.options.budget_gib, "held_gib": held, "models": len(self._sizes)}


class MemoryOptimizer(Member):
    """Says which holdings to give back so that a model fits."""

    async def greet(self) -> None:
        """Announce itself, and see what is held."""
        await self.announce_kind("memory")
        await self.meet("ModelManagerAgent", "holdings")

    @request
    async def to_free(self, gib: float) -> list[Holding]:
        """Return the holdings that were used longest ago and together are at least so large."""
        holdings = await self.ask("ModelManagerAgent", "holdings", returns=list[Holding])
        chosen: list[Holding] = []
        for holding in holdings:
            if sum(each.gib for each in chosen) >= gib:
                break
            chosen.append(holding)
        return chosen


class Preloader(Member):
    """Expects the kinds of request that come most often to come next."""

    async def greet(self) -> None:
        """Announce itself."""
        await self.announce_kind("preload")

    @request
    async def expected(self, most: int = 3) -> dict[str, float]:
        """Return the most frequent kinds with their shares of all requests."""
        counts: Counter[str] = Counter(await self.ask("RequestCoordinator", "counts", returns=dict[str, int]))
        return {kind: count / counts.total() for kind, count in counts.most_common(most)}


class ModelChooser(Member):
    """Chooses the smallest model that is large enough for a request."""

    def __init__(self) -> None:
        super().__init__()
        self._sizes: dict[str, float] = {}

    async def greet(self) -> None:
        """Announce itself and learn the models."""
        await self.announce_kind("models")
        self._sizes = await self.meet("ModelManagerAgent", "catalogue")

    @request(short=True)
    def choose(self, tokens: int) -> str:
        """Return a model for a request of so many tokens: 1 GiB for each 1,000; refused when none is."""
        fitting = [(gib, name) for name, gib in self._sizes.items() if gib * 1000 >= tokens]
        if not fitting:
            raise RefusalError(f"no model takes {tokens} tokens; {len(self._sizes)} are known")
        return min(fitting)[1]


_TEXT: Final = (
    "the ships of the fleet leave the harbour in the morning and the fleet is back in the evening "
    "when the harbour is quiet the ships are counted and the fleet is ready for the morning"
)


class TinyModel(Member):
    """A language model of pairs of words: what followed a word in its corpus may follow it again."""

    Options = ModelOptions

    def __init__(self) -> None:
        super().__init__()
        self._next: dict[str, list[str]] = {}
        for word, following in pairwise(_TEXT.split()):
            self._next.setdefault(word, []).append(following)

    async def greet(self) -> None:
        """Reserve the model's memory."""
        await self.reserve_model()

    @request(short=True)
    def complete(self, word: str, length: int = 8, seed: int = 0) -> str:
        """Return a text that begins with a word; the same seed gives the same text."""
        chance = random.Random(seed)
        text = [word]
        while len(text) < min(length, 100) and text[-1] in self._next:
            text.append(chance.choice(self._next[text[-1]]))
        return " ".join(text)
