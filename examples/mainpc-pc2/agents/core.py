"""The core of the fleet: who is there, what is known, and who takes which request."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any, Final

import msgspec

from agents.base_agent import REGISTRY, TWIN, Card, Hop, Member, RefusalError, hop
from agents.pipeline_messages import Analysis, Spoken
from argosy.agent import request

MOST_TRACES: Final = 1000


class ServiceRegistry(Member):
    """Knows which agents have enrolled."""

    enrols_at = ""

    def __init__(self) -> None:
        super().__init__()
        self._cards: dict[str, Card] = {self.name: self.card()}

    @request(short=True)
    def enrol(self, card: Card) -> int:
        """Take a card, a newer one for an older; return how many agents are known."""
        self._cards[card.name] = card
        return len(self._cards)

    @request(short=True)
    def find(self, name: str) -> Card:
        """Return an agent's card; refused when nobody of that name has enrolled."""
        if name not in self._cards:
            raise RefusalError(f"`{name}` has not enrolled; {len(self._cards)} others have")
        return self._cards[name]

    @request(short=True)
    def listing(self, machine: str = "") -> list[Card]:
        """Return the cards of a machine, or all, by name."""
        cards = sorted(self._cards.items())
        return [card for _, card in cards if machine in ("", card.machine)]

    def facts(self) -> dict[str, Any]:
        """Return how many have enrolled, by machine."""
        return {"registered": dict(Counter(card.machine for card in self._cards.values()))}


class DigitalTwin(Member):
    """The state of the fleet as its members left it here: values by key, traces of utterances.

    The members of mainpc enrol here, and it hands their cards on to the registry, which it needs.
    """

    enrols_at = REGISTRY

    def __init__(self) -> None:
        super().__init__()
        self._cards: dict[str, Card] = {}
        self._values: dict[str, Any] = {}
        self._traces: OrderedDict[str, list[Hop]] = OrderedDict()

    @request
    async def enrol(self, card: Card) -> int:
        """Take a member's card and hand it on; return how many members are known here."""
        self._cards[card.name] = card
        await self.meet(REGISTRY, "enrol", card=card)
        return len(self._cards)

    @request(short=True)
    def put(self, key: str, value: Any) -> None:
        """Keep a value; the key begins with the agent's name."""
        self._values[key] = value

    @request(short=True)
    def get(self, key: str) -> Any:
        """Return a value; None when nobody left one."""
        return self._values.get(key)

    @request(short=True)
    def keep_trace(self, correlation: str, hops: list[Hop]) -> None:
        """Keep the hops of one correlation id; the oldest of more than MOST_TRACES are dropped."""
        self._traces[correlation] = hops
        while len(self._traces) > MOST_TRACES:
            self._traces.popitem(last=False)

    @request(short=True)
    def trace_of(self, correlation: str) -> list[Hop]:
        """Return the hops of a correlation id; refused when it is not known."""
        if correlation not in self._traces:
            raise RefusalError(
                f"no utterance with the correlation id `{correlation}` is kept; {len(self._traces)} are"
            )
        return self._traces[correlation]

    @request(short=True)
    def census(self) -> dict[str, int]:
        """Return how many members there are of each role."""
        return dict(Counter(card.role for card in self._cards.values()))

    def facts(self) -> dict[str, Any]:
        """Return how much is kept."""
        return {"members": len(self._cards), "values": len(self._values), "traces": len(self._traces)}


class Coordinator(Member):
    """Sends a request of a kind to the agent that takes it.

    Agents announce the kinds they take; `--routes KIND=AGENT` are those it sends on itself.
    """

    class Options(msgspec.Struct, frozen=True):
        """routes: a list of KIND=AGENT."""

        routes: list[str] = []

    def __init__(self) -> None:
        super().__init__()
        self._takers: dict[str, list[str]] = {}
        self._routes = dict(route.split("=", 1) for route in self.options.routes)
        self._counts: Counter[str] = Counter()

    @request(short=True)
    def announce(self, kind: str, agent: str) -> None:
        """Note that an agent takes requests of a kind; told again, it stays one."""
        takers = self._takers.setdefault(kind, [])
        if agent not in takers:
            takers.append(agent)

    @request(short=True)
    def takers(self, kind: str) -> list[str]:
        """Return who takes a kind of request, and count the question."""
        self._counts[kind] += 1
        return self._takers.get(kind, [])

    @request(short=True)
    def counts(self) -> dict[str, int]:
        """Return how often each kind was asked for."""
        return dict(self._counts)

    @hop
    async def route(self, kind: str, analysis: Analysis) -> Spoken:
        """Send an analysed text to who answers its kind; refused when there is no route."""
        self._counts[kind] += 1
        if kind not in self._routes:
            raise RefusalError(
                f"there is no route for `{kind}`; those are {', '.join(self._routes) or 'none'}"
            )
        agent = self._routes[kind]
        return await self.pass_on(agent, "respond", returns=Spoken, within_s=4.0, analysis=analysis)

    def facts(self) -> dict[str, Any]:
        """Return the kinds and how often each was asked for."""
        return {"kinds": sorted(self._takers), "routed": dict(self._counts)}


class Overview(Member):
    """Says in a few words what the fleet is made of."""

    @request
    async def overview(self) -> str:
        """Return the most frequent roles with their numbers, and the total."""
        census: dict[str, int] = await self.ask(TWIN, "census", returns=dict[str, int])
        most = Counter(census).most_common(3)
        return f"{sum(census.values())} members; most: " + ", ".join(f"{n} {role}" for role, n in most)
